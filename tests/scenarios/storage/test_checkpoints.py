"""Checkpoints on disk: what is written, what is taken up again, what is refused; and a run that is killed again and again."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput, PolicyError, StorageError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import MODEL_VERSION, expand
from echodrift.scenarios.execution.progress import _Counting
from echodrift.scenarios.execution.worker import build
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.storage import checkpoint_files as checkpoints
from echodrift.scenarios.storage.checkpoint_files import (
    FORMAT,
    Checkpoint,
    CheckpointFolder,
    Unusable,
    checkpoint_bytes,
    read,
)
from echodrift.scenarios.storage.checkpoints import EVERY
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

# Worker processes cannot import test modules: they get this one's classes by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

TABLES = ("rounds", "lorenz", "deciles", "tastes", "network_users", "network_ties")
MF = {"kind": "matrix_factorization", "dim": 3}
ADAPTER = {"kind": "adapter", "model": "implicit.als:AlternatingLeastSquares", "arguments": {"factors": 2}}


def study(rounds=12, policy=None, **more):
    return load_study(
        {
            "name": "t",
            "rounds": rounds,
            "seeds": 1,
            "measures": ["niche_exposure", "coverage"],
            "world": {"users": 40, "items": 60, "topics": 5},
            "platform": {"warmup": 10, "slate": 4, "retrain_every": 4},
            "arms": [{"name": "a", "policy": policy or MF}],
            **more,
        }
    )


class Told(_Counting):
    """Remembers what was said, and how many rounds were announced."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


class Stopped:
    """Builds runs that are interrupted in one of their rounds, and counts the rounds that are stepped."""

    def __init__(self, at=None, error=KeyboardInterrupt):
        self.at, self.error, self.stepped = at, error, 0

    def __call__(self, *of):
        run = build(*of)
        step = run.step

        def stopping():
            if self.stepped == self.at:
                raise self.error
            self.stepped += 1
            return step()

        run.step = stopping
        return run


def tables(folder):
    runs = pd.read_parquet(folder / "runs.parquet").drop(columns="seconds")
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES} | {"runs": runs.to_json()}


def files(folder):
    return sorted(path.name for path in (folder / checkpoints.FOLDER).rglob("*") if path.is_file())


def run(what, folder, at=None, error=KeyboardInterrupt, every=5, **more):
    """Run a study, stopped after some rounds; return what was said and how many rounds were stepped."""
    told, builder = Told(), Stopped(at, error)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("echodrift.scenarios.execution.worker.build", builder)
            run_study(what, folder, RunOptions(progress=told, checkpoint_every=every, **more))
    except KeyboardInterrupt:
        assert at is not None
    return told, builder.stepped


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The tables of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    run(study(), folder, every=0)
    assert files(folder) == []
    return tables(folder)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_.#0-9]{1,12}", fullmatch=True).map("simulation.{}".format),
        arrays.arrays(
            arrays.scalar_dtypes().filter(lambda kind: kind.kind in "biufU") | st.just(np.dtype("<U5")),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    st.integers(0, 10**8 - 1),
)
def test_a_state_comes_back_bit_by_bit(tmp_path_factory, state, round):
    checkpoints = CheckpointFolder(tmp_path_factory.mktemp("state") / "run")
    checkpoints.write(round, state)
    (found,) = checkpoints.candidates(round)
    back = read(found)
    assert found.round == round and back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@given(st.data())
def test_a_file_that_is_not_whole_is_not_taken(tmp_path_factory, data):
    checkpoints = CheckpointFolder(tmp_path_factory.mktemp("damaged") / "run")
    checkpoints.write(3, {"a": np.arange(50), "b": np.zeros(3)})
    (found,) = checkpoints.candidates(3)
    content = bytearray(found.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    found.path.write_bytes(content)
    with pytest.raises(Unusable, match="is damaged"):
        read(found)
    assert checkpoints.latest(3) == (None, [(found, "is damaged")])


def test_never_a_pickle(tmp_path):
    with pytest.raises(PolicyError, match="x of the state .* Python objects"):
        checkpoint_bytes("r", 1, {"x": np.array([object()])})

    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "unpickled"),))

    buffer = io.BytesIO()
    header = {"format": FORMAT, "model": MODEL_VERSION, "echodrift": checkpoints.version(), "round": 1}
    np.savez(buffer, header=np.frombuffer(json.dumps(header).encode(), np.uint8), x=np.array([Bomb()]))
    path = tmp_path / "bomb.npz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(Unusable, match="is no checkpoint"):
        read(Checkpoint(path, False, 1, checkpoints._short_digest(buffer.getvalue())))
    assert not (tmp_path / "unpickled").exists()


