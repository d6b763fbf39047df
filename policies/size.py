"""The size of a run, and estimates of the memory that the usual parts of a policy take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BLOCK = 256
"""Users that dense policies score at once."""
DIM = 64
"""Dimensions to assume for a policy without a field `dim`."""


@dataclass(frozen=True)
class Size:
    """The size of a run at its end, from which a policy's memory is estimated."""

    users: int
    items: int
    """All items that will ever exist."""
    topics: int
    entries: float
    """Approximate number of log entries at the end."""
    ties: float = field(default=0.0, kw_only=True)
    """Directed social ties."""
    known_items: int | None = field(default=None, kw_only=True)
    """Items that anybody will have taken, about; None: all of them."""

    @property
    def small_tables(self) -> int:
        """Bytes of a few numbers per item, and of one per user and topic."""
        return 20 * self.items + 8 * self.users * self.topics

    @property
    def learned_items(self) -> int:
        """Items that a policy learns about if it leaves out those that nobody took."""
        return self.items if self.known_items is None else self.known_items

    @property
    def dense_scores(self) -> int:
        """Bytes of the scores of a block of users for all items, with the copies that ranking makes."""
        return 3 * BLOCK * self.items * 4

    def factors(self, dim: float) -> float:
        """Return the bytes of float32 factors of all users and items, with the copies that training makes."""
        return (self.users + self.items) * dim * 16


def dimensions(config: Any) -> float:
    """Return the field `dim` of a policy's configuration; `DIM` if it is missing or not a number."""
    dim = getattr(config, "dim", None)
    return dim if isinstance(dim, int | float) else DIM
