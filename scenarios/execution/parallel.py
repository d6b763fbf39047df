"""Run jobs in parallel on this machine, in processes or threads. Results do not depend on how jobs are distributed."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from ...errors import BadInput
from ...machine import THREADS, one_thread
from ...policies.registry import Category, is_known_to_workers

J = TypeVar("J")
R = TypeVar("R")
LOKY_WARNINGS = r".*tasks (have been successfully|which were still)|A worker stopped while some jobs"
"""Warnings of loky when it is stopped before the last job, and when it replaces a worker whose memory has grown, as
happens with jax (the worker's job is finished first)."""


def checked_jobs(jobs: int) -> int:
    """Return the number of jobs, or raise BadInput."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs != -1 and jobs < 1:
        raise BadInput(f"jobs = {jobs!r}: must be a whole number of at least 1, or -1 for one per core")
    return jobs


def jobs_or_default(jobs: int | None, components: Any) -> int:
    """Return the number of jobs as given; without one −1, or 1 for components that only this process can build.

    components: tables with a `kind`, at any depth. A class in a script or notebook, or a kind that was registered in
    this process, cannot be found by another process.
    """
    if jobs is not None:
        return checked_jobs(jobs)
    return 1 if any(map(_is_only_here, _kinds_in(components))) else -1


def _kinds_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("kind"), str):
            yield value["kind"]
        value = list(value.values())
    for part in value if isinstance(value, list | tuple) else ():
        yield from _kinds_in(part)


def _is_only_here(kind: str) -> bool:
    categories: tuple[Category, ...] = ("policies", "rerankers", "log_transforms")
    return not all(is_known_to_workers(category, kind) for category in categories)


def resolve_jobs(jobs: int) -> int:
    """Return how many jobs run at a time; −1 means one per core that this process may use."""
    if checked_jobs(jobs) != -1:
        return jobs
    import joblib

    return joblib.cpu_count()


class Environment(dict[str, str]):
    """Environment variables; what they hold, such as tokens, is not shown."""

    def __repr__(self) -> str:
        return f"<{len(self)} variables>"


class Parent(NamedTuple):
    """The process that started the workers."""

    pid: int
    path: tuple[str, ...]
    """Its `sys.path`. Workers outlive a study, and a user's policies may have moved to another folder since."""
    environment: Environment = Environment()
    """Its environment, in which tokens may have been set since, without the numbers of threads."""

    @classmethod
    def current(cls) -> Parent:
        """Return this process."""
        variables = {name: value for name, value in os.environ.items() if name not in THREADS}
        return cls(os.getpid(), tuple(sys.path), Environment(variables))

    def prepare_worker(self) -> None:
        """Make this process a worker of the parent: leave Ctrl-C to it, use its paths and variables, exit when it is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.exit_if_gone()
        sys.path[:] = self.path
        os.environ.update(self.environment)

    def exit_if_gone(self) -> None:
        """Exit when the parent is gone, because nobody is left to receive a result or an error."""
        if os.getppid() != self.pid:
            os._exit(1)


def run_parallel(
    todo: Iterable[J],
    work: Callable[[J], R],
    killed: Callable[[J], R],
    jobs: int,
    *,
    threads: bool = False,
) -> Iterator[tuple[J, R]]:
    """Yield (job, result) as jobs finish; `todo` is consumed as workers become free.

    With one job at a time, work stays in this process. killed: returns the result of a job whose process was
    killed (most likely for lack of memory). Each job uses one thread. threads: run jobs in threads of this
    process instead of in other processes.
    """
    if jobs == 1:
        for job in todo:
            with one_thread():
                result = work(job)
            yield job, result
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    todo = iter(todo)
    begun: dict[int, J] = {}
    parent = None if threads else Parent.current()

    def calls() -> Iterator[Any]:
        for number, job in enumerate(todo):
            begun[number] = job
            yield delayed(_run_job)(number, job, work, parent)

    try:
        with (
            one_thread() if threads else nullcontext(),
            parallel_config("threading") if threads else parallel_config("loky", inner_max_num_threads=1),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message=LOKY_WARNINGS)
            # No memory maps: jobs get the same kind of arrays in every process.
            pool = Parallel(
                n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, max_nbytes=None
            )
            for number, result in pool(calls()):
                yield begun.pop(number), result
    except TerminatedWorkerError:
        # Nobody knows which job was killed, so all that had begun, and the rest, get a process each.
        for job in chain([*begun.values()], todo):
            yield job, _run_in_own_process(job, work, killed)


def _run_job(number: int, job: J, work: Callable[[J], R], parent: Parent | None) -> tuple[int, R]:
    """Run a job in a thread, or in a worker process of `parent`.

    The limit is set here because numba and OpenMP keep their number of threads per thread.
    """
    if parent is not None:
        parent.prepare_worker()
    with one_thread():
        return number, work(job)


def _run_in_own_process(job: J, work: Callable[[J], R], killed: Callable[[J], R]) -> R:
    """Run a job in a process of its own."""
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with ProcessPoolExecutor(max_workers=1, env=dict.fromkeys(THREADS, "1")) as alone:
        try:
            return alone.submit(_run_job, 0, job, work, Parent.current()).result()[1]
        except TerminatedWorkerError:
            return killed(job)
