"""Miscalibration: how far the topics of a slate are from the topics that its user would consume."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...agents.values import item_values
from ...agents.world import World
from .base import Column, Round, UserMeasure
from .panel import EVERY, UserPanel

ALPHA = 0.01
"""Weight of the target mixed into the slate's topics, so that the divergence is finite."""
MAX_DIVERGENCE = float(np.log(1 / ALPHA))
"""Divergence of a slate with none of the user's topics, in nats."""


class Miscalibration(UserMeasure):
    """C_KL(target_u, topics of the slate), in nats; the target is the one of round 0.

    C_KL(p, q) = Σ_g p_g log(p_g / ((1 − α) q_g + α p_g)), α = 0.01, q = unweighted mean of the true item
    topics on the slate (Steck, "Calibrated recommendations", RecSys 2018). Mean over visitors, counting every
    user equally. Range [0, log(1/α) = 4.605]; low is good.
    """

    columns: ClassVar = (
        Column(
            "miscalibration", "miscalibration to initial tastes", "nats", 0, MAX_DIVERGENCE, "lower", "tastes"
        ),
    )

    def per_user(self, round: Round) -> dict[str, NDArray[np.float64]]:
        """Compare every slate with its user's target."""
        world = round.world
        return {
            "miscalibration": divergence(world.users.target[round.users], round.slates, world.items.topics)
        }


class CurrentMiscalibration(UserMeasure):
    """Miscalibration to the current tastes and shares, with the target over the live items.

    target = Σ_k s_uk Σ_i softmax_i(v_uki) x_i, without friends and fatigue. On a fixed panel of 200
    users, every 5 rounds, because it values the whole catalog. Range [0, 4.605] nats; low is good.
    """

    columns: ClassVar = (
        Column(
            "miscalibration_current",
            "miscalibration to current tastes",
            "nats",
            0,
            MAX_DIVERGENCE,
            "lower",
            "tastes",
        ),
    )
    every: ClassVar = EVERY

    def per_user(self, round: Round) -> dict[str, NDArray[np.float64]]:
        """Compare the slates of visitors on the panel with what they would consume now."""
        rows = self.setup.shared(UserPanel).visits(round)
        target = current_target(round.world, round.users[rows], round.live)
        values = np.full(round.users.size, np.nan)
        values[rows] = divergence(target, round.slates[rows], round.world.items.topics)
        return {"miscalibration_current": values}


def current_target(world: World, users: NDArray[np.int32], live: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (B, topics): the topics that each user would consume now if all live items were equally visible."""
    ids = np.flatnonzero(live)
    target = np.zeros((users.size, world.items.topics.shape[1]), np.float32)
    if not ids.size:
        return target
    for start in range(0, users.size, 32):
        part = users[start : start + 32]
        values = item_values(world, part, int(ids[-1]) + 1)
        if ids.size < values.shape[2]:
            values = values[:, :, ids]
        values -= values.max(axis=2, keepdims=True)
        np.exp(values, out=values)
        weights = world.users.shares[part] / values.sum(axis=2)
        target[start : start + 32] = np.einsum("uk,ukn->un", weights, values) @ world.items.topics[ids]
    return target


def divergence(
    target: NDArray[np.float32], slates: NDArray[np.int32], topics: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (B,): C_KL between targets (B, topics) and the mean topics of slates (B, n), in nats.

    NaN for an empty slate and for a target of zeros.
    """
    return _divergence(target, np.ascontiguousarray(slates), topics, ALPHA)


@njit(cache=True)
def _divergence(target, slates, topics, alpha):
    count = topics.shape[1]
    out = np.full(slates.shape[0], np.nan)
    shown = np.zeros(count)
    for b in range(slates.shape[0]):
        shown[:] = 0.0
        mass = 0.0
        for item in slates[b]:
            if item >= 0:
                for t in range(count):
                    shown[t] += topics[item, t]
        wanted = 0.0
        for t in range(count):
            mass += shown[t]
            wanted += target[b, t]
        if mass <= 0.0 or wanted <= 0.0:
            continue
        total = 0.0
        for t in range(count):
            p = target[b, t] / wanted
            if p > 0.0:
                total += p * np.log(p / ((1.0 - alpha) * shown[t] / mass + alpha * p))
        out[b] = min(max(0.0, total), -np.log(alpha))
    return out
