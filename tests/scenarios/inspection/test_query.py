"""SQL over results: the same answers as pandas, while a study runs and after; read-only; mistakes in plain words."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.cli.entry import app
from echodrift.cli.query_output import as_bytes
from echodrift.errors import BadInput, EchodriftError, StorageError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.inspection.query import Query
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import Interrupted, run_study
from echodrift.scenarios.storage import bundles
from echodrift.scenarios.storage.store import RunStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

ROUNDS = 6
STUDY = {
    "name": "tiny",
    "rounds": ROUNDS,
    "seeds": 3,
    "arms": [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}],
    "grid": {"behavior.reinforcement": [0.02, 0.1]},
}


class Fake:
    notes = ["é"]

    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        self.rounds, self.arm = study.rounds, arm.name
        self.rng = np.random.default_rng([seed, len(arm.name), int(100 * study.behavior.reinforcement)])

    def step(self) -> dict[str, float]:
        row = {"welfare": self.rng.random(), "regret": math.nan}
        return {**row, "only:group=b": 1.0} if self.arm == "b" else row

    def tables(self) -> dict[str, dict[str, list]]:
        return {
            "lorenz": {"when": ["start"], "what": ["exposure"], "x": [0.0], "y": [self.rng.random()]},
            "network_users": {"when": ["start"], "user": [7]},
        }


def failing(study: Any, arm: Any, seed: int) -> Fake:
    if arm.name == "b" and seed == 2:
        raise ZeroDivisionError("nothing\nto divide")
    return Fake(study, arm, seed)


def go(out: Path, builder: Any = Fake, **changes: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", builder)
        run_study(load_study({**STUDY, **changes}), out)
    return out


def half(out: Path, stop: int = 7, **changes: Any) -> Path:
    """A study that was stopped after some of its runs."""
    begun = []

    def stopping(study: Any, arm: Any, seed: int) -> Fake:
        begun.append(seed)
        if len(begun) > stop:
            raise KeyboardInterrupt
        return Fake(study, arm, seed)

    with pytest.raises(Interrupted):
        go(out, stopping, **changes)
    return out


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tmp_path_factory.mktemp("done") / "it's [a] *", failing)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study without a run that fails."""
    return go(tmp_path_factory.mktemp("fresh") / "out")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 12 runs 7 were begun, in bundles of two; to be read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "RUNS", 2)
        return half(tmp_path_factory.mktemp("bundled") / "out")


