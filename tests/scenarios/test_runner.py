"""Studies: the same tables however they are run, interrupted, resumed; a failed run is a row."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

try:
    from cloudpickle import register_pickle_by_value
except ImportError:  # older releases of joblib bring a copy of their own
    from joblib.externals.cloudpickle import register_pickle_by_value

import echodrift
from echodrift.errors import BadInput, StorageError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.execution.progress import Bar, Lines, Progress
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import Interrupted, RunOptions, run_study
from echodrift.scenarios.specs.study import Arm, Study
from echodrift.scenarios.storage.folder import Folder

# Worker processes cannot import test modules: they get this one's functions by value.
register_pickle_by_value(sys.modules[__name__])

ROUNDS = 25


class Fake:
    """A run whose numbers depend on arm, grid value and seed."""

    def __init__(self, study: Study, arm: Arm, seed: int) -> None:
        self.rounds = study.rounds
        self.notes = [f"seen by {arm.name}"]
        self.level = study.behavior.reinforcement + len(arm.name)
        self.rng = np.random.default_rng(seed)
        self.at = 0

    def step(self) -> dict[str, float]:
        self.at += 1
        every_fifth = self.rng.random() if self.at % 5 == 0 else float("nan")
        return {
            "niche_exposure": 2.0**-self.at,
            "welfare": self.level + self.rng.random(),
            "regret": every_fifth,
        }

    def tables(self) -> dict[str, dict[str, Any]]:
        curve = {"when": ["start"] * 2, "what": ["exposure"] * 2, "x": [0.0, 1.0], "y": [0.0, self.level]}
        return {"lorenz": curve}


def fake(study: Study, arm: Arm, seed: int) -> Fake:
    return Fake(study, arm, seed)


class Decaying(Fake):
    """Arm "b" shows less of the niche from a round on that depends on its seed and grid value."""

    def __init__(self, study: Study, arm: Arm, seed: int) -> None:
        super().__init__(study, arm, seed)
        if arm.name == "a" and seed == 2:
            raise ZeroDivisionError("no organic run of this seed")
        self.falls = 3 * seed + (study.behavior.reinforcement > 0.05) if arm.name == "b" else 1000

    def step(self) -> dict[str, float]:
        return {**super().step(), "niche_exposure": 0.5 if self.at <= self.falls else 0.0}


def sometimes_failing(study: Study, arm: Arm, seed: int) -> Fake:
    if arm.name == "b" and seed == 1:
        raise ZeroDivisionError("there is nothing\nto divide")
    return Fake(study, arm, seed)


def killed(study: Study, arm: Arm, seed: int) -> Fake:
    if arm.name == "b" and seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return Fake(study, arm, seed)


def forbidden(study: Study, arm: Arm, seed: int) -> Fake:
    raise AssertionError("this run was finished before")


ARMS = [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}]
BASE = {
    "name": "tiny",
    "rounds": ROUNDS,
    "seeds": 3,
    "arms": ARMS,
    "grid": {"behavior.reinforcement": [0.02, 0.1]},
}


def study(**changes: Any) -> Study:
    return load_study({**BASE, **changes})


def go(out: Path, of: Study | None = None, builder: Any = fake, **how: Any) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", builder)
        run_study(of or study(), out, RunOptions(**how))
    return Result(out)


def tables(folder: Path) -> dict[str, bytes]:
    """The tables that must not depend on how a study was run, byte for byte."""
    found = {
        name: (folder / name).read_bytes() for name in ("rounds.parquet", "lorenz.parquet", "study.toml")
    }
    runs = pd.read_parquet(folder / "runs.parquet").drop(columns="seconds")
    return {**found, "runs": runs.to_csv().encode()}


def test_tables(tmp_path: Path) -> None:
    result = go(tmp_path / "out", command=["echodrift", "run", "my study"])
    rounds, runs = result.rounds, result.runs
    assert list(rounds.columns) == [
        "arm",
        "behavior.reinforcement",
        "seed",
        "round",
        "niche_exposure",
        "welfare",
        "regret",
    ]
    order = rounds[["arm", "behavior.reinforcement", "seed", "round"]].itertuples(index=False)
    assert [tuple(row) for row in order] == [
        (arm, value, seed, at)
        for arm in "ab"
        for value in (0.02, 0.1)
        for seed in range(3)
        for at in range(ROUNDS)
    ]
    assert len(runs) == 12 and set(runs["status"]) == {"ok"} and set(runs["error"]) == {""}
    one = rounds.query("arm == 'b' and seed == 2 and `behavior.reinforcement` == 0.1")
    row = runs.query("arm == 'b' and seed == 2 and `behavior.reinforcement` == 0.1").iloc[0]
    assert row["welfare"] == pytest.approx(one["welfare"].to_numpy()[-20:].mean(), rel=1e-12)
    assert row["regret"] == pytest.approx(np.nanmean(one["regret"].to_numpy()[-20:]), rel=1e-12)
    # It falls as in the organic arm, so nothing decays; that arm itself has no half-life.
    assert row["niche_half_life_censored"] is True and row["niche_half_life"] == ROUNDS - 1
    assert runs.query("arm == 'a'")["niche_half_life"].isna().all()
    assert runs.query("arm == 'a'")["niche_half_life_censored"].isna().all()
    assert list(result.lorenz.columns) == ["arm", "behavior.reinforcement", "seed", "when", "what", "x", "y"]
    manifest = result.manifest
    assert manifest["seeds"] == [0, 1, 2] and manifest["runs"] == 12 and manifest["failed"] == 0
    assert manifest["command"] == "echodrift run 'my study'"
    assert manifest["notes"] == ['arm "a": seen by a', 'arm "b": seen by b']
    assert manifest["versions"]["numpy"] == np.__version__
    assert result.study == study()


def test_half_lives_are_against_the_organic_run_of_the_same_point_and_seed(tmp_path: Path) -> None:
    runs = go(tmp_path / "out", builder=Decaying).runs
    found = {
        (row["behavior.reinforcement"], row["seed"]): row["niche_half_life"]
        for row in runs[runs["arm"] == "b"].to_dict("records")
    }
    # As many rounds of nothing as rounds before make the mean half of the organic one.
    assert {key: found[key] for key in found if key[1] < 2} == {
        (0.02, 0): 0,
        (0.02, 1): 5,
        (0.1, 0): 1,
        (0.1, 1): 7,
    }
    assert np.isnan(found[0.02, 2]), "the organic run failed"
    random = [{"name": "a", "policy": {"kind": "random"}}, BASE["arms"][1]]
    assert go(tmp_path / "none", study(arms=random), Decaying).runs["niche_half_life"].isna().all()


@pytest.mark.parametrize("how", [{"jobs": 2}, {"jobs": 3, "backend": "threading"}, {"jobs": -1}])
def test_jobs_and_backend_change_nothing(tmp_path: Path, how: dict[str, Any]) -> None:
    go(tmp_path / "one", jobs=1)
    go(tmp_path / "other", **how)
    assert tables(tmp_path / "one") == tables(tmp_path / "other")


@pytest.mark.parametrize("how", [{"jobs": 1}, {"jobs": 2}])
def test_a_failed_run_is_a_row_and_is_tried_again(tmp_path: Path, how: dict[str, Any]) -> None:
    result = go(tmp_path / "out", builder=sometimes_failing, **how)
    assert len(result.runs) == 12 and result.manifest["failed"] == 2
    assert list(result.failed["arm"]) == ["b", "b"] and set(result.failed["seed"]) == {1}
    assert set(result.failed["error"]) == {"ZeroDivisionError: there is nothing\nto divide"}
    assert result.failed["welfare"].isna().all()
    assert len(result.rounds) == 10 * ROUNDS
    records = [path.read_text() for path in (tmp_path / "out/runs").glob("b-seed1-*/run.json")]
    assert len(records) == 2 and all("Traceback" in text and "sometimes_failing" in text for text in records)
    go(tmp_path / "out")
    go(tmp_path / "fresh")
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")


@pytest.mark.parametrize("how", [{}, {"jobs": 2}])
def test_a_policy_that_ends_the_program_ends_its_own_run_only(tmp_path: Path, how: dict[str, Any]) -> None:
    """Else its number would be the answer of the command: 3, say, which means that a gate failed."""

    def leaving(study: Study, arm: Arm, seed: int) -> Any:
        if arm.name == "b" and seed == 1:
            sys.exit(3)
        return fake(study, arm, seed)

    result = go(tmp_path, builder=leaving, **how)
    assert list(zip(result.failed["arm"], result.failed["seed"], strict=True)) == [("b", 1)] * 2
    assert set(result.failed["error"]) == {"SystemExit: 3"}


def test_a_study_of_which_every_run_fails_still_has_tables(tmp_path: Path) -> None:
    result = go(tmp_path, builder=forbidden)
    assert list(result.rounds.columns) == ["arm", "behavior.reinforcement", "seed"] and result.rounds.empty
    assert result.manifest["failed"] == 12
    with pytest.raises(BadInput, match="every run of this study failed"):
        result.plot()


def test_a_worker_that_is_killed_costs_its_own_run_only(tmp_path: Path) -> None:
    result = go(tmp_path / "out", builder=killed, jobs=2)
    assert list(zip(result.failed["arm"], result.failed["seed"], strict=True)) == [("b", 1)] * 2
    assert set(result.failed["error"]) == {"the process of this run was killed (out of memory?)"}
    go(tmp_path / "out")
    go(tmp_path / "fresh")
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")


def test_finished_runs_are_taken_over(tmp_path: Path) -> None:
    go(tmp_path)
    before = tables(tmp_path)
    go(tmp_path, builder=forbidden)
    assert tables(tmp_path) == before


def test_more_seeds_and_arms_are_added_to_what_is_there(tmp_path: Path) -> None:
    more = study(seeds=4, arms=[{"name": "c", "policy": {"kind": "popularity"}}, *ARMS])
    go(tmp_path / "out")
    done = {path.name for path in (tmp_path / "out/runs").iterdir()}
    stamps = {name: (tmp_path / "out/runs" / name).stat().st_mtime_ns for name in done if "seed" in name}
    go(tmp_path / "out", more)
    go(tmp_path / "fresh", more)
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")
    assert all((tmp_path / "out/runs" / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())


def test_torn_runs_are_done_again(tmp_path: Path) -> None:
    go(tmp_path)
    before = tables(tmp_path)
    runs = sorted(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    (runs[0] / "run.json").write_text("{")
    (runs[3] / "rounds.parquet").write_bytes((runs[3] / "rounds.parquet").read_bytes()[:100])
    (runs[5] / "lorenz.parquet").unlink()
    go(tmp_path)
    assert tables(tmp_path) == before


def test_a_grid_key_of_one_arm_repeats_the_others(tmp_path: Path) -> None:
    result = go(tmp_path, study(grid={"arms[b].platform.slate": [3, 5], "world.graph": [{"kind": "none"}]}))
    assert list(result.runs["arms[b].platform.slate"]) == [3] * 3 + [5] * 3 + [3] * 3 + [5] * 3
    assert set(result.runs["world.graph"]) == {'{"kind": "none"}'}
    a = result.rounds.query("arm == 'a'")
    low, high = (a[a["arms[b].platform.slate"] == value]["welfare"].to_numpy() for value in (3, 5))
    assert (low == high).all()
    assert len([path for path in (tmp_path / "runs").iterdir() if path.name.startswith("a-")]) == 3


def test_the_manifest_names_the_data_files_of_every_point(tmp_path: Path) -> None:
    logs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for number, path in enumerate(logs):
        rows = [f"{user},{item + number}" for user in range(30) for item in range(20)]
        path.write_text("\n".join(["user,item", *rows]) + "\n")
    of = study(grid={"world.log": [str(path) for path in logs]}, world={"log": str(logs[0])}, seeds=1)
    inputs = go(tmp_path / "out", of).manifest["inputs"]
    found = {file["path"]: file["sha256"] for file in inputs.values()}
    assert found == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in logs}


def test_batches_of_seeds_are_parts_of_one_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan with priors is dear: it is made once, however many batches there are."""
    priors = {"behavior.attention": {"uniform": [0.5, 0.9]}}
    how: dict[str, Any] = {"grid": {}, "uncertainty": {"priors": priors}}

    class Batches:
        study, most, manifest_entry = study(**how, seeds=6), 6, {"stopped": "never"}

        def batches(self, folder: Path, progress: Progress) -> Any:
            for count in (2, 4, 6):
                yield study(**how, seeds=count)

    made: list[int] = []

    def counting(of: Study, **code: Any) -> Any:
        made.append(1)
        return expand(of, **code)

    monkeypatch.setattr("echodrift.scenarios.runner.expand", counting)
    go(tmp_path / "batches", study(**how), until=Batches())
    assert len(made) == 1
    go(tmp_path / "whole", study(**how, seeds=6))
    rounds = [(tmp_path / name / "rounds.parquet").read_bytes() for name in ("batches", "whole")]
    assert rounds[0] == rounds[1]


