"""Words for the screen and for file names."""

from __future__ import annotations

import re


def slug(text: str) -> str:
    """Return a file name for a title: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "study"


def counted(count: int, noun: str) -> str:
    """Return "1 run", "2 runs", "1,000 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
