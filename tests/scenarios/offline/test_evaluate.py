"""Evaluation from files to numbers, against the same numbers worked out in plain Python."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import echodrift as ed
import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput, StorageError
from echodrift.scenarios.offline.protocol.data import read_data
from echodrift.scenarios.offline.protocol.negatives import read_negatives
from echodrift.scenarios.offline.protocol.splits import Parts, Split
from echodrift.scenarios.offline.protocol.task import Rules, build_task, task_for_seed
from echodrift.scenarios.real_logs.topics import topics_from_users
from echodrift.sim.streams import Streams
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

QUIET = {"jobs": 1}
BY_ID = "test_offline_evaluate_policies:ById"


@pytest.fixture(autouse=True)
def policies(tmp_path_factory, monkeypatch):
    """Policies of one's own, importable by name."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "test_offline_evaluate_policies.py").write_text(POLICIES)
    monkeypatch.syspath_prepend(str(folder))


POLICIES = '''
import os
import numpy as np
from echodrift.policies.base import ScorePolicy

class ById(ScorePolicy):
    """The lowest id first."""
    kind = "test_offline_evaluate_policies:ById"
    def fit(self, seen, rng): pass
    def fold_in(self, seen, users, rng): self.folded = users
    def scores(self, seen, users, rng):
        return np.tile(-np.arange(seen.n_items, dtype=np.float32), (len(users), 1))

class Broken(ById):
    kind = "test_offline_evaluate_policies:Broken"
    def scores(self, seen, users, rng):
        return super().scores(seen, users, rng) * np.nan

class Killed(ById):
    kind = "test_offline_evaluate_policies:Killed"
    def fit(self, seen, rng): os._exit(9)
'''


