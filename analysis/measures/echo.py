"""Homogenization ("echo"): overlap of what different users consume, overall and by community."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...bits import no_bits, set_bits
from .base import Column, Measure, Round, Setup
from .panel import panel_rng
from .window import Window, WindowMeasure

PAIRS = 1000
"""Number of pairs of users on each panel."""
SAMPLE = 2
"""Number of distinct items compared per user; users with fewer are left out. It is small because the number of
users with more items depends on the arm, and leaving many out would compare arms on different users."""


class Homogenization(WindowMeasure):
    """Mean set Jaccard |A ∩ B| / |A ∪ B| of what two random users took in the last 20 rounds.

    Takes from slates and by word of mouth both count. Sets are subsamples of 2 distinct items each, since
    Jaccard grows with set size; the value is the exact expectation over all such subsamples. 1,000 fixed random
    pairs; a pair in which a user took fewer than 2 distinct items is left out, and `pairs_compared` is the share
    of pairs that are compared. Range [0, 1]; high = all users consume the same.
    """

    columns: ClassVar = (
        Column("homogenization", "overlap of what two users take (Jaccard)", "", 0, 1, "neither", "echo"),
        Column("pairs_compared", "pairs with enough to compare", "share", 0, 1, "neither", "echo"),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        everyone = np.zeros(len(setup.world.users), np.int64)
        self._pairs = draw_pairs(everyone, True, panel_rng(setup.key, "pairs"))

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and compare the pairs."""
        window = self._window.update(round)
        overlap, compared = mean_overlap(window, self._pairs)
        return {"homogenization": overlap, "pairs_compared": compared}


