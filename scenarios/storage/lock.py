"""The lock of a results folder: one process at a time works in it, and others can see which."""

from __future__ import annotations

import os
import platform
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
    """Make a results folder and keep other processes out of it; a lock left by a killed process is no lock."""
    at = (folder / LOCK).parent
    try:
        at.mkdir(parents=True, exist_ok=True)
        at = folder / LOCK
        # unbuffered: what could not be written is not tried again when the file is closed
        lock = at.open("a+b", buffering=0)
    except OSError as error:
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


def _take(lock: FileIO, folder: Path) -> None:
    if fcntl is None:
        return
    for wait in (0.05, 0.1, 0.2, None):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Once more: `lock_holder` of another process may be looking at this very moment.
            if wait is not None:
                time.sleep(wait)
        except OSError:
            # Some network drives have no locks; going on without one is what the user wants there.
            return
    lock.seek(0)
    holder, _, host = lock.read().decode(errors="replace").strip().partition(" ")
    elsewhere = f" on {host}" if host and host != platform.node() else ""
    raise StorageError(
        f"{folder} is in use by another echodrift (process {holder or 'unknown'}{elsewhere}); "
        "wait until it is done, or choose another folder with --out"
    )


def describe_lock_holder(path: Path) -> str:
    """Return "process 4711 on host" for the one that works in a results folder, as far as known; "" for none."""
    is_held, process, host = lock_holder(path)
    if not is_held:
        return ""
    elsewhere = f" on {host}" if host and host != platform.node() else ""
    return f"process {process}{elsewhere}" if process is not None else f"another process{elsewhere}"


def lock_holder(path: Path) -> tuple[bool, int | None, str]:
    """Return whether a process works in a results folder, its number and its machine (None, "": unknown).

    Looking takes the lock for an instant, shared; a process that starts just then tries again. Where
    there are no locks, a number that stands there and is a living process of this machine counts.
    """
    try:
        with (path / LOCK).open() as lock:
            number, _, host = lock.read().strip().partition(" ")
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
