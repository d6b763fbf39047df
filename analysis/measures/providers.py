"""Provider-side measures: exposure, survival and supply of the providers (creators) of items.

Concentration of exposure is measured whenever items have providers; the rest needs active providers
(`world.creators`) and is NaN otherwise.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...agents.values import NICHE
from .base import Column, Measure, Round, Setup, SplitMeasure, Terms
from .exposure import gini
from .rows import row_sums
from .window import WindowMeasure


class ProviderConcentration(WindowMeasure):
    """Gini coefficient, over providers with a live item, of their slots (takes from slates) in the last 20 rounds.

    A provider's slots are those of all its items, retired ones included; providers who have stopped count as
    long as one of their items is live. NaN if each provider has only one item, as in most real logs. Range
    [0, 1); high = few providers get everything. Formula: as `exposure_gini`.
    """

    columns: ClassVar = (
        Column(
            "provider_exposure_gini", "concentration of exposure on providers (Gini)", "", 0, 1, "neither", "exposure"
        ),
        Column(
            "provider_exposure_gini_consumed", "concentration of consumption on providers (Gini)", "",
            0, 1, "neither", "exposure",
        ),
    )  # fmt: skip

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and sum the window by provider."""
        window, items = self._window.update(round), round.world.items
        if not items.has_providers:
            return {column.name: np.nan for column in self.columns}
        born = items.n_born(round.index)
        owner = items.provider[:born]
        with_live_item = np.bincount(owner, round.live[:born]) > 0
        return {
            "provider_exposure_gini": gini(np.bincount(owner, window.shown["all"][:born])[with_live_item]),
            "provider_exposure_gini_consumed": gini(
                np.bincount(owner, window.taken["all"][:born])[with_live_item]
            ),
        }


class ProviderSurvival(Measure):
    """Share of the round-0 providers who still make items, the same among niche ones, and the number of active ones.

    A provider is niche if the total true demand of its round-0 items is in the bottom 80 % of the round-0
    providers (the same threshold as for niche items, docs/model.md). `active_providers` counts entrants too.
    Shares in [0, 1], non-increasing, since no provider returns; only the part by which a share lies below that of
    the organic world is due to the platform. NaN without `world.creators`. Viability of providers:
    Mladenov et al. (ICML 2020).
    """

    columns: ClassVar = (
        Column("provider_survival", "initial providers still active", "share", 0, 1, "neither", "exposure"),
        Column(
            "niche_provider_survival",
            "initial niche providers still active",
            "share",
            0,
            1,
            "neither",
            "exposure",
        ),
        Column("active_providers", "active providers", "providers", 0, np.inf, "neither", "exposure"),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        creators, items = setup.world.creators, setup.world.items
        if creators is not None:
            catalog = slice(0, items.catalog)
            demand = np.bincount(items.provider[catalog], items.demand[catalog], creators.n_founders)[
                : creators.n_founders
            ]
            self._niche: NDArray[np.bool_] = demand < np.quantile(demand, NICHE)

    def update(self, round: Round) -> dict[str, float]:
        """Count active providers."""
        creators = round.world.creators
        if creators is None:
            return {column.name: np.nan for column in self.columns}
        active = creators.active(round.index)
        first = active[: creators.n_founders]
        return {
            "provider_survival": float(first.mean()),
            "niche_provider_survival": float(first[self._niche].mean()) if self._niche.any() else np.nan,
            "active_providers": float(active.sum()),
        }


class TopicSupply(Measure):
    """Effective number of topics among the live items, and how far their topics are from true demand.

    With p the mean topic mixture of the live items and d that of true demand over the round-0 catalog, the
    mean calibrated target Σ_u target_u / U: `supply_topics` = exp(−Σ p log p), in [1, topics], and
    `supply_gap` = ½ Σ |p − d|, the total variation distance, in [0, 1]. d is fixed at round 0 and the same
    in every arm; low gap = supply matches what users would consume. NaN without `world.creators`.
    """

    columns: ClassVar = (
        Column("supply_topics", "effective topics of the live catalog", "topics", 1, np.inf, "neither", "exposure"),
        Column("supply_gap", "distance of supply from topic demand", "share", 0, 1, "lower", "exposure"),
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        demand = setup.world.users.target.mean(axis=0, dtype=np.float64)
        self._demand = demand / max(demand.sum(), 1e-300)

    def update(self, round: Round) -> dict[str, float]:
        """Compare the topics of the live items with those of demand."""
        if round.world.creators is None or not round.live.any():
            return {column.name: np.nan for column in self.columns}
        supply = round.world.items.topics[round.live].mean(axis=0, dtype=np.float64)
        supply /= supply.sum()
        positive = supply[supply > 0]
        return {
            "supply_topics": max(1.0, float(np.exp(-(positive * np.log(positive)).sum()))),
            "supply_gap": min(1.0, float(np.abs(supply - self._demand).sum() / 2)),
        }


class EntrantExposure(SplitMeasure):
    """Share of the round's slots, and of its takes from slates, whose item is by a provider who entered after round 0.

    Range [0, 1]; neither direction is good by itself: compare it with the same share in the organic
    world. NaN without `world.creators`.
    """

    columns: ClassVar = (
        Column("entrant_exposure", "new providers' share of shown items", "share", 0, 1, "neither", "exposure"),
        Column(
            "entrant_exposure_consumed", "new providers' share of taken items", "share",
            0, 1, "neither", "exposure",
        ),
    )  # fmt: skip

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Count slots and takes, and the entrants' among them."""
        creators, nothing = round.world.creators, np.zeros(round.users.size)
        if creators is None:
            return round.users, {column.name: (nothing, nothing) for column in self.columns}
        entrant = round.world.items.provider >= creators.n_founders
        return round.users, {
            "entrant_exposure": (row_sums(round.slates, entrant), round.part("all").slots),
            "entrant_exposure_consumed": (row_sums(round.taken, entrant), round.part("all").takes),
        }
