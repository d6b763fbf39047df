"""Notes of runs, gathered: each is told once, with the arms that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

WARNING = "warning:"
"""Prefix of notes of runs that are shown at the top of the report."""
_NUMBERS = re.compile(r"\d[\d.,]*(e[+-]?\d+)?")


def gathered(notes: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return note → arms, in order of appearance, from (arm, note) of all runs.

    Those of one arm that differ only in numbers, as from seed to seed, are told by the first of them.
    """
    first: dict[tuple[str, str], str] = {}
    for arm, note in notes:
        first.setdefault((arm, _NUMBERS.sub("#", note)), note)
    found: dict[str, list[str]] = {}
    for (arm, _), note in first.items():
        found.setdefault(note, []).append(arm)
    return found


def is_warning(note: str) -> bool:
    """Return whether a note is a warning."""
    return note.lower().startswith(WARNING)
