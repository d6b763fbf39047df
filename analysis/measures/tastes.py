"""Tastes: how well slates serve each taste, and how the shares of tastes develop."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .base import Column, Round, Setup, SplitMeasure, Terms
from .intents import values_by_intent
from .panel import UserPanel


class HitRates(SplitMeasure):
    """P(at least one item taken | intent = the taste that was smallest / largest at round 0, this slate).

    Closed form under the choice model, from the slate of the visit, organic slates included. Mean over
    visitors, counting every user equally (weights 1 / activity); users with one taste are left out of
    both. Where people search (`behavior.search`), an organic slate depends on the intent: then those of a fixed panel of
    200 users are drawn again under each intent and count users / panel times, and those of others are left out. It is not the share of satisfied visits, which is biased: as a taste fades, only users who are served
    well still visit with it. Range [0, 1]; high is good.
    """

    columns: ClassVar = (
        Column("minority_hit_rate", "smallest taste served", "probability", 0, 1, "higher", "tastes"),
        Column("dominant_hit_rate", "largest taste served", "probability", 0, 1, "higher", "tastes"),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._panel = setup.shared(UserPanel)

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Select the hit probabilities of the two tastes."""
        world, hit, weights = round.world, round.hit, round.visit_weights
        minority = world.users.minority[round.users]
        counts = minority >= 0
        if world.behavior.search and round.organic.any():
            rows = self._panel.visits(round)
            rows = rows[round.organic[rows]]
            hit, weights = hit.copy(), weights.copy()
            hit[rows] = values_by_intent(round, rows, "hit")
            weights[rows] *= len(world.users) / self._panel.users.size
            on_panel = np.zeros(round.users.size, bool)
            on_panel[rows] = True
            counts = counts & (on_panel | ~round.organic)
        every = np.arange(round.users.size)
        weights = np.where(counts, weights, 0.0)
        chosen = {"minority_hit_rate": hit[every, minority], "dominant_hit_rate": hit[:, 0]}
        return round.users, {
            name: (weights * np.where(counts, values, 0.0), weights) for name, values in chosen.items()
        }


class SatisfiedVisits(SplitMeasure):
    """Share of visits in which at least one item was taken from the slate (word of mouth excluded).

    Every visit counts once. Range [0, 1]; high is good, but it can rise while a taste is not served: see
    `minority_hit_rate`.
    """

    columns: ClassVar = (Column("satisfied_visits", "satisfied visits", "share", 0, 1, "higher", "tastes"),)

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Count satisfied visits."""
        return round.users, {"satisfied_visits": (round.taken[:, 0] >= 0, np.ones(round.users.size))}


class TasteShares(SplitMeasure):
    """Mean share of demand left to the taste that was smallest (largest) at round 0.

    Over all users with at least two tastes, visitors or not, equally weighted. `minority_share_neutral`
    is the same in the neutral shadow, where every taste is served equally well: only the difference from
    it is due to the slates (docs/model.md). Range [0, 1].
    """

    columns: ClassVar = (
        Column("minority_share", "demand left to the smallest taste", "share", 0, 1, "neither", "tastes"),
        Column(
            "minority_share_neutral",
            "the same if all tastes were served equally",
            "share",
            0,
            1,
            "neither",
            "tastes",
        ),
        Column("dominant_share", "demand of the largest taste", "share", 0, 1, "neither", "tastes"),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        users = setup.world.users
        self._users = np.flatnonzero(users.n_tastes > 1).astype(np.int32)
        self._minority = users.minority[self._users]

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Select the shares."""
        users, rows, ones = round.world.users, self._users, np.ones(self._users.size)
        return rows, {
            "minority_share": (users.shares[rows, self._minority], ones),
            "minority_share_neutral": (users.neutral[rows, self._minority], ones),
            "dominant_share": (users.shares[rows, 0], ones),
        }


class EffectiveTastes(SplitMeasure):
    """Effective number of tastes, exp(−Σ s log s), and of distinct tastes, exp(−Σ s log(Zs)).

    Z_kj = cosine of tastes k and j: similarity-sensitive diversity of order 1 (Leinster & Cobbold,
    "Measuring diversity: the importance of species similarity", Ecology 2012), which detects tastes
    that have merged. Mean over all users. Range [1, K].
    """

    columns: ClassVar = (
        Column("effective_tastes", "effective number of tastes", "tastes", 1, np.inf, "neither", "tastes"),
        Column(
            "effective_tastes_distinct",
            "effective number of distinct tastes",
            "tastes",
            1,
            np.inf,
            "neither",
            "tastes",
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._users = np.arange(len(setup.world.users), dtype=np.int32)

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Compute both numbers for every user."""
        users = round.world.users
        plain, distinct = _effective(users.shares, users.tastes)
        ones = np.ones(self._users.size)
        return self._users, {"effective_tastes": (plain, ones), "effective_tastes_distinct": (distinct, ones)}


@njit(cache=True)
def _effective(shares, tastes):
    """Return (users,) the effective number of tastes, and the similarity-sensitive version."""
    count, kinds, topics = tastes.shape
    plain = np.ones(count)
    distinct = np.ones(count)
    alike = np.zeros((kinds, kinds))
    for u in range(count):
        total = 0.0
        for k in range(kinds):
            total += shares[u, k]
            for j in range(k + 1):
                dot = 0.0
                for t in range(topics):
                    dot += np.float64(tastes[u, k, t]) * np.float64(tastes[u, j, t])
                alike[k, j] = dot
        entropy = 0.0
        mixed = 0.0
        for k in range(kinds):
            share = shares[u, k] / total
            if share <= 0.0:
                continue
            entropy -= share * np.log(share)
            ordinary = 0.0
            for j in range(kinds):
                if shares[u, j] > 0.0:
                    dot = alike[k, j] if j <= k else alike[j, k]
                    ordinary += shares[u, j] / total * dot / np.sqrt(alike[k, k] * alike[j, j])
            mixed -= share * np.log(ordinary)
        plain[u] = max(1.0, np.exp(entropy))
        distinct[u] = max(1.0, np.exp(mixed))
    return plain, distinct
