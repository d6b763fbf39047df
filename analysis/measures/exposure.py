"""Exposure of items: which are shown, and the same for takes from slates (`…_consumed`).

Organic slates count, because an item on any slate was exposed. Word of mouth does not.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import RECENT, Column, Measure, Round, SplitMeasure, Terms
from .rows import row_sums
from .window import WindowMeasure


class NicheExposure(SplitMeasure):
    """Share of the round's slots, and of its takes from slates, whose item is niche.

    Range [0, 1]; neither direction is good by itself: compare it with `niche_demand`. An item is niche
    if its true demand is in the bottom 80 % (docs/model.md).
    """

    columns: ClassVar = (
        Column("niche_exposure", "niche share of shown items", "share", 0, 1, "neither", "exposure"),
        Column("niche_consumed", "niche share of taken items", "share", 0, 1, "neither", "exposure"),
    )

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Count slots and takes, and the niche ones among them."""
        niche = round.world.items.niche
        return round.users, {
            "niche_exposure": (row_sums(round.slates, niche), round.slots),
            "niche_consumed": (row_sums(round.taken, niche), round.takes),
        }


class NicheDemand(Measure):
    """Share of true demand that falls on niche items, among the items that are live now.

    Σ demand over live niche items / Σ demand over live items. Range [0, 1]. Constant as long as the catalog
    is; the reference level for niche exposure and consumption.
    """

    columns: ClassVar = (
        Column("niche_demand", "niche share of true demand", "share", 0, 1, "neither", "exposure"),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Sum demand over the live catalog."""
        items = round.world.items
        total = items.demand[round.live].sum()
        niche = items.demand[round.live & items.niche].sum()
        return {"niche_demand": float(niche / total) if total > 0 else np.nan}


def gini(counts: NDArray) -> float:
    """Return the Gini coefficient of non-negative counts (n,): 0 = all equal, (n − 1)/n = one has all.

    G = 2 Σ_j j·x_(j) / (n Σ x) − (n + 1)/n with x ascending. NaN if all are 0.
    """
    total = counts.sum()
    if total == 0:
        return np.nan
    n = counts.size
    ranks = np.arange(1, n + 1, dtype=np.float64)
    return max(0.0, float(2 * (ranks @ np.sort(counts)) / (n * total) - (n + 1) / n))


class Concentration(WindowMeasure):
    """Gini coefficient, over the live items, of slots (and of takes from slates) in the last 20 rounds.

    Over a window instead of a single round, because with the few slots of one round the coefficient mostly
    measures the number of slots. Range [0, 1); high = few items get everything. Formula: see `gini`.
    """

    columns: ClassVar = (
        Column("exposure_gini", "concentration of exposure (Gini)", "", 0, 1, "neither", "exposure"),
        Column(
            "exposure_gini_consumed", "concentration of consumption (Gini)", "", 0, 1, "neither", "exposure"
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and evaluate it."""
        window = self._window.update(round)
        return {
            "exposure_gini": gini(window.shown[round.live]),
            "exposure_gini_consumed": gini(window.taken[round.live]),
        }


class Coverage(WindowMeasure):
    """Share of the live items that were on (or taken from) at least one slate in the last 20 rounds.

    Cov = |∪ slates ∩ live| / |live| over the window. Range [0, 1].
    """

    columns: ClassVar = (
        Column("coverage", "items shown at least once in 20 rounds", "share", 0, 1, "neither", "exposure"),
        Column(
            "coverage_consumed",
            "items taken at least once in 20 rounds",
            "share",
            0,
            1,
            "neither",
            "exposure",
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and evaluate it."""
        window = self._window.update(round)
        return {
            "coverage": _share(window.shown[round.live] > 0),
            "coverage_consumed": _share(window.taken[round.live] > 0),
        }


class Extinction(WindowMeasure):
    """Share of the live items at least 20 rounds old that nobody was shown (took) in the last 20 rounds.

    Age counts from birth, or from round 0 for items born before. Range [0, 1]; NaN before round 20
    and if no live item is that old.
    """

    columns: ClassVar = (
        Column("extinct_share", "items not shown for 20 rounds", "share", 0, 1, "neither", "exposure"),
        Column(
            "extinct_share_consumed", "items not taken for 20 rounds", "share", 0, 1, "neither", "exposure"
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and evaluate it."""
        window = self._window.update(round)
        age = round.index - np.maximum(round.world.items.birth, 0)
        old = round.live & (age >= RECENT)
        return {
            "extinct_share": _share(window.shown[old] == 0),
            "extinct_share_consumed": _share(window.taken[old] == 0),
        }


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if flags.size else np.nan