def test_nothing_is_made_before_everything_is_checked(tmp_path: Path) -> None:
    for wrong in ({"jobs": 0}, {"backend": "dsak"}):
        with pytest.raises(BadInput):
            go(tmp_path / "out", **wrong)
    with pytest.raises(BadInput, match='no measure "welfar"'):
        echodrift.run(study(measures=["welfar"]), out=tmp_path / "out")
    with pytest.raises(BadInput, match="gone.csv"):
        go(tmp_path / "out", study(world={"log": "gone.csv"}, grid={}))
    assert not (tmp_path / "out").exists()


def test_another_study_in_the_folder_starts_nothing(tmp_path: Path) -> None:
    go(tmp_path)
    before = tables(tmp_path)
    with pytest.raises(StorageError, match="rounds: 25 there, 24 now"):
        go(tmp_path, study(rounds=24), builder=forbidden)
    assert tables(tmp_path) == before


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from echodrift.scenarios.storage import store

    synced, written = os.fsync, []

    def full_after_a_while(handle: int) -> None:
        written.append(handle)
        if len(written) > 18:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(handle)

    monkeypatch.setattr(store.os, "fsync", full_after_a_while)
    with pytest.raises(StorageError) as caught:
        go(tmp_path / "out")
    message = str(caught.value)
    assert "the disk is full" in message and "3 of 12 runs are finished and kept" in message
    assert "Make room" in message and "--out" in message and "same command again" in message
    assert not list((tmp_path / "out").rglob(".unfinished*"))
    assert not (tmp_path / "out/rounds.parquet").exists()
    monkeypatch.undo()
    go(tmp_path / "out")
    go(tmp_path / "fresh")
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")


