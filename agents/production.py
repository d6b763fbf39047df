"""The actions of content creators each round: they make items, stop for lack of exposure, and enter.

Every draw is a function of (seed, decision, round, provider, slot), so production is the same in all arms of a
seed as long as providers have the same history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from ..philox import uniform, uniforms
from .categorical import sample_categorical, topic_weights
from .creators import Creators, Randomness, check_item_limit
from .items import NEVER, Items
from .lifetimes import CATALOG_BIRTH, retire_items
from .settings import WorldConfig
from .users import Users
from .values import fill_newborn_demand

if TYPE_CHECKING:
    from .world import World


DIRICHLET = 0.05
"""Concentration of the part of an item's mixture that is not its primary topic."""


_BLOCK = 4096
"""Number of items per block when items are assigned to providers; bounds memory."""


def build_creators(
    config: WorldConfig, items: Items, users: Users, horizon: int, slate: int, streams: Randomness
) -> tuple[Items, Creators]:
    """Return the catalog, with rows for all items that could be made and providers assigned, and the creators.

    Home topics are drawn from π. An item of the round-0 catalog belongs to provider p with probability
    ∝ w_p ⟨own_p, x_i⟩, w_p ∝ 1/(p + 1): sizes keep their heavy tail, and each provider has a niche.
    """
    assert config.creators is not None
    entries = [np.full(config.providers, CATALOG_BIRTH, np.int32)]
    for round in range(1, horizon):
        count = streams("creators.entry", round).poisson(config.creators.entry)
        entries.append(np.full(count, round, np.int32))
    entered = np.concatenate(entries)
    creators = Creators(
        config=config,
        creator_config=config.creators,
        streams=streams,
        horizon=horizon,
        slate=slate,
        entered=entered,
        left=np.full(entered.size, NEVER, np.int32),
        hungry=np.zeros(entered.size, np.int32),
        home=np.full(entered.size, -1, np.int32),
        success=np.zeros((entered.size, config.topics)),
        normalizer=np.zeros(users.shares.shape),
        made=config.items,
    )
    _draw_home_topics(creators, np.arange(config.providers), creators.pi)
    rows = creators.capacity()
    check_item_limit(creators.creator_config, horizon, rows)
    items.provider[:] = _assign_providers(creators, items, streams("items.provider").random(len(items)))
    return _with_empty_rows(items, rows), creators


def _draw_home_topics(
    creators: Creators, providers: NDArray[np.integer], weights: NDArray[np.float64]
) -> None:
    """Draw home topics."""
    draws = uniforms(creators.streams.key("creators.home"), 0, providers.astype(np.int32), 1)[:, 0]
    creators.home[providers] = sample_categorical(weights, draws)


def _assign_providers(creators: Creators, items: Items, draws: NDArray[np.float64]) -> NDArray[np.int32]:
    own = creators.own_topics(np.arange(creators.n_founders))
    sizes = topic_weights(creators.n_founders, 1.0)
    owners = np.empty(len(items), np.int32)
    for start in range(0, len(items), _BLOCK):
        part = slice(start, start + _BLOCK)
        owners[part] = sample_categorical(items.topics[part] @ own.T * sizes, draws[part])
    return owners


def _with_empty_rows(items: Items, rows: int) -> Items:
    """Return the items followed by empty rows for items that may be made later."""

    def grown(array: NDArray, fill) -> NDArray:
        return np.concatenate([array, np.full((rows, *array.shape[1:]), fill, array.dtype)])

    return Items(
        topics=grown(items.topics, 0),
        quality=grown(items.quality, 0),
        provider=grown(items.provider, -1),
        birth=grown(items.birth, NEVER),
        retirement=grown(items.retirement, NEVER),
        tag=grown(items.tag, 0),
        catalog=items.catalog,
        demand=grown(items.demand, 0),
        niche=grown(items.niche, False),
    )


def respond(
    world: World,
    creators: Creators,
    round: int,
    slates: NDArray[np.int32],
    taken: NDArray[np.int32],
    heard: NDArray[np.int32],
) -> None:
    """Let providers respond to a round: slates (B, n), takes (B, m), word of mouth (w,); −1 where empty.

    In this order: the feedback of each provider is recorded; those starved for `patience` rounds stop; new ones
    enter; all active ones make the items of the next round; old items retire as configured.
    """
    got = (
        slates.ravel()
        if creators.creator_config.feedback == "exposure"
        else np.concatenate([taken.ravel(), heard])
    )
    counts = np.bincount(got[got >= 0], minlength=len(world.items))
    _update_success(world.items, creators, counts)
    _stop_starved(world.items, creators, counts, round)
    if round + 1 < creators.horizon:
        prepare_round(world, creators, round + 1)


