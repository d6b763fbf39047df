"""A world inferred from a real log: its twin (docs/real-logs.md tells how, step by step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...agents.behavior import Behavior
from ...agents.generate import clip_attention
from ...agents.items import Items
from ...agents.lifetimes import draw_lifetimes
from ...agents.social_graph import SocialGraph
from ...agents.users import Users
from ...agents.values import NICHE, fill_demand_and_target
from ...agents.world import World
from ...errors import BadInput
from ...policies.interactions import Interactions, Source
from ...sim.streams import Streams
from ..specs.study import LogConfig
from .choice_model import catalog_of
from .communities import find_communities
from .logs import Log, read_log
from .metadata import Ties, read_items, read_tags, read_ties
from .quality import find_quality
from .scale import organic_values, shift_to
from .tastes import Tastes, find_tastes
from .topics import ItemTopics, topics_from_genres, topics_from_tags, topics_from_users

HISTORY_ROUNDS = 20
"""Rounds before round 0 over which a log with timestamps is spread, equally many rows in each."""
ACTIVITY_RANGE = (0.02, 1.0)
"""Least and most probability of a visit in a round."""


@dataclass(frozen=True)
class Twin:
    """All that is inferred from a log and does not depend on a seed."""

    log: Log
    names: list[str]
    """(items,) labels from the item file, else the ids of the log."""
    topics: ItemTopics
    tastes: Tastes
    quality: NDArray[np.float64]
    """(items,) popularity left over after topics, on the scale of `scenarios.real_logs.scale`."""
    community: NDArray[np.int32]
    """(users,)"""
    provider: NDArray[np.int32]
    """(items,) from the item file; else each item its own."""
    ties: Ties
    """Social ties; empty without a social file."""
    niche: NDArray[np.bool_]
    """(items,) bottom 80 % of observed popularity."""
    notes: tuple[str, ...]
    """What was merged, dropped, filled or chosen on the way, in sentences for the report."""


def infer(config: LogConfig, behavior: Behavior) -> Twin:
    """Read a log and what comes with it, and infer the world behind it. Deterministic; seconds.

    Of `behavior` only `match` is used, so a result may be shared by studies that differ in the rest.
    Topics come from tags, else genres, else co-consumption. Raises BadInput for files that cannot be used.
    """
    # Loaded before the limit is set, or its own threads escape it.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits

    log = read_log(config)
    notes = list(log.notes)
    item_file = None if config.items is None else read_items(config.items, log.items, config.item_column)
    notes += item_file.notes if item_file else ()
    with threadpool_limits(1):
        topics, more = _topics(config, log, item_file)
        notes += more
        tastes, quality = _tastes_and_quality(config, behavior.match, log, topics.mixtures)
    ties = Ties(np.zeros(len(log.users) + 1, np.int64), np.empty(0, np.int32), ())
    if config.social is not None:
        ties = read_ties(config.social, log.users)
        notes += ties.notes
    interests = np.einsum("uk,ukt->ut", tastes.shares, tastes.tastes)
    graph = (ties.indptr, ties.indices) if config.social is not None else (None, None)
    provider = np.arange(len(log.items), dtype=np.int32)
    if item_file is not None and item_file.provider is not None:
        provider = item_file.provider
    niche = observed_niche(log.item_counts)
    notes.append(
        f"Niche: the {niche.mean():.1%} of items that at most {int(log.item_counts[niche].max(initial=0))} users took."
    )
    return Twin(
        log=log,
        names=item_file.names if item_file else list(log.items),
        topics=topics,
        tastes=tastes,
        quality=quality,
        community=find_communities(interests, *graph),
        provider=provider,
        ties=ties,
        niche=niche,
        notes=tuple(notes),
    )


def twin(
    config: LogConfig,
    behavior: Behavior,
    streams: Streams,
    horizon: int,
    slate: int,
    found: Twin | None = None,
) -> tuple[World, Interactions]:
    """Return the world of one seed and the log that the platform has seen at round 0.

    found: what `infer` returned for this config, to save its cost.
    """
    found = infer(config, behavior) if found is None else found
    catalog = len(found.log.items)
    if slate > catalog:
        raise BadInput(
            f"platform.slate = {slate} is larger than the catalog: {config.log} has {catalog} items after its filters. "
            f"Set platform.slate to at most {catalog}."
        )
    items, model = _items(found, config, streams, horizon, slate)
    users = _users(found, behavior, streams)
    spread = config.influence_spread * streams("graph.influence").standard_normal(found.ties.indices.size)
    graph = SocialGraph(
        found.ties.indptr.copy(), found.ties.indices.copy(), np.exp(spread).astype(np.float32)
    )
    world = World(behavior, items, users, graph, config.idiosyncrasy, streams.key("world.idiosyncrasy"))
    fill_demand_and_target(world)
    items.niche[:] = found.niche[model]
    return world, history(found.log)


def history(log: Log) -> Interactions:
    """Return the log as what the platform has seen: rounds −20…−1, all in −1 without timestamps.

    Rounds are equal-count bins in time order; rows of the same time may fall into neighboring rounds.
    """
    n = len(log)
    round = np.full(n, -1)
    if log.time is not None:
        round = np.arange(n, dtype=np.int64) * HISTORY_ROUNDS // n - HISTORY_ROUNDS
    return Interactions(
        user=log.user.copy(),
        item=log.item.copy(),
        round=round.astype(np.int32),
        rank=np.zeros(n, np.int16),
        source=np.full(n, Source.IMPORTED, np.int8),
    )


def observed_niche(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (items,) true for the bottom 80 % by popularity.

    Items with equally many users are never parted: those tied at the cut all go to the side that
    leaves the niche closer to 80 % (to the niche when both are equally close).
    """
    cut = np.sort(counts)[min(counts.size - 1, int(NICHE * counts.size))]
    below, up_to = counts < cut, counts <= cut
    return up_to if abs(up_to.mean() - NICHE) <= abs(below.mean() - NICHE) else below


