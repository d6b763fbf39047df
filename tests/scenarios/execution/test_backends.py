"""Where runs are done: the same tables on every backend, whatever dies, joins late or does not answer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import echodrift
import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput, ClusterError, ExitCode, StorageError
from echodrift.machine import one_thread
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.design.run import PlannedRun
from echodrift.scenarios.execution import clusters, parallel, pool
from echodrift.scenarios.execution.progress import Progress
from echodrift.scenarios.execution.remote import (
    Cancelled,
    Refusal,
    execute_remotely,
    pack,
    perform_packed,
    unpack,
)
from echodrift.scenarios.execution.requirements import (
    SAME_IF_PRESENT,
    SAME_VERSION,
    Requirements,
    mismatches,
    requirements_of,
    run_probe,
)
from echodrift.scenarios.execution.worker import Task
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.specs.study import Arm, Study
from echodrift.scenarios.storage.store import Record, RunStore, parquet
from hypothesis import example, given, settings
from hypothesis import strategies as st

# Worker processes cannot import test modules: they get this one's functions by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROUNDS = 20
ARMS = [{"name": name, "policy": {"kind": "random"}} for name in "abc"]


class Fake:
    """A run whose numbers depend on arm and seed."""

    notes: list[str] = []

    def __init__(self, study: Study, arm: Arm, seed: int, pause: float = 0.0) -> None:
        self.rounds, self.level, self.pause = study.rounds, float(len(arm.name)), pause
        self.rng = np.random.default_rng(seed)

    def step(self) -> dict[str, float]:
        time.sleep(self.pause)
        return {"welfare": self.level + self.rng.random(), "regret": float("nan")}

    def tables(self) -> dict[str, dict[str, list]]:
        columns = {"when": ["start"] * 2, "what": ["exposure"] * 2, "x": [0.0, 1.0], "y": [0.0, self.level]}
        return {"lorenz": columns}


def fake(study: Study, arm: Arm, seed: int) -> Fake:
    return Fake(study, arm, seed)


def slow(study: Study, arm: Arm, seed: int) -> Fake:
    return Fake(study, arm, seed, pause=0.03)


def killer(study: Study, arm: Arm, seed: int) -> Fake:
    if arm.name == "b" and seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return Fake(study, arm, seed)


def failing(study: Study, arm: Arm, seed: int) -> Fake:
    if arm.name == "b" and seed == 1:
        raise ZeroDivisionError("there is nothing to divide")
    return Fake(study, arm, seed)


class Threads(Fake):
    """Measures how many threads numerical libraries would take."""

    def step(self) -> dict[str, float]:
        import numba
        import scipy.linalg  # noqa: F401  brings a BLAS of its own
        from threadpoolctl import threadpool_info

        blas = [each["num_threads"] for each in threadpool_info()]
        return {"welfare": float(max(blas)), "regret": float(numba.get_num_threads()), "coverage": len(blas)}


def threads(study: Study, arm: Arm, seed: int) -> Threads:
    return Threads(study, arm, seed)


def real_but_slow(study: Study, arm: Arm, seed: int) -> Any:
    from echodrift.scenarios.execution.build import Run

    class Slow(Run):
        def step(self) -> dict[str, float]:
            time.sleep(0.03)
            return super().step()

    return Slow(study, arm, seed)


def study(**changes: Any) -> Study:
    return load_study({"name": "tiny", "rounds": ROUNDS, "seeds": 3, "arms": ARMS, **changes})


def real_study() -> Study:
    arms = [
        {"name": "popularity", "policy": {"kind": "popularity"}},
        {"name": "factors", "policy": {"kind": "matrix_factorization", "dim": 4}},
    ]
    world = {"users": 60, "items": 100, "topics": 5}
    return load_study(
        {"name": "real", "rounds": 25, "seeds": 3, "world": world, "platform": {"slate": 4}, "arms": arms}
    )


def go(out: Path, of: Study | None = None, builder: Any = fake, **how: Any) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", builder)
        run_study(of or study(), out, RunOptions(**how))
    return Result(out)


def tables(folder: Path) -> dict[str, bytes]:
    """The tables that must not depend on where a study was run, byte for byte."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.parquet") if path.name != "runs.parquet"}
    runs = pd.read_parquet(folder / "runs.parquet").drop(columns="seconds")
    return {**found, "runs": runs.to_csv().encode()}


