"""The catalog: what every item truly is, when it is born and when it retires."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NEWBORN_BLOCK = 256
"""Items born after round 0 that are multiplied at once, counted from the first of them."""
NEVER = np.iinfo(np.int32).max
"""Retirement round of an item that stays, and birth round of one that is not made yet."""


@dataclass
class Items:
    """Struct of arrays over all items that live at some time of the run; ids are in order of birth.

    Rows are laid out for the whole horizon at the start, so ids and draws never shift; an item exists
    for anyone only from its birth round on. Where creators decide what is made, the rows of items still
    to come are zeros with birth `NEVER` and provider −1, and are filled in order (`agents.creators`).
    """

    topics: NDArray[np.float32]
    """(items, topics) true topic mixture; rows sum to one."""
    quality: NDArray[np.float32]
    """(items,) utility that every user agrees on, in Gumbel noise units."""
    provider: NDArray[np.int32]
    """(items,) who made it."""
    birth: NDArray[np.int32]
    """(items,) first round in which it can be shown; the round-0 catalog is born at the start of the warm-up."""
    retirement: NDArray[np.int32]
    """(items,) first round in which it can no longer be shown; `NEVER` if it stays."""
    tag: NDArray[np.float32]
    """(items, topics) what the platform reads; rows sum to one."""
    catalog: int
    """Size of the round-0 catalog: the items 0…catalog−1."""
    demand: NDArray[np.float64]
    """(items,) true demand Σ_u Σ_k s_uk softmax_i(v_uki) over round-0 users, in users; the normalizer
    of the softmax is that of the round-0 catalog, so a newborn's demand is on the same scale."""
    niche: NDArray[np.bool_]
    """(items,) demand in the bottom 80 % of the round-0 catalog (with a real log: of observed popularity)."""
    names: list[str] | None = None
    """Labels from a real log, for reports."""

    def __len__(self) -> int:
        return self.topics.shape[0]

    @cached_property
    def provided(self) -> bool:
        """Whether providers say more than item ids: some provider has two items of the round-0 catalog."""
        first = self.provider[: self.catalog]
        return np.unique(first).size < first.size

    def products(self, rows: NDArray[np.float32], n: int, first: int = 0) -> NDArray[np.float32]:
        """Return (len(rows), n − first): rows (m, topics) · true topics of the items first…n−1.

        first: 0 or at least `catalog`. What is born later is multiplied in blocks of one size: how a matrix
        product rounds depends on its shape, and no item may depend on how many are still to come.
        """
        catalog = min(n, self.catalog)
        start = rows @ self.topics[:catalog].T if first == 0 else np.empty((len(rows), 0), np.float32)
        if n <= catalog:
            return start
        out = np.empty((len(rows), n - first), np.float32)
        out[:, : start.shape[1]] = start
        for at in range(max(first, catalog), n, NEWBORN_BLOCK):
            size = min(NEWBORN_BLOCK, n - at)
            block = np.zeros((NEWBORN_BLOCK, self.topics.shape[1]), np.float32)
            block[:size] = self.topics[at : at + size]
            out[:, at - first : at - first + size] = (rows @ block.T)[:, :size]
        return out

    def born(self, round: int) -> int:
        """Return how many items exist by a round: ids below it."""
        return int(np.searchsorted(self.birth, round, side="right"))

    def live(self, round: int) -> NDArray[np.bool_]:
        """Return (items,) true where an item can be shown in a round."""
        return (self.birth <= round) & (self.retirement > round)
