"""Jobs spread over processes or threads of this machine. What they give does not depend on how they are spread."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from ...errors import BadInput
from ...machine import THREADS, one_thread

J = TypeVar("J")
R = TypeVar("R")
LOKY_WARNINGS = r".*tasks (have been successfully|which were still)|A worker stopped while some jobs"
"""What loky says when it is stopped before the last job, and when it replaces a worker that has grown, as workers
with jax do (the job that it had is finished first)."""


def checked_jobs(jobs: int) -> int:
    """Return a number of jobs, or raise BadInput."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs != -1 and jobs < 1:
        raise BadInput(f"jobs = {jobs!r}: must be a whole number of at least 1, or -1 for one per core")
    return jobs


def cores(jobs: int) -> int:
    """Return how many jobs run at a time: −1 asks for one per core that this process may use."""
    if checked_jobs(jobs) != -1:
        return jobs
    import joblib

    return joblib.cpu_count()


class Home(NamedTuple):
    """A process that has work done in others."""

    process: int
    """Its number."""
    path: tuple[str, ...]
    """Its `sys.path`: workers outlive a study, and policies of one's own may have come to lie elsewhere since."""

    @classmethod
    def here(cls) -> Home:
        """Return this process."""
        return cls(os.getpid(), tuple(sys.path))

    def settle(self) -> None:
        """Make this process a worker of home: leave Ctrl-C to it, look for modules where it does, end with it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.quit_if_gone()
        sys.path[:] = self.path

    def quit_if_gone(self) -> None:
        """End this process when home is gone: there is nobody to hand a result or an error to."""
        if os.getppid() != self.process:
            os._exit(1)


def spread(
    todo: Iterable[J],
    work: Callable[[J], R],
    killed: Callable[[J], R],
    jobs: int,
    *,
    threads: bool = False,
) -> Iterator[tuple[J, R]]:
    """Give every job with its result, as they finish; `todo` is read as places become free.

    One job at a time stays in this process. killed: what a job gives whose process was killed (most
    likely for its memory). Each job has one thread. threads: of this process, instead of processes.
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
    home = None if threads else Home.here()

    def calls() -> Iterator[Any]:
        for number, job in enumerate(todo):
            begun[number] = job
            yield delayed(_done)(number, job, work, home)

    try:
        with (
            one_thread() if threads else nullcontext(),
            parallel_config("threading") if threads else parallel_config("loky", inner_max_num_threads=1),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message=LOKY_WARNINGS)
            # no memory maps: jobs get arrays that look the same in every process
            pool = Parallel(
                n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, max_nbytes=None
            )
            for number, result in pool(calls()):
                yield begun.pop(number), result
    except TerminatedWorkerError:
        # which job it was is not known: those that had begun, and the rest, each in a process of its own
        for job in chain([*begun.values()], todo):
            yield job, _alone(job, work, killed)


def _done(number: int, job: J, work: Callable[[J], R], home: Home | None) -> tuple[int, R]:
    """Do a job in a thread, or in a worker process of home; numba and OpenMP count their threads per thread."""
    if home is not None:
        home.settle()
    with one_thread():
        return number, work(job)


def _alone(job: J, work: Callable[[J], R], killed: Callable[[J], R]) -> R:
    """Do a job in a process of its own."""
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with ProcessPoolExecutor(max_workers=1, env=dict.fromkeys(THREADS, "1")) as alone:
        try:
            return alone.submit(_done, 0, job, work, Home.here()).result()[1]
        except TerminatedWorkerError:
            return killed(job)
