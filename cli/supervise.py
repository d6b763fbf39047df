"""Run a command in a child process, and believe its end only if the command itself said how it ended.

Code of a study can end the process it is imported in (`os._exit(0)`) or crash it. The shell would read the exit
code of that as an answer, and 0 as a PASS.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import ExitCode
from ..processes import describe_exit, end_copy_of, end_with_parent, killed_with_parent
from .messages import print_stderr

PASSED_ON = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals to this process that are sent on to the child."""
SAME_KEY_SECONDS = 1.0
"""Time in which several interrupts count as one: Ctrl-C reaches both processes, and is passed on, too."""


def supervised(command: Callable[[], int]) -> int:
    """Run a command in a child process and return its exit code, or 1 and an error if it ended without one.

    Without `os.fork()` (Windows) the command runs in this process.
    """
    if not hasattr(os, "fork"):
        return command()
    reader, writer = os.pipe()
    _flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reader)
        return _in_child(command, parent, writer)
    os.close(writer)
    received: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        received.append(number)
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # Not waiting for more: processes that the command left behind may hold the pipe open.
    os.set_blocking(reader, False)
    with suppress(BlockingIOError):
        if told := os.read(reader, 16):
            return int(told)
    if -code in received:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(parent, -code)
    print_stderr(
        f"error: the process of this command {describe_exit(code)} before the command was done, so there is no result. "
        "Code that the study names may have done this when it was imported. Finished runs are kept."
    )
    return ExitCode.BUG


def _in_child(command: Callable[[], int], parent: int, writer: int) -> int:
    process, last = os.getpid(), 0.0

    def interrupt(number: int, frame: Any) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > SAME_KEY_SECONDS:
            raise KeyboardInterrupt

    end_with_parent(parent)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    with killed_with_parent():
        code = command()
        end_copy_of(process)
        _flush()
    with suppress(OSError):
        os.write(writer, str(int(code)).encode())
    return code


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