def test_a_full_disk_at_the_end_keeps_all_runs_and_the_tables_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echodrift.scenarios.storage import folder

    go(tmp_path)
    before = tables(tmp_path)

    def full(path: Path, place: Path) -> None:
        raise StorageError(f"cannot write {place}: the disk is full")

    monkeypatch.setattr(folder, "move_in", full)
    with pytest.raises(StorageError, match="15 of 15|16 of 16"):
        go(tmp_path, study(seeds=4))
    assert tables(tmp_path) == before
    monkeypatch.undo()
    go(tmp_path, study(seeds=4), builder=forbidden)


def test_ctrl_c_keeps_finished_runs_and_says_how_to_go_on(tmp_path: Path) -> None:
    class Stopping(Progress):
        done = 0

        def run_done(self, rounds: int, failed: bool) -> None:
            self.done += 1
            if self.done == 5:
                raise KeyboardInterrupt

    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        with pytest.raises(Interrupted, match=r"of 12 runs are finished and kept in .* goes on from there"):
            go(out, progress=Stopping(), jobs=jobs)
        kept = [path for path in (out / "runs").glob("*/run.json")]
        assert 4 <= len(kept) < 12
        go(out)
        assert not list(out.rglob(".unfinished*"))
    go(tmp_path / "fresh")
    assert tables(tmp_path / "1") == tables(tmp_path / "2") == tables(tmp_path / "fresh")


