"""One thread per run: BLAS, OpenMP and numba kept to one while runs are under way in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_LOCK = threading.Lock()
_under_way = 0
_undo: dict[str, Any] = {}


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep numerical libraries to one thread, those already loaded and those still to come.

    Several threads may be inside at once: what counts for the whole process (BLAS, the environment) is
    put back when the last one leaves; what counts for one thread (OpenMP, numba) when that one does.
    """
    import numba
    from threadpoolctl import threadpool_limits

    _enter()
    masked = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="openmp"):
            yield
    finally:
        numba.set_num_threads(masked)
        _leave()


def _enter() -> None:
    global _under_way
    from threadpoolctl import threadpool_limits

    with _LOCK:
        _under_way += 1
        if _under_way == 1:
            _undo["environment"] = {name: os.environ.get(name) for name in THREADS}
            os.environ.update(dict.fromkeys(THREADS, "1"))
            _undo["limits"] = threadpool_limits(1)


def _leave() -> None:
    global _under_way
    with _LOCK:
        _under_way -= 1
        if _under_way:
            return
        _undo.pop("limits").restore_original_limits()
        for name, value in _undo.pop("environment").items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
