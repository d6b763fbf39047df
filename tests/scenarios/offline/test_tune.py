"""Tuning: trials that only depend on their number, a test part that is not looked at, a line to paste."""

from __future__ import annotations

import json
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import echodrift as ed
import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.offline import tune as tuning_module
from echodrift.scenarios.offline.protocol.data import read_data
from echodrift.scenarios.offline.protocol.splits import Split, parse_split
from echodrift.scenarios.offline.protocol.task import Rules, split_rows

POLICY = '''
import numpy as np
from pydantic import Field
from echodrift.config import Config as Base
from echodrift.errors import PolicyError
from echodrift.policies.base import ScorePolicy
from echodrift.policies.search_space import Choice, Range

class Mixed(ScorePolicy):
    """Popularity times good, plus noise: the better, the nearer good is to 1. Odd depths fail."""
    kind = "test_offline_tune_policy:Mixed"
    space = {"good": Range(0.01, 1), "depth": Choice((2, 4, 3))}

    class Config(Base):
        good: float = Field(default=0.02, ge=0, le=1)
        """Weight of popularity."""
        depth: int = Field(default=2, ge=1)
        """Odd is an error."""

    def fit(self, seen, rng):
        if self.config.depth % 2:
            raise PolicyError("odd depth")
        self.counts = np.bincount(seen.log.item, minlength=seen.n_items).astype(np.float32)
        self.noise = rng.random(seen.n_items, dtype=np.float32) * self.counts.max()

    def fold_in(self, seen, users, rng): pass

    def scores(self, seen, users, rng):
        good = np.float32(self.config.good)
        return np.tile(good * self.counts + (1 - good) * self.noise, (len(users), 1))
'''
KIND = "test_offline_tune_policy:Mixed"


@pytest.fixture(autouse=True)
def policy(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("policies")
    (folder / "test_offline_tune_policy.py").write_text(POLICY)
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture
def log(tmp_path) -> str:
    rng = np.random.default_rng(0)
    taken = rng.random((60, 40)) < 0.6 * np.linspace(1, 0.05, 40)
    rows = [f"{u},{i},{4},{1000 + n}" for n, (u, i) in enumerate(rng.permutation(np.argwhere(taken)))]
    (tmp_path / "log.csv").write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n")
    return str(tmp_path / "log.csv")


def test_finds_what_is_better_and_says_so(log, tmp_path):
    result = ed.tune(
        log, policy=f"kind={KIND}", trials=12, metric="ndcg@5", split="random:0.3", out=tmp_path / "out"
    )
    trials = result.trials
    assert list(trials["trial"]) == list(range(12))
    fine = trials[trials["status"] == "ok"]
    assert set(trials[trials["status"] == "failed"]["depth"]) == {3}
    assert trials[trials["status"] == "failed"]["error"].str.contains("PolicyError: odd depth").all()
    assert result.best is not None and result.best.value == fine["ndcg@5"].max() > trials["ndcg@5"][0]
    assert result.best.fields["good"] > 0.3
    assert result.test_value("best")[0] > result.test_value("default")[0]
    # what is printed builds the same policy: as TOML, and on the command line
    spec = tomllib.loads(result.line)["policy"]
    assert spec == result.best_spec == {"kind": KIND, **result.best.fields}
    again = ed.evaluate(
        log, policies=f"@{tmp_path / 'out' / 'best.toml'}", metrics="ndcg@5", split="random:0.3", seeds=1
    )
    assert again.metrics["value"][0] == pytest.approx(result.test_value("best")[0])
    typed = fine.loc[fine["ndcg@5"].idxmax(), "spec"]
    assert ed.evaluate(log, policies=typed, metrics="ndcg@5", split="random:0.3", seeds=1).metrics["value"][
        0
    ] == pytest.approx(result.test_value("best")[0])
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "trials.csv", "trials.parquet", "best.toml", "tuning.json"
    }  # fmt: skip
    about = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert about["space"] == {"good": "0.01:1:log", "depth": "2,4,3"}
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "trials.parquet"), trials)


def test_more_budget_only_adds_trials_and_jobs_do_not_matter(log):
    short = ed.tune(log, policy=f"kind={KIND}", trials=3).trials
    long = ed.tune(log, policy=f"kind={KIND}", trials=6, jobs=2).trials
    keep = ["trial", "ndcg@10", "good", "depth", "spec", "status", "error"]
    pd.testing.assert_frame_equal(short[keep], long[keep].head(3))
    fixed = ed.tune(log, policy=f"kind={KIND},depth=4", trials=3)
    assert list(fixed.space) == ["good"] and fixed.best_spec["depth"] == 4


