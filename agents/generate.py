"""Generate a synthetic world: catalog, population and social ties, each part from its own random stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .behavior import LEAST_ACTIVITY, Behavior, check_attention
from .categorical import sample_categorical, topic_weights
from .certainty import check_search
from .creators import Randomness, check_creators
from .graphs import check_graph, draw_graph
from .items import Items
from .lifetimes import Lifetimes, draw_lifetimes
from .production import build_creators
from .settings import Group, WorldConfig
from .users import Users
from .values import fill_demand_and_target
from .world import World


def generate(
    config: WorldConfig, behavior: Behavior, streams: Randomness, horizon: int, slate: int, warmup: int = 0
) -> World:
    """Return the world of one seed, allocated for `horizon` rounds of slates of `slate` items.

    warmup: organic rounds before round 0, in which items arrive and retire, too.

    Topic t has weight π_t ∝ t^−topic_skew. Items: mixture (1 − blend)·e_t + blend·Dirichlet(0.05), quality
    N(0, quality_sd²). Users: see `draw_users`; providers who make items: see `agents.creators`. The model is
    described in docs/model.md.
    """
    check_world(config, behavior, slate, horizon)
    # If creators make the new items, births and retirements are decided round by round.
    turnover = config if config.creators is None else config.model_copy(update={"retirements": 0.0})
    items = draw_items(
        config, draw_lifetimes(turnover, config.items, horizon, slate, streams, warmup), streams
    )
    users = draw_users(config, behavior, streams)
    creators = None
    if config.creators is not None:
        items, creators = build_creators(config, items, users, horizon, slate, streams)
    graph = draw_graph(config.graph, users.community, config.influence_spread, streams("graph"))
    key = streams.key("world.idiosyncrasy")
    world = World(behavior, items, users, graph, config.idiosyncrasy, key, creators)
    fill_demand_and_target(world)
    return world


FEWEST_VISITS = 0.5
"""Fewest visits that must be expected in a round."""


def check_world(config: WorldConfig, behavior: Behavior, slate: int, horizon: int | None = None) -> None:
    """Raise BadInput for settings that contradict each other or the files they name.

    horizon: rounds of the study; if given, the number of items that creators could make is checked against
    `most_items`.
    """
    if slate > config.items:
        raise BadInput(
            f"platform.slate = {slate} is larger than the catalog (world.items = {config.items}). "
            f"Set platform.slate to at most {config.items}.",
            about=["platform.slate", "world.items"],
        )
    check_visits(config, behavior)
    check_search(config, behavior, slate)
    for place, group in enumerate(config.groups):
        try:
            check_attention(
                group.attention or 0.0, behavior.examination, f"world.groups[{group.name}].attention"
            )
        except ValueError as error:
            about = [("world", "groups", place, "attention"), ("behavior", "examination")]
            raise BadInput(str(error), about=about) from None
    check_graph(config.graph, config.users)
    if config.creators is not None and horizon is not None:
        check_creators(config, config.creators, horizon)


def check_visits(config: WorldConfig, behavior: Behavior) -> None:
    """Raise BadInput for a population of which nobody is expected to come in a round."""
    shares = [(group.share, group.activity or behavior.activity) for group in config.groups]
    mean = sum(share * activity for share, activity in shares) if shares else behavior.activity
    if config.users * mean < FEWEST_VISITS:
        raise BadInput(
            f"behavior.activity = {mean:g} with world.users = {config.users}: {config.users * mean:.2g} visits are expected in "
            f"a round, so nearly all rounds would be empty. Set behavior.activity to at least {FEWEST_VISITS / config.users:.2g}",
            about=["behavior.activity", "world.users"],
        )


def check_consideration(behavior: Behavior, slate: int) -> None:
    """Raise BadInput for people who think of fewer items than an organic slate shows."""
    if behavior.consideration < slate:
        raise BadInput(
            f"behavior.consideration = {behavior.consideration}: must be at least the longest slate ({slate}), since organic "
            "slates are filled from what people consider",
            about=["behavior.consideration", "platform.slate"],
        )


def draw_items(config: WorldConfig, lifetimes: Lifetimes, streams: Randomness) -> Items:
    """Return the catalog and all items born later; `demand` and `niche` are filled afterwards."""
    total, topics = lifetimes.birth.size, config.topics
    pi = topic_weights(topics, config.topic_skew)
    primary = sample_categorical(pi, streams("items.topic").random(total))
    mixture = config.blend * streams("items.blend").dirichlet(np.full(topics, 0.05), total)
    mixture[np.arange(total), primary] += 1 - config.blend
    tag_topic = primary.copy()
    if topics > 1:
        wrong = streams("items.tag_noise").random(total) < config.tag_noise
        shift = 1 + streams("items.wrong_tag").integers(0, topics - 1, total)
        tag_topic[wrong] = (primary[wrong] + shift[wrong]) % topics
    return Items(
        topics=mixture.astype(np.float32),
        quality=(config.quality_sd * streams("items.quality").standard_normal(total)).astype(np.float32),
        provider=sample_categorical(
            topic_weights(config.providers, 1.0), streams("items.provider").random(total)
        ).astype(np.int32),
        birth=lifetimes.birth,
        retirement=lifetimes.retirement,
        tag=np.eye(topics, dtype=np.float32)[tag_topic],
        catalog=config.items,
        demand=np.zeros(total),
        niche=np.zeros(total, bool),
    )


def draw_users(config: WorldConfig, behavior: Behavior, streams: Randomness) -> Users:
    """Return the population: K tastes per user, each focused on one topic, with shares in descending order.

    The topics of a user's tastes are drawn without replacement, each with probability `homophily` from
    the community's own topic distribution, a Dirichlet draw around π, else from π (or the group's skew).
    """
    count, topics = config.users, config.topics
    groups = config.groups or [Group(name="everyone", share=1.0)]
    group = sample_categorical(
        np.array([g.share for g in groups]), streams("users.group").random(count)
    ).astype(np.int32)
    community = (np.arange(count, dtype=np.int64) * config.communities // count).astype(np.int32)
    shares = _shares(config, groups, group, streams)
    width = shares.shape[1]

    def per_group(values: list) -> NDArray[np.float64]:
        return np.array(values, float)[group]

    pi = np.array(
        [topic_weights(topics, config.topic_skew if g.topic_skew is None else g.topic_skew) for g in groups]
    )
    base = topic_weights(topics, config.topic_skew)
    spread = np.maximum(config.community_focus * topics * base, 1e-3)
    own = streams("communities.topics").dirichlet(spread, config.communities)
    homophily = per_group([config.homophily if g.homophily is None else g.homophily for g in groups])
    tastes = _tastes(config, pi[group], own[community], homophily, width, streams)

    attention = per_group([g.attention or behavior.attention for g in groups])
    attention += behavior.attention_sd * streams("users.attention").standard_normal(count)
    activity = per_group([g.activity or behavior.activity for g in groups])
    activity += behavior.activity_sd * streams("users.activity").standard_normal(count)
    tail = behavior.activity_tail
    if tail:
        activity *= np.exp(tail * streams("users.activity_tail").standard_normal(count) - tail**2 / 2)
    outside = per_group([behavior.outside if g.outside is None else g.outside for g in groups])
    outside += behavior.outside_sd * streams("users.outside").standard_normal(count)
    appetite = per_group([g.appetite or behavior.appetite for g in groups])
    wander = behavior.appetite_spread
    appetite += streams("users.appetite").integers(-wander, wander + 1, count)
    return Users(
        tastes=tastes,
        shares=shares,
        neutral=shares.copy(),
        tastes_start=tastes.copy(),
        shares_start=shares.copy(),
        n_tastes=(shares > 0).sum(axis=1).astype(np.int32),
        community=community,
        group=group,
        group_names=tuple(g.name for g in groups),
        activity=np.clip(activity, LEAST_ACTIVITY, 1.0).astype(np.float32),
        attention=clip_attention(attention, behavior),
        appetite=np.maximum(appetite, 1).astype(np.int32),
        outside=outside.astype(np.float32),
        quality_weight=per_group([g.quality_weight for g in groups]).astype(np.float32),
        fatigue=np.zeros((count, topics), np.float32),
        target=np.zeros((count, topics), np.float32),
    )


def clip_attention(attention: NDArray[np.float64], behavior: Behavior) -> NDArray[np.float32]:
    """Return attention (users,) clipped to its range: a probability in a cascade, an exponent otherwise."""
    most = 1.0 if behavior.examination == "cascade" else 20.0
    return np.clip(attention, 0.01, most).astype(np.float32)


def _shares(config: WorldConfig, groups: list[Group], group, streams: Randomness) -> NDArray[np.float32]:
    """Return (users, K) shares in descending order; 0 for tastes that a group does not have."""
    lists = [config.taste_shares if g.taste_shares is None else g.taste_shares for g in groups]
    width = max(config.tastes if chosen == "dirichlet" else len(chosen) for chosen in lists)
    # One stream per taste, so that adding a taste does not change the draws of the others.
    gammas = [
        streams("users.shares", k).gamma(config.taste_concentration, size=group.size)
        for k in range(config.tastes)
    ]
    drawn = np.maximum(-np.sort(-np.array(gammas).T, axis=1), 1e-12)
    drawn = np.maximum(drawn / drawn.sum(axis=1, keepdims=True), 1e-6)
    table = np.zeros((group.size, width))
    for g, chosen in enumerate(lists):
        if chosen == "dirichlet":
            table[group == g, : config.tastes] = drawn[group == g]
        else:
            table[group == g, : len(chosen)] = chosen
    return (table / table.sum(axis=1, keepdims=True)).astype(np.float32)


def _tastes(config: WorldConfig, pi, own, homophily, width: int, streams: Randomness) -> NDArray[np.float32]:
    """Return (users, width, topics): (1 − focus)·Dirichlet(1), plus `taste_focus` on the taste's own topic."""
    count, topics = pi.shape
    tastes = np.empty((count, width, topics), np.float32)
    free = np.ones((count, topics))
    rows = np.arange(count)
    for k in range(width):
        # One stream per taste, so that adding a taste does not change the draws of the others.
        tastes[:, k] = (1 - config.taste_focus) * streams("users.taste_rest", k).dirichlet(
            np.ones(topics), count
        )
        source, draw = streams("users.taste_topic", k).random((count, 2)).T
        weights = np.where((source < homophily)[:, None], own, pi) * free
        # If the topics of a narrow community are used up, fall back to all remaining topics.
        weights = np.where(weights.sum(axis=1, keepdims=True) > 1e-12, weights, pi * free)
        topic = sample_categorical(weights, draw)
        tastes[rows, k, topic] += config.taste_focus
        free[rows, topic] = 0
    return tastes
