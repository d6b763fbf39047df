"""What creators do: make items near what is shown, stop when starved, and enter.

Production is the same in every arm of a seed as long as providers meet the same fate: every draw is a function
of (seed, decision, round, provider, slot).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from ..philox import uniform, uniforms
from .categorical import pick, topic_weights
from .creators import Creators, Randomness, _refuse
from .items import NEVER, Items
from .lifetimes import CATALOG_BIRTH, retire
from .settings import WorldConfig
from .users import Users
from .values import fill_newborn_demand

if TYPE_CHECKING:
    from .world import World


DIRICHLET = 0.05
"""Concentration of the part of an item's mixture that is not its primary topic."""


_BLOCK = 4096
"""Items whose chances with all providers are held at once."""


def lay_out(
    config: WorldConfig, items: Items, users: Users, horizon: int, slate: int, streams: Randomness
) -> tuple[Items, Creators]:
    """Return the catalog with rows for all that could be made, its items given to providers, and the providers.

    Home topics are drawn from π. An item of the round-0 catalog belongs to provider p with probability
    ∝ w_p ⟨position_p, x_i⟩, w_p ∝ 1/(p + 1): sizes keep their heavy tail, and providers have a niche.
    """
    assert config.creators is not None
    entries = [np.full(config.providers, CATALOG_BIRTH, np.int32)]
    for round in range(1, horizon):
        count = streams("creators.entry", round).poisson(config.creators.entry)
        entries.append(np.full(count, round, np.int32))
    entered = np.concatenate(entries)
    creators = Creators(
        config=config,
        answers=config.creators,
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
    _settle(creators, np.arange(config.providers), creators.pi)
    rows = creators.capacity()
    _refuse(creators.answers, horizon, rows)
    items.provider[:] = _owners(creators, items, streams("items.provider").random(len(items)))
    return _with_rows(items, rows), creators


def _settle(creators: Creators, providers: NDArray[np.integer], weights: NDArray[np.float64]) -> None:
    """Draw home topics."""
    draws = uniforms(creators.streams.key("creators.home"), 0, providers.astype(np.int32), 1)[:, 0]
    creators.home[providers] = pick(weights, draws)


def _owners(creators: Creators, items: Items, draws: NDArray[np.float64]) -> NDArray[np.int32]:
    positions = creators.positions(np.arange(creators.founders))
    sizes = topic_weights(creators.founders, 1.0)
    owners = np.empty(len(items), np.int32)
    for start in range(0, len(items), _BLOCK):
        part = slice(start, start + _BLOCK)
        owners[part] = pick(items.topics[part] @ positions.T * sizes, draws[part])
    return owners


def _with_rows(items: Items, rows: int) -> Items:
    """Return the items followed by rows for those still to be made."""

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
    """Let providers answer to a round: slates (B, n), takes (B, m), word of mouth (w,); −1 where empty.

    In this order: what each got is remembered; who starved for `patience` rounds stops; new ones enter;
    all active ones make the items of the next round; as many old ones retire as configured.
    """
    got = (
        slates.ravel() if creators.answers.feedback == "exposure" else np.concatenate([taken.ravel(), heard])
    )
    counts = np.bincount(got[got >= 0], minlength=len(world.items))
    _remember(world.items, creators, counts)
    _starve(world.items, creators, counts, round)
    if round + 1 < creators.horizon:
        get_ready(world, creators, round + 1)


def get_ready(world: World, creators: Creators, round: int) -> None:
    """Let providers enter, make the items of a round and retire as many old ones as configured."""
    _settle_entrants(creators, round)
    born = _make(world, creators, round)
    _retire(world.items, creators, round, born)


def _remember(items: Items, creators: Creators, counts: NDArray[np.int64]) -> None:
    shown, topics = np.flatnonzero(counts), creators.config.topics
    cells = items.provider[shown, None] * np.int64(topics) + np.arange(topics)
    weights = counts[shown, None] * items.topics[shown].astype(np.float64)
    new = np.bincount(cells.ravel(), weights.ravel(), creators.success.size)
    creators.success *= 1 - 1 / creators.answers.memory
    creators.success += new.reshape(creators.success.shape)


def _starve(items: Items, creators: Creators, counts: NDArray[np.int64], round: int) -> None:
    filled = creators.made
    got = np.bincount(items.provider[:filled], counts[:filled], len(creators))
    active = creators.active(round)
    starving = active & (got < creators.answers.threshold)
    creators.hungry[:] = np.where(starving, creators.hungry + 1, 0)
    creators.left[starving & (creators.hungry >= creators.answers.patience)] = round + 1


def _settle_entrants(creators: Creators, round: int) -> None:
    new = np.flatnonzero(creators.entered == round)
    part, got = creators.answers.imitation, creators.success.sum(axis=0)
    # Added up in order, so that it does not depend on how many rounds providers are laid out for.
    weights, total = creators.pi, got.sum()
    if part and total > 0:
        weights = (1 - part) * weights + part * got / total
    _settle(creators, new, weights)


def _make(world: World, creators: Creators, round: int) -> int:
    """Fill the rows of the items born in a round, in order of provider and slot, and return how many."""
    config, items, keys = creators.config, world.items, creators.streams.key
    providers = np.flatnonzero(creators.active(round))
    counts = creators.productions(round, providers)
    owner = np.repeat(providers, counts)
    slot = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)

    def draws(decision: str, width: int = 1) -> NDArray[np.float64]:
        return _draws(keys(f"creators.{decision}"), round, owner, slot, width)

    primary = pick(np.repeat(creators.aims(providers), counts, axis=0), draws("topic")[:, 0])
    # A Dirichlet draw is independent gammas over their sum; each gamma by inversion of one uniform.
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


def _retire(items: Items, creators: Creators, round: int, born: int) -> None:
    config, streams = creators.config, creators.streams
    leavers = born
    if config.retirements != "match":
        leavers = int(streams("items.retirements", round).poisson(config.retirements))
    if leavers:
        filled = creators.made
        order = streams("items.retire_order").random(filled)
        retire(
            config, round, leavers, creators.slate,
            items.birth[:filled], items.retirement[:filled], order, streams,
        )  # fmt: skip


@njit(cache=True)
def _draws(key, round, owners, slots, width):
    """Return (n, width) draws: item slots[j] of provider owners[j] has the slots slots[j]·width … of its own."""
    out = np.empty((owners.size, width))
    for j in range(owners.size):
        for w in range(width):
            out[j, w] = uniform(key, round, owners[j], slots[j] * width + w)
    return out