def test_only_the_last_one_stays(tmp_path):
    checkpoints = CheckpointFolder(tmp_path / "checkpoints" / "run")
    for round in (5, 10):
        checkpoints.write(round, {"a": np.arange(round)})
    checkpoints.write(12, {"a": np.arange(12)}, final=True)
    checkpoints.write(15, {"a": np.arange(15)})
    assert [(c.round, c.final) for c in checkpoints.candidates(99)] == [(15, False), (12, True)]
    assert [c.round for c in checkpoints.candidates(14)] == [12]
    (checkpoints.folder / ".unfinished-x").touch()
    checkpoints.clear()
    assert [c.round for c in checkpoints.candidates(99)] == [12] and len(
        list(checkpoints.folder.iterdir())
    ) == 1
    checkpoints.write(20, {"a": np.arange(20)}, final=True)
    assert [c.round for c in checkpoints.candidates(99)] == [20]
    for path in checkpoints.folder.iterdir():
        path.unlink()
    checkpoints.clear()
    # the folder of all runs stays while a study is at work: somebody may be about to write there
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"] and not checkpoints.folder.exists()


def test_runs_of_a_course_that_differ_in_rounds_leave_each_other_alone(tmp_path):
    short, long = (CheckpointFolder(tmp_path / "course", rounds=rounds) for rounds in (6, 30))
    short.write(5, {"a": np.zeros(5)})
    long.write(5, {"a": np.ones(5)})
    long.write(20, {"a": np.ones(20)})
    assert [c.round for c in short.candidates(6)] == [5] and [c.round for c in long.candidates(30)] == [20, 5]
    other = long.folder / ".unfinished-round-00000025-of-00000030"
    other.touch()
    short.clear(last=False)
    assert other.exists() and [c.round for c in long.candidates(30)] == [20] and short.candidates(6) == []
    long.clear()
    assert not long.folder.exists()


def test_a_grid_over_rounds_goes_on_where_it_stopped(tmp_path):
    """The short run is finished when the long one is stopped; its end must not take the other's checkpoint along."""
    varied = study(grid={"rounds": [6, 12]})
    # 6 rounds of the first, 10 of the second
    run(varied, tmp_path / "out", 16)
    assert [name[:26] for name in files(tmp_path / "out")] == ["round-00000010-of-00000012"]
    told, stepped = run(varied, tmp_path / "out")
    assert told.said == ["1 run goes on from round 10"] and stepped == 2
    run(varied, tmp_path / "fresh")
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")
    assert not (tmp_path / "out" / checkpoints.FOLDER).exists()
    # and the other way round
    back = study(grid={"rounds": [12, 6]})
    run(back, tmp_path / "back", 17)
    told, stepped = run(back, tmp_path / "back")
    assert told.said == ["1 run goes on from round 5"] and stepped == 1


def test_an_interrupted_run_goes_on_with_more_rounds(tmp_path, whole):
    run(study(8), tmp_path, 6)
    told, stepped = run(study(), tmp_path)
    assert told.said[-1] == "1 run goes on from round 5" and stepped == 7
    assert tables(tmp_path) == whole and files(tmp_path) == []


@pytest.mark.parametrize("at", [0, 4, 5, 9, 11])
def test_goes_on_where_it_stopped(tmp_path, whole, at):
    run(study(), tmp_path, at)
    assert len(files(tmp_path)) == (at >= 5)
    told, stepped = run(study(), tmp_path)
    start = at // 5 * 5
    assert stepped == 12 - start == told.rounds == told.rounds_done
    assert ([f"1 run goes on from round {start}"] if start else []) == told.said
    assert tables(tmp_path) == whole
    assert files(tmp_path) == [] and not (tmp_path / checkpoints.FOLDER).exists()


@pytest.mark.parametrize("every", [0, 1, 3])
def test_the_output_does_not_depend_on_how_often(tmp_path, whole, every):
    run(study(), tmp_path, 7, every=3)
    _, stepped = run(study(), tmp_path, every=every)
    assert stepped == 6 and tables(tmp_path) == whole


def test_a_damaged_one_is_said_aloud(tmp_path, whole):
    run(study(), tmp_path, 11)
    (path,) = (tmp_path / checkpoints.FOLDER).rglob("*.npz")
    path.write_bytes(path.read_bytes()[:-1])
    told, stepped = run(study(), tmp_path)
    assert stepped == 12 and tables(tmp_path) == whole
    assert told.said == [f'warning: {path} is damaged; arm "a", seed 0 starts from round 0']


