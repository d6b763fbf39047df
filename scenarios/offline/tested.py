"""What the numbers of an evaluation rest on: how many users or test pairs, on how many splits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...wording import counted
from .protocol.task import Task

FEW = 30
"""Below this many users a mean says little."""


@dataclass(frozen=True)
class Size:
    """How much one split tests on."""

    users: int
    pairs: int | None = None
    """Test pairs, where each is ranked among its own negatives."""


def size_of(task: Task) -> Size:
    """Return what a task tests on."""
    return Size(task.users.size, None if task.cases is None else task.cases.user.size)


def unit(tested: Iterable[Size]) -> str:
    """Return what means are over: "users" or "test pairs"."""
    return "test pairs" if any(one.pairs is not None for one in tested) else "users"


def rests_on(tested: Iterable[Size], part: str) -> str:
    """Return, say, "5 splits of 608 test users, whole catalog ranked". part: "test" or "validation"."""
    tested = list(tested)
    pairs = [one.pairs for one in tested if one.pairs is not None]
    if pairs:
        users = _spread([one.users for one in tested], "user")
        text = f"{_spread(pairs, f'{part} pair')} of {users}, each ranked among its own negatives"
    else:
        text = f"{_spread([one.users for one in tested], f'{part} user')}, whole catalog ranked"
    return f"{len(tested)} splits of {text}" if len(tested) > 1 else text


def warnings(tested: Iterable[Size], part: str) -> list[str]:
    """Return a warning where a part is too small to say much."""
    fewest = min((one.users for one in tested), default=FEW)
    if fewest >= FEW:
        return []
    count = counted(fewest, f"{part} user")
    return [
        f"warning: only {count}: below {FEW}, means and intervals say little. Hold out more, or use a larger log."
    ]


def _spread(counts: list[int], noun: str) -> str:
    low, high = min(counts), max(counts)
    return counted(low, noun) if low == high else f"{low:,} to {counted(high, noun)}"