class CumulativeOverlap(Measure):
    """Mean set Jaccard |A ∩ B| / |A ∪ B| of all that two random users took since round 0.

    Takes from slates and by word of mouth both count, each item once. The 1,000 pairs of `homogenization`; a pair that took
    nothing yet is left out. Range [0, 1]. It moves by itself, as sets grow: compare arms at the same round. Homogenization in
    the sense of Chaney, Stewart & Engelhardt, "How algorithmic confounding in recommendation systems increases homogeneity
    and decreases utility" (RecSys 2018), is the difference of this column from an arm that knows the tastes.
    """

    columns: ClassVar = (
        Column(
            "overlap_cumulative", "overlap of all that two users took (Jaccard)", "", 0, 1, "neither", "echo"
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        everyone = np.zeros(len(setup.world.users), np.int64)
        pairs = draw_pairs(everyone, True, panel_rng(setup.key, "pairs"))
        members, places = np.unique(pairs, return_inverse=True)
        self._pairs = places.reshape(pairs.shape).astype(np.int32)
        self._row = np.full(len(setup.world.users), -1, np.int32)
        self._row[members] = np.arange(members.size)
        self._taken = no_bits(members.size, len(setup.world.items))

    def update(self, round: Round) -> dict[str, float]:
        """Add what the members of the pairs took, and compare the pairs."""
        rows, columns = np.nonzero(round.taken >= 0)
        users = np.concatenate([round.users[rows], round.heard_users])
        items = np.concatenate([round.taken[rows, columns], round.heard_items])
        known = self._row[users] >= 0
        set_bits(self._taken, self._row[users[known]], items[known])
        return {"overlap_cumulative": _mean_jaccard(self._taken, self._pairs)}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was taken."""
        return {"taken": self._taken}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what was taken; a longer run also has columns for future items."""
        kept = state["taken"]
        self._taken[:] = 0
        self._taken[:, : kept.shape[1]] = kept


class CommunityGap(WindowMeasure):
    """Overlap (as in `homogenization`) of pairs inside a community minus that of pairs across communities.

    1,000 fixed random pairs of each kind. Range [−1, 1]; 0 = communities do not matter; high = each
    community has its own items. NaN with a single community.
    """

    columns: ClassVar = (
        Column("community_gap", "overlap within minus across communities", "", -1, 1, "neither", "echo"),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        community = setup.world.users.community
        self._within = draw_pairs(community, True, panel_rng(setup.key, "pairs within"))
        self._between = draw_pairs(community, False, panel_rng(setup.key, "pairs between"))

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and compare both kinds of pairs."""
        window = self._window.update(round)
        within, between = mean_overlap(window, self._within)[0], mean_overlap(window, self._between)[0]
        return {"community_gap": within - between}


def draw_pairs(
    labels: NDArray, same: bool, rng: np.random.Generator, count: int = PAIRS
) -> NDArray[np.int32]:
    """Return (count, 2) pairs of different users, uniform among those with the same (different) labels (users,).

    Drawn with replacement; (0, 2) if there is no such pair.
    """
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    partners = sizes[group] - 1 if same else labels.size - sizes[group]
    total = partners.sum()
    if total == 0:
        return np.empty((0, 2), np.int32)
    first = rng.choice(labels.size, count, p=partners / total)
    place = rng.integers(0, partners[first])
    # Users sorted by label: those who share a label form one block.
    order = np.argsort(group, kind="stable")
    position = np.empty(labels.size, np.int64)
    position[order] = np.arange(labels.size)
    starts = (np.cumsum(sizes) - sizes)[group[first]]
    if same:
        place = starts + place
        place += place >= position[first]
    else:
        place += np.where(place >= starts, sizes[group[first]], 0)
    return np.stack([first, order[place]], axis=1).astype(np.int32)


def mean_overlap(window: Window, pairs: NDArray[np.int32], sample: int = SAMPLE) -> tuple[float, float]:
    """Return the mean expected Jaccard of equal-size subsamples over pairs (P, 2), and the share of pairs compared.

    NaN without any pairs to compare.
    """
    baskets = window.baskets()
    choose = _binomials(baskets.items.shape[1], sample)
    total, count = _overlap(baskets.items, baskets.distinct, pairs, window.shown["all"].size, choose)
    return (total / count if count else np.nan), (count / len(pairs) if len(pairs) else np.nan)


@njit(cache=True)
def _mean_jaccard(bits, pairs):
    total, count = 0.0, 0
    for p in range(pairs.shape[0]):
        both, either = 0, 0
        for byte in range(bits.shape[1]):
            one, other = bits[pairs[p, 0], byte], bits[pairs[p, 1], byte]
            if one | other:
                for bit in range(8):
                    both += ((one & other) >> bit) & 1
                    either += ((one | other) >> bit) & 1
        if either > 0:
            total += both / either
            count += 1
    return total / count if count > 0 else np.nan


@cache
def _binomials(most: int, sample: int) -> NDArray[np.float64]:
    """Return (most + 1, sample + 1) with C(n, k) in row n, column k."""
    table = [[math.comb(n, k) for k in range(sample + 1)] for n in range(most + 1)]
    return np.array(table, np.float64)


@njit(cache=True)
def _overlap(items, distinct, pairs, n_items, choose):
    """Return the sum of expected Jaccards, and the number of pairs with enough items; choose[n, k] = C(n, k)."""
    sample = choose.shape[1] - 1
    owner = np.full(n_items, -1, np.int64)
    total = 0.0
    count = 0
    for p in range(pairs.shape[0]):
        first, second = pairs[p, 0], pairs[p, 1]
        if distinct[first] < sample or distinct[second] < sample:
            continue
        for j in range(distinct[first]):
            owner[items[first, j]] = p
        common = 0
        for j in range(distinct[second]):
            common += owner[items[second, j]] == p
        count += 1
        if common > 0:
            total += _expected_jaccard(distinct[first], distinct[second], common, choose)
    return total, count


@njit(cache=True)
def _expected_jaccard(first, second, common, choose):
    """Return E|A'∩B'|/|A'∪B'| for random subsamples of equal size from sets with `common` shared items.

    x = shared items in A' is hypergeometric; given x, so is the number y of them in B'.
    """
    sample = choose.shape[1] - 1
    mean = 0.0
    for x in range(1, min(sample, common) + 1):
        if sample - x > first - common:
            continue
        inner = 0.0
        for y in range(1, x + 1):
            if sample - y <= second - x:
                inner += choose[x, y] * choose[second - x, sample - y] * y / (2 * sample - y)
        mean += choose[common, x] * choose[first - common, sample - x] * inner
    return mean / (choose[first, sample] * choose[second, sample])
