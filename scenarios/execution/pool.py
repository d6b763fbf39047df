"""Runs spread over processes, threads or a cluster. What they give does not depend on how they are spread."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Self, get_args

from ...errors import BadInput, did_you_mean
from ..design.run import PlannedRun
from ..storage.store import Record, RunStore
from .memory import bounded
from .progress import Quiet
from .spread import Home, checked_jobs, cores, spread
from .worker import Task, carry_out, carry_out_alone

Backend = Literal["loky", "threading", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
CLUSTERS = {"dask": "distributed", "ray": "ray"}
"""Backend → the package it needs."""


class Workers:
    """Where the runs of a study are done. A context: what was started or joined is closed at its end."""

    def __init__(
        self, backend: Backend, jobs: int, scheduler: str | None, plan: Sequence[PlannedRun]
    ) -> None:
        """Join a running scheduler (its workers are checked); anything else is started when first needed.

        plan: all runs that may come, those of later batches among them.

        Raises BadInput for options that do not go together, a missing package, a scheduler that does not
        answer, workers that do not go with the study.
        """
        self.backend = backend
        self._jobs = checked_jobs(jobs)
        self._plan = plan
        self._joined = False
        self._size = 1
        self._cluster: Any = None
        address = checked_backend(backend, scheduler)
        if address is not None:
            self._open(address, 0)

    @property
    def here(self) -> bool:
        """Whether one job at a time stays in this process and tells its rounds."""
        return self.backend not in CLUSTERS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._cluster is not None:
            self._cluster.close()

    def _open(self, address: str | None, jobs: int) -> None:
        from .terms import terms_of

        self._terms = terms_of(self._plan)
        if self.backend == "dask":
            from .dask_cluster import DaskCluster as Kind
        else:
            from .ray_cluster import RayCluster as Kind
        self._cluster = Kind(address, jobs)
        try:
            self._cluster.check(self._terms)
        except BaseException:
            self._cluster.close()
            raise
        self._joined = address is not None

    def at_once(self, todo: Sequence[PlannedRun], progress: Quiet, done: Container[str] = ()) -> int:
        """Return how many of the runs to do at a time: as asked for, as many as there are, as memory allows.

        done: keys of finished runs. A cluster of our own is as large as the runs that may still come want it.
        """
        if self._joined:
            there = self._cluster.workers()
            return max(1, min(there if self._jobs == -1 else self._jobs, len(todo)))
        own = self.backend in CLUSTERS
        if own and (self._cluster is not None or not todo):
            return max(1, min(self._size, len(todo)))
        ahead = list({run.key: run for run in self._plan if run.key not in done}.values()) if own else todo
        jobs = max(1, min(cores(self._jobs), len(ahead)))
        jobs, note = bounded(jobs, ahead, shared=self.backend == "threading")
        if note:
            progress.say(note)
        self._size = jobs
        return max(1, min(jobs, len(todo)))

    def carried_out(
        self, todo: Sequence[Task], store: RunStore, jobs: int, progress: Quiet
    ) -> Iterator[Record]:
        """Do the runs and give their records as they finish.

        Raises ClusterError where a cluster is lost on the way.
        """
        if not todo:
            return iter(())
        if self.backend in CLUSTERS:
            from . import clusters

            if self._cluster is None:
                self._open(None, self._size)
            cluster: Any = self._cluster
            # Workers that join later are taken on, unless a number was asked for.
            most = len(todo) if self._joined and self._jobs == -1 else jobs
            return clusters.carried_out(cluster, todo, store, most, self._terms)
        return _here(todo, store, jobs, self.backend, progress)


def checked_backend(backend: str, scheduler: str | None) -> str | None:
    """Return the address of the scheduler to join (None: none), or raise BadInput."""
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


def _here(
    todo: Sequence[Task], store: RunStore, jobs: int, backend: str, progress: Quiet
) -> Iterator[Record]:
    """Do the runs on this machine; a run that stays in this process tells its rounds."""
    threads = backend == "threading"
    if jobs == 1:
        work = partial(carry_out, store=store, tick=progress.round)
    elif threads:
        work = partial(carry_out, store=store)
    else:
        work = partial(carry_out_alone, store=store, home=Home.here())

    def killed(task: Task) -> Record:
        run = task.run
        record = Record(run.key, run.label, "failed", "the process of this run was killed (out of memory?)")
        store.write(record, {})
        return record

    for _, record in spread(todo, work, killed, jobs, threads=threads):
        yield record
