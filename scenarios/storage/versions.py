"""Versions of Python and the numeric libraries that runs were made with, and a warning where a study mixes them."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata

from ...wording import counted
from .store import Record

NUMERIC = ("numpy", "numba", "scipy", "implicit", "jax")
"""Libraries whose version can change the digits of a result."""


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in NUMERIC:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def numeric_versions() -> dict[str, str]:
    """Return the versions of this process: "python" and the installed libraries among `NUMERIC`."""
    return dict(_versions())


def mixed_versions(records: Iterable[Record]) -> str:
    """Return a warning that runs were made with different versions; empty if all have the same.

    Runs of early versions, which did not record theirs, are left out.
    """
    counts = Counter(tuple(sorted(record.versions.items())) for record in records if record.versions)
    if len(counts) < 2:
        return ""
    sets = [dict(each) for each in counts]
    differing = [name for name in ("python", *NUMERIC) if len({versions.get(name) for versions in sets}) > 1]
    groups = [
        f"{counted(number, 'run')} with "
        + ", ".join(f"{name} {dict(versions).get(name, 'missing')}" for name in differing)
        for versions, number in counts.items()
    ]
    return (
        f"warning: the runs were made with different versions: {'; '.join(groups)}. Differences between them may come "
        "from that. To have all runs from one, run the study with another --out"
    )
