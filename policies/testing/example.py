"""A small synthetic observation with the edge cases that policies tend to get wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..interactions import Blocked, Friends, Interactions, Observation

COLD_USER = 3
"""The user without history, where there is more than one user."""
TOPICS = 6


def example_observation(users: int = 24, items: int = 60, rounds: int = 12) -> Observation:
    """Return what a platform has seen after some rounds; rounds = 0 gives an empty log.

    The draws do not depend on the sizes, so that a longer log continues a shorter one and a larger catalog
    contains a smaller one. Users prefer two topics. Nobody has taken the items from id 40 on, every ninth
    item has retired, some pairs are in their cool-down, and one user has no history.
    """
    rng = np.random.default_rng(7)
    topic = rng.integers(0, TOPICS, 1000)
    favorites = rng.integers(0, TOPICS, (1000, 2))
    old = 40
    rows = []
    for round in range(rounds):
        which, where = rng.random((2, 1000))
        for user in range(users):
            if user == COLD_USER and users > 1:
                continue
            favorite = favorites[user, 0 if which[user] < 0.7 else 1]
            liked = np.flatnonzero(topic[:old] == favorite)
            rows.append((user, liked[int(where[user] ** 2 * liked.size)], round))
    table = np.array(rows, np.int32).reshape(-1, 3)
    log = Interactions(
        user=table[:, 0].copy(),
        item=table[:, 1].copy(),
        round=table[:, 2].copy(),
        rank=np.ones(len(table), np.int16),
        source=np.zeros(len(table), np.int8),
    )
    live = np.arange(items) % 9 != 4
    blocked = Blocked(users, items + 5)
    last = log.where(log.round >= rounds - 3)
    blocked.set(last.user, last.item)
    ring = np.arange(users)
    friends = Friends(np.arange(users + 1, dtype=np.int64), ((ring + 1) % users).astype(np.int32))
    tags = np.eye(TOPICS, dtype=np.float32)[topic[:items]]
    tags[::10] = 1 / TOPICS
    return Observation(rounds, users, items, log, tags, live, blocked, friends)


def snapshot(seen: Observation) -> dict[str, Any]:
    """Return copies of all arrays that a policy could alter."""
    counts = seen.counts
    arrays = {
        "tags": seen.tags,
        "live": seen.live,
        "blocked": seen.blocked.bits,
        "friends.indptr": seen.friends.indptr,
        "friends.indices": seen.friends.indices,
        "counts.data": counts.data,
        "counts.indices": counts.indices,
        "counts.indptr": counts.indptr,
        "popularity": seen.popularity,
        **{f"log.{name}": column for name, column in vars(seen.log).items() if column is not None},
    }
    return {name: array.copy() for name, array in arrays.items()}
