"""How large a run grows, and what the usual parts of a policy take of its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BLOCK = 256
"""Users that dense policies score at once."""
DIM = 64
"""Dimensions of a policy that does not say how many it has."""


@dataclass(frozen=True)
class Size:
    """How large a run grows: what estimates of a policy's memory need."""

    users: int
    items: int
    """All that will ever live."""
    topics: int
    entries: float
    """Log entries at the end, about."""

    @property
    def little(self) -> int:
        """Bytes of a few numbers per item, and one per user and topic."""
        return 20 * self.items + 8 * self.users * self.topics

    @property
    def dense_scores(self) -> int:
        """Bytes of the scores of a block of users for all items, with the copies that ranking makes."""
        return 3 * BLOCK * self.items * 4

    def factors(self, dim: float) -> float:
        """Return the bytes of float32 factors of all users and items, with the copies that training makes."""
        return (self.users + self.items) * dim * 16


def dimensions(config: Any) -> float:
    """Return the field `dim` of a policy's configuration; `DIM` where it is no number, or there is none."""
    dim = getattr(config, "dim", None)
    return dim if isinstance(dim, int | float) else DIM
