"""Execute the runs of a study in processes, in threads or on a cluster. Results do not depend on the backend."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Self, get_args

from ...errors import BadInput, did_you_mean
from ...policies.registry import is_outside, only_in_this_process
from ..code.study_code import components
from ..design.run import PlannedRun
from ..storage.store import Record, RunStore
from .memory import limit_jobs
from .parallel import Jobs, Parent, resolve_jobs, run_in_threads, run_parallel
from .progress import Progress
from .worker import Task, execute, execute_in_worker, load_libraries

Backend = Literal["loky", "threading", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
CLUSTERS = {"dask": "distributed", "ray": "ray"}
"""Backend → the package it needs."""


class Workers:
    """The workers of a study, as a context manager: clusters that were started or joined are closed at its end."""

    def __init__(
        self,
        backend: Backend,
        jobs: int,
        scheduler: str | None,
        plan: Sequence[PlannedRun],
        run_timeout: float | None = None,
    ) -> None:
        """Join a running scheduler and check its workers; anything else is started when first needed.

        plan: all runs that may follow, including those of later batches. run_timeout: most seconds for a run.

        Raises BadInput for a scheduler that does not answer and for workers that do not match the study.
        """
        self.backend = backend
        self._jobs = jobs
        self._plan = plan
        self._joined = False
        self._size = 1
        self._cluster: Any = None
        self._timeout = run_timeout
        self._apart = _runs_apart(plan, run_timeout)
        address = checked_backend(backend, scheduler)
        if address is not None:
            self._open(address, 0)

    def reports_rounds(self, jobs: int) -> bool:
        """Return whether runs are executed in this process, one at a time, and report their rounds."""
        return jobs == 1 and self.backend not in CLUSTERS and not self._in_processes(jobs)

    def _in_processes(self, jobs: int) -> bool:
        return self.backend == "loky" and (jobs > 1 or self._apart or self._timeout is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._cluster is not None:
            self._cluster.close()

    def _open(self, address: str | None, jobs: int) -> None:
        from .requirements import requirements_of

        self._requirements = requirements_of(self._plan)
        if self.backend == "dask":
            from .dask_cluster import DaskCluster as Kind
        else:
            from .ray_cluster import RayCluster as Kind
        self._cluster = Kind(address, jobs)
        try:
            self._cluster.check(self._requirements)
        except BaseException:
            self._cluster.close()
            raise
        self._joined = address is not None

    def jobs_for(self, todo: Sequence[PlannedRun], progress: Progress, done: Container[str] = ()) -> int:
        """Return how many runs to execute at a time, limited by the option, the number of runs, and free memory.

        done: keys of finished runs. A cluster of our own is sized for all runs that may still follow.
        """
        if self._joined:
            available = self._cluster.workers()
            return max(1, min(available if self._jobs == -1 else self._jobs, len(todo)))
        own = self.backend in CLUSTERS
        if own and (self._cluster is not None or not todo):
            return max(1, min(self._size, len(todo)))
        ahead = list({run.key: run for run in self._plan if run.key not in done}.values()) if own else todo
        jobs = max(1, min(resolve_jobs(self._jobs), len(ahead)))
        jobs, note = limit_jobs(jobs, ahead, shared=self.backend == "threading")
        if note:
            progress.note(note)
        self._size = jobs
        return max(1, min(jobs, len(todo)))

    def execute(
        self, todo: Sequence[Task], store: RunStore, jobs: int, progress: Progress
    ) -> Iterator[Record]:
        """Execute the runs and yield their records as they finish.

        Raises ClusterError when the cluster is lost.
        """
        if not todo:
            return iter(())
        if self.backend in CLUSTERS:
            from . import clusters

            if self._cluster is None:
                self._open(None, self._size)
            cluster: Any = self._cluster
            # Workers that join later are used, too, unless a number of jobs was given.
            most = len(todo) if self._joined and self._jobs == -1 else jobs
            return clusters.execute_on(cluster, todo, store, most, self._requirements)
        if not self._in_processes(jobs):
            return _execute_here(todo, store, jobs, progress)
        return _execute_in_processes(todo, store, jobs, progress, self._apart, self._timeout)


def checked_backend(backend: str, scheduler: str | None) -> str | None:
    """Return the address of the scheduler to join (None: no scheduler), or raise BadInput."""
    if backend not in BACKENDS:
        close = did_you_mean(str(backend), BACKENDS)
        raise BadInput(f"backend = {backend!r}: must be one of {', '.join(BACKENDS)}.{close}")
    if backend not in CLUSTERS:
        if scheduler is not None:
            raise BadInput(
                f"scheduler = {scheduler!r}: {backend} works on this machine only and joins nothing; "
                "add --backend dask or --backend ray, or leave --scheduler out"
            )
        return None
    if find_spec(CLUSTERS[backend]) is None:
        raise BadInput(
            f'--backend {backend} needs a package that is missing: pip install "echodrift[{backend}]"'
        )
    if scheduler is None:
        return None
    from .clusters import address_of

    return address_of(backend, scheduler)


def checked_timeout(seconds: float | None, backend: str) -> float | None:
    """Return the time limit of a run in seconds (None: no limit), or raise BadInput."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise BadInput(f"run_timeout = {seconds!r}: must be a number of seconds above 0, such as 600")
    if backend != "loky":
        raise BadInput(
            f"--run-timeout {seconds:g} does not go with --backend {backend}: only a process of this machine can be "
            "ended while it runs. Leave out one of the two"
        )
    return float(seconds)


def _runs_apart(plan: Sequence[PlannedRun], run_timeout: float | None) -> bool:
    """Return whether runs need processes of their own, because they execute code that is not echodrift's.

    Raises BadInput for a time limit of code that other processes cannot import.
    """
    arms = {id(run.arm): run.arm for run in plan}.values()
    everything = [each for arm in arms for each in components(arm)]
    here = [spec["kind"] for category, spec in everything if only_in_this_process(category, spec)]
    if here and run_timeout is not None:
        raise BadInput(
            f'--run-timeout {run_timeout:g}: kind "{here[0]}" exists in this process only, where nothing can end it. '
            'Put the class in a file of its own and name it "file:Class"'
        )
    return not here and any(is_outside(category, spec) for category, spec in everything)


def _execute_here(todo: Sequence[Task], store: RunStore, jobs: int, progress: Progress) -> Iterator[Record]:
    """Execute runs in this process, in threads if several at a time; a single one reports its rounds."""
    if jobs == 1:
        same: Jobs[Task, Record] = Jobs(partial(execute, store=store, tick=progress.round_done), _never, 1)
        pairs = run_parallel(todo, same)
    else:
        pairs = run_in_threads(todo, partial(execute, store=store), jobs)
    for _, record in pairs:
        yield record


def _never(task: Task, why: str) -> Record:
    raise AssertionError(f"{task.run.label} {why}")


def _execute_in_processes(
    todo: Sequence[Task], store: RunStore, jobs: int, progress: Progress, apart: bool, limit: float | None
) -> Iterator[Record]:
    def killed(task: Task, why: str) -> Record:
        run = task.run
        finished = store.read(run.key)
        if finished is not None and finished.status == "ok":
            return finished  # The process ended after it had written the result.
        record = Record(run.key, run.label, "failed", f"the process of this run {why}")
        store.write(record, {})
        return record

    def output(task: Task, text: str) -> None:
        progress.output(task.run.label, text)

    work = partial(execute_in_worker, store=store, parent=Parent.current())
    for _, record in run_parallel(
        todo, Jobs(work, killed, jobs, apart, limit, prepare=load_libraries, output=output)
    ):
        yield record
