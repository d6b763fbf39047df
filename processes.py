"""Child processes that end with their parent, and code of users in this process: what it may not leave behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

POLL_SECONDS = 0.5
"""How often a child process looks whether its parent is still there."""
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Let this process end soon after its parent (a process id), whatever it is doing then.

    A thread looks for the parent. Compiled code that never lets other threads run stops that thread, too: see
    `killed_with_parent`.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@contextmanager
def killed_with_parent() -> Iterator[None]:
    """On Linux, let the system kill this process if its parent ends meanwhile; elsewhere, do nothing.

    The system counts the end of the thread that started this process as that of the parent, so this is for the
    time in which that thread waits for this process.
    """
    if sys.platform != "linux":
        yield
        return
    control = ctypes.CDLL(None).prctl
    control(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    try:
        yield
    finally:
        control(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


@contextmanager
def user_code() -> Iterator[None]:
    """Run code of a user: return to the current directory, and end a copy of this process made by `os.fork()`.

    Without this, a forked copy that returns from the user's code would do the rest of our work a second time.
    """
    process, directory = os.getpid(), current_directory()
    try:
        yield
    finally:
        end_copy_of(process)
        go_to(directory)


def end_copy_of(process: int) -> None:
    """End this process unless it has this id: it is a copy that a user's code made with `os.fork()`."""
    if os.getpid() != process:
        os._exit(0)


def current_directory() -> str | None:
    """Return the current directory; None if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def go_to(directory: str | None) -> None:
    """Change to a directory, as far as there is one."""
    if directory is not None and current_directory() != directory:
        with suppress(OSError):
            os.chdir(directory)


def describe_exit(code: int) -> str:
    """Return how a process ended as a clause; code: its exit code, negative for the signal that ended it."""
    if code >= 0:
        return f"ended itself with exit code {code} (os._exit?)"
    if code == -signal.SIGKILL:
        return "was killed (out of memory?)"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"crashed ({name})" if name in _CRASHES else f"was ended by {name}"


_CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"}
