"""A study that goes on in the folder of an earlier one: what is taken over, what is refused, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from echodrift.disk import sealed, unsealed
from echodrift.errors import StorageError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.execution.progress import Progress
from echodrift.scenarios.inspection.status import status
from echodrift.scenarios.inspection.views import UnfinishedTables, tables_of
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.storage import bundles, extending, ledger
from echodrift.scenarios.storage.folder import Folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ARMS = [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}]
WIDE = {"name": "wide", "policy": {"kind": "random"}, "platform": {"slate": 25}}
STUDY = {
    "name": "tiny",
    "rounds": 4,
    "seeds": 3,
    "arms": ARMS,
    "grid": {"behavior.reinforcement": [0.02, 0.1]},
}


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


class Fake:
    notes: list[str] = []
    made = 0

    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        Fake.made += 1
        self.rounds, self.at = study.rounds, 0
        self.level = seed + len(arm.name) + study.behavior.reinforcement

    def step(self) -> dict[str, float]:
        self.at += 1
        return {"welfare": self.level / self.at}

    def tables(self) -> dict[str, dict[str, list]]:
        return {"lorenz": {"x": [0.0], "y": [self.level]}}


def go(out: Path, base: dict[str, Any] = STUDY, **changes: Any) -> tuple[int, list[str]]:
    """Run a study; return how many runs were made, and what was said."""
    told, Fake.made = Told(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", Fake)
        run_study(load_study({**base, **changes}), out, RunOptions(progress=told))
    return Fake.made, told.lines


def same(one: Path, other: Path) -> bool:
    names = ("rounds.parquet", "lorenz.parquet", "study.toml")
    runs = [pd.read_parquet(folder / "runs.parquet").drop(columns="seconds") for folder in (one, other)]
    return runs[0].equals(runs[1]) and all((one / n).read_bytes() == (other / n).read_bytes() for n in names)


MORE = {
    "seeds": ({"seeds": 5}, 8),
    "other seeds": ({"seeds": [7, 0, 1, 2]}, 4),
    "arms": ({"arms": [{"name": "c", "policy": {"kind": "popularity"}}, *ARMS]}, 6),
    "a grid value": ({"grid": {"behavior.reinforcement": [0.3, 0.1, 0.02]}}, 6),
    "all of it": ({"seeds": 4, "grid": {"behavior.reinforcement": [0.02, 0.1, 0.3]}}, 12),
    "a title": ({"name": "better", "primary": ["welfare"]}, 0),
    "nothing": ({}, 0),
}


@pytest.mark.parametrize("what", MORE)
def test_more_of_a_study_takes_over_what_is_there(tmp_path: Path, what: str) -> None:
    change, new = MORE[what]
    go(tmp_path / "out")
    assert go(tmp_path / "out", **change) == (new, [])
    go(tmp_path / "fresh", **change)
    assert same(tmp_path / "out", tmp_path / "fresh")


def test_fewer_seeds_leave_the_tables_and_are_told(tmp_path: Path) -> None:
    go(tmp_path / "out")
    made, told = go(tmp_path / "out", seeds=1)
    assert made == 0 and len(told) == 1 and told[0].startswith("note: this study has 2 seeds less")
    assert "([1, 2])" in told[0] and "stay in runs/" in told[0] and "leave the tables" in told[0]
    go(tmp_path / "fresh", seeds=1)
    assert same(tmp_path / "out", tmp_path / "fresh") and status(tmp_path / "out").other == 8
    assert go(tmp_path / "out") == (0, [])


def test_more_rounds_without_a_kept_state_are_told_beforehand(tmp_path: Path) -> None:
    go(tmp_path / "out")
    made, told = go(tmp_path / "out", rounds=6, seeds=4)
    assert made == 16
    assert len(told) == 1 and told[0].startswith("note: 12 runs have 4 of 6 rounds and no kept state")
    go(tmp_path / "fresh", rounds=6, seeds=4)
    assert same(tmp_path / "out", tmp_path / "fresh")
    assert go(tmp_path / "out", rounds=6, seeds=4) == (0, [])


REFUSED = [
    ({"rounds": 3}, "  rounds: 4 there, 3 now"),
    ({"arms": ARMS[:1]}, "  arms[b]: there, but not in this study"),
    ({"grid": {"behavior.reinforcement": [0.02]}}, '  grid."behavior.reinforcement": [0.1] there, but not in this study'),
    ({"world": {"users": 50}}, "  world.users: 1000 there, 50 now"),
    ({"rounds": 9, "behavior": {"attention": 0.5}}, "  behavior.attention: 0.85 there, 0.5 now"),
    ({"arms": [ARMS[0], {"name": "b", "policy": {"kind": "popularity"}}]}, "  arms[b].policy.kind: random there, popularity now"),
    ({"arms": [*ARMS, WIDE]}, '  widest slate: 10 there, 25 now (arm "wide")'),
    ({"split_by": ["community"]}, '  split_by: [] there, ["community"] now'),
]  # fmt: skip


PRIORS = {"behavior.attention": {"uniform": [0.5, 0.9]}, "behavior.movement": {"uniform": [0.0, 0.1]}}
DRAWN = {**STUDY, "grid": {}, "uncertainty": {"priors": PRIORS}}


def test_a_value_that_a_prior_puts_its_own_over_does_not_count(tmp_path: Path) -> None:
    go(tmp_path / "out", DRAWN)
    assert go(tmp_path / "out", DRAWN, behavior={"attention": 0.6}, seeds=4) == (2, [])
    with pytest.raises(StorageError) as caught:
        go(tmp_path / "out", DRAWN, behavior={"attention": 0.7, "reinforcement": 0.3})
    assert str(caught.value).splitlines()[1:-1] == ["  behavior.reinforcement: 0.02 there, 0.3 now"]


def test_another_order_of_the_priors_is_told_as_such(tmp_path: Path) -> None:
    go(tmp_path, DRAWN)
    with pytest.raises(StorageError) as caught:
        go(tmp_path, DRAWN, uncertainty={"priors": dict(reversed(PRIORS.items()))})
    (line,) = str(caught.value).splitlines()[1:-1]
    assert line.startswith("  uncertainty.priors: the same keys in another order")
    assert line.endswith('"behavior.attention" is number 1 there, "behavior.movement" now')


def test_numbers_of_rounds_do_not_leave_the_tables_unsaid(tmp_path: Path) -> None:
    go(tmp_path, grid={"rounds": [4, 6]})
    with pytest.raises(StorageError, match=r"grid\.rounds: \[4, 6\] there, nothing now"):
        go(tmp_path, grid={}, rounds=6)
    with pytest.raises(StorageError, match=r'grid\."rounds": \[4\] there, but not in this study'):
        go(tmp_path, grid={"rounds": [6, 8]})
    assert go(tmp_path, grid={"rounds": [4, 6, 8]}) == (6, [])


def test_runs_are_looked_up_by_their_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work grows with the runs, not with their square."""

    class Course(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Course.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    go(tmp_path, seeds=20)
    there, more = load_study({**STUDY, "seeds": 20}), load_study({**STUDY, "seeds": 20, "rounds": 6})
    earlier, plan = (
        [replace(run, prefix_key=Course(run.prefix_key)) for run in expand(of)] for of in (there, more)
    )
    monkeypatch.setattr(extending, "expand", lambda *_: earlier)
    told = extending.extension_notes(there, more, plan, tmp_path, Folder(tmp_path).store)
    assert len(told) == 1 and told[0].startswith("note: 80 runs have 4 of 6 rounds and no kept state")
    assert Course.compared <= 3 * len(plan)


@pytest.mark.parametrize(("change", "line"), REFUSED)
def test_another_study_is_refused_by_name(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    go(tmp_path)
    before = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"
    }
    with pytest.raises(StorageError) as caught:
        go(tmp_path, **change)
    lines = str(caught.value).splitlines()
    assert any(each.startswith(line) for each in lines), str(caught.value)
    assert len(lines) == 3 and lines[-1] == "choose another folder with --out"
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_changed_data_file_is_named_and_a_moved_one_is_not_missed(tmp_path: Path) -> None:
    log = tmp_path / "ratings.csv"
    rows = "".join(f"{user},{item},{item}\n" for user in range(30) for item in range(20))
    log.write_text("user,item,timestamp\n" + rows)
    base = {**STUDY, "grid": {}, "world": {"log": str(log)}}
    go(tmp_path / "out", base)
    assert go(tmp_path / "out", base) == (0, [])
    moved = tmp_path / "moved.csv"
    log.rename(moved)
    assert go(tmp_path / "out", {**base, "world": {"log": str(moved)}}) == (0, [])
    moved.write_text("user,item,timestamp\n" + rows.replace("1,2,2", "1,2,3", 1))
    with pytest.raises(
        StorageError, match=r"world\.log: .*moved\.csv has other content .*SHA-256 .* there, .* now"
    ):
        go(tmp_path / "out", {**base, "world": {"log": str(moved)}})


@pytest.mark.parametrize("where", ["runs", "manifest"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"format": 99, "echodrift": "9.9"},
            r"newer echodrift: echodrift 9\.9 \(model \d+, folder format 99\); this is",
        ),
        ({"model": 99, "echodrift": "9.9"}, r"newer echodrift: echodrift 9\.9 \(model 99"),
        (
            {"model": 1, "echodrift": "0.0.1"},
            r"older model: echodrift 0\.0\.1 \(model 1,.*\n.*echodrift==0\.0\.1",
        ),
    ],
)
def test_results_of_another_version_are_refused_with_both_named(
    tmp_path: Path, where: str, change: dict[str, Any], told: str
) -> None:
    go(tmp_path)
    if where == "runs":
        path = tmp_path / "runs/store.json"
        path.write_text(json.dumps(sealed({**unsealed(path.read_bytes()), **change, "unheard": "of"})))
    else:
        for name in ("store.json", "plan.parquet"):
            (tmp_path / "runs" / name).unlink()
        path = tmp_path / "manifest.json"
        manifest = unsealed(path.read_bytes())
        path.write_text(json.dumps(sealed({**manifest, "store": {**manifest["store"], **change}})))
    with pytest.raises(StorageError, match=told) as caught:
        go(tmp_path)
    assert ledger.version() in str(caught.value)
    if change.get("model") == 1:
        assert len(Result(tmp_path).runs) == 12
    else:
        for look in (Result, status, lambda folder: Folder(folder).verify()):
            with pytest.raises(StorageError, match=told):
                look(tmp_path)