def test_one_of_another_version_is_said_aloud(tmp_path, whole, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(checkpoints, "version", lambda: "9.9")
        run(study(), tmp_path, 11)
    told, stepped = run(study(), tmp_path)
    assert stepped == 12 and tables(tmp_path) == whole
    assert "was written by echodrift 9.9" in told.said[0] and "starts from round 0" in told.said[0]


def test_one_under_the_name_of_another_round_is_said_aloud(tmp_path, whole):
    run(study(), tmp_path, 11)
    (path,) = (tmp_path / checkpoints.FOLDER).rglob("*.npz")
    path.rename(path.with_name(path.name.replace("round-00000010", "round-00000009")))
    told, stepped = run(study(), tmp_path)
    assert stepped == 12 and tables(tmp_path) == whole
    assert "is of round 10, not of the one in its name; " in told.said[0]


def test_one_of_another_run_is_said_aloud(tmp_path, whole):
    """The folders of two runs are swapped: each state is whole and of the right round."""
    run(study(policy={**MF, "dim": 2}), tmp_path / "other", 11)
    run(study(), tmp_path / "own", 11)
    own, other = (next((tmp_path / of / checkpoints.FOLDER).iterdir()) for of in ("own", "other"))
    for path in own.iterdir():
        path.unlink()
    for path in other.iterdir():
        path.rename(own / path.name)
    told, stepped = run(study(), tmp_path / "own")
    assert stepped == 12 and tables(tmp_path / "own") == whole
    assert f"is of another run ({other.name}); " in told.said[0]


def test_a_folder_with_the_name_of_one_does_not_fail_the_run(tmp_path, whole):
    run(study(), tmp_path, 6)
    (path,) = (tmp_path / checkpoints.FOLDER).rglob("*.npz")
    path.unlink()
    (path / "inside").mkdir(parents=True)
    (path.parent / "kept-00000003-0123456789abcdef0123456789abcdef.npz").mkdir()
    _, stepped = run(study(), tmp_path, every=4, keep_state=True)
    assert stepped == 12 and tables(tmp_path) == whole


def test_one_that_cannot_be_restored(tmp_path, whole, monkeypatch, capsys):
    run(study(), tmp_path, 11)
    (path,) = (tmp_path / checkpoints.FOLDER).rglob("*.npz")
    state = read(Checkpoint(path, False, 10, path.stem[-32:]))
    path.unlink()
    CheckpointFolder(path.parent).write(10, {**state, "simulation.world.taken": np.zeros(3)})
    _, stepped = run(study(), tmp_path)
    assert stepped == 12 and tables(tmp_path) == whole
    assert "cannot be resumed from (ValueError" in capsys.readouterr().err


def test_a_run_that_fails_starts_anew(tmp_path):
    run(study(), tmp_path, 11, error=ValueError("x"))
    assert files(tmp_path) == [] and pd.read_parquet(tmp_path / "runs.parquet")["status"].tolist() == [
        "failed"
    ]


def test_a_policy_without_a_state(tmp_path):
    told, _ = run(study(policy=ADAPTER), tmp_path, 11)
    assert files(tmp_path) == []
    [said] = told.said
    assert said.startswith('arm "a": adapter keeps no state') and "start from round 0" in said
    assert run(study(policy=ADAPTER), tmp_path / "short", every=12)[0].said == []


def test_more_rounds_go_on_from_the_end(tmp_path, whole):
    run(study(8), tmp_path / "a", keep_state=True)
    assert [name[:13] for name in files(tmp_path / "a")] == ["kept-00000008"]
    short = pd.read_parquet(tmp_path / "a" / "rounds.parquet")
    told, stepped = run(study(), tmp_path / "a")
    assert stepped == 4 and told.said == ["1 run goes on from round 8"]
    assert tables(tmp_path / "a") == whole
    assert (
        pd.read_parquet(tmp_path / "a" / "rounds.parquet")
        .query("round < 8")
        .reset_index(drop=True)
        .equals(short)
    )
    assert [name[:13] for name in files(tmp_path / "a")] == ["kept-00000008"], (
        "what was asked to be kept stays"
    )

    run(study(8), tmp_path / "b")
    told, stepped = run(study(), tmp_path / "b")
    assert stepped == 12 and tables(tmp_path / "b") == whole
    assert any("8 of 12 rounds and no kept state" in said for said in told.said)


def test_runs_of_a_course_differ_in_rounds_alone():
    def course(**fields):
        return expand(study(**fields))[0].prefix_key

    assert course() == course(rounds=13)
    others = [course(), course(policy={**MF, "dim": 4}), course(seeds=[1]), course(measures=["coverage"])]
    assert len(set(others)) == 4


@given(st.one_of(st.integers(max_value=-1), st.booleans(), st.text(), st.floats(), st.none()))
def test_bad_numbers_of_rounds(tmp_path_factory, every):
    folder = tmp_path_factory.mktemp("bad") / "out"
    with pytest.raises(BadInput, match="checkpoint_every = .*--checkpoint-every 250"):
        run_study(study(), folder, RunOptions(checkpoint_every=every))
    assert not folder.exists()
    with pytest.raises(BadInput, match="keep_state"):
        run_study(study(), folder, RunOptions(keep_state="yes"))  # type: ignore[arg-type]


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("echodrift.disk.write_synced", full)
    checkpoints = CheckpointFolder(tmp_path / "run")
    with pytest.raises(StorageError, match="the disk is full"):
        checkpoints.write(5, {"a": np.arange(3)})
    assert checkpoints.candidates(99) == [] and list(checkpoints.folder.iterdir()) == []


def test_the_command_has_the_default_of_the_package():
    import inspect

    from echodrift.cli.study_options import StudyOptions
    from echodrift.scenarios.api import run as function

    for each in (StudyOptions, function):
        assert inspect.signature(each).parameters["checkpoint_every"].default == EVERY


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from echodrift.cli import entry  # and all that a run imports: the children are forks
import echodrift.scenarios.runner, echodrift.scenarios.execution.build, echodrift.scenarios.result, pandas, pyarrow.parquet

command, out, kills = sys.argv[1:-1], Path(sys.argv[sys.argv.index("--out") + 1]), int(sys.argv[-1])
rng = random.Random(0)

def child():
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    sys.argv = ["echodrift", *command]
    try:
        entry.main()
    except SystemExit as end:
        os._exit(end.code or 0)
    finally:
        os._exit(1)

def names():
    return [name for _, _, found in os.walk(out / "checkpoints") for name in found]

def last():
    return max((int(name.split("-")[1]) for name in names() if name.startswith("round-")), default=0)

writing = 0
for turn in range(kills):
    pid, start, began = child(), last(), time.monotonic()
    goal = start + 5 * rng.choice([0, 2])
    if turn % 2:  # in the middle of a write
        while time.monotonic() - began < 20 and not (last() >= goal and any(n.startswith(".unf") for n in names())):
            time.sleep(0.0002)
    else:
        while time.monotonic() - began < 20 and last() < goal:
            time.sleep(0.001)
        time.sleep(rng.random() * (0.3 if goal == start else 0.03))
    os.killpg(pid, signal.SIGKILL) if os.getpgid(pid) == pid else os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status), f"it was done before kill {turn + 1}"
    writing += any(name.startswith(".unf") for name in names())