def prepare_round(world: World, creators: Creators, round: int) -> None:
    """Let providers enter, make the items of a round, and retire old items as configured."""
    _draw_entrant_topics(creators, round)
    born = _make_items(world, creators, round)
    _retire_items(world.items, creators, round, born)


def _update_success(items: Items, creators: Creators, counts: NDArray[np.int64]) -> None:
    shown, topics = np.flatnonzero(counts), creators.config.topics
    cells = items.provider[shown, None] * np.int64(topics) + np.arange(topics)
    weights = counts[shown, None] * items.topics[shown].astype(np.float64)
    new = np.bincount(cells.ravel(), weights.ravel(), creators.success.size)
    creators.success *= 1 - 1 / creators.creator_config.memory
    creators.success += new.reshape(creators.success.shape)


def _stop_starved(items: Items, creators: Creators, counts: NDArray[np.int64], round: int) -> None:
    filled = creators.made
    got = np.bincount(items.provider[:filled], counts[:filled], len(creators))
    active = creators.active(round)
    starving = active & (got < creators.creator_config.threshold)
    creators.hungry[:] = np.where(starving, creators.hungry + 1, 0)
    creators.left[starving & (creators.hungry >= creators.creator_config.patience)] = round + 1


def _draw_entrant_topics(creators: Creators, round: int) -> None:
    new = np.flatnonzero(creators.entered == round)
    part, got = creators.creator_config.imitation, creators.success.sum(axis=0)
    # Summed in order of id, so that it does not depend on the number of rounds that providers are allocated for.
    weights, total = creators.pi, got.sum()
    if part and total > 0:
        weights = (1 - part) * weights + part * got / total
    _draw_home_topics(creators, new, weights)


def _make_items(world: World, creators: Creators, round: int) -> int:
    """Fill the rows of the items born in a round, in order of provider and slot; return their number."""
    config, items, keys = creators.config, world.items, creators.streams.key
    providers = np.flatnonzero(creators.active(round))
    counts = creators.production_counts(round, providers)
    owner = np.repeat(providers, counts)
    slot = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)

    def draws(decision: str, width: int = 1) -> NDArray[np.float64]:
        return _draws(keys(f"creators.{decision}"), round, owner, slot, width)

    primary = sample_categorical(
        np.repeat(creators.next_topics(providers), counts, axis=0), draws("topic")[:, 0]
    )
    # A Dirichlet draw is independent gammas over their sum; each gamma comes from inverting one uniform.
    gammas = gammaincinv(DIRICHLET, draws("blend", config.topics))
    mixture = config.blend * gammas / gammas.sum(axis=1, keepdims=True)
    mixture[np.arange(owner.size), primary] += 1 - config.blend
    tag, read = draws("tag", 2), primary.copy()
    if config.topics > 1:
        wrong = tag[:, 0] < config.tag_noise
        shift = 1 + (tag[:, 1] * (config.topics - 1)).astype(np.int64)
        read[wrong] = (primary[wrong] + shift[wrong]) % config.topics

    first, last = creators.made, creators.made + owner.size
    new = slice(first, last)
    items.topics[new] = mixture
    items.quality[new] = config.quality_sd * ndtri(draws("quality")[:, 0])
    items.provider[new] = owner
    items.birth[new] = round
    items.tag[new] = np.eye(config.topics, dtype=np.float32)[read]
    if first < last:
        fill_newborn_demand(world, creators.normalizer, first, last)
    creators.made = last
    return owner.size


def _retire_items(items: Items, creators: Creators, round: int, born: int) -> None:
    config, streams = creators.config, creators.streams
    leavers = born
    if config.retirements != "match":
        leavers = int(streams("items.retirements", round).poisson(config.retirements))
    if leavers:
        filled = creators.made
        order = streams("items.retire_order").random(filled)
        retire_items(
            config, round, leavers, creators.slate,
            items.birth[:filled], items.retirement[:filled], order, streams,
        )  # fmt: skip


@njit(cache=True)
def _draws(key, round, owners, slots, width):
    """Return (n, width) draws: row j uses the counters slots[j]·width, slots[j]·width + 1, … of provider owners[j]."""
    out = np.empty((owners.size, width))
    for j in range(owners.size):
        for w in range(width):
            out[j, w] = uniform(key, round, owners[j], slots[j] * width + w)
    return out
