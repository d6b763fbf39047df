"""`echodrift.verify`, and what every reader and the next run say of a folder with one damaged file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report.pages import ReportFiles
from echodrift.errors import EchodriftError, StorageError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.inspection.query import Query
from echodrift.scenarios.inspection.status import status
from echodrift.scenarios.inspection.verify import mend, verify
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.storage import bundles
from echodrift.scenarios.storage.checkpoint_files import CheckpointFolder
from echodrift.scenarios.storage.lock import LOCK

STUDY = {
    "name": "tiny",
    "rounds": 3,
    "seeds": 3,
    "arms": [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}],
}
RUNS = 6
OTHER = 0x15
"""Changes a digit into a letter, and a letter into another one."""
TABLES = ("runs", "rounds", "lorenz")


class Fake:
    notes: list[str] = []

    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        self.rounds, self.level, self.at = study.rounds, seed + len(arm.name), 0

    def step(self) -> dict[str, float]:
        self.at += 1
        return {"welfare": self.level / self.at}

    def tables(self) -> dict[str, dict[str, list]]:
        return {"lorenz": {"x": [0.0], "y": [self.level]}}


def go(out: Path, **changes: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", Fake)
        patch.setattr(bundles, "RUNS", 4)
        run_study(load_study({**STUDY, **changes}), out, RunOptions())


def folder_of(tmp: Path, kind: str) -> Path:
    out = tmp / kind
    go(out)
    kept = CheckpointFolder(out / "checkpoints", keep_final=True)
    kept.for_run("a-seed0-0123456789", 3).write(3, {"x": np.arange(3)}, final=True)
    if kind == "finished":
        files = ReportFiles(out)
        files.write("report.html", b"<p>42")
        files.write("figures/welfare.png", b"picture")
        files.write_hashes()
    else:
        for file in (*out.glob("*.parquet"), out / "manifest.json", out / "study.toml"):
            file.unlink()
    return out


@pytest.fixture(scope="module", params=["finished", "unfinished"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("verify"), request.param)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all tables that a query answers with, without wall times."""
    found = {}
    for name in TABLES:
        rows = Query(folder).table(f"select * from {name} order by all").to_pylist()
        found[name] = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    return found


def change(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ OTHER]) + data[at + 1 :]