def write(folder: Path, name: str, rows, header="user,item,rating,timestamp") -> str:
    lines = [header] if header else []
    lines += [",".join(map(str, row)) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def random_rows(seed=0, users=30, items=25, share=0.35):
    rng = np.random.default_rng(seed)
    taken = rng.random((users, items)) < share * np.linspace(2, 0.2, items)
    rows = [
        (u + 1, i + 100, 1 + (u + i) % 5, 1000 + n)
        for n, (u, i) in enumerate(rng.permutation(np.argwhere(taken)))
    ]
    return rows


def values(result, policy=None):
    table = result.metrics
    policy = policy or table["policy"].iloc[0]
    return table[table["policy"] == policy].groupby("metric")["value"].mean().to_dict()


def test_train_and_test_files_against_plain_python(tmp_path):
    """Popularity without ties, 3 items per list: every metric by its definition."""
    train = [(u, i) for i in range(6) for u in range(12 - 2 * i)]  # item i has 12 − 2i users
    train += [(20, 0), (21, 5), (21, 4)]
    test = [(20, 1), (20, 2), (20, 5), (21, 0), (21, 1), (3, 5), (3, 9), (40, 1), (20, 0)]
    result = ed.evaluate(
        train=write(tmp_path, "train.csv", train, "user,item"),
        test=write(tmp_path, "test.csv", test, "user,item"),
        policies="kind=popularity",
        metrics="recall@3,ndcg@3,precision@3,hr@1,map@3,mrr@3,ncrr,auc,arp@3,coverage@3,gini@3",
        **QUIET,
    )
    popularity = {i: len({u for u, item in train if item == i}) for i in (*range(6), 9)}
    catalog = sorted(popularity)
    wanted = {20: {1, 2, 5}, 21: {0, 1}, 3: {5, 9}}  # user 40 is unknown; (20, 0) was trained on
    per_user: dict[str, list[float]] = {}
    shown: dict[int, int] = dict.fromkeys(catalog, 0)
    for user, held in wanted.items():
        own = {i for u, i in train if u == user}
        ranked = sorted((i for i in catalog if i not in own), key=lambda i: -popularity[i])
        top = ranked[:3]
        hits = [i in held for i in top]
        ideal = sum(1 / math.log2(r + 1) for r in range(1, min(3, len(held)) + 1))
        found = {
            "recall@3": sum(hits) / min(3, len(held)),
            "ndcg@3": sum(h / math.log2(r + 1) for r, h in enumerate(hits, 1)) / ideal,
            "precision@3": sum(hits) / 3,
            "hr@1": float(hits[0]),
            "map@3": sum(sum(hits[:r]) / r for r in range(1, len(hits) + 1) if hits[r - 1])
            / min(3, len(held)),
            "mrr@3": next((1 / r for r, h in enumerate(hits, 1) if h), 0.0),
            "ncrr": sum(1 / (ranked.index(i) + 1) for i in held)
            / sum(1 / j for j in range(1, len(held) + 1)),
            "auc": [ranked.index(a) < ranked.index(b) for a in held for b in ranked if b not in held],
            "arp@3": sum(popularity[i] for i in top) / len(top),
        }
        order = found.pop("auc")
        if order:  # undefined where every candidate is relevant
            per_user.setdefault("auc", []).append(sum(order) / len(order))
        for name, value in found.items():
            per_user.setdefault(name, []).append(value)
        for item in top:
            shown[item] += 1
    expected = {name: float(np.mean(parts)) for name, parts in per_user.items()}
    x = sorted(shown.values())
    expected["coverage@3"] = sum(c > 0 for c in x) / len(x)
    expected["gini@3"] = 2 * sum(j * c for j, c in enumerate(x, 1)) / (len(x) * sum(x)) - (len(x) + 1) / len(
        x
    )
    assert values(result) == pytest.approx(expected)
    table = result.metrics.set_index("metric")
    assert table.loc["recall@3", "users"] == 3
    spread = np.std(per_user["recall@3"], ddof=1) / math.sqrt(3)
    assert table.loc["recall@3", "standard_error"] == pytest.approx(spread)
    assert result.summary.set_index("metric").loc["recall@3", "half"] == pytest.approx(spread)
    notes = " ".join(result.notes)
    assert "1 test users have no history in training; they and their 1 test items are left out." in notes
    assert "1 test items of 1 users are in their training history" in notes
    assert "1 of 7 test items were taken by nobody in training; they count as held out." in notes


def test_known_items_cold_users_and_no_mask(tmp_path):
    train = write(
        tmp_path, "train.csv", [(1, 1), (1, 2), (2, 1), (3, 3), (3, 1), (4, 2), (5, 1)], "user,item"
    )
    test = write(tmp_path, "test.csv", [(1, 3), (1, 9), (2, 1), (2, 2), (7, 1)], "user,item")
    run = dict(
        train=train, test=test, policies=f"kind={BY_ID}", metrics="recall@1,recall@9,coverage@9", **QUIET
    )
    plain = ed.evaluate(**run)
    # user 1: 3 and 9 held out, ranked 3, 9; user 2: 2 held out, ranked 2, 3, 9
    assert values(plain) == pytest.approx({"recall@1": 1, "recall@9": 1, "coverage@9": 3 / 4})
    known = ed.evaluate(**run, known_items=True)
    assert values(known)["coverage@9"] == pytest.approx(
        2 / 3
    ) and "1 test items that nobody took" in " ".join(known.notes)
    cold = ed.evaluate(**run, cold_users=True)
    assert (cold.metrics["users"] == 3).all()
    loose = ed.evaluate(**run, mask=False)
    # user 1: 1, 2, 3, 9 with 3 and 9 held out; user 2: 1 and 2 held out and on top
    assert values(loose) == pytest.approx({"recall@1": 0.5, "recall@9": 1, "coverage@9": 1})


def test_negatives_rank_the_positive_among_its_own(tmp_path):
    train = write(tmp_path, "train.csv", [(u, i) for u in (1, 2, 3) for i in range(10)], "user,item")
    test = write(tmp_path, "test.csv", [(1, 30), (1, 12), (2, 20), (3, 40)], "user,item")
    (tmp_path / "negatives").write_text(
        "(1,30)\t11\t50\t25\n(1,12)\t13\t14\t15\n\n(2,20)\t10\t11\t12\t19\t21\n"
    )
    result = ed.evaluate(
        train=train, test=test, negatives=str(tmp_path / "negatives"), policies=f"kind={BY_ID}",
        metrics="hr@1,hr@3,mrr@9,ndcg@9,auc,coverage@2", **QUIET,
    )  # fmt: skip
    # by id the positives stand at rank 3 of 4, 1 of 4, 5 of 6
    expected = {
        "hr@1": 1 / 3,
        "hr@3": 2 / 3,
        "mrr@9": (1 / 3 + 1 + 1 / 5) / 3,
        "ndcg@9": (1 / math.log2(4) + 1 + 1 / math.log2(6)) / 3,
        "auc": (1 / 3 + 1 + 1 / 5) / 3,
        # lists over the whole catalog: everybody gets 10 and 11
        "coverage@2": 2 / 22,
    }
    got = values(result)
    assert {name: got[name] for name in expected if name != "coverage@2"} == pytest.approx(
        {name: expected[name] for name in expected if name != "coverage@2"}
    )
    catalog = {*range(10), 30, 12, 20, 40, 11, 50, 25, 13, 14, 15, 10, 19, 21}
    assert got["coverage@2"] == pytest.approx(2 / len(catalog))
    assert (result.metrics[result.metrics["metric"] != "coverage@2"]["users"] == 3).all()
    assert "1 of 4 test pairs have no negatives" in " ".join(result.notes)
    assert list(result.users["user"][:3]) == ["1", "1", "2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\t2\t3\n", "negatives, line 1: a line must look like (user,item)<tab>negative"),
        ("(1,30)\t11\n(1\t3\n", "negatives, line 2: a line must look like"),
        ("(1,30)\t11\n\n(1,30)\t12\n", "negatives, line 3: the pair (1,30) is already on line 1."),
        ("(1,30)\n", "negatives, line 1: the pair (1,30) has no negatives."),
        ("(1,30)\t30\n", "negatives, line 1: the pair (1,30) has no negatives."),
        ("(1,31)\t30\n", "negatives, line 1: the pair (1,31) is not in the test file."),
        ("(9,30)\t11\n", "negatives, line 1: the pair (9,30) is not in the test file."),
        ("\n", "the file is empty"),
    ],
)
def test_bad_negatives(tmp_path, text, message):
    train = write(tmp_path, "train.csv", [(u, i) for u in (1, 2) for i in range(10)], "user,item")
    test = write(tmp_path, "test.csv", [(1, 30)], "user,item")
    (tmp_path / "negatives").write_text(text)
    with pytest.raises(BadInput) as caught:
        ed.evaluate(train=train, test=test, negatives=tmp_path / "negatives", policies="kind=random", **QUIET)
    assert message in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(51, 90), min_size=1, max_size=5)), min_size=1, max_size=6, unique_by=lambda row: row[:2]), st.sampled_from(["\t", " ", ","]))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_negatives_that_are_written_are_read(tmp_path_factory, rows, separator):
    path = tmp_path_factory.mktemp("n") / "file"
    path.write_text("".join(f"({u},{i})\t{separator.join(map(str, against))}\n" for u, i, against in rows))
    found = read_negatives(path)
    assert list(zip(found.users, found.items, found.against, strict=True)) == [
        (str(u), str(i), list(dict.fromkeys(map(str, against)))) for u, i, against in rows
    ]