def test_stops_at_the_minutes(log, monkeypatch):
    clock = [0.0]
    watch = SimpleNamespace(monotonic=lambda: clock.__setitem__(0, clock[0] + 6.0) or clock[0])
    monkeypatch.setattr(tuning_module, "time", watch)
    result = ed.tune(log, policy=f"kind={KIND},depth=2", minutes=1, jobs=1)
    assert 3 <= len(result.trials_done) <= 10
    monkeypatch.setattr(tuning_module, "time", time)
    # however little there is, the default is tried
    assert len(ed.tune(log, policy=f"kind={KIND}", minutes=1e-9, jobs=1).trials_done) == 1


@pytest.mark.parametrize("split", ["random:0.2", "leave-one-out", "temporal:0.2", "users:0.2"])
def test_the_test_part_is_never_looked_at(log, split):
    data = read_data({"log": log})
    how = parse_split(split)
    whole = split_rows(data, how, 0)
    inner = tuning_module._validation(data, whole, how, 0, Rules(), False)
    pairs = set(zip(data.user[whole.test].tolist(), data.item[whole.test].tolist(), strict=True))
    pairs |= set(zip(data.user[whole.fold_in].tolist(), data.item[whole.fold_in].tolist(), strict=True))
    for seen in (inner.train, inner.seen):
        assert not pairs & set(zip(seen.log.user.tolist(), seen.log.item.tolist(), strict=True))
    owners = np.repeat(inner.users, np.diff(inner.indptr))
    assert not pairs & set(zip(owners.tolist(), inner.relevant.tolist(), strict=True))
    result = ed.tune(log, policy=f"kind={KIND}", trials=2, split=split, seeds=2)
    assert len(result.trials["ndcg@10"].dropna()) == 2 and np.isfinite(result.test_value("default")[0])


def test_the_file_of_test_pairs_is_only_used_at_the_end(log, tmp_path):
    """Another test file of the same items gives the same trials."""
    text = Path(log).read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join(text[:400]) + "\n")
    known = [{row.split(",")[place] for row in text[:400]} for place in (0, 1)]
    rest = [row for row in text[400:] if row.split(",")[0] in known[0] and row.split(",")[1] in known[1]]
    assert len(rest) > 60
    results = []
    for name, rows in (("a.csv", rest[:30]), ("b.csv", rest[30:])):
        (tmp_path / name).write_text("\n".join([text[0], *rows]) + "\n")
        how = {
            "train": tmp_path / "train.csv",
            "test": tmp_path / name,
            "policy": f"kind={KIND}",
            "trials": 3,
        }
        results.append(ed.tune(**how))
    keep = ["trial", "ndcg@10", "good", "depth", "status"]
    pd.testing.assert_frame_equal(results[0].trials[keep], results[1].trials[keep])
    assert results[0].test_value("default")[0] != results[1].test_value("default")[0]
    assert results[0].split == "random:0.2"


def test_lower_is_better_for_gini(log):
    result = ed.tune(log, policy=f"kind={KIND}", trials=6, metric="gini@5")
    fine = result.trials[result.trials["status"] == "ok"]
    assert result.best.value == fine["gini@5"].min()


def test_when_everything_fails(log):
    result = ed.tune(log, policy=f"kind={KIND},depth=3", trials=2)
    assert (
        result.best is None
        and result.line == ""
        and "there is no best one" in str(result)
        and not result.test
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"metric": "recall@5,ndcg@5"}, "tune looks at one metric"),
        ({"metric": "arp@5"}, "neither more nor less of it is better"),
        ({"minutes": 0}, "minutes = 0: must be above 0"),
        ({"trials": 0}, "trials = 0: must be a whole number"),
        ({"search": "god=1:2"}, 'has no field "god". Did you mean "good"?'),
        ({"policy": "kind=random"}, "there is nothing to tune about random"),
        ({"policy": ["kind=random"]}, ""),
        ({"split": "users:0.01"}, "leaves nothing to test on"),
        ({"split": "random:0.04"}, "leaves nothing to test on"),
    ],
)
def test_bad_input(log, how, message):
    with pytest.raises(BadInput) as caught:
        ed.tune(log, **{"policy": f"kind={KIND}", "trials": 1, **how})
    assert message in str(caught.value)


def test_the_same_split_as_evaluate(log):
    data = read_data({"log": log})
    parts = split_rows(data, Split("random", 0.3), 0)
    again = split_rows(data, Split("random", 0.3), 0)
    assert np.array_equal(parts.test, again.test)


def test_workers_that_live_on_find_a_policy_that_came_later(log, tmp_path, monkeypatch):
    """Worker processes are used again; the module of a policy may have come to lie in another place since."""
    before = ed.tune(log, policy=f"kind={KIND}", trials=2, jobs=2).trials
    assert len(before) == 2
    (tmp_path / "came_later.py").write_text(POLICY)
    monkeypatch.syspath_prepend(str(tmp_path))
    trials = ed.tune(log, policy="kind=came_later:Mixed", trials=2, jobs=2).trials
    assert not trials["error"].str.contains("came_later").any() and (trials["status"] == "ok").any()
