"""Exposure of items: which are shown, and the same for takes from slates (`…_consumed`).

They count what the recommender showed. The same for organic visits (`…_organic`), for slots kept for newborn items
(`…_cold`) and for all slots together (`…_all`) are columns of their own: see `base.SOURCES`. In the organic arm, and for
users from whom a switch takes the recommender, organic slots count, so that a reference is never empty. Word of mouth
never counts.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import RECENT, SOURCES, Column, Measure, Round, SplitMeasure, Terms, by_source
from .rows import row_sums
from .window import WindowMeasure


class NicheExposure(SplitMeasure):
    """Share of the round's slots, and of its takes from slates, whose item is niche.

    Range [0, 1]; neither direction is good by itself: compare it with `niche_demand`. An item is niche
    if its true demand is in the bottom 80 % (docs/model.md).
    """

    columns: ClassVar = by_source(
        Column("niche_exposure", "niche share of shown items", "share", 0, 1, "neither", "exposure"),
        Column("niche_consumed", "niche share of taken items", "share", 0, 1, "neither", "exposure"),
    )

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Count slots and takes, and the niche ones among them."""
        return round.users, sums_by_source(
            self, round, ("niche_exposure", "niche_consumed"), round.world.items.niche
        )


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

    columns: ClassVar = by_source(
        Column("exposure_gini", "concentration of exposure (Gini)", "", 0, 1, "neither", "exposure"),
        Column(
            "exposure_gini_consumed", "concentration of consumption (Gini)", "", 0, 1, "neither", "exposure"
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and evaluate it."""
        return self.window_values(round, ("exposure_gini", "exposure_gini_consumed"), round.live, gini)


class Coverage(WindowMeasure):
    """Share of the live items that were on (or taken from) at least one slate in the last 20 rounds.

    Cov = |∪ slates ∩ live| / |live| over the window. Range [0, 1].
    """

    columns: ClassVar = by_source(
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
        return self.window_values(round, ("coverage", "coverage_consumed"), round.live, _covered)


class Extinction(WindowMeasure):
    """Share of the live items at least 20 rounds old that nobody was shown (took) in the last 20 rounds.

    Age counts from birth, or from round 0 for items born before. Range [0, 1]; NaN before round 20
    and if no live item is that old.
    """

    columns: ClassVar = by_source(
        Column("extinct_share", "items not shown for 20 rounds", "share", 0, 1, "neither", "exposure"),
        Column(
            "extinct_share_consumed", "items not taken for 20 rounds", "share", 0, 1, "neither", "exposure"
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and evaluate it."""
        age = round.index - np.maximum(round.world.items.birth, 0)
        old = round.live & (age >= RECENT)
        return self.window_values(
            round, ("extinct_share", "extinct_share_consumed"), old, lambda counts: 1 - _covered(counts)
        )


class RoundCoverage(Measure):
    """Share of the live items that were on (or taken from) at least one slate in this round.

    Beside `coverage`, which looks back 20 rounds. Range [0, 1].
    """

    columns: ClassVar = by_source(
        Column(
            "coverage_round", "items shown at least once in a round", "share", 0, 1, "neither", "exposure"
        ),
        Column(
            "coverage_round_consumed",
            "items taken at least once in a round",
            "share",
            0,
            1,
            "neither",
            "exposure",
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Count the items of the round."""
        values: dict[str, float] = {}
        for suffix, (source, _) in SOURCES.items():
            for name, what in (
                ("coverage_round", "shown_counts"),
                ("coverage_round_consumed", "taken_counts"),
            ):
                if self.wants(name + suffix):
                    values[name + suffix] = _covered(getattr(round.part(source), what)[round.live])
        return values


def _covered(counts: NDArray) -> float:
    return float((counts > 0).mean()) if counts.size else np.nan


def sums_by_source(measure: Measure, round: Round, names: tuple[str, str], values: NDArray[Any]) -> Terms:
    """Return the sums of values (items,) over slots and takes, and the numbers of these, for columns of all sources.

    names: the columns of what is shown and of what is taken, without a suffix.
    """
    terms: Terms = {}
    for suffix, (source, _) in SOURCES.items():
        shown, taken = (f"{name}{suffix}" for name in names)
        if measure.wants(shown):
            terms[shown] = (row_sums(round.part(source).slates, values), round.part(source).slots)
        if measure.wants(taken):
            terms[taken] = (row_sums(round.part(source).taken, values), round.part(source).takes)
    return terms
