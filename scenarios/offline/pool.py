"""Jobs spread over processes. What they give does not depend on how they are spread."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ...errors import BadInput
from ...machine import THREADS, one_thread
from ..execution.worker import Home

J = TypeVar("J")
R = TypeVar("R")


def cores(jobs: int) -> int:
    """Return how many jobs run at a time; −1 asks for one per core."""
    if jobs == -1:
        import joblib

        return joblib.cpu_count()
    if jobs < 1:
        raise BadInput(f"jobs = {jobs}: must be a number of at least 1, or -1 for one per core")
    return jobs


def spread(
    todo: Iterable[J], work: Callable[[J], R], killed: Callable[[J], R], jobs: int
) -> Iterator[tuple[J, R]]:
    """Give every job with its result, as they finish; `todo` is read as places become free.

    One job at a time stays in this process. killed: what a job gives whose process was killed (most
    likely for its memory).
    """
    if jobs == 1:
        for job in todo:
            with one_thread():
                result = work(job)
            yield job, result
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    begun: dict[int, J] = {}

    def numbered() -> Iterator[Any]:
        for number, job in enumerate(todo):
            begun[number] = job
            yield delayed(_alone)(number, job, work, Home.here())

    jobs_left = numbered()
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*tasks (have been successfully|which were still)")
            # no memory maps: policies get arrays that look the same in every process
            pool = Parallel(
                n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, max_nbytes=None
            )
            for number, result in pool(jobs_left):
                yield begun.pop(number), result
    except TerminatedWorkerError:
        # which job it was is not known: those that had begun, and the rest, each in a process of its own
        yield from _one_by_one([*begun.values()], work, killed)
        begun.clear()
        for _ in jobs_left:
            yield from _one_by_one([begun.popitem()[1]], work, killed)


def _one_by_one(todo: list[J], work: Callable[[J], R], killed: Callable[[J], R]) -> Iterator[tuple[J, R]]:
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    for job in todo:
        with ProcessPoolExecutor(max_workers=1, env=dict.fromkeys(THREADS, "1")) as alone:
            try:
                result = alone.submit(_alone, 0, job, work, Home.here()).result()[1]
            except TerminatedWorkerError:
                result = killed(job)
        yield job, result


def _alone(number: int, job: J, work: Callable[[J], R], home: Home) -> tuple[int, R]:
    """Do a job in a worker process; Ctrl-C is left to the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    home.settle()
    with one_thread():
        return number, work(job)