print("rounds", last(), "writing", writing, flush=True)
assert os.waitpid(child(), 0)[1] == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_twenty_times(tmp_path):
    """SIGKILL to the process group at 20 moments, half of them while a checkpoint is being written."""
    (tmp_path / "study.toml").write_text(
        """
        name = "t"
        rounds = 300
        seeds = 1
        measures = ["niche_exposure", "coverage", "minority_share", "homogenization"]
        world = { users = 40, items = 60, topics = 5, arrivals = 0.2 }
        platform = { warmup = 10, slate = 4, retrain_every = 4 }
        behavior = { repeat = 3, word_of_mouth = 0.2, rewiring = 0.05 }
        [[arms]]
        name = "a"
        policy = { kind = "matrix_factorization", dim = 3 }
        rerank = [{ kind = "exposure_fair" }]
        switch = [{ round = 30, users = 0.5, policy = { kind = "popularity" } }]
        """
    )

    def command(out):
        options = ["--jobs", "1", "--checkpoint-every", "5", "--no-report", "--quiet"]
        return ["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / out), *options]

    for out, kills in (("whole", 0), ("killed", 20)):
        ended = subprocess.run(
            [sys.executable, "-c", KILLER, *command(out), str(kills)],
            capture_output=True,
            check=False,
            text=True,
            timeout=500,
        )
        assert ended.returncode == 0, ended.stderr
    _, rounds, _, writing = ended.stdout.split()[:4]
    assert int(rounds) > 0 and int(writing) >= 3
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")
    assert files(tmp_path / "killed") == []
