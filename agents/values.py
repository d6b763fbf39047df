"""Utilities of items to users before noise, v_uki, for whole catalogs; true demand and calibrated targets from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .context import context_values
from .items import NEWBORN_BLOCK
from .world import World

NICHE = 0.8
"""Part of the round-0 catalog, least demanded first, that counts as niche."""
MAX_EXPONENT = np.float32(80)
"""A newborn item may be worth so much more than the whole catalog that its odds overflow: they are cut off here."""
_CELLS = 2_000_000
"""Maximum number of values (users × tastes × items) in memory while demand is summed."""


def item_values(
    world: World,
    users: NDArray[np.int32],
    n_items: int,
    *,
    start: bool = False,
    context: bool = False,
    first: int = 0,
) -> NDArray[np.float32]:
    """Return v (B, K, n_items − first): value of the items first…n_items−1 under each taste, without noise.

    start: use the tastes of round 0 instead of the current ones. context: include friends and fatigue as of now
    (only with first = 0). first: 0, or the first item of a block of newborns (see `Items.topic_products`).
    """
    people, items, behavior = world.users, world.items, world.behavior
    tastes = (people.tastes_start if start else people.tastes)[users]
    batch, k, topics = tastes.shape
    values = items.topic_products(tastes.reshape(batch * k, topics), n_items, first)
    values = values.reshape(batch, k, n_items - first)
    values *= np.float32(behavior.match)
    base = people.quality_weight[users, None] * items.quality[None, first:n_items]
    if world.idiosyncrasy:
        some = first > 0
        base = base + (
            world.idiosyncrasies_between(users, first, n_items)
            if some
            else world.idiosyncrasies(users, n_items)
        )
    if context and (behavior.social or behavior.fatigue):
        base = base + context_values(world, users, n_items)
    values += base[:, None, :]
    return values


def fill_demand_and_target(world: World) -> None:
    """Fill `items.demand`, `items.niche` and `users.target` of a world at round 0, in place.

    demand_i = Σ_u Σ_k s_uk softmax_i(v_uki) and target_u = Σ_k s_uk Σ_i softmax_i(v_uki)·x_i, without
    friends and fatigue. The softmax is over the round-0 catalog; items born later are put on the same scale.
    """
    people, items = world.users, world.items
    catalog = items.catalog
    total = len(items) if world.creators is None else catalog
    # The blocks of users must not depend on how many items come later, or sums would round differently.
    step = max(1, _CELLS // max(1, catalog * people.shares.shape[1]))
    demand = np.zeros(total)
    for first in range(0, len(people), step):
        users = np.arange(first, min(first + step, len(people)), dtype=np.int32)
        values = item_values(world, users, catalog, start=True)
        top = values.max(axis=2, keepdims=True)
        values -= top
        np.exp(values, out=values)
        normalizer = values.sum(axis=2)
        weights = people.shares_start[users] / normalizer
        wanted = np.einsum("uk,ukn->un", weights, values)
        demand[:catalog] += wanted.sum(axis=0, dtype=np.float64)
        people.target[users] = wanted @ items.topics[:catalog]
        for born in range(catalog, total, NEWBORN_BLOCK):
            last = min(born + NEWBORN_BLOCK, total)
            odds = np.exp(
                np.minimum(item_values(world, users, last, start=True, first=born) - top, MAX_EXPONENT)
            )
            later = np.einsum("uk,ukn->un", weights, odds)
            # Added user by user, whatever the shape; `sum` may change the order.
            demand[born:last] += later.cumsum(axis=0, dtype=np.float64)[-1]
        if world.creators is not None:
            world.creators.normalizer[users] = top[:, :, 0] + np.log(normalizer)
    items.demand[:total] = demand
    items.niche[:total] = demand < np.quantile(demand[:catalog], NICHE)


def fill_newborn_demand(world: World, normalizer: NDArray[np.float64], first: int, last: int) -> None:
    """Fill demand and niche label of the items first…last−1, made during the run, as for all items born later.

    normalizer: (users, K) log Σ exp v over the round-0 catalog at round-0 tastes.
    """
    people, items = world.users, world.items
    demand = np.zeros(last - first)
    step = max(1, _CELLS // max(1, demand.size * people.shares.shape[1]))
    for start in range(0, len(people), step):
        users = np.arange(start, min(start + step, len(people)), dtype=np.int32)
        values = world.behavior.match * (people.tastes_start[users] @ items.topics[first:last].T)
        base = people.quality_weight[users, None] * items.quality[None, first:last]
        if world.idiosyncrasy:
            base = base + world.idiosyncrasies_between(users, first, last)
        odds = np.exp(np.minimum(values + base[:, None, :] - normalizer[users][:, :, None], MAX_EXPONENT))
        demand += np.einsum("uk,ukn->n", people.shares_start[users].astype(np.float64), odds)
    items.demand[first:last] = demand
    items.niche[first:last] = demand < np.quantile(items.demand[: items.catalog], NICHE)
