"""The results folder: whole files or none, nobody else's files touched, damage noticed."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echodrift.analysis.results import read_results
from echodrift.disk import write_atomically
from echodrift.errors import StorageError
from echodrift.scenarios import api
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.specs.study import Study
from echodrift.scenarios.storage import store as store_module
from echodrift.scenarios.storage.extending import check_folder
from echodrift.scenarios.storage.folder import Folder
from echodrift.scenarios.storage.stacking import Piece, stack
from echodrift.scenarios.storage.store import Record, RunStore

TABLES = {
    "rounds": pd.DataFrame({"round": [0, 1], "welfare": [0.1, float("nan")]}),
    "lorenz": pd.DataFrame({"x": [0.5]}),
}
BASE = {
    "name": "tiny",
    "world": {"users": 20, "items": 30},
    "arms": [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}],
}


def study(**changes: object) -> Study:
    return load_study(BASE, [(key, key.replace("__", "."), value) for key, value in changes.items()])


def stored(folder: Path, key: str = "k") -> RunStore:
    store = RunStore(folder / "runs")
    summaries = {"welfare": 0.1, "never": math.inf, "undefined": math.nan}
    store.write(Record(key, "arm a", "ok", seconds=1.5, summaries=summaries, notes=["é"]), TABLES)
    return store


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = stored(tmp_path)
    record = store.read("k")
    assert record is not None
    assert (record.status, record.seconds, record.notes) == ("ok", 1.5, ["é"])
    assert record.summaries["welfare"] == 0.1 and record.summaries["never"] == math.inf
    assert math.isnan(record.summaries["undefined"])
    pd.testing.assert_frame_equal(store.table(record, "rounds.parquet").to_pandas(), TABLES["rounds"])
    json.loads((tmp_path / "runs/k/run.json").read_text(), parse_constant=pytest.fail)
    assert names(tmp_path / "runs") == {"k"}
    assert store.read("other") is None


@pytest.mark.parametrize("file", ["run.json", "rounds.parquet", "lorenz.parquet"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "gone"])
def test_a_damaged_run_is_no_run(tmp_path: Path, file: str, damage: str) -> None:
    store = stored(tmp_path)
    path = tmp_path / "runs/k" / file
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "changed":
        at = data.index(b"1.5") if file == "run.json" else len(data) // 2
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    assert store.read("k") is None
    assert stored(tmp_path).read("k") is not None


def test_a_run_under_another_key_is_no_run(tmp_path: Path) -> None:
    store = stored(tmp_path)
    shutil.copytree(tmp_path / "runs/k", tmp_path / "runs/other")
    assert store.read("other") is None


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(tmp_path)
    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*rounds\.parquet: the disk is full"):
        stored(tmp_path, "next")
    assert names(tmp_path / "runs") == {"k"}
    assert store.read("k") is not None
    (tmp_path / "table").write_bytes(b"old")
    with pytest.raises(StorageError, match="table: the disk is full"):
        write_atomically(tmp_path / "table", b"new")
    assert (tmp_path / "table").read_bytes() == b"old"
    assert names(tmp_path) == {"runs", "table"}


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        store = stored(disk)
        big = {**TABLES, "rounds": pd.DataFrame({"x": range(50_000)})}
        with pytest.raises(StorageError, match=r"rounds\.parquet: the disk is full"):
            store.write(Record("big", "", "ok"), big)
        assert names(disk / "runs") == {"k"}
        assert store.read("k") is not None
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "it is read-only"),
        (errno.EACCES, "read-only or belongs to"),
        (errno.EIO, "the system refused"),
    ],
)
def test_errors_of_the_system_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=words), Folder(tmp_path / "new").locked():
        pass
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="is a file, not a folder"):
        check_folder(Folder(tmp_path / "file"), study())
    check_folder(Folder(tmp_path / "file/deeper"), study())
    with pytest.raises(StorageError, match="a file is in the way"), Folder(tmp_path / "file/deeper").locked():
        pass


def begun(path: Path, of: Study) -> Folder:
    folder = Folder(path)
    check_folder(folder, of)
    with folder.locked():
        folder.begin(of)
    return folder


@pytest.mark.parametrize("content", ["notes.txt", "runs/thesis.tex", "study.toml", "manifest.json"])
def test_foreign_files_are_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / content).write_text("mine")
    with pytest.raises(StorageError, match="holds files that are not results of echodrift"):
        check_folder(Folder(tmp_path), study())
    assert (tmp_path / content).read_text() == "mine"


def test_an_empty_folder_and_one_killed_at_its_start_are_fine(tmp_path: Path) -> None:
    check_folder(Folder(tmp_path), study())
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/.lock").write_text("12")
    (tmp_path / "runs/.unfinished-study.toml-12-0").write_text("na")
    (tmp_path / ".unfinished-x").write_text("")
    begun(tmp_path, study())
    assert names(tmp_path) == {"runs"}
    assert names(tmp_path / "runs") == {".lock", "study.toml", "store.json", "plan.parquet"}


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": 5},
        {"seeds": [3]},
        {"name": "better title", "description": "x", "reference": "b"},
        {"arms": [*BASE["arms"], {"name": "c", "policy": {"kind": "popularity"}}]},
        {"arms": BASE["arms"][::-1]},
        {"grid": {"behavior.reinforcement": [0.1, 0.02]}},
    ],
)
def test_the_same_study_or_more_of_it_may_go_on(tmp_path: Path, change: dict) -> None:
    begun(tmp_path, study())
    begun(tmp_path, study(**change))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rounds": 7}, "  rounds: 150 there, 7 now"),
        ({"world__users": 21}, "  world.users: 20 there, 21 now"),
        ({"arms": BASE["arms"][:1]}, "  arms[b]: there, but not in this study"),
        ({"arms[b].policy": {"kind": "popularity"}}, '  arms[b].policy.kind: random there, popularity now'),
        ({"grid": {"behavior.reinforcement": [0.1, 0.2]}}, "  grid.behavior.reinforcement: nothing there, [0.1, 0.2] now"),
    ],
)  # fmt: skip
def test_another_study_is_refused_with_what_differs(tmp_path: Path, change: dict, line: str) -> None:
    begun(tmp_path, study())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StorageError) as caught:
        check_folder(Folder(tmp_path), study(**change))
    message = str(caught.value)
    assert 'holds another study, "tiny"' in message and line in message and "--out" in message
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_study_there_that_cannot_be_read(tmp_path: Path) -> None:
    begun(tmp_path, study())
    (tmp_path / "runs/study.toml").write_text("name = ")
    check_folder(Folder(tmp_path), study())
    (tmp_path / "runs/plan.parquet").unlink()
    with pytest.raises(StorageError, match="cannot be compared.*not valid TOML"):
        check_folder(Folder(tmp_path), study())


HOLD = """
import sys, time
from pathlib import Path
from echodrift.scenarios.storage.folder import Folder
with Folder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_use_one_folder_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(StorageError, match=f"in use by another echodrift .process {holder.pid}."),
            Folder(tmp_path).locked(),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    with Folder(tmp_path).locked():
        assert (tmp_path / "runs/.lock").read_text().split()[0] == str(os.getpid())