def test_a_folder_of_before_there_were_versions_goes_on(tmp_path: Path) -> None:
    go(tmp_path)
    for name in ("store.json", "plan.parquet"):
        (tmp_path / "runs" / name).unlink()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["store"], manifest["sha256"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert status(tmp_path).finished == 12
    assert go(tmp_path, seeds=4) == (4, [])


def test_a_default_that_changed_between_versions_is_told_as_such(tmp_path: Path) -> None:
    go(tmp_path)
    path = tmp_path / "runs/store.json"
    path.write_text(json.dumps(sealed({**unsealed(path.read_bytes()), "echodrift": "0.0.9"})))
    (tmp_path / "runs/plan.parquet").unlink()
    held = tmp_path / "runs/study.toml"
    held.write_text(held.read_text().replace("attention = 0.85", "attention = 0.8"))
    with pytest.raises(
        StorageError, match=r"behavior\.attention: 0\.8 there, 0\.85 now\n.*0\.0\.9.*defaults"
    ):
        go(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("whole")
    go(folder / "out")
    go(folder / "fresh")
    return folder / "out", folder / "fresh"


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_that_was_cut_or_changed_is_run_again_and_said_aloud(
    whole: tuple[Path, Path], data: st.DataObject
) -> None:
    out, fresh = whole
    runs = sorted(path for path in (out / "runs").iterdir() if "-seed" in path.name)
    run = data.draw(st.sampled_from(runs))
    path = run / data.draw(st.sampled_from(["run.json", "rounds.parquet", "lorenz.parquet"]))
    bytes_ = path.read_bytes()
    # as a share: wall times make the record a byte longer or shorter
    at = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(bytes_))
    cut = data.draw(st.booleans())
    bad = bytes_[:at] if cut else bytes_[:at] + bytes([bytes_[at] ^ 1 << at % 8]) + bytes_[at + 1 :]
    path.write_bytes(bad)
    made, told = go(out)
    assert made == 1 and len(told) == 1
    assert told[0].startswith("warning: arm ") and told[0].endswith(f"{path} is damaged; it is run again")
    assert same(out, fresh)


def test_a_study_changed_by_hand_in_the_folder_is_refused(tmp_path: Path) -> None:
    go(tmp_path)
    held = tmp_path / "runs/study.toml"
    whole = held.read_text()
    held.write_text(whole.replace("attention = 0.85", "attention = 0.5"))
    assert held.read_text() != whole
    with pytest.raises(
        StorageError, match=r"attention: 0.85 there, 0.5 now\n.*was changed after echodrift wrote it.*\n"
    ):
        run_study(load_study(held), tmp_path)
    assert go(tmp_path) == (0, [f"note: {held} was changed or cut off; it is written again"])
    assert held.read_text() == whole


@pytest.mark.parametrize("damage", [b"", b"name = ", b"\xff"])
def test_a_study_that_cannot_be_read_is_taken_from_the_finished_tables(tmp_path: Path, damage: bytes) -> None:
    go(tmp_path / "out")
    held, plan = tmp_path / "out/runs/study.toml", tmp_path / "out/runs/plan.parquet"
    held.write_bytes(damage)
    plan.unlink()
    with pytest.raises(StorageError, match="holds another study"):
        go(tmp_path / "out", behavior={"attention": 0.5})
    assert go(tmp_path / "out", seeds=5)[0] == 8
    go(tmp_path / "whole", seeds=5)
    assert same(tmp_path / "out", tmp_path / "whole")
    # where the tables' own study is not what was written either, nothing is known
    held.write_bytes(damage)
    plan.unlink()
    (tmp_path / "out/study.toml").write_text("name = 'x'\n")
    with pytest.raises(StorageError, match="holds a study that cannot be compared"):
        go(tmp_path / "out", seeds=5)


def test_a_process_killed_between_its_plan_and_its_study_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    go(tmp_path / "out")
    held = tmp_path / "out/runs/study.toml"
    short = held.read_bytes()
    go(tmp_path / "out", seeds=[1, 2, 7], rounds=6)
    held.write_bytes(short)
    go(tmp_path / "out", seeds=5, rounds=6)
    go(tmp_path / "whole", seeds=5, rounds=6)
    assert same(tmp_path / "out", tmp_path / "whole")


def test_bundles_are_for_queries_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "RUNS", 4)
    go(tmp_path / "out")
    assert len(list((tmp_path / "out/runs/bundles").glob("*.json"))) == 3
    (tmp_path / "out/manifest.json").unlink()
    source = tables_of(Folder(tmp_path / "out"))
    assert isinstance(source, UnfinishedTables) and source.note.startswith(
        "this study is not finished: 12 of 12 runs"
    )
    go(tmp_path / "fresh")
    assert go(tmp_path / "out") == (0, [])
    assert same(tmp_path / "out", tmp_path / "fresh")