def interrupted_in_compiled_code(study: Study, arm: Arm, seed: int) -> Fake:
    if arm.name == "b":
        raise SystemError("a function returned a result with an exception set") from KeyboardInterrupt()
    return Fake(study, arm, seed)


@pytest.mark.parametrize("how", [{"jobs": 1}, {"jobs": 2, "backend": "threading"}])
def test_ctrl_c_inside_compiled_code_is_no_failed_run(tmp_path: Path, how: dict[str, Any]) -> None:
    with pytest.raises(Interrupted):
        go(tmp_path, builder=interrupted_in_compiled_code, **how)
    assert not list((tmp_path / "runs").glob("b-*"))


def test_a_worker_without_its_parent_writes_nothing(tmp_path: Path) -> None:
    from echodrift.scenarios.execution.parallel import Parent
    from echodrift.scenarios.execution.worker import Task, execute_in_worker
    from echodrift.scenarios.storage.store import RunStore

    run, quitting = expand(study())[0], []

    def work(builder: Any, pid: int) -> str:
        parent = Parent(pid, tuple(sys.path))
        parent.prepare_worker()
        return execute_in_worker(Task(run, None, builder), RunStore(tmp_path), parent).status

    class Quit(BaseException):
        pass

    def orphaned(study: Study, arm: Arm, seed: int) -> Fake:
        # The parent goes while the run is being built.
        patch.setattr(os, "getppid", lambda: 1)
        return Fake(study, arm, seed)

    def leave(code: int) -> None:
        quitting.append(code)
        raise Quit

    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", leave)
        for builder, parent in ((fake, -1), (orphaned, os.getppid())):
            with pytest.raises(Quit):
                work(builder, parent)
    signal.signal(signal.SIGINT, handler)
    assert set(quitting) == {1} and not list(tmp_path.iterdir())
    try:
        assert work(fake, os.getppid()) == "ok"
        # a run that another worker finished before it was killed is not done twice
        assert work(forbidden, os.getppid()) == "ok"
    finally:
        signal.signal(signal.SIGINT, handler)


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in the background hand down that it is ignored
from pathlib import Path
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution import worker
from echodrift.scenarios.runner import RunOptions, run_study

