"""The sample size of an evaluation: how many users or test pairs, on how many splits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...wording import counted
from .protocol.task import Task

FEW = 30
"""Minimum users for a meaningful mean."""


@dataclass(frozen=True)
class SplitSize:
    """The number of test users, and test pairs, of one split."""

    users: int
    pairs: int | None = None
    """Number of test pairs if each is ranked among its own negatives; else None."""


def task_size(task: Task) -> SplitSize:
    """Return the size of a task's test part."""
    return SplitSize(task.users.size, None if task.cases is None else task.cases.user.size)


def averaging_unit(sizes: Iterable[SplitSize]) -> str:
    """Return the unit of means: "users" or "test pairs"."""
    return "test pairs" if any(one.pairs is not None for one in sizes) else "users"


def describe_sizes(sizes: Iterable[SplitSize], part: str) -> str:
    """Return, say, "5 splits of 608 test users, whole catalog ranked". part: "test" or "validation"."""
    sizes = list(sizes)
    pairs = [one.pairs for one in sizes if one.pairs is not None]
    if pairs:
        users = _spread([one.users for one in sizes], "user")
        text = f"{_spread(pairs, f'{part} pair')} of {users}, each ranked among its own negatives"
    else:
        text = f"{_spread([one.users for one in sizes], f'{part} user')}, whole catalog ranked"
    return f"{len(sizes)} splits of {text}" if len(sizes) > 1 else text


def small_split_warnings(sizes: Iterable[SplitSize], part: str) -> list[str]:
    """Return a warning if a part is too small."""
    fewest = min((one.users for one in sizes), default=FEW)
    if fewest >= FEW:
        return []
    count = counted(fewest, f"{part} user")
    return [
        f"warning: only {count}: below {FEW}, means and intervals say little. Hold out more, or use a larger log."
    ]


def _spread(counts: list[int], noun: str) -> str:
    low, high = min(counts), max(counts)
    return counted(low, noun) if low == high else f"{low:,} to {counted(high, noun)}"
