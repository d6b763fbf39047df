"""A visit of one user in plain Python: the reference implementation for `agents/dynamics/choice.py`.

It uses the same draws and formulas without vectorization. A test checks that both make the same choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...philox import gumbel, normal, uniform
from ..world import World
from .choice import ChoiceKeys


@dataclass(frozen=True)
class Visit:
    """The outcome of one user's visit."""

    intent: int
    depth: int
    taken: list[int]
    """Items, best first."""
    surplus: float


def visit_one(world: World, round: int, user: int, slate: NDArray[np.int32], keys: ChoiceKeys) -> Visit:
    """Return one user's visit to a slate (n; −1 pads the end)."""
    people, behavior = world.users, world.behavior
    round = round % 2**32
    intent = _intent(people.shares[user], int(people.n_tastes[user]), uniform(keys.intent, round, user, 0))
    shown = [int(item) for item in slate if item >= 0]
    draw = uniform(keys.depth, round, user, 0)
    attention = float(people.attention[user])
    examined = [draw < _reach(behavior.examination, attention, rank) for rank in range(1, len(shown) + 1)]
    depth = int(sum(examined))
    bar = float(people.outside[user]) + gumbel(keys.outside, round, user, 0)
    gains = []
    for slot, item in enumerate(shown[:depth]):
        gain = value_of(world, user, intent, item) + gumbel(keys.noise, round, user, slot) - bar
        if gain > 0:
            gains.append((gain, item))
    gains.sort(key=lambda pair: -pair[0])
    kept = gains[: int(people.appetite[user])]
    return Visit(intent, depth, [item for _, item in kept], sum(gain for gain, _ in kept))


def value_of(world: World, user: int, taste: int, item: int) -> float:
    """Return v_uzi (see `choice`), without noise."""
    people, items, behavior = world.users, world.items, world.behavior
    topics = items.topics[item].astype(float)
    value = behavior.match * float(people.tastes[user, taste].astype(float) @ topics)
    value += float(people.quality_weight[user]) * float(items.quality[item])
    value += world.idiosyncrasy * normal(world.idiosyncrasy_key, user, item)
    value += behavior.social * _friends_who_took(world, user, item)
    return value - behavior.fatigue * float(people.fatigue[user].astype(float) @ topics)


def _friends_who_took(world: World, user: int, item: int) -> float:
    graph = world.graph
    ties = range(graph.indptr[user], graph.indptr[user + 1])
    total = sum(float(graph.influence[tie]) for tie in ties)
    took = sum(float(graph.influence[tie]) for tie in ties if item in world.recent[graph.indices[tie]])
    return took / total if total else 0.0


def _intent(shares: NDArray[np.float32], n_tastes: int, draw: float) -> int:
    edges = np.cumsum(shares[:n_tastes].astype(float))
    return min(int(np.searchsorted(edges, draw, side="left")), n_tastes - 1)


def _reach(examination: str, attention: float, rank: int) -> float:
    return attention ** (rank - 1) if examination == "cascade" else math.pow(rank, -attention)