class Slow:
    notes = []
    def __init__(self, study, arm, seed):
        self.rounds, self.at = study.rounds, seed
    def step(self):
        time.sleep(0.01)
        self.at += 1
        return {"welfare": self.at / 7}
    def tables(self):
        return {"lorenz": {"x": [0.0], "y": [1.0]}}

def build(study, arm, seed):
    return Slow(study, arm, seed)

arms = [{"name": name, "policy": {"kind": "random"}} for name in "abc"]
study = load_study({"name": "slow", "rounds": 20, "seeds": 5, "arms": arms})
worker.build = build
run_study(study, Path(sys.argv[1]), RunOptions(jobs=int(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_kill_9_in_the_middle_and_again_gives_the_tables_of_an_undisturbed_run(
    tmp_path: Path, jobs: str
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "out"), jobs]
    for wanted in (2, 6):
        with subprocess.Popen(command, start_new_session=True) as process:
            until = time.monotonic() + 60
            while len(list((tmp_path / "out/runs").glob("*/run.json"))) < wanted and time.monotonic() < until:
                time.sleep(0.005)
            process.kill()
        time.sleep(0.3)
        after = len(list((tmp_path / "out/runs").glob("*/run.json")))
        time.sleep(1.0)
        # Workers whose parent is gone are gone too: a run takes a fifth of a second.
        assert len(list((tmp_path / "out/runs").glob("*/run.json"))) == after
        kept = len(list((tmp_path / "out/runs").glob("*/run.json")))
        assert wanted <= kept < 15
        assert not (tmp_path / "out/rounds.parquet").exists()
    subprocess.run(command, check=True)
    subprocess.run([*command[:2], str(tmp_path / "fresh"), "1"], check=True)
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")
    assert not list((tmp_path / "out").rglob(".unfinished*"))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_real_ctrl_c_from_the_terminal(tmp_path: Path, jobs: str) -> None:
    """The terminal sends the signal to all processes of the group, workers included."""
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "out"), jobs]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while len(list((tmp_path / "out/runs").glob("*/run.json"))) < 3 and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "Interrupted: Stopped." in errors.splitlines()[-1]
    assert "of 15 runs are finished and kept" in errors
    assert errors.count("Traceback") == 1, errors
    subprocess.run(command, check=True)
    assert len(Result(tmp_path / "out").runs) == 15


