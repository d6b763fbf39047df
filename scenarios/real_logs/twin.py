"""The twin of a real log: a world whose catalog, tastes, quality and activity are inferred from the log.

docs/real-logs.md explains every step, and what a log cannot show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...agents.behavior import LEAST_ACTIVITY, Behavior
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
from .choice_model import build_catalog
from .communities import find_communities
from .logs import Log, read_log
from .metadata import Ties, read_items, read_tags, read_ties
from .quality import find_quality
from .scale import find_shift, reference_values
from .tastes import Tastes, find_tastes
from .topics import ItemTopics, topics_from_genres, topics_from_tags, topics_from_users

HISTORY_ROUNDS = 20
"""Number of rounds before round 0 that a log with timestamps is divided into, with equally many rows in each."""
ACTIVITY_RANGE = (LEAST_ACTIVITY, 1.0)
"""Lowest and highest probability of a visit in a round."""


@dataclass(frozen=True)
class Twin:
    """Everything that is inferred from a log; it does not depend on the seed."""

    log: Log
    names: list[str]
    """(items,) names from the item file, else the ids of the log."""
    topics: ItemTopics
    tastes: Tastes
    quality: NDArray[np.float64]
    """(items,) the part of popularity that topics do not explain, on the scale of `scenarios.real_logs.scale`."""
    community: NDArray[np.int32]
    """(users,)"""
    provider: NDArray[np.int32]
    """(items,) from the item file; without one, every item is its own provider."""
    ties: Ties
    """Social ties; empty without a social file."""
    niche: NDArray[np.bool_]
    """(items,) true for the bottom 80 % of observed popularity."""
    notes: tuple[str, ...]
    """What was merged, dropped, filled or chosen, as sentences for the report."""


def infer_twin(config: LogConfig, behavior: Behavior) -> Twin:
    """Read a log and its accompanying files, and infer the world behind it; deterministic, takes seconds.

    Of `behavior` only `match` is used, so studies that differ in other fields may share the result.
    Topics come from tags, else from genres, else from co-consumption. Raises BadInput for unusable files.
    """
    # The limit on threads only applies to libraries that are loaded already.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits

    log = read_log(config)
    notes = list(log.notes)
    item_file = None if config.items is None else read_items(config.items, log.items, config.item_column)
    notes += item_file.notes if item_file else ()
    with threadpool_limits(1):
        topics, topic_notes = _infer_topics(config, log, item_file)
        notes += topic_notes
        tastes, quality = _infer_tastes_and_quality(config, behavior.match, log, topics.mixtures)
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


def draw_world(
    config: LogConfig,
    behavior: Behavior,
    streams: Streams,
    horizon: int,
    slate: int,
    twin: Twin | None = None,
) -> tuple[World, Interactions]:
    """Return the twin's world for one seed, and the log that the platform has seen at round 0.

    twin: result of `infer_twin` for this config, to avoid inferring it again. Raises BadInput when the
    slate is longer than the catalog.
    """
    twin = infer_twin(config, behavior) if twin is None else twin
    catalog = len(twin.log.items)
    if slate > catalog:
        raise BadInput(
            f"platform.slate = {slate} is larger than the catalog: {config.log} has {catalog} items after its filters. "
            f"Set platform.slate to at most {catalog}."
        )
    items, template = _build_items(twin, config, streams, horizon, slate)
    users = _build_users(twin, behavior, streams)
    spread = config.influence_spread * streams("graph.influence").standard_normal(twin.ties.indices.size)
    graph = SocialGraph(twin.ties.indptr.copy(), twin.ties.indices.copy(), np.exp(spread).astype(np.float32))
    world = World(behavior, items, users, graph, config.idiosyncrasy, streams.key("world.idiosyncrasy"))
    fill_demand_and_target(world)
    items.niche[:] = twin.niche[template]
    return world, history_from_log(twin.log)


def history_from_log(log: Log) -> Interactions:
    """Return the log as interactions of rounds −20…−1, or of round −1 alone without timestamps.

    Rounds are equal-count bins in time order; rows with the same timestamp may fall into neighboring rounds.
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

    Items with equally many users are never separated: those tied at the cut all go to the side that
    leaves the niche closer to 80 % (to the niche if both are equally close).
    """
    cut = np.sort(counts)[min(counts.size - 1, int(NICHE * counts.size))]
    below, up_to = counts < cut, counts <= cut
    return up_to if abs(up_to.mean() - NICHE) <= abs(below.mean() - NICHE) else below


def scaled_activity(counts: NDArray[np.int64], mean: float) -> NDArray[np.float64]:
    """Return (users,) visits per round: proportional to the counts, clipped to `ACTIVITY_RANGE`, with the given mean.

    The factor is found by bisection, so that the mean is reached after clipping (a mean below the least gives the least).
    """
    low, high = 0.0, 1.0 / counts.min()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.clip(middle * counts, *ACTIVITY_RANGE).mean() < mean else (low, middle)
        )
    return np.clip(high * counts, *ACTIVITY_RANGE)


def _infer_topics(config: LogConfig, log: Log, item_file) -> tuple[ItemTopics, tuple[str, ...]]:
    ones = np.ones(len(log))
    taken = sparse.csr_matrix((ones, (log.item, log.user)), shape=(len(log.items), len(log.users)))
    tag_notes: list[str] = []
    if config.tags is not None:
        tags, labels, tag_notes = read_tags(config.tags, log.items, config.item_column)
        topics = topics_from_tags(tags, labels, taken, config.topics)
    elif item_file is not None and item_file.genres is not None:
        topics = topics_from_genres(item_file.genres, item_file.genre_names, taken)
    else:
        topics = topics_from_users(taken, config.topics)
    return topics, (*tag_notes, *topics.notes)


def _infer_tastes_and_quality(
    config: LogConfig, match: float, log: Log, mixtures: NDArray
) -> tuple[Tastes, NDArray]:
    """Alternate twice between fitting tastes given quality and quality given tastes; then set the scale."""
    counts, weight = log.item_counts.astype(float), log.user_counts.astype(float)
    quality = np.log((counts + 1) / (counts.mean() + 1))
    for choose_count in (False, True):
        catalog = build_catalog(mixtures, quality, match)
        tastes = find_tastes(log.user, log.item, len(log.users), catalog, config.max_tastes, choose_count)
        quality = find_quality(tastes, weight, mixtures, counts, match, quality)
    values = reference_values(
        tastes.tastes, tastes.shares, mixtures, quality, counts, match, config.idiosyncrasy
    )
    return tastes, quality + find_shift(values)


def _build_items(
    twin: Twin, config: LogConfig, streams: Streams, horizon: int, slate: int
) -> tuple[Items, NDArray]:
    """Return the items of the whole horizon, and for each item the catalog item that it copies.

    A new item copies mixture, quality and niche label of a catalog item drawn uniformly. It copies the
    provider too if the item file names providers; otherwise it is its own provider.
    """
    catalog = len(twin.log.items)
    lives = draw_lifetimes(config, catalog, horizon, slate, streams)
    total = lives.birth.size
    template = np.arange(total)
    template[catalog:] = streams("items.model").integers(0, catalog, total - catalog)
    mixtures = twin.topics.mixtures[template].astype(np.float32)
    mixtures /= mixtures.sum(axis=1, keepdims=True)
    own_provider = np.array_equal(twin.provider, np.arange(catalog))
    new_names = [f"new: like {twin.names[j]}" for j in template[catalog:]]
    items = Items(
        topics=mixtures,
        quality=twin.quality[template].astype(np.float32),
        provider=(np.arange(total) if own_provider else twin.provider[template]).astype(np.int32),
        birth=lives.birth,
        retirement=lives.retirement,
        tag=_noisy_tags(mixtures, config.tag_noise, streams),
        catalog=catalog,
        demand=np.zeros(total),
        niche=np.zeros(total, bool),
        names=[*twin.names, *new_names],
    )
    return items, template


def _noisy_tags(mixtures: NDArray[np.float32], noise: float, streams: Streams) -> NDArray[np.float32]:
    """Return the tags that the platform sees: mixtures, with the main topic swapped for another in a share `noise`."""
    total, topics = mixtures.shape
    tags = mixtures.copy()
    if topics == 1:
        return tags
    wrong = np.flatnonzero(streams("items.tag_noise").random(total) < noise)
    primary = mixtures[wrong].argmax(axis=1)
    other = (primary + 1 + streams("items.wrong_tag").integers(0, topics - 1, total)[wrong]) % topics
    tags[wrong, primary], tags[wrong, other] = mixtures[wrong, other], mixtures[wrong, primary]
    return tags


def _build_users(twin: Twin, behavior: Behavior, streams: Streams) -> Users:
    """Return the users: tastes, shares, activity and community from the log, the rest from `behavior`."""
    count = len(twin.log.users)
    tastes = twin.tastes.tastes.astype(np.float32)
    tastes /= tastes.sum(axis=2, keepdims=True)
    shares = twin.tastes.shares.astype(np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    attention = behavior.attention + behavior.attention_sd * streams("users.attention").standard_normal(count)
    outside = behavior.outside + behavior.outside_sd * streams("users.outside").standard_normal(count)
    spread = behavior.appetite_spread
    appetite = behavior.appetite + streams("users.appetite").integers(-spread, spread + 1, count)
    return Users(
        tastes=tastes,
        shares=shares,
        neutral=shares.copy(),
        tastes_start=tastes.copy(),
        shares_start=shares.copy(),
        n_tastes=twin.tastes.count.copy(),
        community=twin.community.copy(),
        group=np.zeros(count, np.int32),
        group_names=("everyone",),
        activity=scaled_activity(twin.log.user_counts, behavior.activity).astype(np.float32),
        attention=clip_attention(attention, behavior),
        appetite=np.maximum(appetite, 1).astype(np.int32),
        outside=outside.astype(np.float32),
        quality_weight=np.ones(count, np.float32),
        fatigue=np.zeros((count, tastes.shape[2]), np.float32),
        target=np.zeros((count, tastes.shape[2]), np.float32),
    )
