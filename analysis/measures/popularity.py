"""Popularity bias: how popular the shown and the taken items were before round 0."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Column, Round, Setup, SplitMeasure, Terms, by_source
from .exposure import sums_by_source
from .rows import row_means


def profile_popularity(
    popularity: NDArray[np.int64], users: NDArray[np.int32], items: NDArray[np.int32], n_users: int
) -> NDArray[np.float64]:
    """Return (n_users,): mean popularity of what each user took, from log entries users[j], items[j] (n,).

    NaN for a user without entries. It fills `Setup.profile_popularity`.
    """
    count = np.bincount(users, minlength=n_users)
    total = np.bincount(users, weights=popularity[items], minlength=n_users)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


POPULAR = 0.2
"""Part of the round-0 catalog, most often taken first, that counts as popular in a profile."""
PROFILES = ("niche", "diverse", "blockbuster")


def profile_groups(
    popularity: NDArray[np.int64],
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    n_users: int,
    catalog: int,
) -> dict[str, NDArray[np.bool_]]:
    """Return "profile=niche", "…diverse" and "…blockbuster" → (n_users,): thirds by the share of popular items in profiles.

    A profile is what a user took before round 0, of the catalog that is left then: log entries users[j], items[j] (n,),
    every take counted. Popular are the most often taken 20 % of that catalog, as in Abdollahpouri et al. (RMSE 2019).
    Users without a profile are in none; equal shares are ordered by id.
    """
    left = items < catalog
    users, items = users[left], items[left]
    popular = np.zeros(popularity.size, bool)
    popular[np.argsort(-popularity[:catalog], kind="stable")[: round(POPULAR * catalog)]] = True
    count = np.bincount(users, minlength=n_users)
    share = np.bincount(users, weights=popular[items], minlength=n_users) / np.maximum(count, 1)
    known = np.flatnonzero(count)
    order = known[np.argsort(share[known], kind="stable")]
    masks = {}
    for name, members in zip(PROFILES, np.array_split(order, len(PROFILES)), strict=True):
        masks[f"profile={name}"] = np.isin(np.arange(n_users), members)
    return masks


class AveragePopularity(SplitMeasure):
    """Mean popularity of the shown (taken) items (ARP), with popularity fixed at round 0.

    Mean over the round's slots of (times taken before round 0) / users; items born later count 0.
    Range [0, ∞); high = old hits.
    """

    columns: ClassVar = by_source(
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
        names = ("average_popularity", "average_popularity_consumed")
        return round.users, sums_by_source(self, round, names, self._popularity)


class CurrentPopularity(SplitMeasure):
    """Mean popularity of the shown (taken) items, with popularity as of now.

    Mean over the round's slots of (times taken before this round, from round 0 and from the log before it) / users, as in
    Mansoury et al., "Feedback loop and bias amplification in recommender systems" (CIKM 2020). It grows as the log does:
    compare arms at the same round. Range [0, ∞); high = hits of today.
    """

    columns: ClassVar = by_source(
        Column(
            "average_popularity_current", "present popularity of shown items", "takes per user so far",
            0, np.inf, "neither", "exposure",
        ),
        Column(
            "average_popularity_current_consumed", "present popularity of taken items", "takes per user so far",
            0, np.inf, "neither", "exposure",
        ),
    )  # fmt: skip

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Sum popularity over slots and takes."""
        names = ("average_popularity_current", "average_popularity_current_consumed")
        return round.users, sums_by_source(self, round, names, round.world.taken / len(round.world.users))


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
        profile, own = self.setup.profile_popularity[round.users], round.part("own")
        terms: Terms = {}
        for name, items in (("popularity_lift", own.slates), ("popularity_lift_consumed", own.taken)):
            difference = row_means(items, self.setup.popularity) - profile
            base = np.where(np.isfinite(difference), profile, np.nan)
            terms[name] = (round.visit_weights * difference, round.visit_weights * base)
        return round.users, terms
