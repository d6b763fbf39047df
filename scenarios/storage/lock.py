"""The lock of a results folder: one process at a time writes there, and others can see which one."""

from __future__ import annotations

import errno
import os
import platform
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from ...disk import cannot_write
from ...errors import StorageError

try:
    import fcntl
except ImportError:  # Windows has no advisory locks of this kind; there, nothing guards the folder.
    fcntl = None  # type: ignore[assignment]

LOCK = "runs/.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a results folder and lock it against other processes; the lock of a killed process is void."""
    at = (folder / LOCK).parent
    try:
        at.mkdir(parents=True, exist_ok=True)
        at = folder / LOCK
        # Unbuffered, so that closing the file does not retry a failed write.
        lock = FileIO(_opened(at, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+")
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EINVAL):
            raise StorageError(
                f"{at} is a link or a pipe, not a file that echodrift wrote; remove it"
            ) from None
        raise cannot_write(at, error) from error
    with lock:
        _take(lock, folder)
        try:
            lock.seek(0)
            lock.truncate()
            lock.write(f"{os.getpid()} {platform.node()}".encode())
        except OSError as error:
            raise cannot_write(at, error) from error
        yield


def _opened(path: Path, flags: int) -> int:
    """Open a regular file and return its descriptor; raises OSError for links, which may lead anywhere, and for pipes."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return handle


def _take(lock: FileIO, folder: Path) -> None:
    if fcntl is None:
        return
    for wait in (0.05, 0.1, 0.2, None):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Retry: `lock_holder` of another process may hold the shared lock for an instant.
            if wait is not None:
                time.sleep(wait)
        except OSError:
            # Some network drives do not support locks; users there want to continue without one.
            return
    lock.seek(0)
    holder, _, host = lock.read().decode(errors="replace").strip().partition(" ")
    elsewhere = f" on {host}" if host and host != platform.node() else ""
    raise StorageError(
        f"{folder} is in use by another echodrift (process {holder or 'unknown'}{elsewhere}); "
        "wait until it is done, or choose another folder with --out"
    )


def describe_lock_holder(path: Path) -> str:
    """Return "process 4711 on host" for the process that holds the lock, as far as known; "" if there is none."""
    is_locked, process, host = lock_holder(path)
    if not is_locked:
        return ""
    elsewhere = f" on {host}" if host and host != platform.node() else ""
    return f"process {process}{elsewhere}" if process is not None else f"another process{elsewhere}"


def lock_holder(path: Path) -> tuple[bool, int | None, str]:
    """Return whether a process holds the lock of a results folder, its id and its host (None, "": unknown).

    The check takes the lock for an instant, shared; a process that starts at that moment retries. On systems
    without locks, the folder counts as locked if the recorded id is a running process of this machine.
    """
    try:
        with FileIO(_opened(path / LOCK, os.O_RDONLY)) as lock:
            number, _, host = lock.read().decode(errors="replace").strip().partition(" ")
            process = int(number) if number.isdigit() else None
            if fcntl is not None:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return False, None, ""
                except BlockingIOError:
                    return True, process, host
                except OSError:
                    pass
    except (OSError, ValueError):
        return False, None, ""
    import psutil

    alive = process is not None and host == platform.node() and psutil.pid_exists(process)
    return (True, process, host) if alive else (False, None, "")
