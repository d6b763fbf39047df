"""How large a run becomes: users, items, ties, log entries, visits, candidates. `memory` turns this into bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from ...agents.behavior import LEAST_ACTIVITY, Behavior
from ...agents.creators import expected_items
from ...agents.generate import draw_items, draw_users
from ...agents.lifetimes import Lifetimes
from ...agents.settings import Group, NoGraph, WorldConfig
from ...analysis.measures import computed, measure_class
from ...policies.registry import build_reranker
from ...policies.size import Size
from ...sim.platform import Platform
from ...sim.streams import Streams
from ..design.switches import switched_policy
from ..specs.study import Arm, LogConfig, Study

READ_FACTOR = 12
"""Bytes per byte of a data file, while it is read and for what is kept of it."""
LOG_TOPICS, LOG_TASTES, LOG_TIES, LOG_COMMUNITIES = 32, 3, 15, 30
"""What is assumed of the twin of a real log before it is inferred."""
SAMPLE_USERS, SAMPLE_CELLS = 200, 2**22
"""Users of the sample world in which takes are counted, and its most item × topic pairs."""
MOST_ITEMS, FEWEST_ITEMS = 2000, 200
"""Items of the sample world."""

MARGIN = 1.15
"""Factor on the takes of the sample world: tastes drift toward what is shown, and worlds of other seeds differ."""


@dataclass(frozen=True, kw_only=True)
class RunSize(Size):
    """The size of a run, in more detail than policies are told."""

    rounds: int
    catalog: int
    """Items of round 0."""
    tastes: int
    before: float
    """Entries of the log at round 0."""
    organic: float
    """Entries of the paired organic simulation, if there is one."""
    visits: float
    """Visits per round."""
    slate: int
    appetite: int
    candidates: int
    """Ranked items per visit that rerankers choose from, or the slate."""
    exposures: int
    """Rounds of slates that are kept."""
    columns: int
    """Measures of a round, split ones included."""
    masks: int
    """Masks of users that measures keep."""
    drawn_ties: float
    """Ties that networkx draws; 0 if they are read from a file."""
    read: int
    """Bytes needed to read the data files."""


def run_size(study: Study, arm: Arm) -> RunSize:
    """Return the size of one run of an arm; grid values are already set in the study."""
    world, behavior, rounds = study.world, study.behavior, study.rounds
    platform = Platform(**{**study.platform.model_dump(), **arm.platform})
    appetite = _appetite(study)
    slate = max([platform.slate, *(switch.slate or 0 for switch in arm.switch)])
    if isinstance(world, WorldConfig):
        users, items, topics, tastes, read = world.users, world.items, world.topics, _tastes(world), 0
        new = world.arrivals * rounds + _gone(world, study.platform.warmup)
        if world.creators is not None:
            new = expected_items(world, world.creators, rounds)
        ties = users * (getattr(world.graph, "degree", None) or 2 * getattr(world.graph, "attach", 0))
        drawn = ties
        if world.graph.kind == "edges":
            ties = Path(world.graph.path).stat().st_size / 4
        visits = users * _mean_activity(world.groups, behavior)
        before = platform.warmup * visits * takes(world, behavior, platform.slate, chosen=False)[0]
        communities, groups = world.communities, len(world.groups)
    else:
        users, items, before, read = _log_size(world.model_dump_json())
        new, topics, tastes = world.arrivals * rounds, LOG_TOPICS, LOG_TASTES
        ties, drawn = users * (LOG_TIES if world.social else 0), 0
        visits, communities, groups = users * behavior.activity, LOG_COMMUNITIES, 1
    catalog, items = items, int(items + new)
    policies = [arm.policy, *(switched_policy(arm, switch) for switch in arm.switch if switch.policy)]
    chosen = any(policy["kind"] not in ("organic", "random") for policy in policies)
    entries = before + rounds * visits * takes(world, behavior, slate, chosen)[0]
    by_chance, popularity = takes(world, behavior, slate, chosen=False)
    if behavior.repeat == "never":
        entries = min(entries, float(users * items))
    known = items if popularity is None else items * -np.expm1(-entries / items * popularity).mean()
    labels = 2 * any(switch.users != 1 for switch in arm.switch)
    labels += groups * ("group" in study.split_by) + communities * ("community" in study.split_by)
    names = computed(study.measures)
    split = [name for name in names if measure_class(name.partition(":")[0]).splits]
    return RunSize(
        users, items, topics, entries, rounds=rounds, catalog=catalog, tastes=tastes, ties=ties,
        known_items=int(known),
        before=before,
        organic=before + rounds * visits * by_chance if platform.learn_from == "organic" else 0.0,
        visits=visits,
        slate=slate,
        appetite=appetite,
        candidates=min(max([slate, *_candidates(arm)]), items),
        exposures=min(platform.keep_exposures, rounds),
        columns=len(names) + labels * len(split),
        masks=labels * (1 + len({measure_class(name) for name in split})),
        drawn_ties=drawn,
        read=read,
    )  # fmt: skip


def _gone(world: WorldConfig, warmup: int) -> float:
    """Return how many items are expected to retire in the warm-up."""
    leavers = world.arrivals if world.retirements == "match" else world.retirements
    return warmup * leavers if world.arrivals else 0.0


def _tastes(world: WorldConfig) -> int:
    shares = [world.taste_shares, *(group.taste_shares for group in world.groups)]
    return max(world.tastes if share == "dirichlet" else len(share) for share in shares if share is not None)


def _appetite(study: Study) -> int:
    groups = study.world.groups if isinstance(study.world, WorldConfig) else []
    most = max([study.behavior.appetite, *(group.appetite or 0 for group in groups)])
    return most + study.behavior.appetite_spread


def _mean_activity(groups: Sequence[Group], behavior: Behavior) -> float:
    """Return the mean over users of their activity, clipped to its range."""
    normal = ndtri((np.arange(200) + 0.5) / 200)
    spread, tail = behavior.activity_sd * normal, behavior.activity_tail
    factor = np.exp(tail * normal - tail**2 / 2)[:, None] if tail else 1.0
    groups = groups or [Group(name="everyone", share=1.0)]
    means = [
        np.clip(factor * ((group.activity or behavior.activity) + spread), LEAST_ACTIVITY, 1.0).mean()
        for group in groups
    ]
    return float(np.average(means, weights=[group.share for group in groups]))


def _candidates(arm: Arm) -> list[int]:
    reranks = [arm.rerank, *(switch.rerank for switch in arm.switch if switch.rerank)]
    found = []
    for spec in (spec for rerank in reranks for spec in rerank):
        try:
            found.append(int(build_reranker(spec).candidates))
        except Exception:  # noqa: BLE001  it may be a user's class, and this is only an estimate
            found.append(200)
    return found


def takes(
    world: WorldConfig | LogConfig, behavior: Behavior, slate: int, chosen: bool
) -> tuple[float, NDArray[np.float64] | None]:
    """Return how many items a visit takes, word of mouth included, and the frequencies of items in organic visits.

    chosen: slates hold what the user wants most, not items at random as in organic visits. Frequencies (n,) are those
    of a sample of items, with mean 1. Counted in a small world of the same settings; where friends add to values, and
    in the twin of a real log, every item that a user looks at may be taken, and frequencies are None.
    """
    if isinstance(world, LogConfig) or behavior.social:
        groups = [] if isinstance(world, LogConfig) else world.groups
        return _looked_at(groups, behavior, slate) + behavior.word_of_mouth, None
    few = {"graph": NoGraph(), "creators": None, "arrivals": 0.0}
    sample = world.model_copy(update=few).model_dump_json()
    found, popularity = _sampled_takes(sample, behavior.model_dump_json(), slate, chosen)
    return MARGIN * found + behavior.word_of_mouth, popularity


def _looked_at(groups: Sequence[Group], behavior: Behavior, slate: int) -> float:
    means = []
    for group in groups or [Group(name="everyone", share=1.0)]:
        attention = (group.attention or behavior.attention) + behavior.attention_sd
        most = min((group.appetite or behavior.appetite) + behavior.appetite_spread, slate)
        ranks = np.arange(most)
        cascade = behavior.examination == "cascade"
        means.append((min(attention, 1.0) ** ranks if cascade else (ranks + 1.0) ** -attention).sum())
    return float(max(means))


@lru_cache(maxsize=64)
def _sampled_takes(world_json: str, behavior_json: str, slate: int, chosen: bool) -> tuple[float, Any]:
    behavior = Behavior.model_validate_json(behavior_json)
    config = WorldConfig.model_validate_json(world_json)
    room = SAMPLE_CELLS // config.topics
    config = config.model_copy(
        update={
            "users": min(config.users, SAMPLE_USERS, max(room // (8 * _tastes(config)), 1)),
            "items": min(config.items, MOST_ITEMS, max(room, FEWEST_ITEMS)),
        }
    )
    streams = Streams(0)
    born = np.zeros(config.items, np.int32)
    items = draw_items(config, Lifetimes(born, born + 1), streams)
    users = draw_users(config, behavior, streams)
    rng = streams("takes")
    values = (
        behavior.match * (users.tastes @ items.topics.T) + users.quality_weight[:, None, None] * items.quality
    )
    values += config.idiosyncrasy * rng.standard_normal((len(users), 1, config.items))
    gain = values - users.outside[:, None, None]
    wanted = np.einsum("uk,uki->ui", users.shares, expit(gain))
    # Where popular items are seen more often, the frequencies settle at p ∝ P(taken) ** (b / (1 − b)).
    b = min(behavior.organic_popularity, 0.8)
    mean = wanted.mean(axis=0) + 1e-9
    popularity = mean ** (1 / (1 - b))
    noise = rng.gumbel(size=wanted.shape)[:, None, :]
    scores = wanted[:, None, :] if chosen else b / (1 - b) * np.log(mean) + behavior.search * values + noise
    n = min(slate, config.items)
    shown = np.argsort(-np.broadcast_to(scores, gain.shape), axis=2)[:, :, :n]
    # Every user visits once with every taste, weighted by its share.
    seen = np.take_along_axis(gain, shown, axis=2)
    better = seen + rng.gumbel(size=seen.shape) > rng.gumbel(size=(*seen.shape[:2], 1))
    ranks, attention = np.arange(n), users.attention[:, None].astype(float)
    cascade = behavior.examination == "cascade"
    reached = attention**ranks if cascade else (ranks + 1.0) ** -attention
    looks = rng.random((*seen.shape[:2], 1)) < reached[:, None, :]
    taken = np.minimum((better & looks).sum(axis=2), users.appetite[:, None])
    return float((users.shares * taken).sum(axis=1).mean()), popularity / popularity.mean()


@lru_cache(maxsize=16)
def _log_size(config: str) -> tuple[int, int, int, int]:
    """Return users, items and entries of a log after its filters, and the bytes needed to read its files."""
    from ..real_logs.logs import read_log

    world = LogConfig.model_validate_json(config)
    log = read_log(world)
    files = [world.log, world.items, world.tags, world.social]
    read = sum(Path(file).stat().st_size for file in files if file is not None)
    return len(log.users), len(log.items), len(log.user), READ_FACTOR * read
