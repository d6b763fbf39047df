"""Runs spread over processes or threads. What they give does not depend on how they are spread."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Literal

from .plan import PlannedRun
from .progress import Quiet
from .store import Record, RunStore
from .worker import THREADS, Builder, carry_out, carry_out_alone, one_thread

Backend = Literal["loky", "threading"]


def carried_out(
    todo: list[PlannedRun], store: RunStore, jobs: int, backend: Backend, progress: Quiet, builder: Builder
) -> Iterator[Record]:
    """Do the runs and give their records as they finish; one job stays in this process, round by round."""
    if jobs == 1:
        with one_thread():
            for run in todo:
                yield carry_out(run, store, builder, progress.round)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if backend == "threading":
        with one_thread(), parallel_config(backend="threading"):
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            yield from pool(delayed(carry_out)(run, store, builder) for run in todo)
        return
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1), warnings.catch_warnings():
            # Said when a study is stopped; what those tasks did is on disk and is taken over.
            warnings.filterwarnings("ignore", message=r".*tasks (have been successfully|which were still)")
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            yield from pool(delayed(carry_out_alone)(run, store, builder, os.getpid()) for run in todo)
    except TerminatedWorkerError:
        # Something killed a worker, most likely for its memory. Which run it was is not known, so the
        # rest are done one at a time, each in a process of its own.
        yield from _one_by_one(todo, store, builder)


def _one_by_one(todo: list[PlannedRun], store: RunStore, builder: Builder) -> Iterator[Record]:
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    for run in todo:
        found = store.read(run.key)
        if found is None or found.status != "ok":
            with ProcessPoolExecutor(max_workers=1, env=dict.fromkeys(THREADS, "1")) as alone:
                try:
                    found = alone.submit(partial(carry_out_alone, run, store, builder, os.getpid())).result()
                except TerminatedWorkerError:
                    found = Record(
                        run.key, run.label, "failed", "the process of this run was killed (out of memory?)"
                    )
                    store.write(found, {})
        yield found
