"""Popularity bias: how popular the shown and the taken items were before round 0."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Column, Round, Setup, SplitMeasure, Terms
from .rows import row_means, row_sums


def profile_popularity(
    popularity: NDArray[np.int64], users: NDArray[np.int32], items: NDArray[np.int32], n_users: int
) -> NDArray[np.float64]:
    """Return (n_users,): mean popularity of what each user took, from log entries users[j], items[j] (n,).

    NaN for a user without entries. It fills `Setup.profile_popularity`.
    """
    count = np.bincount(users, minlength=n_users)
    total = np.bincount(users, weights=popularity[items], minlength=n_users)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class AveragePopularity(SplitMeasure):
    """Mean popularity of the shown (taken) items (ARP), with popularity fixed at round 0.

    Mean over the round's slots of (times taken before round 0) / users; items born later count 0.
    Range [0, ∞); high = old hits.
    """

    columns: ClassVar = (
        Column(
            "average_popularity", "popularity of shown items", "takes per user before round 0",
            0, np.inf, "neither", "exposure",
        ),
        Column(
            "average_popularity_consumed", "popularity of taken items", "takes per user before round 0",
            0, np.inf, "neither", "exposure",
        ),
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._popularity = setup.popularity / len(setup.world.users)

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Sum popularity over slots and takes."""
        return round.users, {
            "average_popularity": (row_sums(round.slates, self._popularity), round.slots),
            "average_popularity_consumed": (row_sums(round.taken, self._popularity), round.takes),
        }


class PopularityLift(SplitMeasure):
    """How much more popular the shown (taken) items are than what the same users took before round 0.

    dGAP = (GAP(q) − GAP(p)) / GAP(p): GAP(q) = mean over users of the mean popularity on their slate,
    GAP(p) = mean over the same users of the mean popularity of their profile. Visitors count equally
    (weights 1 / activity); those without a profile, or who took nothing, are left out. Range [−1, ∞);
    0 = as popular as the profile. Useful mainly when split by group, as in Abdollahpouri et al., "The unfairness
    of popularity bias in recommendation" (RMSE 2019).
    """

    columns: ClassVar = (
        Column(
            "popularity_lift", "popularity lift of shown items", "relative", -1, np.inf, "neither", "exposure"
        ),
        Column(
            "popularity_lift_consumed",
            "popularity lift of taken items",
            "relative",
            -1,
            np.inf,
            "neither",
            "exposure",
        ),
    )

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Return weighted differences from the profile, and weighted profiles."""
        profile = self.setup.profile_popularity[round.users]
        terms: Terms = {}
        for name, items in (("popularity_lift", round.slates), ("popularity_lift_consumed", round.taken)):
            difference = row_means(items, self.setup.popularity) - profile
            base = np.where(np.isfinite(difference), profile, np.nan)
            terms[name] = (round.visit_weights * difference, round.visit_weights * base)
        return round.users, terms
