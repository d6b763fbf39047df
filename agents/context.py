"""Context effects on item values: friends who took an item lately, and fatigue with its topics."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .world import World


@njit(cache=True)
def friends_share(user, indptr, indices, influence, recent, weights, mark, version):
    """Fill `weights` with the influence-weighted share of a user's friends who took each item lately.

    weights (items,) is valid only where version[item] == user + 1. mark (items,) is a scratch buffer that lets a
    friend count once. Both version and mark must start at 0. Returns nothing.
    """
    total = 0.0
    for tie in range(indptr[user], indptr[user + 1]):
        total += influence[tie]
    if total <= 0.0:
        return
    for tie in range(indptr[user], indptr[user + 1]):
        friend = indices[tie]
        for slot in range(recent.shape[1]):
            item = recent[friend, slot]
            if item < 0 or mark[item] == tie + 1:
                continue
            mark[item] = tie + 1
            if version[item] != user + 1:
                version[item] = user + 1
                weights[item] = 0.0
            weights[item] += influence[tie] / total


@njit(cache=True)
def _add_friends(users, rate, indptr, indices, influence, recent, n_items, out):
    capacity = 1
    for user in range(recent.shape[0]):
        for slot in range(recent.shape[1]):
            capacity = max(capacity, recent[user, slot] + 1)
    weights = np.zeros(capacity)
    mark = np.zeros(capacity, np.int64)
    version = np.zeros(capacity, np.int64)
    for b in range(users.size):
        friends_share(users[b], indptr, indices, influence, recent, weights, mark, version)
        for item in range(min(n_items, capacity)):
            if version[item] == users[b] + 1:
                out[b, item] += rate * weights[item]


def context_values(world: World, users: NDArray[np.int32], n_items: int) -> NDArray[np.float32]:
    """Return (B, n_items): social · share of friends − fatigue · recent exposure to the item's topics."""
    behavior, graph = world.behavior, world.graph
    out = np.zeros((users.size, n_items), np.float32)
    if behavior.social:
        _add_friends(
            users, behavior.social, graph.indptr, graph.indices, graph.influence, world.recent, n_items, out
        )
    if behavior.fatigue:
        tired = world.items.topic_products(world.users.fatigue[users], n_items)
        out -= np.float32(behavior.fatigue) * tired
    return out
