"""Threads of numerical libraries, and free memory of the machine or container."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_LOCK = threading.Lock()
_active = 0
_undo: dict[str, Any] = {}


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit numerical libraries to one thread, those already loaded and those loaded later.

    Several threads may be inside at once. Settings of the whole process (BLAS, the environment) are
    restored when the last thread leaves, settings of one thread (OpenMP, numba) when that thread does.
    """
    import numba
    from threadpoolctl import threadpool_limits

    _enter()
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="openmp"):
            yield
    finally:
        numba.set_num_threads(before)
        _leave()


def _enter() -> None:
    global _active
    from threadpoolctl import threadpool_limits

    with _LOCK:
        _active += 1
        if _active == 1:
            _undo["environment"] = {name: os.environ.get(name) for name in THREADS}
            os.environ.update(dict.fromkeys(THREADS, "1"))
            _undo["limits"] = threadpool_limits(1)


def _leave() -> None:
    global _active
    with _LOCK:
        _active -= 1
        if _active:
            return
        _undo.pop("limits").restore_original_limits()
        for name, value in _undo.pop("environment").items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@cache
def _controller() -> ThreadpoolController:
    """Return the cached controller: it takes milliseconds to find the libraries, microseconds to limit them."""
    import scipy.linalg  # noqa: F401  loads scipy's own BLAS before the controller looks for libraries
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def blas_on_one_thread() -> AbstractContextManager[Any]:
    """Return a context manager in which BLAS uses one thread, so that sums are the same on every machine."""
    return _controller().limit(limits=1, user_api="blas")


def free_bytes() -> int:
    """Return the free memory in bytes: of the machine, or of the container if its limit is lower."""
    import psutil

    machine = psutil.virtual_memory().available
    return max(min([machine, *cgroup_free_bytes(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]), 0)


def cgroup_free_bytes(own: Path, root: Path) -> list[int]:
    """Return the free bytes under each memory limit of this process, in versions 1 and 2 of Linux' control groups.

    own: the file that lists the groups of this process; root: the folder where groups are mounted. A limit
    applies to everything below it, so all parent groups count. File cache that the system can drop
    immediately counts as free.
    """
    found = []
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        place = base / path.strip("/")
        # Inside a container the path is that of the host, and its own group is the root.
        for group in {base, *(folder for folder in (place, *place.parents) if folder.is_relative_to(base))}:
            try:
                limit = int((group / names[0]).read_text())
                used = int((group / names[1]).read_text())
            except (OSError, ValueError):  # No such group, or "max" for no limit.
                continue
            found.append(limit - max(used - _statistic(group / "memory.stat", names[2]), 0))
    return found


def _statistic(file: Path, name: str) -> int:
    """Return a number from memory.stat; 0 if it is missing."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def gibibytes(size: float) -> str:
    """Return a number of bytes as text in GiB or MiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 0.1 * 2**30 else f"{size / 2**20:.1f} MiB"
