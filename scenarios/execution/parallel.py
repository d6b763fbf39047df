"""Run jobs in parallel on this machine, in processes or threads. Results do not depend on how jobs are distributed."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from ...errors import BadInput
from ...machine import THREADS, one_thread
from ...policies.registry import Category, only_in_this_process
from ...processes import current_directory, describe_exit, go_to, killed_with_parent, user_code
from .worker_process import WorkerProcess

J = TypeVar("J")
R = TypeVar("R")
LOKY_WARNINGS = r"A worker stopped while some jobs"
"""Warning of loky when it replaces a worker whose memory has grown, as happens with jax (its job is finished first)."""


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
    return 1 if any(map(_is_only_here, _tables_in(components))) else -1


def _tables_in(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("kind"), str):
            yield value
        value = list(value.values())
    for part in value if isinstance(value, list | tuple) else ():
        yield from _tables_in(part)


def _is_only_here(spec: Mapping[str, Any]) -> bool:
    categories: tuple[Category, ...] = ("policies", "rerankers", "log_transforms")
    return any(only_in_this_process(category, spec) for category in categories)


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
    directory: str | None = None
    """Its current directory."""
    environment: Environment = Environment()
    """Its environment, in which tokens may have been set since, without the numbers of threads."""

    @classmethod
    def current(cls) -> Parent:
        """Return this process."""
        variables = {name: value for name, value in os.environ.items() if name not in THREADS}
        return cls(os.getpid(), tuple(sys.path), current_directory(), Environment(variables))

    def prepare_worker(self) -> None:
        """Make this process a worker of the parent: leave Ctrl-C to it, use its paths and variables.

        Exits when the parent is gone.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.exit_if_gone()
        sys.path[:] = self.path
        os.environ.update(self.environment)
        go_to(self.directory)

    def exit_if_gone(self) -> None:
        """Exit when the parent is gone, because nobody is left to receive a result or an error.

        The same for a copy of the worker that a user's code made with `os.fork()`.
        """
        if os.getppid() != self.pid:
            os._exit(1)


def no_preparation() -> None:
    """Do nothing before the first job of a worker."""


class Jobs(NamedTuple, Generic[J, R]):
    """What is done in parallel, and how."""

    work: Callable[[J], R]
    killed: Callable[[J, str], R]
    """Returns the result of a job whose process ended before it, or was ended; the text says how, as a clause."""
    at_a_time: int
    apart: bool = False
    """Always use other processes, also for one job at a time, and no longer than for these jobs: for the code of
    users, which may end its process, and which may have changed before the next jobs."""
    limit: float | None = None
    """Most seconds for a job, after which its process is killed; implies other processes."""
    prepare: Callable[[], object] = no_preparation
    """Called once in each process; the limit does not include it."""
    output: Callable[[J, str], None] = lambda job, text: None
    """Called with what a job wrote to stdout and stderr in its process."""


_idle: list[WorkerProcess] = []
"""Processes without a job, for later jobs; they end by themselves after some minutes."""


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


def run_parallel(todo: Iterable[J], jobs: Jobs[J, R]) -> Iterator[tuple[J, R]]:
    """Yield (job, result) as jobs finish; `todo` is consumed as workers become free.

    With one job at a time, work stays in this process unless `apart` or a `limit` is set. Each job uses one thread.
    A job whose process ended is a result of `killed`; the other jobs go on. If the process was killed while
    others were under way (most likely for lack of memory), the job is done once more, alone.
    """
    if jobs.at_a_time == 1 and not jobs.apart and jobs.limit is None:
        for job in todo:
            with one_thread():
                result = jobs.work(job)
            yield job, result
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=LOKY_WARNINGS)
        yield from _Pool(jobs).run(todo)


def run_in_threads(todo: Iterable[J], work: Callable[[J], R], jobs: int) -> Iterator[tuple[J, R]]:
    """Yield (job, result) as jobs finish in threads of this process."""
    from joblib import Parallel, delayed

    def run(job: J) -> tuple[J, R]:
        # The limit is set here because numba and OpenMP keep their number of threads per thread.
        with one_thread():
            return job, work(job)

    with one_thread():
        pool = Parallel(
            jobs, backend="threading", return_as="generator_unordered", batch_size=1, pre_dispatch=jobs
        )
        yield from pool(delayed(run)(job) for job in todo)  # type: ignore[misc]


