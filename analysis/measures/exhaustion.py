"""Exhaustion: the share of users' most valued items that are in cool-down."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...agents.values import MAX_EXPONENT, item_values
from ...bits import is_set
from .base import Column, Round, Setup, SplitMeasure, Terms
from .panel import EVERY, UserPanel

MOST_VALUED = 50
"""Number of items per user that count as most valued."""


class Exhaustion(SplitMeasure):
    """Share of a user's 50 most valued live items that are blocked by cool-down now.

    Value = the user's demand Σ_k s_uk softmax_i(v_uki) at round-0 tastes and shares, without friends and
    fatigue. Mean over a fixed panel of 200 users, equally weighted, every 5 rounds. Range [0, 1]; low is
    good: above 0.2, other measures reflect users running out of items rather than the recommender
    (docs/model.md).
    """

    columns: ClassVar = (
        Column("exhausted_share", "most valued items in cool-down", "share", 0, 1, "lower", "exposure"),
    )
    every: ClassVar = EVERY

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._users = setup.shared(UserPanel).users
        self._order: NDArray[np.int32] | None = None
        self._ordered = 0

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Look up the most valued live items of the panel in the bit set."""
        bits = round.blocked[self._users]
        if not bits.any():
            share = np.zeros(self._users.size)
        else:
            items = round.world.items
            # Items that creators make are not known at the start; all others are.
            known = len(items) if round.world.creators is None else items.n_born(round.index)
            if self._order is None or self._ordered != known:
                self._order, self._ordered = rank_by_demand(self.setup, self._users, known), known
            share = _blocked_share(bits, self._order, round.live, MOST_VALUED)
        return self._users, {"exhausted_share": (share, np.ones(self._users.size))}


def rank_by_demand(setup: Setup, users: NDArray[np.int32], total: int) -> NDArray[np.int32]:
    """Return (B, total): the items 0…total−1 in descending order of each user's round-0 demand."""
    world = setup.world
    order = np.empty((users.size, total), np.int32)
    for start in range(0, users.size, 16):
        part = users[start : start + 16]
        values = item_values(world, part, total, start=True)
        above = values - values[:, :, : world.items.catalog].max(axis=2, keepdims=True)
        odds = np.exp(np.minimum(above, MAX_EXPONENT))
        # Each taste is normalized over the round-0 catalog, so that newborn items never change the order.
        weights = world.users.shares_start[part] / odds[:, :, : world.items.catalog].sum(axis=2)
        demand = np.einsum("uk,ukn->un", weights, odds)
        order[start : start + 16] = np.argsort(-demand, axis=1, kind="stable")
    return order


@njit(cache=True)
def _blocked_share(bits, order, live, most):
    share = np.full(order.shape[0], np.nan)
    for p in range(order.shape[0]):
        found = 0
        blocked = 0
        for item in order[p]:
            if found == most:
                break
            if live[item]:
                found += 1
                blocked += is_set(bits, p, item)
        if found > 0:
            share[p] = blocked / found
    return share