def published(path: Path) -> Folder:
    folder = begun(path, study())
    folder.publish(
        study(), {name: store_module.parquet(TABLES["rounds"]) for name in ("rounds", "runs", "lorenz")}, {}
    )
    return folder


def test_finished_results_are_verified(tmp_path: Path) -> None:
    folder = published(tmp_path)
    assert set(folder.verify()["hashes"]) == {
        "rounds.parquet",
        "runs.parquet",
        "lorenz.parquet",
        "study.toml",
    }
    (tmp_path / "rounds.parquet").write_bytes(b"x")
    with pytest.raises(StorageError, match=r"rounds\.parquet is not what the study wrote"):
        folder.verify()
    (tmp_path / "rounds.parquet").unlink()
    with pytest.raises(StorageError, match=r"rounds\.parquet cannot be read"):
        folder.verify()
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(StorageError, match="manifest.json cannot be read"):
        folder.verify()
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(
        StorageError,
        match=r"holds a study that is not finished; type: echodrift run .*/runs/study\.toml --out",
    ):
        folder.verify()
    with pytest.raises(StorageError, match="holds no results of echodrift"):
        Folder(tmp_path / "nowhere").verify()


def test_results_whose_runs_were_removed_still_say_whose_they_are(tmp_path: Path) -> None:
    published(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    check_folder(Folder(tmp_path), study())
    with pytest.raises(StorageError, match="holds another study"):
        check_folder(Folder(tmp_path), study(rounds=3))


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A disk that has no byte left, not even for the number of the process."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(StorageError) as caught, Folder(path).locked():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(f"cannot write {path / 'runs/.lock'}: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_lock_that_is_no_file_is_refused_and_what_it_leads_to_is_left_alone(
    tmp_path: Path, what: str
) -> None:
    precious, lock = tmp_path / "precious", tmp_path / "out/runs/.lock"
    precious.write_text("precious")
    lock.parent.mkdir(parents=True)
    lock.symlink_to(precious) if what == "link" else os.mkfifo(lock)
    told = "is a link or a pipe, not a file that echodrift wrote; remove it"
    with pytest.raises(StorageError, match=told), Folder(tmp_path / "out").locked():
        raise AssertionError
    assert precious.read_text() == "precious"


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "table" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"table: a folder is in the way .*\nMove it away"):
        write_atomically(tmp_path / "table", b"new")
    assert names(tmp_path) == {"table"}


def test_a_label_hides_a_column_of_its_name(tmp_path: Path) -> None:
    def load() -> pa.Table:
        return pa.table({"rounds": [1, 1], "value": [2.0, 3.0]})

    path = tmp_path / "t.parquet"
    labels = pa.schema([("arm", pa.string()), ("rounds", pa.int64())])
    stack(path, [Piece({"arm": "a", "rounds": 7}, "kind", load)], labels)
    assert pq.read_table(path).to_pydict() == {"arm": ["a", "a"], "rounds": [7, 7], "value": [2.0, 3.0]}


def test_a_grid_over_rounds_has_all_tables(tmp_path: Path) -> None:
    api.run({**BASE, "seeds": 1, "grid": {"rounds": [1, 2]}}, out=tmp_path / "out")
    deciles = read_results(tmp_path / "out").deciles
    assert deciles.groupby("rounds")["round"].max().to_dict() == {1: 0, 2: 1}
