"""Execute the runs of a study in processes, in threads or on a cluster. Results do not depend on the backend."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Self, get_args

from ...errors import BadInput, did_you_mean
from ..design.run import PlannedRun
from ..storage.store import Record, RunStore
from .memory import limit_jobs
from .parallel import Parent, resolve_jobs, run_parallel
from .progress import Progress
from .worker import Task, execute, execute_in_worker

Backend = Literal["loky", "threading", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
CLUSTERS = {"dask": "distributed", "ray": "ray"}
"""Backend → the package it needs."""


class Workers:
    """The workers of a study, as a context manager: clusters that were started or joined are closed at its end."""

    def __init__(
        self, backend: Backend, jobs: int, scheduler: str | None, plan: Sequence[PlannedRun]
    ) -> None:
        """Join a running scheduler and check its workers; anything else is started when first needed.

        plan: all runs that may follow, including those of later batches.

        Raises BadInput for a scheduler that does not answer and for workers that do not match the study.
        """
        self.backend = backend
        self._jobs = jobs
        self._plan = plan
        self._joined = False
        self._size = 1
        self._cluster: Any = None
        address = checked_backend(backend, scheduler)
        if address is not None:
            self._open(address, 0)

    @property
    def is_local(self) -> bool:
        """Whether a single job runs in this process and reports its rounds."""
        return self.backend not in CLUSTERS

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
        return _execute_locally(todo, store, jobs, self.backend, progress)


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


def _execute_locally(
    todo: Sequence[Task], store: RunStore, jobs: int, backend: str, progress: Progress
) -> Iterator[Record]:
    """Execute runs on this machine; a run in this process reports its rounds."""
    threads = backend == "threading"
    if jobs == 1:
        work = partial(execute, store=store, tick=progress.round_done)
    elif threads:
        work = partial(execute, store=store)
    else:
        work = partial(execute_in_worker, store=store, parent=Parent.current())

    def killed(task: Task) -> Record:
        run = task.run
        record = Record(run.key, run.label, "failed", "the process of this run was killed (out of memory?)")
        store.write(record, {})
        return record

    for _, record in run_parallel(todo, work, killed, jobs, threads=threads):
        yield record