def test_comparisons_are_paired_by_seed_within_each_grid_point(tmp_path: Path) -> None:
    result = go(tmp_path, study(reference="b"))
    table = result.compare("welfare")
    assert list(table["behavior.reinforcement"]) == [0.02, 0.1] and list(table["arm"]) == ["a", "a"]
    assert table["difference"].abs().max() < 1e-12  # names of one length: the same draws, the same level
    assert list(result.compare(reference="a")["arm"]) == ["b", "b"]
    with pytest.raises(BadInput, match='no measure "welfar".*Did you mean "welfare"'):
        result.compare("welfar")
    with pytest.raises(BadInput, match='no arm is named "c"'):
        result.compare("welfare", reference="c")


def test_plots_show_one_grid_point(tmp_path: Path) -> None:
    result = go(tmp_path)
    assert len(result.plot("welfare", at={"behavior.reinforcement": 0.1}).axes) >= 1
    for wrong, message in [
        ({"behavior.reinforcement": 0.5}, "is not a value of the grid"),
        ({"x": 1}, "is not a key of the grid"),
    ]:
        with pytest.raises(BadInput, match=message):
            result.plot("welfare", at=wrong)
    with pytest.raises(BadInput, match="Did you mean"):
        result.plot("welfar")


def test_progress_in_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    go(tmp_path, progress=lines)
    assert lines.text() == "12 of 12 runs" and lines.rounds_done == lines.rounds == 12 * ROUNDS
    assert capsys.readouterr().err.splitlines() == ["12 runs, 1 at a time"]
    again = Lines()
    go(tmp_path, study(seeds=4), progress=again, jobs=2, builder=sometimes_failing)
    assert capsys.readouterr().err.splitlines() == ["16 runs, 12 of them finished before, 2 at a time"]
    assert again.rounds_done == again.rounds == 4 * ROUNDS and again.time_left() == ""


def test_progress_as_a_bar(tmp_path: Path) -> None:
    bar = Bar()
    go(tmp_path, progress=bar, builder=sometimes_failing)
    assert bar.text() == "12 of 12 runs (2 failed)"
    assert bar.bar.tasks[0].completed == 10 * ROUNDS


def test_a_result_needs_finished_results(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no results"):
        Result(tmp_path)
    folder = Folder(tmp_path)
    with folder.locked():
        folder.begin(study())
    with pytest.raises(StorageError, match="not finished"):
        Result(tmp_path)


def test_a_warning_of_a_run_names_its_arm_once(tmp_path):
    """More dimensions than a small log has users: every run and every refit says so, with other numbers."""
    study = {
        "name": "wide",
        "rounds": 3,
        "seeds": 2,
        "world": {"users": 20, "items": 30, "topics": 4},
        "platform": {"slate": 4, "warmup": 6, "retrain_every": 1},
        "arms": [
            {"name": f"wide {dim}", "policy": {"kind": "ials", "dim": dim, "iterations": 1}}
            for dim in (64, 65)
        ],
    }
    result = echodrift.run(study, out=tmp_path / "wide", jobs=1)
    warnings = [note for note in result.manifest["notes"] if note.startswith("warning: ")]
    assert [note.split(":")[1].strip() for note in warnings] == ['arm "wide 64"', 'arm "wide 65"']


def noting(study: Study, arm: Arm, seed: int) -> Fake:
    run = Fake(study, arm, seed)
    run.notes = ["the world is small"]
    if arm.name != "a":
        run.notes += [f"warning: seed {seed} is odd", "a fit was short"]
    return run


def test_a_note_is_told_once_with_its_arms(tmp_path: Path) -> None:
    arms = [{"name": name, "policy": {"kind": "random"}} for name in "abcdefgh"]
    result = go(tmp_path / "out", study(arms=arms, seeds=2, grid={}), noting)
    rest = 'arms "b", "c", "d", "e" and 3 more'
    assert result.manifest["notes"] == [
        "the world is small",
        f"warning: {rest}: seed 0 is odd",
        f"{rest}: a fit was short",
    ]
