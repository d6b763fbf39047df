"""The catalog: the true topics and quality of every item, and the rounds in which it is born and retires."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NEWBORN_BLOCK = 256
"""Block size of matrix products over items that are not in the round-0 catalog."""
NEVER = np.iinfo(np.int32).max
"""Retirement round of an item that never retires, and birth round of one that has not been made yet."""


@dataclass
class Items:
    """Struct of arrays over all items that exist at some time; the round-0 catalog has the first ids.

    Then come those that retired before round 0, in a world with arrivals, and then the rest in order of birth.
    Rows are allocated for the whole horizon at the start, so ids and draws never shift; an item exists
    only from its birth round on. If creators make the new items, rows of future items are zeros with birth
    `NEVER` and provider −1, and are filled in order (`agents.production`).
    """

    topics: NDArray[np.float32]
    """(items, topics) true topic mixture; rows sum to one."""
    quality: NDArray[np.float32]
    """(items,) utility that all users agree on, in Gumbel noise units."""
    provider: NDArray[np.int32]
    """(items,) id of the provider who made it."""
    birth: NDArray[np.int32]
    """(items,) first round in which it can be shown; in a world with arrivals, a part of the round-0 catalog is born in the
    warm-up, the rest before it."""
    retirement: NDArray[np.int32]
    """(items,) first round in which it can no longer be shown; `NEVER` if it never retires. In a world with arrivals, some
    retire in the warm-up: they are in the first log only."""
    tag: NDArray[np.float32]
    """(items, topics) the topics that the platform observes; rows sum to one."""
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
    def has_providers(self) -> bool:
        """Whether providers tell more than item ids: some provider has two or more items in the round-0 catalog."""
        first = self.provider[: self.catalog]
        return np.unique(first).size < first.size

    def topic_products(self, rows: NDArray[np.float32], n: int, first: int = 0) -> NDArray[np.float32]:
        """Return (len(rows), n − first): rows (m, topics) · true topics of the items first…n−1.

        first: 0 or at least `catalog`. Items beyond the catalog are multiplied in blocks of a fixed size: the rounding
        of a matrix product depends on its shape, and values must not depend on how many items come later.
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

    def n_born(self, round: int) -> int:
        """Return how many items have been born by a round from 0 on; their ids are below this number."""
        return int(np.searchsorted(self.birth, round, side="right"))

    def live(self, round: int) -> NDArray[np.bool_]:
        """Return (items,): true if an item can be shown in a round."""
        return (self.birth <= round) & (self.retirement > round)
