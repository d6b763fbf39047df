"""Messages of commands. They go to stderr, so that stdout can be piped."""

from __future__ import annotations

import sys
from pathlib import Path


def print_stderr(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)


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
