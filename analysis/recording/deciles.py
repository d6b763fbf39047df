"""Exposure by item popularity: slots, takes and demand per popularity decile, over the rounds of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents.items import Items

DECILES = 10
NEWBORN = 0
"""Class of items born after round 0, which had no popularity then."""
MAX_ROWS = 64
"""Maximum number of rows per run; in a longer run, pairs of neighboring rows are merged."""


def popularity_deciles(popularity: NDArray, items: Items) -> NDArray[np.int8]:
    """Return (items,) the decile of each item: 10 = the most popular tenth of the round-0 catalog, 1 = the least.

    Popularity is fixed at round 0 (times taken before: the warm-up or the imported log), as is usual
    where popularity bias is studied (Abdollahpouri et al., "The unfairness of popularity bias in
    recommendation", RMSE 2019; Mansoury et al., "Feedback loop and bias amplification in recommender
    systems", CIKM 2020), so that a decile contains the same items in every round and arm of a seed. Equally
    popular items are ordered by true demand, then by id; items born later are `NEWBORN`.
    """
    n = items.catalog
    order = np.lexsort((np.arange(n), items.demand[:n], popularity[:n]))
    deciles = np.full(len(items), NEWBORN, np.int8)
    deciles[order] = 1 + np.arange(n) * DECILES // n
    return deciles


class DecileRecord:
    """Sums slots, takes and demand per decile; memory does not grow with rounds.

    A row covers `stride` rounds, 1 at first. When `MAX_ROWS` rows are full, neighboring rows are added
    and the stride doubles: no counts are lost, and the rows do not depend on how long the run
    will be.
    """

    def __init__(self, popularity: NDArray, items: Items) -> None:
        self._items = items
        self._decile = popularity_deciles(popularity, items)
        self._stride = 1
        self._seen = 0
        self._sums = np.zeros((MAX_ROWS, DECILES + 1, 4))

    def add(self, round: int, shown: NDArray, taken: NDArray, live: NDArray[np.bool_]) -> None:
        """Add one round: counts (items,) and which items are live (items,)."""
        while round // self._stride >= MAX_ROWS:
            self._sums[: MAX_ROWS // 2] = self._sums[::2] + self._sums[1::2]
            self._sums[MAX_ROWS // 2 :] = 0
            self._stride *= 2
        row = self._sums[round // self._stride]
        demand = np.where(live, self._items.demand, 0.0)
        # Summed over live items only: rows allocated for future items must not change the order of the sum.
        demand /= self._items.demand[live].sum() or 1.0
        for place, weights in enumerate((shown, taken, demand, live)):
            row[:, place] += np.bincount(self._decile, weights=weights, minlength=DECILES + 1)
        self._seen = round + 1

    def table(self) -> dict[str, Any]:
        """Return one row per (kept) round and decile, newborn items first.

        Columns: round (the first that the row covers), rounds (how many it covers), decile, exposure (slots of the
        recommender; organic ones in an arm without it), consumption (takes from these slots), demand (share of the true demand for live items, mean over the
        rounds), live (items that could be shown, mean over the rounds).
        """
        first = np.arange(0, self._seen, self._stride)
        rounds = np.minimum(first + self._stride, self._seen) - first
        sums = self._sums[: len(first)]
        classes = DECILES + 1
        return {
            "round": np.repeat(first, classes).astype(np.int32),
            "rounds": np.repeat(rounds, classes).astype(np.int32),
            "decile": np.tile(np.arange(classes, dtype=np.int8), len(first)),
            "exposure": sums[:, :, 0].ravel().astype(np.int64),
            "consumption": sums[:, :, 1].ravel().astype(np.int64),
            "demand": (sums[:, :, 2] / rounds[:, None]).ravel(),
            "live": (sums[:, :, 3] / rounds[:, None]).ravel(),
        }

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"stride": self._stride, "seen": self._seen, "sums": self._sums}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._stride, self._seen = int(state["stride"]), int(state["seen"])
        self._sums = np.array(state["sums"], np.float64)