@pytest.fixture(params=[250, 2])
def unfinished(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of 12 runs 7 were begun; with runs one by one, and in bundles of two."""
    monkeypatch.setattr(bundles, "RUNS", request.param)
    folder = half(tmp_path / "it's [a] *?")
    assert len(list((folder / "runs/bundles").glob("*.json"))) == (0 if request.param == 250 else 3)
    return folder


def test_a_finished_study_answers_as_pandas_does(done: Path) -> None:
    asked, result = Query(done), Result(done)
    for name in ("rounds", "runs", "lorenz"):
        pd.testing.assert_frame_equal(
            asked.table(f"select * from {name}").to_pandas(), getattr(result, name), check_dtype=False
        )
    found = result.query(
        'select arm, "behavior.reinforcement" r, avg(welfare) w from rounds group by all order by all'
    )
    wanted = result.rounds.groupby(["arm", "behavior.reinforcement"])["welfare"].mean()
    np.testing.assert_allclose(found["w"], wanted.to_numpy(), rtol=1e-12)
    assert asked.note == "" and result.query("from runs where status = 'failed'")["seed"].tolist() == [2, 2]


def test_an_unfinished_study_answers_with_the_runs_that_are_done(unfinished: Path, done: Path) -> None:
    asked, whole = Query(unfinished), Result(done)
    order = ["arm", "behavior.reinforcement", "seed"]
    for name, more in (("rounds", ["round"]), ("lorenz", ["when"])):
        there = getattr(whole, name)
        # The arms of a seed come one after the other: both arms of three seeds, then one more run at the next point.
        first = (there["behavior.reinforcement"] == 0.02) | ((there["arm"] == "a") & (there["seed"] == 0))
        there = there[first & (there["arm"] == "a")]
        got = asked.table(f"select * from {name} where arm = 'a' order by all").to_pandas()
        wanted = there.sort_values([*order, *more], ignore_index=True)
        pd.testing.assert_frame_equal(got[wanted.columns], wanted, check_dtype=False)
    assert asked.table("select count(*) n from rounds").to_pylist() == [{"n": 7 * ROUNDS}]
    runs = asked.table("from runs").to_pandas()
    assert len(runs) == 7 and set(runs["status"]) == {"ok"}
    both = runs.merge(whole.runs, on=order, suffixes=("", "_whole"))
    both = both[both["status_whole"] == "ok"]  # one of them fails in the whole study
    assert len(both) == 6 and both["welfare"].equals(both["welfare_whole"])
    assert asked.table("select seed from network_users").to_pydict() == {"seed": [0, 0, 0]}
    assert "not finished" in asked.note and "7 of 12 runs" in asked.note
    assert not list(unfinished.rglob(".tmp"))


@pytest.mark.parametrize(
    "name",
    ["000001-rounds.parquet", "000001-lorenz.parquet", "000002.json", "000003-rounds.parquet"],
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_bundle_changes_no_answer(
    bundled: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    monkeypatch.setattr(bundles, "RUNS", 2)
    folder = tmp_path / "out"
    shutil.copytree(bundled, folder)
    sqls = [f"select * from {table} order by all" for table in ("rounds", "lorenz", "runs")]
    before = [Query(bundled).table(sql) for sql in sqls]
    path = folder / "runs/bundles" / name
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-9])
    for sql, table in zip(sqls, before, strict=True):
        assert Query(folder).table(sql).to_pandas().equals(table.to_pandas())
    go(folder)
    assert (folder / "rounds.parquet").read_bytes() == (fresh / "rounds.parquet").read_bytes()


def test_runs_in_bundles_are_not_opened_one_by_one(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "RUNS", 2)
    opened, inspect = set(), RunStore.inspect
    monkeypatch.setattr(RunStore, "inspect", lambda store, key: opened.add(key) or inspect(store, key))
    for table, rows in (("runs", 7), ("rounds", 7 * ROUNDS)):
        assert Query(bundled).table(f"select count(*) n from {table}").to_pylist() == [{"n": rows}]
    assert len(opened) == 1


def test_a_longer_study_under_way_is_not_finished(tmp_path: Path) -> None:
    go(tmp_path)
    half(tmp_path, stop=1, seeds=4)
    assert "13 of 16 runs are done" in Query(tmp_path).note
    assert Query(tmp_path).table("select count(*) n from runs").to_pylist() == [{"n": 13}]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "select welfar from rounds",
            r'no column "welfar"\. Did you mean "welfare"\?\nrounds: arm, "behavior',
        ),
        ("select r.welfar from rounds r", r'no column "welfar"\. Did you mean "welfare"'),
        ("select * from run", r'no table "run"\. Did you mean "runs"\?\nTables: rounds, runs'),
        ("select * from deciles where", "syntax error"),
        ("selec 1", r'syntax error at or near "selec"\nin: selec 1'),
        ("", "one SELECT"),
        ("drop view rounds", "read-only"),
        ("set threads = 4", "read-only"),
        ("select 1; select 2", "one at a time"),
        ("copy rounds to 'x.csv'", "read-only"),
        ("explain analyze copy rounds to 'x.csv'", "read-only"),
        ("attach 'x.db'", "read-only"),
        ("select * from read_text('/etc/passwd')", "no other file"),
        ("select * from glob('/*')", "no other file"),
        ("from query('copy rounds to ''x.csv''')", "single SELECT"),
        ("select 'a'::int", "Could not convert"),
        ("select sum(arm) from runs", "No function matches"),
    ],
)
def test_mistakes_are_told_in_a_line_or_two(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=told) as caught:
        Query(done).table(sql)
    assert len(str(caught.value).splitlines()) <= 3 and "Traceback" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_files_of_the_study_are_not_open_to_sql_by_name(done: Path) -> None:
    """Only through the views, which are verified."""
    with pytest.raises(BadInput, match="no other file|there is no table"):
        Query(done).table(
            f"select * from read_text('{str(done / 'manifest.json').replace(chr(39), chr(39) * 2)}')"
        )
    secret = pd.DataFrame({"x": [1]})
    with pytest.raises(BadInput, match='no table "secret"'):
        Query(done).table("select * from secret")
    assert len(secret) == 1


@given(
    sql=st.text(max_size=60)
    | st.sampled_from(["select", "from rounds", '"', "'", "(", "*", ";", "--"]).map(str)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_a_crash(done: Path, sql: str) -> None:
    for text in (sql, f"select {sql} from rounds"):
        try:
            Query(done).table(text)
        except EchodriftError:
            pass


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_that_was_cut_or_changed_is_never_answered_from(
    done: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["rounds", "runs", "lorenz", "deciles"]))
    path = done / f"{name}.parquet"
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = (
        whole[:at]
        if data.draw(st.booleans())
        else whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :]
    )
    try:
        path.write_bytes(bad)
        for look in (lambda: Query(done).table(f"select count(*) from {name}"), lambda: Result(done)):
            with pytest.raises(StorageError, match=rf"{name}\.parquet is not what the study wrote") as caught:
                look()
            assert "type: echodrift run " in str(caught.value) and "--out" in str(caught.value)
    finally:
        path.write_bytes(whole)


def test_forms_of_answers_say_the_same(done: Path) -> None:
    table = Query(done).table(
        "select arm, seed, error, welfare, regret, sum(seed) over () s from runs order by all"
    )
    rows = json.loads(as_bytes(table, "json"), parse_constant=pytest.fail)
    assert (
        len(rows) == 12 and rows[0]["regret"] is None and rows[-1]["welfare"] is None and rows[0]["s"] == 12
    )
    import io

    csv = pd.read_csv(io.BytesIO(as_bytes(table, "csv")))
    np.testing.assert_allclose(csv["welfare"], table.to_pandas()["welfare"], rtol=1e-14)
    assert csv["s"].tolist() == [12] * 12 and csv["error"].dropna().unique().tolist() == [
        "ZeroDivisionError: nothing\nto divide"
    ]
    back = pd.read_parquet(io.BytesIO(as_bytes(table, "parquet")))
    np.testing.assert_array_equal(back["welfare"], table.to_pandas()["welfare"])
    text = as_bytes(table, "text").decode().splitlines()
    assert len(text) == 13 and repr(rows[0]["welfare"]) in text[1]
    twice = Query(done).table("select 1 as x, 2 as x, 'inf'::double as y, [1, 2] as z")
    assert json.loads(as_bytes(twice, "json")) == [{"x": 1, "x_1": 2, "y": "inf", "z": [1, 2]}]


def test_the_command(done: Path, tmp_path: Path) -> None:
    def ask(*words: object) -> Any:
        return CliRunner().invoke(app, ["query", *map(str, words)])

    listed = ask(done)
    assert listed.exit_code == 0 and "rounds\n  arm " in listed.stdout and "double" in listed.stdout
    assert json.loads(ask(done, "--json").stdout)["rounds"]["welfare"] == "DOUBLE"
    sql = "select arm, count(*) n from runs group by arm order by arm"
    assert ask(done, sql).stdout == "arm  n\na    6\nb    6\n"
    assert ask(done, sql, "--csv").stdout == "arm,n\na,6\nb,6\n"
    assert json.loads(ask(done, sql, "--json").stdout) == [{"arm": "a", "n": 6}, {"arm": "b", "n": 6}]
    assert ask(done, sql, "--out", tmp_path / "x.CSV").exit_code == 0
    assert (tmp_path / "x.CSV").read_text() == "arm,n\na,6\nb,6\n"
    assert ask(done, sql, "--parquet", tmp_path / "x.parquet").exit_code == 0
    assert pd.read_parquet(tmp_path / "x.parquet")["n"].tolist() == [6, 6]
    before = {path.name: path.stat().st_mtime_ns for path in done.iterdir()}
    for words, told in [
        ((sql, "--csv", "--json"), "choose one"),
        ((sql, "--out", done / "rounds.parquet"), "belongs to the results"),
        ((sql, "--out", done / "runs/x.csv"), "belongs to the results"),
        ((sql, "--out", tmp_path), "is a folder"),
        ((sql, "--out", tmp_path / "gone/x.csv"), "there is no folder"),
        (("--csv",), "name what to write"),
        (("select nope from runs",), 'no column "nope"'),
    ]:
        answer = ask(done, *words)
        assert answer.exit_code == 2 and told in " ".join(answer.stderr.split()), answer.stderr
    assert before == {path.name: path.stat().st_mtime_ns for path in done.iterdir()}
    assert ask(tmp_path / "gone", sql).exit_code == 2 and ask(tmp_path, sql).exit_code == 6