def test_the_layout_of_the_log_is_that_of_a_study(tmp_path):
    from echodrift.scenarios.real_logs.logs import read_log
    from echodrift.scenarios.real_logs.twin import history_from_log
    from echodrift.scenarios.specs.study import LogConfig

    path = write(tmp_path, "log.csv", random_rows())
    data = read_data({"log": path})
    task = task_for_seed(data, Split("random", 0.2), 0, Rules(), False)
    log = task.train.log
    assert (
        task.train.live.all() and task.train.round == 0 and (log.source == 3).all() and (log.rank == 0).all()
    )
    assert (
        set(log.round)
        == set(history_from_log(read_log(LogConfig(log=path, user_core=0))).round)
        == set(range(-20, 0))
    )
    assert (np.diff(log.round) >= 0).all()
    pairs = set(zip(log.user.tolist(), log.item.tolist(), strict=True))
    owners = np.repeat(task.users, np.diff(task.indptr))
    held = set(zip(owners.tolist(), task.relevant.tolist(), strict=True))
    assert not pairs & held and len(pairs) + len(held) == data.user.size
    rows = task.train.blocked.rows(np.arange(len(data.users), dtype=np.int32))
    assert set(map(tuple, np.argwhere(rows).tolist())) == pairs
    untimed = read_data(
        {"log": write(tmp_path, "no_times.csv", [row[:2] for row in random_rows()], "user,item")}
    )
    assert set(task_for_seed(untimed, Split("random", 0.2), 0, Rules(), False).train.log.round) == {-1}