def activity_of(counts: NDArray[np.int64], mean: float) -> NDArray[np.float64]:
    """Return (users,) visits per round: proportional to the counts, within `ACTIVITY_RANGE`, with this mean.

    The factor is found by bisection, so the mean holds after the clipping (a mean below 0.02 gives 0.02).
    """
    low, high = 0.0, 1.0 / counts.min()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.clip(middle * counts, *ACTIVITY_RANGE).mean() < mean else (low, middle)
        )
    return np.clip(high * counts, *ACTIVITY_RANGE)


def _topics(config: LogConfig, log: Log, item_file) -> tuple[ItemTopics, tuple[str, ...]]:
    ones = np.ones(len(log))
    taken = sparse.csr_matrix((ones, (log.item, log.user)), shape=(len(log.items), len(log.users)))
    dropped: tuple[str, ...] = ()
    if config.tags is not None:
        tags, labels, told = read_tags(config.tags, log.items, config.item_column)
        dropped = tuple(told)
        topics = topics_from_tags(tags, labels, taken, config.topics)
    elif item_file is not None and item_file.genres is not None:
        topics = topics_from_genres(item_file.genres, item_file.genre_names, taken)
    else:
        topics = topics_from_users(taken, config.topics)
    return topics, (*dropped, *topics.notes)


def _tastes_and_quality(
    config: LogConfig, match: float, log: Log, mixtures: NDArray
) -> tuple[Tastes, NDArray]:
    """Alternate twice between tastes given quality and quality given tastes; then set the scale."""
    counts, weight = log.item_counts.astype(float), log.user_counts.astype(float)
    quality = np.log((counts + 1) / (counts.mean() + 1))
    for choose in (False, True):
        catalog = catalog_of(mixtures, quality, match)
        tastes = find_tastes(log.user, log.item, len(log.users), catalog, config.max_tastes, choose)
        quality = find_quality(tastes, weight, mixtures, counts, match, quality)
    values = organic_values(
        tastes.tastes, tastes.shares, mixtures, quality, counts, match, config.idiosyncrasy
    )
    return tastes, quality + shift_to(values)


def _items(
    found: Twin, config: LogConfig, streams: Streams, horizon: int, slate: int
) -> tuple[Items, NDArray]:
    """Return the items of the whole horizon, and for each the catalog item that it is modeled on.

    A newborn item takes over mixture, quality and niche label of a catalog item drawn uniformly; its
    provider too where a file names providers, else it is its own.
    """
    catalog = len(found.log.items)
    lives = draw_lifetimes(config, catalog, horizon, slate, streams)
    total = lives.birth.size
    model = np.arange(total)
    model[catalog:] = streams("items.model").integers(0, catalog, total - catalog)
    mixtures = found.topics.mixtures[model].astype(np.float32)
    mixtures /= mixtures.sum(axis=1, keepdims=True)
    own = np.array_equal(found.provider, np.arange(catalog))
    born = [f"new: like {found.names[j]}" for j in model[catalog:]]
    items = Items(
        topics=mixtures,
        quality=found.quality[model].astype(np.float32),
        provider=(np.arange(total) if own else found.provider[model]).astype(np.int32),
        birth=lives.birth,
        retirement=lives.retirement,
        tag=_tags(mixtures, config.tag_noise, streams),
        catalog=catalog,
        demand=np.zeros(total),
        niche=np.zeros(total, bool),
        names=[*found.names, *born],
    )
    return items, model


def _tags(mixtures: NDArray[np.float32], noise: float, streams: Streams) -> NDArray[np.float32]:
    """Return what the platform reads: the mixture, its main topic swapped with a wrong one for a share `noise`."""
    total, topics = mixtures.shape
    tags = mixtures.copy()
    if topics == 1:
        return tags
    wrong = np.flatnonzero(streams("items.tag_noise").random(total) < noise)
    primary = mixtures[wrong].argmax(axis=1)
    other = (primary + 1 + streams("items.wrong_tag").integers(0, topics - 1, total)[wrong]) % topics
    tags[wrong, primary], tags[wrong, other] = mixtures[wrong, other], mixtures[wrong, primary]
    return tags


def _users(found: Twin, behavior: Behavior, streams: Streams) -> Users:
    """Return the population: tastes, shares, activity and community from the log, the rest from behavior."""
    count = len(found.log.users)
    tastes = found.tastes.tastes.astype(np.float32)
    tastes /= tastes.sum(axis=2, keepdims=True)
    shares = found.tastes.shares.astype(np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    attention = behavior.attention + behavior.attention_sd * streams("users.attention").standard_normal(count)
    outside = behavior.outside + behavior.outside_sd * streams("users.outside").standard_normal(count)
    wander = behavior.appetite_spread
    appetite = behavior.appetite + streams("users.appetite").integers(-wander, wander + 1, count)
    return Users(
        tastes=tastes,
        shares=shares,
        neutral=shares.copy(),
        tastes_start=tastes.copy(),
        shares_start=shares.copy(),
        n_tastes=found.tastes.count.copy(),
        community=found.community.copy(),
        group=np.zeros(count, np.int32),
        group_names=("everyone",),
        activity=activity_of(found.log.user_counts, behavior.activity).astype(np.float32),
        attention=clip_attention(attention, behavior),
        appetite=np.maximum(appetite, 1).astype(np.int32),
        outside=outside.astype(np.float32),
        quality_weight=np.ones(count, np.float32),
        fatigue=np.zeros((count, tastes.shape[2]), np.float32),
        target=np.zeros((count, tastes.shape[2]), np.float32),
    )
