"""What commands say on stderr, so that stdout can be piped on."""

from __future__ import annotations

import sys
from pathlib import Path


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def tell_under_way(folder: Path) -> None:
    """Say on stderr that the tables in a folder are of a study that is not finished, where it is so."""
    from ..scenarios.inspection.survey import under_way

    note = under_way(folder)
    if note:
        tell([note])


def tell(notes: list[str]) -> None:
    """Write notes and warnings to stderr."""
    for note in notes:
        say(note if note.startswith("warning: ") else f"note: {note}")