def test_folded_in_users_are_unknown_when_fitting_and_known_when_ranking(tmp_path):
    data = read_data({"log": write(tmp_path, "log.csv", random_rows(users=40))})
    task = task_for_seed(data, Split("users", 0.25), 3, Rules(), False)
    assert np.array_equal(task.fold_in_users, task.users) and 0 < task.fold_in_users.size <= 10
    assert not np.isin(task.train.log.user, task.fold_in_users).any()
    assert np.isin(task.fold_in_users, task.seen.log.user).all()
    assert np.array_equal(task.seen.live, np.bincount(task.train.log.item, minlength=len(data.items)) > 0)
    # the others' histories are the same at both times
    assert len(task.seen.log) > len(task.train.log)
    others = ~np.isin(task.seen.log.user, np.unique(data.user[np.isin(data.user, task.train.log.user)]))
    assert others.sum() == len(task.seen.log) - len(task.train.log)


@pytest.mark.parametrize("split", ["random:0.3", "leave-one-out", "temporal:0.3", "users:0.3"])
def test_same_numbers_whatever_the_jobs(tmp_path, split):
    path = write(tmp_path, "log.csv", random_rows(users=40))
    how = {
        "policies": ["kind=popularity", "kind=matrix_factorization,dim=4,iterations=2", "kind=random"],
        "metrics": "recall@5,ndcg@5,coverage@5,auc,miscalibration@5", "split": split, "seeds": 2,
    }  # fmt: skip
    one, two = ed.evaluate(path, jobs=1, **how), ed.evaluate(path, jobs=2, **how)
    keep = ["policy", "seed", "metric", "value", "standard_error", "users", "status"]
    pd.testing.assert_frame_equal(one.metrics[keep], two.metrics[keep])
    assert one.failed.empty and one.metrics["value"].notna().all()
    few = ed.evaluate(path, jobs=1, **{**how, "metrics": "recall@5", "policies": how["policies"][2]})
    # asking for less changes nothing about what is left
    assert values(few)["recall@5"] == pytest.approx(values(one, "random")["recall@5"])


def test_a_failed_policy_is_a_row_and_the_rest_goes_on(tmp_path):
    path = write(tmp_path, "log.csv", random_rows())
    result = ed.evaluate(
        path,
        policies=["kind=test_offline_evaluate_policies:Broken,name=broken", "kind=popularity",
                  "kind=matrix_factorization,model=bpr,negatives=popularity,dim=4,iterations=2,name=bpr"],
        split="users:0.4", seeds=2, metrics="recall@5,coverage@5", **QUIET,
    )  # fmt: skip
    assert list(result.failed["policy"]) == ["broken"] * 2 + ["bpr"] * 2
    assert "NaN or +inf" in result.failed["error"].iloc[0]
    assert "cannot rank for users that it was not fitted on" in result.failed["error"].iloc[2]
    table = result.metrics.set_index(["policy", "seed", "metric"])
    assert np.isnan(table.loc[("broken", 1, "recall@5"), "value"])
    assert table.loc[("popularity", 1, "recall@5"), "value"] > 0
    assert "–" in str(result) and result.compare("popularity")["n"].max() == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_seed_without_a_test_part_is_a_row(tmp_path, jobs):
    """Of five users one has enough items to have a target; where the split leaves that one out, nothing is left."""
    rows = [(u, i) for u in range(4) for i in range(4)] + [(9, i) for i in range(4)] + [(9, 4), (0, 4)]
    path = write(tmp_path, "log.csv", rows, "user,item")
    data = read_data({"log": path})
    good, bad = [], []
    for seed in range(30):
        try:
            task_for_seed(data, Split("users", 0.2), seed, Rules(), False)
            good.append(seed)
        except BadInput:
            bad.append(seed)
    seeds = [good[0], bad[0], good[1]]
    how = {"policies": "kind=popularity", "metrics": "recall@3", "split": "users:0.2", "jobs": jobs}
    result = ed.evaluate(path, seeds=seeds, **how)
    assert list(result.failed["seed"]) == [bad[0]]
    assert "leaves nothing to test on" in result.failed["error"].iloc[0]
    assert result.metrics["value"].notna().sum() == 2
    with pytest.raises(BadInput, match="leaves nothing to test on"):
        ed.evaluate(path, seeds=[bad[0], good[0]], **how)