# ---- addresses and numbers, as people write them


@pytest.mark.parametrize(
    ("backend", "written", "meant"),
    [
        ("dask", "tcp://10.0.0.5:8786", "tcp://10.0.0.5:8786"),
        ("dask", " tcp://Node7:8786/ ", "tcp://node7:8786"),
        ("dask", "node7", "tcp://node7:8786"),
        ("dask", "node7:9000", "tcp://node7:9000"),
        ("dask", "TLS://node7:9000", "tls://node7:9000"),
        ("dask", "tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("ray", "AUTO", "auto"),
        ("ray", "10.0.0.5", "10.0.0.5:6379"),
        ("ray", "ray://head", "ray://head:10001"),
        ("ray", "ray://head:1/", "ray://head:1"),
    ],
)
def test_addresses(backend: str, written: str, meant: str) -> None:
    assert clusters.address_of(backend, written) == meant


@pytest.mark.parametrize(
    ("backend", "written", "said"),
    [
        ("dask", "http://node7:8787", "dashboard"),
        ("dask", "ray://head:10001", "--backend ray"),
        ("ray", "tcp://head:8786", "--backend dask"),
        ("dask", "auto mobile", "not an address"),
        ("dask", "tcp://node7:99999", "port 99999 does not exist"),
        ("dask", "tcp://node7:0", "port 0 does not exist"),
        ("dask", "", "not an address"),
        ("ray", "tcp:///", "not an address"),
        ("dask", "tcp://node7:8786/path", "not an address"),
        ("dask", "ünode", "not an address"),
    ],
)
def test_addresses_that_cannot_be_meant(backend: str, written: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        clusters.address_of(backend, written)
    assert repr(written) in str(caught.value)


_HOSTS = st.sampled_from(["node7", "10.0.0.5", "[::1]", "a.b-c.example", "[fe80::1%eth0]"])


@given(
    backend=st.sampled_from(["dask", "ray"]),
    written=st.one_of(
        st.text(max_size=40),
        st.from_regex(r"[a-z]{0,5}(://)?[a-z0-9.:\[\]%-]{0,12}:?[0-9]{0,6}/?", fullmatch=True),
        st.builds(
            "{}{}:{}".format,
            st.sampled_from(["", "tcp://", "tls://", "ray://"]),
            _HOSTS,
            st.integers(0, 70_000),
        ),
    ),
)
@example(backend="dask", written="tcp://node7:08786")
@example(backend="dask", written="tcp://a@b:1")
def test_any_address_is_understood_or_refused(backend: str, written: str) -> None:
    """What is understood is written one way, means itself, and names a host and a port that can be."""
    try:
        meant = clusters.address_of(backend, written)
    except BadInput as error:
        assert "scheduler = " in str(error)
        return
    assert clusters.address_of(backend, meant) == meant
    if meant == "auto":
        return
    scheme, _, place = meant.rpartition("://")
    host, _, port = place.rpartition(":")
    assert scheme in (("tcp", "tls") if backend == "dask" else ("", "ray"))
    assert host and 1 <= int(port) <= 65535 and str(int(port)) == port
    assert host.lower() in written.lower()


@given(jobs=st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=5), st.none()))
@example(jobs=-1)
@example(jobs=True)
def test_jobs_are_whole_numbers(jobs: Any) -> None:
    if type(jobs) is int and (jobs == -1 or jobs >= 1):
        assert parallel.checked_jobs(jobs) == jobs
    else:
        with pytest.raises(BadInput, match="must be a whole number of at least 1, or -1"):
            parallel.checked_jobs(jobs)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"backend": "loky", "scheduler": "tcp://a:1"}, "loky works on this machine only"),
        ({"backend": "threading", "scheduler": "auto"}, "add --backend dask or --backend ray"),
        ({"backend": "dsak"}, 'Did you mean "dask"'),
        ({"backend": "dask", "scheduler": "nowhere:0"}, "port 0"),
        ({"backend": "dask", "jobs": 0}, "jobs = 0"),
        ({"backend": "dask", "jobs": 1.5}, "jobs = 1.5"),
        (
            {"backend": "dask", "scheduler": "127.0.0.1:1", "keep_state": True},
            "--keep-state does not go with --scheduler 127.0.0.1:1",
        ),
    ],
)
def test_options_that_do_not_go_together_start_nothing(
    tmp_path: Path, how: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        go(tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_missing_package_is_named(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=rf'pip install "echodrift\[{backend}\]"'):
        go(tmp_path / "out", backend=backend)
    assert not (tmp_path / "out").exists()


# ---- a scheduler that does not answer


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_nobody_at_the_address(tmp_path: Path, backend: str) -> None:
    with pytest.raises(BadInput, match=r"does not answer \(Connection refused\). Nothing was started"):
        go(tmp_path / "out", backend=backend, scheduler=f"127.0.0.1:{free_port()}")
    with pytest.raises(BadInput, match="does not answer"):
        go(tmp_path / "out", backend=backend, scheduler="no-such-host.invalid:8786")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_somebody_else_at_the_address(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that takes the call and never says a word."""
    monkeypatch.setattr("echodrift.scenarios.execution.dask_cluster.CONNECT_SECONDS", 2.0)
    monkeypatch.setattr("echodrift.scenarios.execution.ray_cluster.JOIN_SECONDS", 2.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(BadInput, match="does not answer"):
            go(tmp_path / "out", backend=backend, scheduler=f"127.0.0.1:{mute.getsockname()[1]}")
    assert not (tmp_path / "out").exists()


# ---- what a worker must have


def test_a_worker_like_this_one_goes_with_the_study() -> None:
    requirements = requirements_of(expand(study()))
    assert mismatches(requirements, run_probe({})) == []
    assert requirements.versions["numpy"] == np.__version__ and requirements.versions["model"]


@given(
    name=st.sampled_from([*SAME_VERSION, "python", "model", "code"]),
    other=st.none() | st.from_regex(r"[1-9]\.[0-9]{1,3}", fullmatch=True),
)
def test_every_other_version_is_named_with_ours(name: str, other: str | None) -> None:
    requirements = requirements_of(expand(study()))
    ours = requirements.versions[name]
    if other == ours:
        return
    wrong = mismatches(
        requirements, {"versions": {**requirements.versions, name: other}, "files": {}, "problems": {}}
    )
    assert len(wrong) == 1 and f"is {ours} here" in wrong[0] and (other or "missing") in wrong[0]


def test_a_copy_of_the_same_version_with_other_code_is_another_echodrift(tmp_path: Path) -> None:
    """Asked for real, in a process that finds the copy first; one without a change goes with the study."""
    root = Path(echodrift.__file__).parent
    copy = tmp_path / "echodrift"
    for part in ("agents", "policies", "sim", "analysis", "scenarios"):
        shutil.copytree(root / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in root.glob("*.py"):
        shutil.copy(file, copy)
    ask_there = "import json; from echodrift.scenarios.execution.requirements import run_probe; print(json.dumps(run_probe({})))"

    def answer() -> dict[str, Any]:
        where = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return json.loads(subprocess.check_output([sys.executable, "-c", ask_there], env=where, cwd=tmp_path))

    requirements = Requirements(run_probe({})["versions"], {})
    assert mismatches(requirements, answer()) == []
    with (copy / "agents/choice.py").open("a") as file:
        file.write("\n# changed\n")
    (wrong,) = mismatches(requirements, answer())
    assert wrong.startswith("the code of echodrift (") and f"is {requirements.versions['code']} here" in wrong


def test_packages_that_only_some_policies_need_may_be_missing() -> None:
    requirements = Requirements({"jax": "1.0", "numpy": "2.0"}, {})
    assert (
        mismatches(requirements, {"versions": {"jax": None, "numpy": "2.0"}, "files": {}, "problems": {}})
        == []
    )
    assert mismatches(requirements, {"versions": {"jax": "1.1", "numpy": "2.0"}, "files": {}, "problems": {}})
    assert set(SAME_IF_PRESENT) == {"jax", "jaxlib", "optax"}


def test_a_worker_needs_the_data_files_of_the_study(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("u,i\n1,2\n")
    requirements = requirements_of(
        expand(load_study({"name": "log", "world": {"log": str(log)}, "arms": ARMS[:1]}))
    )
    assert requirements.files["world.log"][0] == str(log)
    assert mismatches(requirements, run_probe({"world.log": str(log)})) == []
    run = expand(study())[0]
    versions, files, _, payload = pack(Task(run, None, fake), requirements)
    log.write_text("u,i\n1,3\n")
    answer = unpack(perform_packed(versions, files, payload, None), requirements)
    assert isinstance(answer, Refusal) and answer.wrong == [f"world.log: {log} has other content there"]
    log.unlink()
    answer = unpack(perform_packed(versions, files, payload, None), requirements)
    assert isinstance(answer, Refusal)
    assert answer.wrong == [f"world.log: {log} cannot be read there: No such file or directory"]


def test_data_files_that_a_grid_or_a_prior_names_are_compared_too(tmp_path: Path) -> None:
    logs = [str(tmp_path / name) for name in ("a.csv", "b.csv", "c.csv")]
    for number, path in enumerate(logs):
        Path(path).write_text(f"u,i\n1,{number}\n")
    varied = (
        {"grid": {"world.log": logs[1:]}},
        {"seeds": 20, "uncertainty": {"priors": {"world.log": {"choice": logs[1:]}}}},
    )
    for how in varied:
        of = load_study({"name": "log", "world": {"log": logs[0]}, "arms": ARMS[:1], **how})
        requirements = requirements_of(expand(of))
        assert sorted(path for path, _ in requirements.files.values()) == logs[1:]
        answer = run_probe({key: path for key, (path, _) in requirements.files.items()})
        assert mismatches(requirements, answer) == []
        (other,) = (key for key, (path, _) in requirements.files.items() if path == logs[2])
        answer["files"][other] = "0" * 64
        assert mismatches(requirements, answer) == [f"{other}: {logs[2]} has other content there"]


def test_a_parcel_becomes_the_files_that_the_run_would_have_written(tmp_path: Path) -> None:
    run = expand(study())[0]
    result = execute_remotely(Task(run, None, fake))
    assert result.record is not None
    RunStore(tmp_path / "there").write(result.record, result.unpacked())
    for name, data in result.tables.items():
        assert (tmp_path / "there" / run.key / f"{name}.parquet").read_bytes() == data
        assert parquet(result.unpacked()[name]) == data
    found = RunStore(tmp_path / "there").read(run.key)
    assert found is not None and found.summaries["welfare"] == result.record.summaries["welfare"]


def test_a_run_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        execute_remotely(Task(expand(study())[0], None, fake), lambda: next(asked))


# ---- what is sent again, and what is not, on a cluster of thin air


class Thin(clusters.Cluster):
    """Workers that do a run at once, or die by a plan: (key, nth time it is sent) → killed."""

    name = "thin air"

    def __init__(self, dies: Any, strikes: int = 1, places: int = 2) -> None:
        self.dies, self.strikes, self.places = dies, strikes, places
        self.sent: list[str] = []
        self.under_way: list[Any] = []
        self.most = 0

    def workers(self) -> int:
        return self.places

    def probe_workers(self, requirements: Requirements) -> dict[str, dict[str, Any]]:
        return {"thin:1": {**run_probe({})}}

    def send(self, task: Any, requirements: Requirements) -> None:
        self.sent.append(task.run.key)
        self.under_way.append((task, self.sent.count(task.run.key)))
        self.most = max(self.most, len(self.under_way))

    def wait(self, timeout: float) -> list[tuple[str, Any]]:
        if not self.under_way:
            return []
        task, time = self.under_way.pop(0)
        if not self.dies(task.run, time):
            return [(task.run.key, execute_remotely(task))]
        # The worker takes down with it all that it had.
        both, self.under_way = [task, *(other[0] for other in self.under_way)], []
        return [(each.run.key, clusters.WorkerDied("gone")) for each in both]

    def close(self) -> None:
        pass


def tasks(plan: list[PlannedRun]) -> list[Task]:
    return [Task(run, None, fake) for run in plan]


def done(cluster: Thin, folder: Path, jobs: int = 2, seeds: int = 3) -> dict[str, Record]:
    plan = expand(study(rounds=2, seeds=seeds))
    found: dict[str, Record] = {}
    for record in clusters.execute_on(
        cluster, tasks(plan), RunStore(folder), jobs, requirements_of(expand(study()))
    ):
        assert record.key not in found
        found[record.key] = record
    assert set(found) == {run.key for run in plan}
    return found


@settings(max_examples=15)
@given(
    deaths=st.dictionaries(st.integers(0, 5), st.integers(1, 4), max_size=4),
    strikes=st.integers(1, 3),
    jobs=st.integers(1, 4),
)
def test_a_run_is_given_up_only_when_it_dies_alone(
    tmp_path_factory: pytest.TempPathFactory, deaths: dict[int, int], strikes: int, jobs: int
) -> None:
    """Every run ends as one record, however workers die; only one that dies alone fails."""
    folder = tmp_path_factory.mktemp("thin")
    keys = [run.key for run in expand(study(rounds=2, seeds=2))]
    times = {keys[place]: count for place, count in deaths.items()}
    cluster = Thin(lambda run, time: time <= times.get(run.key, 0), strikes, places=jobs)
    found = done(cluster, folder, jobs, seeds=2)
    assert cluster.most <= jobs
    for key, record in found.items():
        # Alone is the time after `strikes` deaths, its own or those of its neighbors: the earliest.
        if record.status == "failed":
            assert times.get(key, 0) > strikes and "was killed (out of memory?)" in record.error
        if key not in times:
            assert record.status == "ok"
        assert cluster.sent.count(key) <= strikes + 1
    stored = {key: RunStore(folder).read(key) for key in keys}
    assert all(each is not None and each.status == found[key].status for key, each in stored.items())


def test_a_run_that_kills_its_worker_every_time_costs_itself_only(tmp_path: Path) -> None:
    cluster = Thin(lambda run, time: (run.arm.name, run.seed) == ("b", 1), strikes=2)
    failed = [record.label for record in done(cluster, tmp_path).values() if record.status == "failed"]
    assert failed == ['arm "b", seed 1']


def test_a_worker_that_joins_late_with_another_version_is_refused(tmp_path: Path) -> None:
    class Late(Thin):
        def wait(self, timeout: float) -> list[tuple[str, Any]]:
            if len(self.sent) < 4:
                return super().wait(timeout)
            task = self.under_way.pop(0)[0]
            return [(task.run.key, Refusal("node9, process 7", ["echodrift is 0.1.0 here, 0.0.9 there"]))]

    with pytest.raises(ClusterError, match="node9.*came later.*echodrift is 0.1.0 here, 0.0.9 there"):
        done(Late(lambda run, time: False), tmp_path)
    assert len(list(tmp_path.glob("*/run.json"))) >= 2


def test_workers_that_do_not_say_what_they_have_are_named() -> None:
    class Silent(Thin):
        def probe_workers(self, requirements: Requirements) -> dict[str, Any]:
            return {"thin:1": run_probe({}), "thin:2": None}

    requirements = Requirements(run_probe({})["versions"], {})
    with pytest.raises(BadInput, match=r"thin air: no answer within 120 seconds from 1 worker \(thin:2\)"):
        Silent(lambda run, time: False).check(requirements)


def test_a_torn_run_is_a_row_where_all_workers_are_right(tmp_path: Path) -> None:
    class Torn(Thin):
        def wait(self, timeout: float) -> list[tuple[str, Any]]:
            found = super().wait(timeout)
            return [
                (key, ModuleNotFoundError("mine") if key.startswith("c-seed2") else outcome)
                for key, outcome in found
            ]

    failed = [record for record in done(Torn(lambda run, time: False), tmp_path).values() if record.error]
    assert [record.label for record in failed] == ['arm "c", seed 2']
    assert "could not be sent or brought back: ModuleNotFoundError: mine" in failed[0].error


def test_a_checkpoint_that_cannot_be_written_ends_the_study(tmp_path: Path) -> None:
    """As it does on this machine: what is wrong is the disk, not the run."""

    class Full(Thin):
        def wait(self, timeout: float) -> list[tuple[str, Any]]:
            if len(self.sent) < 4:
                return super().wait(timeout)
            return [
                (
                    self.under_way.pop(0)[0].run.key,
                    StorageError("cannot write x: the disk is full\nMake room."),
                )
            ]

    with pytest.raises(StorageError, match="the disk is full\nMake room"):
        done(Full(lambda run, time: False), tmp_path)
    records = [RunStore(tmp_path).read(path.parent.name) for path in tmp_path.glob("*/run.json")]
    assert records and all(record is not None and record.status == "ok" for record in records)


def test_workers_that_join_later_are_taken_on_unless_a_number_was_asked_for(tmp_path: Path) -> None:
    class Growing(Thin):
        def wait(self, timeout: float) -> list[tuple[str, Any]]:
            self.places = 3
            return super().wait(timeout)

    plan = expand(study(rounds=2))
    for jobs, most in ((-1, 3), (2, 2)):
        workers = pool.Workers("dask", jobs, None, plan)
        cluster = workers._cluster = Growing(lambda run, time: False, places=1)
        workers._joined, workers._requirements = True, requirements_of(plan)
        jobs_at_a_time = workers.jobs_for(plan, Progress())
        assert jobs_at_a_time == (1 if jobs == -1 else 2)
        list(workers.execute(tasks(plan), RunStore(tmp_path / str(jobs)), jobs_at_a_time, Progress()))
        assert cluster.most == most


def test_a_cluster_of_our_own_is_made_for_all_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first batch of which one run is left does not make it a cluster of one worker."""
    made: list[Thin] = []

    class Own(Thin):
        def __init__(self, address: str | None, jobs: int) -> None:
            super().__init__(lambda run, time: False, places=jobs)
            made.append(self)

    class Batches:
        study, most, manifest_entry = study(seeds=4, rounds=2), 4, {}

        def batches(self, folder: Path, progress: Progress) -> Iterator[Study]:
            yield study(seeds=1, rounds=2)
            yield self.study

    monkeypatch.setattr("echodrift.scenarios.execution.dask_cluster.DaskCluster", Own)
    go(tmp_path, study(seeds=1, rounds=2))
    shutil.rmtree(next((tmp_path / "runs").glob("b-seed0-*")))
    go(tmp_path, backend="dask", jobs=3, until=Batches())
    (cluster,) = made
    assert cluster.places == cluster.most == 3 and len(cluster.sent) == 10
    # with one batch, what is left is all that it is made for
    shutil.rmtree(next((tmp_path / "runs").glob("b-seed0-*")))
    go(tmp_path, study(seeds=4, rounds=2), backend="dask", jobs=3)
    assert made[1].places == 1


def test_a_cluster_without_workers_ends_the_study(tmp_path: Path) -> None:
    cluster = Thin(lambda run, time: False)
    cluster.places = 0
    plan = expand(study(rounds=2))
    with pytest.raises(ClusterError, match="no worker could be reached for 0 seconds"):
        list(
            clusters.execute_on(
                cluster, tasks(plan), RunStore(tmp_path), 2, requirements_of(expand(study())), patience=0.0
            )
        )
    assert ClusterError.exit_code == ExitCode.RUN_FAILED


# ---- one thread per run


def most_threads(result: Result) -> tuple[float, float]:
    assert not len(result.failed), result.failed["error"].iloc[0]
    assert result.rounds["coverage"].min() >= 1  # some BLAS was there to be asked
    return result.rounds["welfare"].max(), result.rounds["regret"].max()


@pytest.mark.parametrize(
    "how", [{"jobs": 1}, {"jobs": 2, "backend": "threading"}, {"jobs": 2, "backend": "loky"}]
)
def test_a_run_has_one_thread(tmp_path: Path, how: dict[str, Any]) -> None:
    import numba
    from threadpoolctl import threadpool_info

    before = numba.get_num_threads(), [each["num_threads"] for each in threadpool_info()]
    assert most_threads(go(tmp_path, study(rounds=2), builder=threads, **how)) == (1, 1)
    assert (numba.get_num_threads(), [each["num_threads"] for each in threadpool_info()]) == before


def test_threads_are_given_back_when_the_last_run_is_over() -> None:
    from threadpoolctl import threadpool_info

    def now() -> list[int]:
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    before, first, second = now(), one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(now()) == {1}
    second.__exit__(None, None, None)
    assert now() == before


# ---- Dask, for real


class Separate:
    """A scheduler and workers as processes of their own, over TCP on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        at = folder / "scheduler.json"
        self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", at
        )
        self.address = self._wait(lambda: json.loads(at.read_text())["address"])

    def _start(self, what: str, *options: Any, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, options)]
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=log, stderr=log, env={**os.environ, **environment}
        )
        self.processes.append(process)
        return process

    def worker(self, name: str, **environment: str) -> subprocess.Popen:
        """Start a worker with one thread and wait until the scheduler knows it."""
        from distributed import Client

        options = ["--name", name, "--nthreads", 1, "--no-dashboard", "--no-nanny", "--memory-limit", 0]
        process = self._start("worker", self.address, *options, **environment)
        with Client(self.address, set_as_default=False) as client:
            self._wait(lambda: {each["name"]: each for each in self.known(client).values()}[name])
        return process

    @staticmethod
    def known(client: Any) -> dict[str, Any]:
        return client.run_on_scheduler(
            lambda dask_scheduler: {
                address: {"name": each.name, "busy": len(each.processing)}
                for address, each in dask_scheduler.workers.items()
            }
        )

    def _wait(self, work: Any) -> Any:
        until = time.monotonic() + 120
        while True:
            try:
                return work()
            except (OSError, KeyError, ValueError):
                assert time.monotonic() < until, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def separate(tmp_path: Path) -> Iterator[Separate]:
    (tmp_path / "cluster").mkdir()
    found = Separate(tmp_path / "cluster")
    yield found
    found.close()


@pytest.mark.slow
def test_a_worker_killed_in_mid_study_changes_nothing(tmp_path: Path, separate: Separate) -> None:
    """Separate processes over TCP, a real study, SIGKILL for a worker that has a run: loky's tables, byte for byte."""
    from distributed import Client

    workers = {name: separate.worker(name) for name in ("one", "two")}
    watching = Client(separate.address, set_as_default=False)
    victims: list[str] = []

    class Killing(Progress):
        def run_done(self, rounds: int, failed: bool) -> None:
            busy = [each["name"] for each in separate.known(watching).values() if each["busy"]]
            if busy and not victims:
                victims.append(busy[0])
                workers[busy[0]].send_signal(signal.SIGKILL)

    how = {"backend": "dask", "scheduler": separate.address, "jobs": -1, "builder": real_but_slow}
    result = go(tmp_path / "dask", real_study(), progress=Killing(), **how)
    watching.close()
    assert not len(result.failed), result.failed["error"].iloc[0]
    assert victims and workers[victims[0]].wait() == -signal.SIGKILL
    run_study(real_study(), tmp_path / "loky", RunOptions(jobs=2))
    assert tables(tmp_path / "dask") == tables(tmp_path / "loky")
    # the cluster is somebody else's: it is still there, without our runs
    assert separate.processes[0].poll() is None
    (left,) = set(workers) - set(victims)
    assert workers[left].poll() is None
    assert most_threads(
        go(tmp_path / "threads", study(seeds=1, rounds=2), **{**how, "builder": threads})
    ) == (1, 1)


@pytest.mark.slow
def test_workers_with_another_echodrift_are_refused(tmp_path: Path, separate: Separate) -> None:
    """Both versions are named: before any work, and when such a worker joins in mid-study."""
    from importlib.metadata import version

    other = tmp_path / "site" / "echodrift-0.0.7.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: echodrift\nVersion: 0.0.7\n")
    both = rf"echodrift is {version('echodrift')} here, 0\.0\.7 there"
    good = separate.worker("good")

    class Joining(Progress):
        joined = False

        def run_done(self, rounds: int, failed: bool) -> None:
            if not self.joined:
                self.joined = True
                separate.worker("other", PYTHONPATH=str(tmp_path / "site"))

    how = {"backend": "dask", "scheduler": separate.address, "jobs": -1}
    with pytest.raises(ClusterError, match=rf"came later and does not match this study: {both}") as caught:
        go(tmp_path / "late", study(seeds=30), progress=Joining(), builder=slow, **how)
    assert "of 90 runs are finished and kept" in str(caught.value)
    assert len(list((tmp_path / "late/runs").glob("*/run.json"))) >= 1
    with pytest.raises(BadInput, match=both):
        go(tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()
    good.kill()


@pytest.mark.slow
def test_a_worker_that_hangs_is_named_before_anything_starts(
    tmp_path: Path, separate: Separate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.setattr(clusters, "PROBE_SECONDS", 15.0)
    hangs = separate.worker("hangs")
    with Client(separate.address, set_as_default=False) as client:
        (address,) = separate.known(client)
    hangs.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(BadInput, match=rf"no answer within 15 seconds from 1 worker \({address}\)"):
            go(tmp_path / "out", backend="dask", scheduler=separate.address, jobs=-1)
    finally:
        hangs.send_signal(signal.SIGCONT)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_dask_on_this_machine(tmp_path: Path) -> None:
    """A run that kills its worker again and again is a failed row; then the study can be completed."""
    result = go(tmp_path / "dask", study(seeds=2), builder=killer, backend="dask", jobs=2)
    assert list(zip(result.failed["arm"], result.failed["seed"], strict=True)) == [("b", 1)]
    assert set(result.failed["error"]) == {"the worker of this run was killed (out of memory?)"}
    result = go(tmp_path / "dask", study(seeds=2), builder=failing, backend="dask", jobs=1)
    assert set(result.failed["error"]) == {"ZeroDivisionError: there is nothing to divide"}
    go(tmp_path / "dask", study(seeds=2))
    go(tmp_path / "loky", study(seeds=2))
    assert tables(tmp_path / "dask") == tables(tmp_path / "loky")


LISTENERS = """
import sys
import psutil
from echodrift.scenarios.execution.dask_cluster import DaskCluster
from echodrift.scenarios.execution.ray_cluster import RayCluster

if __name__ == "__main__":
    cluster = {"dask": DaskCluster, "ray": RayCluster}[sys.argv[1]](None, 1)
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        for each in process.net_connections("inet"):
            if each.status == psutil.CONN_LISTEN:
                print(each.laddr.ip)
    cluster.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_clusters_started_for_a_study_listen_on_loopback_only(tmp_path: Path, backend: str) -> None:
    (tmp_path / "listeners.py").write_text(LISTENERS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(tmp_path / "listeners.py"), backend]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    addresses = set(done.stdout.split())
    assert addresses and addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.slow
def test_ray_on_this_machine(tmp_path: Path) -> None:
    """One thread each; a killed worker costs nothing; a run that kills its own every time is a failed row."""
    import ray

    result = go(tmp_path / "ray", study(seeds=2), builder=killer, backend="ray", jobs=2)
    assert list(zip(result.failed["arm"], result.failed["seed"], strict=True)) == [("b", 1)]
    assert not ray.is_initialized()
    once = tmp_path / "once"

    def killed_once(study: Study, arm: Arm, seed: int) -> Fake:
        if arm.name == "b" and seed == 1 and not once.exists():
            once.write_text("dead")
            os.kill(os.getpid(), signal.SIGKILL)
        return Fake(study, arm, seed)

    result = go(tmp_path / "ray", study(seeds=2), builder=killed_once, backend="ray", jobs=2)
    assert once.exists() and not len(result.failed)
    go(tmp_path / "loky", study(seeds=2))
    assert tables(tmp_path / "ray") == tables(tmp_path / "loky")
    assert most_threads(
        go(tmp_path / "threads", study(seeds=1, rounds=2), builder=threads, backend="ray")
    ) == (1, 1)


STOPPED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in the background hand down that it is ignored
from pathlib import Path
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution import worker
from echodrift.scenarios.runner import RunOptions, run_study

def build(study, arm, seed):
    import time

    class Slow:
        notes = []
        rounds = study.rounds
        at = seed
        def step(self):
            time.sleep(0.02)
            self.at += 1
            return {"welfare": self.at / 7}
        def tables(self):
            return {"lorenz": {"x": [0.0], "y": [1.0]}}

    return Slow()

if __name__ == "__main__":
    arms = [{"name": name, "policy": {"kind": "random"}} for name in "abc"]
    study = load_study({"name": "slow", "rounds": 20, "seeds": 10, "arms": arms})
    worker.build = build
    run_study(study, Path(sys.argv[1]), RunOptions(jobs=2, backend=sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_ctrl_c_keeps_finished_runs_and_leaves_nobody_behind(tmp_path: Path, backend: str) -> None:
    """The terminal sends the signal to all processes of the group, workers included."""
    (tmp_path / "slow.py").write_text(STOPPED)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "out"), backend]
    mark = f"stopped-{os.getpid()}-{backend}"
    process = subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, text=True, env={**os.environ, "MARK": mark}
    )
    until = time.monotonic() + 300
    while len(list((tmp_path / "out/runs").glob("*/run.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert "Interrupted: Stopped." in errors.splitlines()[-1], errors
    assert "of 30 runs are finished and kept" in errors and errors.count("Traceback") == 1, errors
    kept = len(list((tmp_path / "out/runs").glob("*/run.json")))
    assert 1 <= kept < 30
    until = time.monotonic() + 60
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert not marked(mark)
    assert len(list((tmp_path / "out/runs").glob("*/run.json"))) == kept
    assert not list((tmp_path / "out").rglob(".unfinished*"))


def marked(mark: str) -> list[str]:
    """Processes with this mark in their environment."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
