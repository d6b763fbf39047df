"""How much memory there is, asked before a large matrix is made."""

from __future__ import annotations

from pathlib import Path

import psutil

_GROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of a container's memory, version 2 and 1 of Linux' control groups."""


def available_bytes() -> int:
    """Return the bytes that can still be had: of the machine, or of the container where it has a limit."""
    left = psutil.virtual_memory().available
    for limit, used in _GROUP_FILES:
        try:
            left = min(left, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
    return max(left, 0)


def gibibytes(size: float) -> str:
    """Return a number of bytes for a person."""
    return f"{size / 2**30:.1f} GiB" if size >= 0.1 * 2**30 else f"{size / 2**20:.1f} MiB"