@pytest.mark.slow
def test_a_killed_process_is_a_row(tmp_path, monkeypatch):
    path = write(tmp_path, "log.csv", random_rows())
    import sys

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    result = ed.evaluate(
        path, policies=["kind=popularity", "kind=test_offline_evaluate_policies:Killed,name=killed"], seeds=2,
        metrics="recall@5", jobs=2,
    )  # fmt: skip
    assert list(result.failed["policy"]) == ["killed"] * 2
    assert "the process of this run ended itself with exit code 9" in result.failed["error"].iloc[0]
    assert result.metrics.query("policy == 'popularity'")["value"].notna().all()


def test_tables_on_disk(tmp_path):
    path, out = write(tmp_path, "log.csv", random_rows()), tmp_path / "out"
    result = ed.evaluate(
        path, policies=["kind=popularity", "kind=random"], metrics="recall@5,gini@5", seeds=[3, 5], out=out,
        per_user=True, **QUIET,
    )  # fmt: skip
    assert {file.name for file in out.iterdir()} == {
        f"{name}.{kind}" for name in ("metrics", "summary", "differences", "users") for kind in ("csv", "parquet")
    } | {"evaluation.json"}  # fmt: skip
    for name in ("metrics", "summary", "users"):
        table = pd.read_parquet(out / f"{name}.parquet")
        pd.testing.assert_frame_equal(table, getattr(result, name))
        pd.testing.assert_frame_equal(
            pd.read_csv(out / f"{name}.csv", dtype={"user": str}).drop(columns="error", errors="ignore"),
            table.drop(columns="error", errors="ignore"), check_dtype=False,
        )  # fmt: skip
    about = json.loads((out / "evaluation.json").read_text())
    assert about["seeds"] == [3, 5] and about["policies"]["popularity"] == {"kind": "popularity"}
    summary = result.summary.set_index(["policy", "metric"])
    of_seeds = result.metrics.query("policy == 'random' and metric == 'recall@5'")["value"]
    # two values: the t interval is 12.706 standard errors wide on each side
    assert summary.loc[("random", "recall@5"), "half"] == pytest.approx(12.7062 * of_seeds.sem(), rel=1e-4)
    users = result.users.query("policy == 'random' and metric == 'recall@5' and seed == 3")
    assert users["value"].mean() == pytest.approx(of_seeds.iloc[0])
    ed.evaluate(
        path, policies="kind=random", metrics="recall@5", seeds=1, out=out, **QUIET
    )  # its own results
    (out / "thesis.tex").write_text("x")
    with pytest.raises(
        StorageError, match=r"holds files that are not results of an evaluation \(thesis.tex\)"
    ):
        ed.evaluate(path, policies="kind=random", out=out)


def test_topics_come_from_the_item_file_or_from_the_training_part(tmp_path):
    rows = random_rows()
    path = write(tmp_path, "log.csv", rows)
    items = write(
        tmp_path,
        "items.csv",
        [(i, f"x{i}", "A|B" if i % 2 else "C") for i in range(100, 125)],
        "item,title,genres",
    )
    task = task_for_seed(read_data({"log": path, "items": items}), Split("random", 0.2), 0, Rules(), True)
    assert task.train.tags.shape[1] == 3 and sorted(set(task.train.tags.ravel().tolist())) == [0, 0.5, 1]
    learned = task_for_seed(read_data({"log": path, "topics": 2}), Split("random", 0.2), 0, Rules(), True)
    assert learned.train.tags.shape[1] == 2 and np.allclose(learned.train.tags.sum(axis=1), 1)
    # what is held out plays no part
    data = read_data({"log": path, "topics": 2})
    train, test = np.arange(150), np.arange(150, data.user.size)
    task = build_task(data, Parts(train, train[:0], test), 0, Rules(), True, None)
    counts = sparse.coo_matrix((np.ones(150), (data.item[:150], data.user[:150])), (25, 30)).tocsr()
    used = np.diff(counts.indptr) > 0
    alone = topics_from_users(counts, 2).mixtures
    assert np.allclose(task.train.tags[used], alone[used], atol=1e-6)
    whole = sparse.coo_matrix((np.ones(data.user.size), (data.item, data.user)), (25, 30)).tocsr()
    assert not np.allclose(task.train.tags[used], topics_from_users(whole, 2).mixtures[used], atol=1e-3)


