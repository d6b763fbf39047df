"""The first log of a generated world, collected as the real one was: the same filter, users and number of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...agents.generate import generate
from ...policies.interactions import Blocked, InteractionLog
from ...sim.loop import Simulation
from ...sim.platform import Platform
from ...sim.recommender import NoRecommender
from ...sim.streams import Streams
from .pairs import Filter, Pairs
from .space import Size, configs

SPARE = 1.6
"""Users of a world per user of the log: those who come too rarely are not in a log."""
PATIENCE = 4.0
"""Visits per pair of the log after which a world is given up that still has too few pairs."""
FIRST_ROUND = -(2**20)
"""Rounds of the collection are counted from here; none of them is round 0."""


@dataclass(frozen=True)
class FirstLog:
    """A collected log."""

    pairs: Pairs
    rounds: int
    """Organic rounds until it had as many pairs as the real one."""
    passing: float
    """Share of the world's users who are active enough to be in it."""


def collect(tables: dict[str, dict[str, Any]], size: Size, how: Filter, seed: int) -> FirstLog | None:
    """Return the first log of a world; None if nobody takes enough to be in one.

    Organic rounds go on until the first `size.users` users who pass the filter have `size.pairs` pairs together, or until
    `PATIENCE` is over. In a world with fewer such users, they have as many pairs each.
    """
    config, behavior = configs(tables)
    streams = Streams(seed)
    world = generate(config, behavior, streams, 1, Platform().slate)
    simulation = Simulation(
        world, Platform(warmup=0), NoRecommender(), streams, 1, warm=(InteractionLog(), Blocked(config.users, config.items)),
    )  # fmt: skip
    taken = np.zeros((config.users, config.items), np.int32 if how.most else np.bool_)
    counts = np.zeros(config.users, np.int64)
    visits, rounds = 0, 0
    while True:
        before = len(simulation.log)
        visits += simulation.warm_up_round(FIRST_ROUND + rounds, Platform().slate).users.size
        rounds += 1
        new = simulation.log.view().part(before)
        # Within a round a pair can occur twice, by word of mouth.
        pair = np.unique(new.user.astype(np.int64) * config.items + new.item)
        user, item = pair // config.items, pair % config.items
        first = taken[user, item] == 0
        taken[user, item] += np.asarray(1, taken.dtype)
        counts += np.bincount(user[first], minlength=config.users)
        inside = np.flatnonzero(counts >= how.least)[: size.users]
        have = np.minimum(counts[inside], how.most or config.items).sum()
        if inside.size and have * size.users >= size.pairs * inside.size and inside.size >= size.users / 2:
            break
        if visits > PATIENCE * size.pairs:
            if inside.size < 10:
                return None
            break
    passing = float((counts >= how.least).mean())
    user, item = _most_taken(taken[inside], how.most, streams)
    ties = None
    if size.degree:
        graph = world.graph
        whole = sparse.csr_matrix(
            (np.ones(graph.indices.size), graph.indices, graph.indptr), shape=(config.users,) * 2
        )
        ties = whole[inside][:, inside]
    tags = world.items.tag.astype(np.float64) if size.has_topics else None
    collected = Pairs(user, item, inside.size, config.items, tags, ties).of_items(how.item_users)
    return FirstLog(collected, rounds, passing) if len(collected) else None


def _most_taken(
    taken: NDArray[Any], most: int | None, streams: Streams
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the pairs, of each user only the `most` that were taken most often; ties are broken by chance."""
    if most is not None:
        chance = streams("calibration.most").random(taken.shape)
        order = np.argsort(-(taken + chance), axis=1)[:, :most]
        kept = np.zeros(taken.shape, bool)
        np.put_along_axis(kept, order, True, axis=1)
        taken = kept & (taken > 0)
    user, item = np.nonzero(taken)
    return user.astype(np.int32), item.astype(np.int32)
