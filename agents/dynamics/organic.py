"""Organic visits: slates of items that users come across without a recommender."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...bits import is_set
from ...philox import uniform
from ..world import World

MAX_TRIES = 64
"""Maximum number of draws per slot by rejection. After that, the rest is drawn from the free items directly: a few
items may have nearly all the weight, or nearly all items may be in cool-down."""


def organic_slates(
    world: World,
    round: int,
    users: NDArray[np.int32],
    n: int,
    blocked: NDArray[np.uint8],
    key: np.uint64,
    order_key: np.uint64,
) -> NDArray[np.int32]:
    """Return slates (B, n): distinct live items drawn with probability ∝ (1 + times taken)^b, in random order.

    blocked: pairs in their cool-down (see `echodrift.bits`). Draws are successive and without replacement
    (rejected draws are drawn again); −1 pads a slate where too few items are free.
    """
    live = np.flatnonzero(world.items.live(round)).astype(np.int32)
    weights = (1.0 + world.taken[live]) ** world.behavior.organic_popularity
    cumulative = np.cumsum(weights)
    return _draw(users, n, live, cumulative / cumulative[-1], blocked, round % 2**32, key, order_key)


@njit(cache=True)
def _draw(users, n, live, cumulative, blocked, round, key, order_key):
    out = np.full((users.size, n), -1, np.int32)
    for b in range(users.size):
        u = users[b]
        found = 0
        slot = 0
        while found < n and slot < MAX_TRIES * n:
            place = np.searchsorted(cumulative, uniform(key, round, u, slot))
            slot += 1
            item = live[min(place, live.size - 1)]
            if is_set(blocked, u, item):
                continue
            fresh = True
            for j in range(found):
                if out[b, j] == item:
                    fresh = False
                    break
            if fresh:
                out[b, found] = item
                found += 1
        if found < n:
            found = _draw_rest(u, n, live, cumulative, blocked, round, key, slot, out[b], found)
        for j in range(found - 1, 0, -1):
            other = int(uniform(order_key, round, u, j) * (j + 1))
            out[b, j], out[b, other] = out[b, other], out[b, j]
    return out


@njit(cache=True)
def _draw_rest(u, n, live, cumulative, blocked, round, key, slot, slate, found):
    """Fill the remaining slots from the same distribution, one at a time, over the items that are still free."""
    weights = np.empty(live.size)
    for place in range(live.size):
        item = live[place]
        weights[place] = cumulative[place] - (cumulative[place - 1] if place > 0 else 0.0)
        if is_set(blocked, u, item):
            weights[place] = 0.0
        for j in range(found):
            if slate[j] == item:
                weights[place] = 0.0
    while found < n:
        aim = uniform(key, round, u, slot) * weights.sum()
        slot += 1
        chosen = -1
        for place in range(live.size):
            if weights[place] > 0.0:
                chosen = place
                aim -= weights[place]
                if aim <= 0.0:
                    break
        if chosen < 0:
            break
        slate[found] = live[chosen]
        weights[chosen] = 0.0
        found += 1
    return found
