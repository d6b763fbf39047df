"""Oracle rankings, which know users' true tastes but not the intent or the noise of the visit.

They read the hidden state of the world and are therefore not in `policies/`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..agents.dynamics.choice import Objective
from ..agents.values import item_values
from ..agents.world import World

FORCED = 15.0
"""Log odds from which probabilities of taking an item are too close to 1 to be compared in float32."""


def oracle_items(
    world: World, users: NDArray[np.int32], n: int, available: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return items (B, n), ranked by their own probability of being taken, Σ_k s_k o_k/(1 + o_k) = 1 − Σ_k s_k/(1 + o_k).

    available (B, n_items): which items may be shown. Ties go to the lower id; −1 pads.
    """
    odds, one = _odds(world, users, available.shape[1])
    return _top_items(odds, one, world.users.shares[users], world.users.n_tastes[users], available, n)


def oracle_slates(
    world: World,
    users: NDArray[np.int32],
    n: int,
    available: NDArray[np.bool_],
    objective: Objective = "hit",
) -> NDArray[np.int32]:
    """Return slates (B, n) built greedily for the list as a whole: append argmax_i Σ_k s_k[G(S_k + o_ki) − G(S_k)].

    G(S) = S/(1+S) for "hit" (something is taken), log(1+S) for "surplus"; S_k sums the odds under
    taste k so far. The cascade multiplies all gains of a step alike and so does not change the choice.
    Every step compares all items: gains are float32, ties go to the lower id.
    """
    odds, one = _odds(world, users, available.shape[1])
    people, surplus = world.users, objective == "surplus"
    return _greedy(odds, one, people.shares[users], people.n_tastes[users], available, n, surplus)


def _odds(
    world: World, users: NDArray[np.int32], n_items: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return o = exp(v − v_0 − c), float32 (B, K, n_items), with friends and fatigue as of now, and e^−c (B,).

    c = 0, except for users who take nearly everything (odds above e^15, as where people must choose): there gains of
    probability are too close to each other, and the chances of taking nothing are compared instead, on a scale of their own.
    """
    values = item_values(world, users, n_items, context=True)
    values -= world.users.outside[users, None, None]
    top = values.max(axis=(1, 2), initial=-np.inf)
    shift = np.where(top > FORCED, top, np.float32(0))
    values -= shift[:, None, None]
    return np.exp(values, out=values), np.exp(-shift.astype(np.float64))


@njit(cache=True)
def _top_items(odds, one, shares, n_tastes, available, n):
    count, kinds, items = odds.shape
    out = np.full((count, n), -1, np.int32)
    total = np.empty(items, np.float32)
    chance = np.empty(items)
    start = np.ones(kinds, np.float32)
    for b in range(count):
        if one[b] < 1.0:
            _chances(odds[b], np.full(kinds, one[b]), shares[b], n_tastes[b], False, available[b], chance)
            for step in range(min(n, items)):
                chosen = int(np.argmax(chance))
                if chance[chosen] == -np.inf:
                    break
                out[b, step] = chosen
                chance[chosen] = -np.inf
            continue
        for i in range(items):
            total[i] = np.float32(0.0) if available[b, i] else np.float32(-np.inf)
        _add_gains(odds[b], start, shares[b], n_tastes[b], False, total, total)
        for step in range(min(n, items)):
            chosen = _first_largest(total)
            if total[chosen] == np.float32(-np.inf):
                break
            out[b, step] = chosen
            total[chosen] = np.float32(-np.inf)
    return out


@njit(cache=True)
def _greedy(odds, one, shares, n_tastes, available, n, surplus):
    count, kinds, items = odds.shape
    out = np.full((count, n), -1, np.int32)
    closed = np.empty(items, np.float32)
    total = np.empty(items, np.float32)
    whole = np.empty(items, np.float32)
    chance = np.empty(items)
    for b in range(count):
        if one[b] < 1.0:
            sums, free = np.full(kinds, one[b]), available[b].copy()
            for step in range(min(n, items)):
                _chances(odds[b], sums, shares[b], n_tastes[b], surplus, free, chance)
                chosen = int(np.argmax(chance))
                if not free[chosen]:
                    break
                free[chosen] = False
                out[b, step] = chosen
                for k in range(n_tastes[b]):
                    sums[k] += odds[b, k, chosen]
            continue
        so_far = np.ones(kinds, np.float32)
        for i in range(items):
            closed[i] = np.float32(0.0) if available[b, i] else np.float32(-np.inf)
        for step in range(min(n, items)):
            total[:] = closed
            _add_gains(odds[b], so_far, shares[b], n_tastes[b], surplus, whole, total)
            chosen = _first_largest(total)
            if closed[chosen] != 0.0:
                break
            closed[chosen] = np.float32(-np.inf)
            out[b, step] = chosen
            for k in range(n_tastes[b]):
                so_far[k] += odds[b, k, chosen]
    return out


@njit(cache=True)
def _chances(odds, sums, shares, tastes, surplus, free, out):
    """Fill (items,) with −Σ_k s_k/(S_k + o_k), or with Σ_k s_k log(S_k + o_k); −inf where not free."""
    for i in range(out.size):
        out[i] = 0.0 if free[i] else -np.inf
        for k in range(tastes if free[i] else 0):
            total = max(sums[k] + np.float64(odds[k, i]), 1e-300)
            out[i] += shares[k] * np.log(total) if surplus else -shares[k] / total


@njit(cache=True)
def _add_gains(odds, so_far, shares, tastes, surplus, whole, total):
    for k in range(tastes):
        if surplus:
            _add_log(odds[k], so_far[k], shares[k], whole, total)
        else:
            _add_hit(odds[k], so_far[k], shares[k], total)


# numpy's error model, because a check for division by zero would prevent vectorization of these two loops.
@njit(cache=True, error_model="numpy")
def _add_hit(odds, so_far, share, total):
    """Add share·[F(S + o) − F(S)] = share·o / ((1 + S)(1 + S + o)); so_far is 1 + S."""
    scale = share / so_far
    for i in range(odds.size):
        total[i] += scale * odds[i] / (so_far + odds[i])


@njit(cache=True, error_model="numpy")
def _add_log(odds, so_far, share, whole, total):
    """Add share·log((1 + S + o)/(1 + S)); so_far is 1 + S.

    The logarithm is split into exponent and mantissa m, with log m = 2 artanh((m − 1)/(m + 1)) by its
    series to the 11th power (error below 2e-7), because only such a loop is vectorized.
    """
    half, one = np.float32(0.5), np.float32(1.0)
    for i in range(odds.size):
        whole[i] = one + odds[i] / so_far
    bits = whole.view(np.int32)
    for i in range(odds.size):
        exponent = np.float32((bits[i] >> 23) - 127)
        bits[i] = (bits[i] & 0x7FFFFF) | 0x3F800000
        total[i] += share * np.float32(0.6931472) * exponent
    for i in range(odds.size):
        t = (whole[i] - one) / (whole[i] + one)
        s = t * t
        series = one + s * (
            np.float32(1 / 3)
            + s
            * (np.float32(0.2) + s * (np.float32(1 / 7) + s * (np.float32(1 / 9) + s * np.float32(1 / 11))))
        )
        total[i] += share * t * series / half


# Without NaN, the largest element does not depend on the order of comparisons, so the result is exact.
@njit(cache=True, fastmath={"nnan", "nsz"})
def _largest(values):
    best = values[0]
    for i in range(values.size):
        best = max(best, values[i])
    return best


@njit(cache=True)
def _first_largest(values):
    best = _largest(values)
    for i in range(values.size):
        if values[i] == best:
            return i
    return 0
