"""A process that does one job at a time, whose end and whose output are told apart from those of other processes."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...machine import THREADS
from ...processes import end_with_parent
from ...wording import clean

IDLE_SECONDS = 300
"""Time without a job after which a process ends."""
OUTPUT_BYTES = 2**20
"""Most bytes of a job's output that are read."""
OUTPUT_CHARACTERS = 2_000
"""Most characters of a job's output that are shown."""


class WorkerProcess:
    """A process of loky for one job at a time. What it writes to stdout and stderr goes to a temporary file."""

    def __init__(self) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        self.began: float | None = None
        """When the job under way began; None until the process is ready for it."""
        self.owner = os.getpid()
        """The process that started it; useless in a copy of that process."""
        self._file = _temporary_file()
        self._remove_file = weakref.finalize(self, _remove, self._file)
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            timeout=IDLE_SECONDS,
            initializer=_begin,
            initargs=(os.getpid(), self._file and str(self._file)),
            env=dict.fromkeys(THREADS, "1"),
        )

    def submit(self, prepare: Callable[[], object], work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job; prepare: called in the process before it."""
        self.began = None
        ready = self._executor.submit(prepare)
        ready.add_done_callback(self._note_begin)
        return self._executor.submit(work, *arguments)

    def _note_begin(self, _: object) -> None:
        self.began = time.monotonic()

    def output(self) -> str:
        """Return what was written since the last call: cleaned, its beginning and end only if it is long."""
        if self._file is None:
            return ""
        try:
            with self._file.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                start = file.read(OUTPUT_BYTES)
                file.truncate(0)
        except OSError:
            return ""
        text = clean(start.decode(errors="replace").strip(), OUTPUT_CHARACTERS)
        return text + (f" … ({size - OUTPUT_BYTES:,} more bytes)" if size > OUTPUT_BYTES else "")

    def exit_code(self, error: Exception) -> int:
        """Return the exit code of a process that ended, from loky's error; negative for a signal."""
        found = re.search(r"exit codes of the workers are \{.*?\((-?\d+)\)", str(error))
        return int(found[1]) if found else -signal.SIGKILL

    def kill(self) -> None:
        """End the process and the processes that it started, at once."""
        self._executor.shutdown(wait=True, kill_workers=True)
        self._remove_file()

    def close(self) -> None:
        """End the process, which has no job."""
        self._executor.shutdown(wait=False)
        self._remove_file()


def _temporary_file() -> Path | None:
    try:
        handle, name = tempfile.mkstemp(prefix="echodrift-", suffix=".out")
    except OSError:
        return None
    os.close(handle)
    return Path(name)


def _remove(file: Path | None) -> None:
    if file is not None:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _begin(parent: int, output: str | None) -> None:
    """Prepare a process that has just started; output: the file for stdout and stderr, None for stderr.

    Everything goes to one descriptor, so that nothing reaches the stdout of the command, which may be read by a
    program; and nothing is read from the terminal.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if output is not None:
            os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), 2)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
