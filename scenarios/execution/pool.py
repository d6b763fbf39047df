"""Runs spread over processes, threads or a cluster. What they give does not depend on how they are spread."""

from __future__ import annotations

import os
import warnings
from collections.abc import Container, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Self, get_args

from ...errors import BadInput, did_you_mean
from ...machine import THREADS, one_thread
from ..design.run import PlannedRun
from ..storage.store import Record, RunStore
from .memory import bounded
from .progress import Quiet
from .worker import Home, Task, carry_out, carry_out_alone

Backend = Literal["loky", "threading", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
CLUSTERS = {"dask": "distributed", "ray": "ray"}
"""Backend → the package it needs."""
LOKY_WARNINGS = r".*tasks (have been successfully|which were still)|A worker stopped while some jobs"
"""What loky says when a study is stopped (what those tasks did is on disk and is taken over), and when it
replaces a worker that has grown, as workers with jax do (the run that it had is finished first)."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        jobs = max(1, min(cores() if self._jobs == -1 else self._jobs, len(ahead)))
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


def checked_jobs(jobs: int) -> int:
    """Return a number of jobs, or raise BadInput."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs != -1 and jobs < 1:
        raise BadInput(f"jobs = {jobs!r}: must be a whole number of at least 1, or -1 for one per core")
    return jobs


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
    """One job stays in this process, round by round."""
    if jobs == 1:
        with one_thread():
            for task in todo:
                yield carry_out(task, store, progress.round)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if backend == "threading":
        with one_thread(), parallel_config(backend="threading"):
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            yield from pool(delayed(_in_a_thread)(task, store) for task in todo)
        return
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=LOKY_WARNINGS)
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            yield from pool(delayed(carry_out_alone)(task, store, Home.here()) for task in todo)
    except TerminatedWorkerError:
        # Something killed a worker, most likely for its memory. Which run it was is not known, so the
        # rest are done one at a time, each in a process of its own.
        yield from _one_by_one(todo, store)


def _in_a_thread(task: Task, store: RunStore) -> Record:
    # numba and OpenMP count their threads per thread.
    with one_thread():
        return carry_out(task, store)


def _one_by_one(todo: Sequence[Task], store: RunStore) -> Iterator[Record]:
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    for task in todo:
        run = task.run
        found = store.read(run.key)
        if found is None or found.status != "ok":
            with ProcessPoolExecutor(max_workers=1, env=dict.fromkeys(THREADS, "1")) as alone:
                try:
                    found = alone.submit(partial(carry_out_alone, task, store, Home.here())).result()
                except TerminatedWorkerError:
                    found = Record(
                        run.key, run.label, "failed", "the process of this run was killed (out of memory?)"
                    )
                    store.write(found, {})
        yield found