class _UnderWay(NamedTuple, Generic[J]):
    job: J
    worker: WorkerProcess
    accompanied: bool
    """Whether other jobs were under way at the same time."""


class _Pool(Generic[J, R]):
    """One process per job under way, so that it is known which job ended its process."""

    def __init__(self, jobs: Jobs[J, R]) -> None:
        self.jobs = jobs
        self.parent = Parent.current()
        _idle[:] = [worker for worker in _idle if worker.owner == self.parent.pid]
        self.idle: list[WorkerProcess] = [] if jobs.apart else _idle
        self.under_way: dict[Any, _UnderWay[J]] = {}
        self.again: list[J] = []

    def run(self, todo: Iterable[J]) -> Iterator[tuple[J, R]]:
        todo = iter(todo)
        try:
            yield from self._run(todo, self.jobs.at_a_time)
            yield from self._run(iter(self.again), 1)
        finally:
            for _, worker, _ in self.under_way.values():
                worker.kill()
            if self.jobs.apart:
                for worker in self.idle:
                    worker.close()

    def _run(self, todo: Iterator[J], most: int) -> Iterator[tuple[J, R]]:
        exhausted = False
        while True:
            while not exhausted and len(self.under_way) < most:
                try:
                    self._begin(next(todo))
                except StopIteration:
                    exhausted = True
            if not self.under_way:
                return
            yield from self._finished()

    def _begin(self, job: J) -> None:
        from concurrent.futures import BrokenExecutor

        while True:
            worker = self.idle.pop() if self.idle else WorkerProcess()
            try:
                future = worker.submit(self.jobs.prepare, _run_job, job, self.jobs.work, self.parent)
                break
            except BrokenExecutor:  # An idle process was killed.
                worker.kill()
        self.under_way = {each: one._replace(accompanied=True) for each, one in self.under_way.items()}
        self.under_way[future] = _UnderWay(job, worker, len(self.under_way) > 0)

    def _finished(self) -> Iterator[tuple[J, R]]:
        """Yield the results of the jobs that have finished or were given up, after at least one of them or a while."""
        from concurrent.futures import FIRST_COMPLETED, wait

        from joblib.externals.loky.process_executor import TerminatedWorkerError

        done = wait(self.under_way, self._patience(), FIRST_COMPLETED).done
        for future in done:
            job, worker, accompanied = self.under_way.pop(future)
            if text := worker.output():
                self.jobs.output(job, text)
            try:
                result = future.result()
            except TerminatedWorkerError as error:
                worker.kill()
                code = worker.exit_code(error)
                if code == -signal.SIGKILL and accompanied:
                    self.again.append(job)
                    continue
                result = self.jobs.killed(job, describe_exit(code))
            except BaseException:
                worker.kill()
                raise
            else:
                self.idle.append(worker)
            yield job, result
        for future, (job, worker, _) in list(self.under_way.items()):
            if self._seconds_left(worker) <= 0 and not future.done():
                del self.under_way[future]
                text = worker.output()
                worker.kill()
                if text:
                    self.jobs.output(job, text)
                yield (
                    job,
                    self.jobs.killed(job, f"was stopped after {self.jobs.limit:g} seconds (--run-timeout)"),
                )

    def _seconds_left(self, worker: WorkerProcess) -> float:
        if self.jobs.limit is None or worker.began is None:
            return float("inf")
        return worker.began + self.jobs.limit - time.monotonic()

    def _patience(self) -> float | None:
        """Return the seconds until the next job has to be given up; None if there is no limit."""
        if self.jobs.limit is None:
            return None
        return max(0.0, min(1.0, *(self._seconds_left(one.worker) for one in self.under_way.values())))


def _run_job(job: J, work: Callable[[J], R], parent: Parent) -> R:
    """Run a job in a worker process of `parent`."""
    parent.prepare_worker()
    with one_thread(), user_code(), killed_with_parent():
        return work(job)