def test_ties_between_users(tmp_path):
    path = write(tmp_path, "log.csv", random_rows())
    ties = write(tmp_path, "ties.csv", [(1, 2), (2, 3), (1, 999), (4, 4)], "user,friend")
    data = read_data({"log": path, "social": ties})
    assert data.friends.indptr.size == len(data.users) + 1 and data.friends.indices.tolist() == [1, 0, 2, 1]
    assert any("1 ties of 1 users without a history" in note for note in data.notes)


def test_equal_ratings_and_min_rating_are_told(tmp_path):
    path = write(tmp_path, "log.csv", [(u, i, 4, 0) for u in range(9) for i in range(6)])
    data = read_data({"log": path, "min_rating": 3})
    assert any("equal 4: they carry no information" in note for note in data.notes)
    assert any(note.startswith("--min-rating = 3 left 54") for note in data.notes)


def test_one_user_everything_consumed_and_rounds_of_equal_time(tmp_path):
    train = [(1, i) for i in range(6)] + [(2, 0)]
    result = ed.evaluate(
        train=write(tmp_path, "a.csv", train, "user,item"),
        test=write(tmp_path, "b.csv", [(1, 3), (2, 5)], "user,item"),
        policies=["kind=popularity", "kind=content", "kind=matrix_factorization,dim=2"],
        metrics="recall@50,arp@5,miscalibration@5", **QUIET,
    )  # fmt: skip
    assert result.failed.empty and (result.metrics["users"] == 1).all() and values(result)["recall@50"] == 1
    with pytest.raises(
        BadInput, match="there is nothing to test on: 1 test items of 1 users are in their training"
    ):
        ed.evaluate(
            train=write(tmp_path, "a.csv", train, "user,item"),
            test=write(tmp_path, "c.csv", [(1, 3)], "user,item"), policies="kind=random", **QUIET,
        )  # fmt: skip


MESSY = {
    "movielens.dat": ("::", None, "\n"),
    "u.data": ("\t", None, "\r\n"),
    "lastfm.dat": ("\t", "userID\tartistID\tweight\ttimestamp", "\n"),
    "semicolon.csv": (";", '"user";"item";"rating";"time"', "\n\n"),
    "spaces.txt": (" ", None, "\n"),
}


@pytest.mark.parametrize("name", MESSY)
def test_every_form_of_file_gives_the_same_numbers(tmp_path, name):
    rows = random_rows()
    separator, header, end = MESSY[name]
    text = end.join([*([header] if header else []), *(separator.join(map(str, row)) for row in rows)]) + end
    (tmp_path / name).write_bytes(("\ufeff" + text).encode())
    how = dict(
        policies="kind=matrix_factorization,dim=4", metrics="ndcg@5", split="leave-one-out", seeds=1, **QUIET
    )
    plain = ed.evaluate(write(tmp_path, "plain.csv", rows), **how)
    assert values(ed.evaluate(tmp_path / name, **how)) == values(plain)


