"""Messages of commands. They go to stderr, so that stdout can be piped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path


def print_stderr(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what is printed meanwhile, also by compiled code and by child processes."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def print_unfinished_note(folder: Path) -> None:
    """Write a note to stderr if the tables in a folder belong to an unfinished study."""
    from ..scenarios.inspection.folder_state import unfinished_note

    note = unfinished_note(folder)
    if note:
        print_notes([note])


def print_notes(notes: list[str]) -> None:
    """Write notes and warnings to stderr."""
    for note in notes:
        print_stderr(note if note.startswith("warning: ") else f"note: {note}")