def digit(data: bytes) -> int:
    return next((at for at in range(len(data) // 2, len(data)) if chr(data[at]).isdigit()), len(data) // 2)


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "removed": lambda data: None,
    "emptied": lambda data: b"",
    "cut off": lambda data: data[:-1],
    "first byte": lambda data: change(data, 0),
    "a digit": lambda data: change(data, digit(data)),
    "last byte": lambda data: change(data, len(data) - 1),
    "a byte more": lambda data: data + b"1",
}


def check_damage(original: Path, copy: Path, file: str, how: str) -> None:
    whole = answers(original)
    shutil.copytree(original, copy)
    path = copy / file
    data = DAMAGE[how](path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    at = f"{file}, {how}"
    # That it was there cannot be known: it is optional, or not a result.
    unnoticed = file == LOCK or how == "removed" and file.startswith("checkpoints/")
    try:
        found = verify(copy)
    except StorageError:
        assert not unnoticed, at
    else:
        assert found.ok == unnoticed, at
        assert unnoticed or any(each.file in (file, str(Path(file).parent)) or file in each.what or
                                each.file.startswith("runs/bundles") for each in found.damaged), (at, found.damaged)  # fmt: skip
    try:
        said = answers(copy)
    except EchodriftError as error:
        assert str(copy) in str(error), at
    else:
        # A run that cannot be vouched for is in no table, and this is said; all others are the same.
        runs = {(row["arm"], row["seed"]) for row in said["runs"]}
        assert len(said["runs"]) == len(runs) >= RUNS - 1, at
        for name in TABLES:
            kept = [row for row in whole[name] if (row["arm"], row["seed"]) in runs]
            assert said[name] == kept, (at, name)
        assert len(runs) == RUNS or "1 run among the others cannot be read" in Query(copy).note, at
    try:
        state = status(copy)
        assert state.finished + state.damaged == state.runs == RUNS, at
    except StorageError as error:
        assert str(copy) in str(error), at
    if original.name == "finished":
        try:
            pd.testing.assert_frame_equal(Result(copy).rounds, Result(original).rounds)
        except StorageError as error:
            assert str(copy) in str(error), at
    go(copy)
    assert answers(copy) == whole, at
    left = verify(copy).damaged
    assert all(each.file.startswith(("checkpoints/", "figures/", "report.")) for each in left), (at, left)


@pytest.mark.parametrize("how", ["removed", "a digit"])
@pytest.mark.parametrize(
    "pattern",
    [
        "manifest.json",
        "rounds.parquet",
        "runs/plan.parquet",
        "runs/study.toml",
        "runs/store.json",
        "runs/bundles/000001.json",
        "runs/bundles/000001-rounds.parquet",
        "runs/a-seed0-*/run.json",
        "runs/b-seed2-*/rounds.parquet",
    ],
)
def test_one_damaged_file_is_told_and_changes_no_number(
    original: Path, tmp_path: Path, pattern: str, how: str
) -> None:
    files = [path.relative_to(original).as_posix() for path in original.glob(pattern)]
    assert len(files) == (0 if original.name == "unfinished" and "/" not in pattern else 1)
    for file in files:
        check_damage(original, tmp_path / "copy", file, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGE)
def test_any_damaged_file_is_told_and_changes_no_number(original: Path, tmp_path: Path, how: str) -> None:
    for number, file in enumerate(files_of(original)):
        check_damage(original, tmp_path / str(number), file, how)


@pytest.mark.slow
def test_any_byte_of_the_plan_and_of_an_index_counts(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    for file in ("runs/plan.parquet", "runs/bundles/000001.json", "runs/store.json"):
        data = (copy / file).read_bytes()
        for at in range(len(data)):
            (copy / file).write_bytes(change(data, at))
            assert [each.file for each in verify(copy).damaged][-1:] != [], (file, at)
        (copy / file).write_bytes(data)
        assert verify(copy).ok


def test_an_intact_folder(original: Path) -> None:
    found = verify(original)
    assert found.ok and not found.damaged and not found.repair and not found.notes
    assert (found.study, found.runs, found.intact) == ("tiny", RUNS, RUNS)
    assert found.state == {"finished": "finished", "unfinished": "interrupted"}[original.name]
    assert found.checked == len(files_of(original)) - 1  # without the lock
    assert found.unchecked == []
    assert found.as_plain()["ok"] is True
    json.dumps(found.as_plain())


def test_files_of_others_are_listed_and_are_no_damage(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(original, copy)
    (copy / "thoughts.md").write_text("hm")
    (copy / "runs/.unfinished-x").write_text("killed")
    found = verify(copy)
    assert found.ok and found.unchecked == ["runs/.unfinished-x", "thoughts.md"]


def test_a_lost_study_is_written_again_from_the_plan(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(original, copy)
    held = copy / "runs/study.toml"
    whole = held.read_bytes()
    for name in ("study.toml", "store.json"):
        (copy / "runs" / name).unlink()
    found = verify(copy)
    assert [(each.file, each.what) for each in found.damaged] == [
        ("runs/store.json", "is missing"),
        ("runs/study.toml", "is missing"),
    ]
    # Meanwhile nothing else needs it.
    assert status(copy).finished == RUNS and len(answers(copy)["runs"]) == RUNS
    if original.name == "unfinished":
        assert "--mend && echodrift run" in found.repair and str(held) in found.repair
    assert mend(copy) == ["runs/study.toml", "runs/store.json"]
    assert held.read_bytes() == whole
    assert verify(copy).ok and mend(copy) == []


def test_a_study_that_is_lost_with_its_plan_is_told_as_that(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(original, copy)
    for name in ("study.toml", "plan.parquet"):
        (copy / "runs" / name).unlink()
    if original.name == "finished":
        assert {each.file for each in verify(copy).damaged} == {"runs/plan.parquet", "runs/study.toml"}
    else:
        for look in (verify, status, mend, lambda folder: Query(folder)):
            with pytest.raises(
                StorageError, match="holds runs of a study that is lost: neither .*\n.*taken over"
            ):
                look(copy)
    with pytest.raises(StorageError, match="cannot be read|is lost"):
        mend(copy)
    go(copy)
    assert verify(copy).intact == RUNS


def test_a_run_that_is_gone_from_a_finished_study(tmp_path: Path) -> None:
    out = folder_of(tmp_path, "finished")
    run = next((out / "runs").glob("b-seed1-*"))
    shutil.rmtree(run)
    found = verify(out)
    assert [(each.file, each.what) for each in found.damaged] == [(f"runs/{run.name}", "is missing")]
    for path in (out / "runs").glob("*-seed*"):
        shutil.rmtree(path)
    shutil.rmtree(out / "runs/bundles")
    found = verify(out)
    assert found.ok and found.notes == ["its runs were deleted: the tables are all that there is"]


def test_a_bundle_counts_only_runs_that_are_there_as_they_are(tmp_path: Path) -> None:
    out = folder_of(tmp_path, "unfinished")
    index = json.loads((out / "runs/bundles/000001.json").read_text())
    gone, *_ = index["runs"]
    shutil.rmtree(out / "runs" / gone)
    said = answers(out)
    assert [len(said[name]) for name in TABLES] == [RUNS - 1, (RUNS - 1) * STUDY["rounds"], RUNS - 1]
    found = verify(out)
    assert found.ok and found.intact == RUNS - 1
    assert found.notes == [
        "runs/bundles has copies of 1 run that is not there, or not as they were: they are not used"
    ]


def copied(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "out"))


def test_a_manifest_that_vouches_for_nothing(original: Path, tmp_path: Path) -> None:
    out = copied(original, tmp_path)
    (out / "rounds.parquet").write_bytes(b"x")
    (out / "manifest.json").write_text('{"hashes": {}}')
    found = verify(out)
    assert not found.ok and "manifest.json" in {each.file for each in found.damaged}


@pytest.mark.parametrize("planned", [True, False], ids=["of the study", "of another one"])
def test_a_damaged_run_that_the_study_does_not_use_is_no_damage(
    original: Path, tmp_path: Path, planned: bool
) -> None:
    out = copied(original, tmp_path)
    run = next((out / "runs").glob("a-seed0-*"))
    other = run if planned else Path(shutil.copytree(run, run.with_name("a-seed9-" + "0" * 32)))
    (other / "run.json").write_bytes(b"{}")
    found = verify(out)
    assert found.ok is not planned
    assert planned or other.name in found.notes[0] and "may be removed" in found.notes[0]


@pytest.mark.parametrize("index", [b"\0" * 300, b'{"runs": {}, "files": {}}', b"[]", b""])
def test_an_index_without_its_hash_is_not_used(original: Path, tmp_path: Path, index: bytes) -> None:
    out = copied(original, tmp_path)
    (out / "runs/bundles/000001.json").write_bytes(index)
    assert bundles.read_bundle(out / "runs/bundles/000001.json") is None
    assert "runs/bundles/000001.json" in {each.file for each in verify(out).damaged}
    assert answers(out) == answers(original)


def test_a_folder_without_plan_study_and_manifest_is_run_again(original: Path, tmp_path: Path) -> None:
    out = copied(original, tmp_path)
    for name in ("manifest.json", "runs/plan.parquet", "runs/study.toml"):
        (out / name).unlink(missing_ok=True)
    go(out)
    assert verify(out).ok and answers(out) == answers(original)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("how", ["a pipe", "a link to a pipe", "a folder", "a link to nothing"])
@pytest.mark.parametrize("file", ["runs/a-seed0-*", "runs/.lock", "runs/store.json", "runs/bundles", "checkpoints"])  # fmt: skip
def test_things_that_are_no_files_are_told_without_waiting(
    original: Path, tmp_path: Path, file: str, how: str
) -> None:
    out = copied(original, tmp_path)
    path = next(out.glob(file))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    match how:
        case "a pipe":
            os.mkfifo(path)
        case "a link to a pipe":
            os.mkfifo(tmp_path / "pipe")
            path.symlink_to(tmp_path / "pipe")
        case "a folder":
            path.mkdir()
        case _:
            path.symlink_to(tmp_path / "nothing")
    name = path.relative_to(out).as_posix()
    found = verify(out)
    is_fine = how == "a folder" and file in ("runs/bundles", "checkpoints")
    assert is_fine or any(each.file.startswith(name) for each in found.damaged), found


def test_a_state_of_another_run_is_told(original: Path, tmp_path: Path) -> None:
    out = copied(original, tmp_path)
    (out / "checkpoints").mkdir(exist_ok=True)
    CheckpointFolder(out / "checkpoints/one", rounds=3).write(2, {"a": np.arange(3)})
    assert verify(out).ok
    (out / "checkpoints/one").rename(out / "checkpoints/two")
    [found] = verify(out).damaged
    assert found.file.startswith("checkpoints/two/") and found.what == "is of another run (one)"
