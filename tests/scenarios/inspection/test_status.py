"""How far a study is, seen from outside: counts, errors, the process at work; nothing written, nobody kept waiting."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from echodrift.cli.commands.status import _state
from echodrift.cli.entry import app
from echodrift.errors import BadInput, StorageError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.inspection.status import Status, status
from echodrift.scenarios.storage.folder import Folder
from echodrift.scenarios.storage.lock import lock_holder
from echodrift.scenarios.storage.store import Record
from typer.testing import CliRunner

STUDY = {
    "name": "tiny",
    "rounds": 4,
    "seeds": 3,
    "arms": [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}],
}


def begun(folder: Path, done: dict[int, str], **changes: Any) -> Folder:
    """A folder in which some runs of the plan are done: number in the plan → error, "" for none."""
    study = load_study({**STUDY, **changes})
    plan, results = expand(study), Folder(folder)
    with results.locked():
        results.begin(study, plan)
        for number, error in done.items():
            run = plan[number]
            state = "failed" if error else "ok"
            results.store.write(Record(run.key, run.label, state, error=error, seconds=2.0 + number), {})
    return results


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_interrupted_study(tmp_path: Path) -> None:
    begun(tmp_path, {0: "", 1: "", 3: "ValueError: x\ny", 4: "ValueError: x\ny", 5: "KeyError: z"})
    before = snapshot(tmp_path)
    found = status(tmp_path)
    assert (found.state, found.process, found.since, found.left) == ("interrupted", None, None, None)
    assert (found.runs, found.finished, found.failed, found.to_come) == (6, 2, 3, 1)
    assert [(arm.name, arm.finished, arm.failed, arm.to_come) for arm in found.arms] == [
        ("a", 2, 0, 1),
        ("b", 0, 3, 0),
    ]
    assert found.arms[0].seconds == 2.5
    assert [(error.error, error.runs, error.seed) for error in found.errors] == [
        ("ValueError: x\ny", 2, 0),
        ("KeyError: z", 1, 2),
    ]
    assert found.size == sum(len(data) for _, data in before.values())
    assert snapshot(tmp_path) == before
    text = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert text.exit_code == 0 and "2 of 6 runs finished, 3 failed, 1 to come" in text.stdout
    assert '2×, first in arm "b", seed 0: ValueError: x y' in text.stdout
    assert json.loads(CliRunner().invoke(app, ["status", str(tmp_path), "--json"]).stdout) == found.as_plain()


@pytest.mark.parametrize(
    ("state", "failed", "told"),
    [
        ("finished", 0, "finished"),
        ("finished", 2, "finished; the same command tries the failed runs again"),
        ("interrupted", 2, "interrupted: the command that began it goes on"),
    ],
)
def test_what_to_do_next(state: str, failed: int, told: str) -> None:
    assert _state(Status("out", "s", state, None, "", None, 8, failed=failed)) == told


def test_a_run_that_counts_at_several_grid_points_is_one_run(tmp_path: Path) -> None:
    begun(tmp_path, {0: ""}, grid={"arms[b].platform.slate": [3, 5]}, seeds=1)
    found = status(tmp_path)
    assert (found.runs, found.finished, found.to_come) == (3, 1, 2)
    assert [(arm.name, arm.finished, arm.to_come) for arm in found.arms] == [("a", 1, 0), ("b", 0, 2)]


def test_damaged_and_other_runs_are_told(tmp_path: Path) -> None:
    results = begun(tmp_path, {0: "", 1: "", 2: ""})
    plan = expand(load_study(STUDY))
    (results.store.folder / plan[0].key / "run.json").write_text("{")
    begun(tmp_path, {}, seeds=2)
    found = status(tmp_path)
    assert (found.runs, found.finished, found.to_come, found.damaged, found.other) == (4, 1, 3, 1, 1)
    # the plan is a convenience: without it the study is expanded again
    (results.store.folder / "plan.parquet").write_bytes(b"PAR1")
    assert status(tmp_path) == found or status(tmp_path).size != found.size
    assert status(tmp_path).runs == 4


HOLD = """
import sys, time
from pathlib import Path
from echodrift.scenarios.storage.folder import Folder
with Folder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(120)
"""


def test_a_running_study_is_looked_at_without_disturbing_it(tmp_path: Path) -> None:
    results = begun(tmp_path, {0: ""})
    plan = expand(load_study(STUDY))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        time.sleep(0.05)
        for number in (1, 2):
            results.store.write(Record(plan[number].key, "", "ok"), {})
        before = snapshot(tmp_path)
        found = status(tmp_path)
        assert (found.state, found.process, found.finished) == ("running", holder.pid, 3)
        assert found.since is not None and 0 <= time.time() - found.since < 120
        # two runs of four rounds since it began, three to come
        later = status(tmp_path, clock=lambda: found.since + 60.0)
        assert later.rate == pytest.approx(2.0) and later.left == pytest.approx(90.0)
        assert snapshot(tmp_path) == before and holder.poll() is None
        assert "running by process" in CliRunner().invoke(app, ["status", str(tmp_path)]).stdout
        with (
            pytest.raises(StorageError, match=f"in use by another echodrift .process {holder.pid}."),
            results.locked(),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    assert lock_holder(tmp_path) == (False, None, "") and status(tmp_path).state == "interrupted"


def test_a_look_does_not_keep_a_study_from_starting(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    results = begun(tmp_path, {})
    import threading

    with (tmp_path / "runs/.lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.06, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with results.locked():
            assert lock_holder(tmp_path)[0]


def test_where_there_is_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, error, told in [
        (tmp_path / "gone", BadInput, "no such folder"),
        (tmp_path / "file", BadInput, "is a file"),
        (tmp_path, StorageError, "holds no results of echodrift"),
    ]:
        with pytest.raises(error, match=told):
            status(path)
    assert CliRunner().invoke(app, ["status", str(tmp_path)]).exit_code == 6


def test_checkpoints_of_unfinished_runs(tmp_path: Path) -> None:
    begun(tmp_path, {0: ""})
    plan = expand(load_study(STUDY))
    for run, at in ((plan[0], 2), (plan[3], 1), (plan[3], 3), (plan[4], 9)):
        place = tmp_path / "checkpoints" / run.prefix_key
        place.mkdir(parents=True, exist_ok=True)
        (place / f"round-{at:08d}-{'0' * 32}.npz").write_bytes(b"")
    found = status(tmp_path)
    assert [(run.arm, run.seed, run.round, run.rounds) for run in found.begun] == [("b", 0, 3, 4)]
    assert "b, seed 0: round 3 of 4" in CliRunner().invoke(app, ["status", str(tmp_path)]).stdout


def test_status_tells_no_time_before_a_worker_had_time_for_two_runs(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    study = load_study(STUDY)
    plan, folder = expand(study), Folder(tmp_path)
    with folder.locked():
        folder.begin(study, plan)
        time.sleep(0.05)
        for run in plan[:2]:
            folder.store.write(Record(run.key, run.label, "ok", seconds=40.0), {})
        since = status(tmp_path).since
        assert since is not None
        early, late = (status(tmp_path, clock=lambda after=after: since + after) for after in (60.0, 90.0))
    assert early.left is None and early.rate == pytest.approx(2.0)
    assert late.left == pytest.approx(90.0 * (len(plan) - 2) / 2)
