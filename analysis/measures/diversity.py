"""Diversity of consumption, within users and between users."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .base import Column, Round, Setup, SplitMeasure, Terms
from .window import Window, WindowMeasure


class IntraUserDiversity(SplitMeasure):
    """Mean pairwise cosine distance of the topics of what a user took in the last 20 rounds.

    All pairs of takes (an item taken twice is a pair at distance 0), word of mouth included. Mean over
    all users with at least two takes, equally weighted. With unit vectors x̂, the mean cosine of n takes is
    (|Σx̂|² − n) / (n(n − 1)). Range [0, 1]; high = varied.
    """

    columns: ClassVar = (
        Column("intra_user_diversity", "variety within a user", "cosine distance", 0, 1, "neither", "echo"),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._window = setup.shared(Window)
        self._unit = _normalized(setup.world.items.topics)
        self._users = np.arange(len(setup.world.users), dtype=np.int32)

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Add the round to the window and evaluate every user."""
        window = self._window.update(round)
        baskets = window.baskets()
        if round.world.creators is not None:
            # The items that creators make are not known at the start.
            self._unit = _normalized(round.world.items.topics)
        distance = _distance_inside(baskets.items, baskets.takes, self._unit)
        return self._users, {"intra_user_diversity": (distance, np.where(np.isnan(distance), 0.0, 1.0))}


class InterUserDiversity(WindowMeasure):
    """Mean pairwise cosine distance between users' average consumption of the last 20 rounds.

    A user's average consumption is the mean topic mixture of all takes, word of mouth included. All pairs
    of users with at least one take, by the same closed form as `intra_user_diversity`. Range [0, 1]; low =
    users have become similar.
    """

    columns: ClassVar = (
        Column("inter_user_diversity", "variety between users", "cosine distance", 0, 1, "neither", "echo"),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Add the round to the window and compare all users."""
        window = self._window.update(round)
        baskets = window.baskets()
        total, count = _sum_of_directions(baskets.items, baskets.takes, round.world.items.topics)
        if count < 2:
            return {"inter_user_diversity": np.nan}
        similarity = (total @ total - count) / (count * (count - 1))
        return {"inter_user_diversity": float(np.clip(1 - similarity, 0, 1))}


def _normalized(topics: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt((topics.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return (topics / np.where(length > 0, length, 1)).astype(np.float32)


@njit(cache=True)
def _distance_inside(items, takes, unit):
    out = np.full(takes.size, np.nan)
    total = np.zeros(unit.shape[1], np.float32)
    for u in range(takes.size):
        count = takes[u]
        if count < 2:
            continue
        square = _add_up(items[u], count, unit, total)
        out[u] = min(max(0.0, 1.0 - (square - count) / (count * (count - 1.0))), 1.0)
    return out


@njit(cache=True)
def _sum_of_directions(items, takes, topics):
    """Return the sum over users of the unit vector of their average consumption, and the number of such users."""
    directions = np.zeros(topics.shape[1])
    total = np.zeros(topics.shape[1], np.float32)
    count = 0
    for u in range(takes.size):
        square = _add_up(items[u], takes[u], topics, total)
        if square > 0.0:
            count += 1
            for t in range(total.size):
                directions[t] += total[t] / np.sqrt(square)
    return directions, count


@njit(cache=True)
def _add_up(basket, takes, vectors, total):
    """Fill total (topics,) with the sum of the vectors of a basket's items; return its squared length."""
    total[:] = 0.0
    for j in range(takes):
        vector = vectors[basket[j]]
        for t in range(total.size):
            total[t] += vector[t]
    square = 0.0
    for t in range(total.size):
        square += np.float64(total[t]) * np.float64(total[t])
    return square