@given(st.lists(st.tuples(st.sampled_from(["u1", "u2", "ü3", "7", "007"]), st.sampled_from(["a", "b b", "c", "1.0", "1"]), st.sampled_from(["", "1", "2.5", "x"])), min_size=1, max_size=25), st.sampled_from([",", "\t", ";"]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_file_is_evaluated_or_refused_with_a_message(tmp_path_factory, rows, separator):
    path = tmp_path_factory.mktemp("m") / "log.csv"
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n", encoding="utf-8")
    try:
        result = ed.evaluate(
            path, policies="kind=popularity", metrics="recall@2", split="random:0.5", seeds=1
        )
    except BadInput as error:
        assert str(error) and "world." not in str(error)
        return
    assert 0 <= values(result)["recall@2"] <= 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "nothing to evaluate on: a log, or --train and --test is missing"),
        ({"train": "x.csv"}, "nothing to evaluate on: --test is missing"),
        ({"log": "x.csv", "train": "x.csv", "test": "x.csv"}, "give one log to be split, or --train and --test, not both"),
        ({"log": "x.csv", "negatives": "n"}, "--negatives belongs to the pairs of a test file"),
        ({"train": "x.csv", "test": "x.csv", "split": "random:0.2"}, "there is nothing to split"),
        ({"log": "nowhere.csv"}, 'the log = "nowhere.csv": there is no such file.'),
        ({"log": "x.csv", "seeds": 0}, "seeds = 0: must be 1 to 10000"),
        ({"log": "x.csv", "seeds": [1, 1]}, "the same seed is listed twice"),
        ({"log": "x.csv", "seeds": True}, "must be a number of seeds"),
        ({"log": "x.csv", "jobs": 0}, "jobs = 0: must be a whole number of at least 1"),
        ({"log": "x.csv", "min_rating": 9}, "nothing is left after the filters"),
        ({"log": "x.csv", "user_core": 99}, "nothing is left after the filters"),
        ({"log": "x.csv", "min_ratin": 9}, '--min-ratin: unknown key. Did you mean "min_rating"?'),
        ({"log": "x.csv", "min_rating": -1}, "--min-rating: must be at least 0, but is -1"),
        ({"log": "x.csv", "user_column": "usr"}, '--user-column = "usr"'),
        ({"log": "x.csv", "policies": []}, "name at least one policy"),
        ({"log": "x.csv", "topics": 500, "metrics": "miscalibration@3"}, "--topics = 500"),
    ],
)  # fmt: skip
def test_bad_input_from_python(tmp_path, monkeypatch, how, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "x.csv", random_rows())
    (tmp_path / "n").write_text("(1,100)\t101\n")
    with pytest.raises(BadInput) as caught:
        ed.evaluate(**{"policies": "kind=random", **how})
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


DATA = Path(os.environ.get("ECHODRIFT_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.mark.data
@pytest.mark.slow
def test_movielens_equals_an_evaluation_of_its_own(tmp_path):
    """NDCG@10 of popularity and of matrix factorization, worked out from dense matrices and sets."""
    from echodrift.scenarios.offline import score
    from echodrift.scenarios.offline.metric_list import parse_metrics
    from echodrift.scenarios.offline.specs import contenders

    path = DATA / "ml-latest-small" / "ratings.csv"
    if not path.exists():
        pytest.skip("no MovieLens here")
    data = read_data({"log": str(path), "min_rating": 4.0})
    task = task_for_seed(data, Split("random", 0.2), 7, Rules(), False)
    frame = pd.read_csv(path).query("rating >= 4")
    held: dict[int, set[int]] = {}
    for row, user in enumerate(task.users):
        items = task.relevant[task.indptr[row] : task.indptr[row + 1]]
        held[int(data.users[user])] = {int(data.items[item]) for item in items}
    of_user = frame.groupby("userId")["movieId"].apply(set)
    assert all(held[u] <= of_user[u] and len(held[u]) == int(len(of_user[u]) * 0.2) for u in held)
    for spec in ({"kind": "popularity"}, {"kind": "matrix_factorization", "dim": 16, "regularization": 30.0}):
        contender = contenders([spec])[0]
        outcome = score.evaluate_policy(task, contender, parse_metrics("ndcg@10"))
        policy, _ = contender.build()
        policy.fit(task.train, Streams(7)("offline.fit"))
        if spec["kind"] == "popularity":
            taken = (
                pd.Series(task.train.log.item).value_counts().reindex(range(len(data.items)), fill_value=0)
            )
            from echodrift.policies.ties import tie_order

            scores = np.tile(
                taken.to_numpy() + tie_order(policy.state()["key"], len(data.items)), (len(data.users), 1)
            )
        else:
            state = policy.state()
            scores = state["users"] @ state["items"].T
        total = []
        for user, wanted in held.items():
            u = data.users.index(str(user))
            own = {int(i) for i in task.train.log.item[task.train.log.user == u]}
            order = [int(i) for i in np.argsort(-scores[u], kind="stable") if int(i) not in own][:10]
            gain = sum(1 / math.log2(r + 2) for r, i in enumerate(order) if int(data.items[i]) in wanted)
            total.append(gain / sum(1 / math.log2(r + 2) for r in range(min(10, len(wanted)))))
        assert outcome.values["ndcg@10"].value == pytest.approx(np.mean(total), abs=2e-4), spec
