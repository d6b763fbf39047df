"""The world of a seed after its warm-up: made once in a process, and copied for every arm of the seed.

The warm-up does not depend on the arm: organic visits only, with the slate of the study.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache

from ...agents.generate import generate
from ...agents.world import World
from ...policies.interactions import Blocked, InteractionLog
from ...sim.loop import Simulation
from ...sim.recommender import NoRecommender
from ...sim.streams import Streams
from ..design.plan import widest_slate
from ..specs.study import Study, WorldConfig

MOST_PAIRS = 2**25
"""Most user-item pairs of a world that is kept for the next arm; of larger ones, a second copy takes too much memory."""


@dataclass(frozen=True)
class Start:
    """What an arm starts from at round 0."""

    world: World
    log: InteractionLog
    blocked: Blocked

    def copy(self) -> Start:
        """Return a start that may be changed; fixed effects of users on items, which never change, are shared."""
        memo = {id(fixed): fixed for fixed in self.world.fixed_arrays}
        return copy.deepcopy(self, memo)


def start_of(study: Study, seed: int) -> Start:
    """Return the start of an arm in a generated world; the arm may change it."""
    if is_kept(study):
        return _made_once(_Key(study), seed).copy()
    return _make(study, seed)


def is_kept(study: Study) -> bool:
    """Return whether the start of a study's world is kept for the next arm of the seed."""
    world = study.world
    return isinstance(world, WorldConfig) and world.users * world.items <= MOST_PAIRS


class _Key:
    """A study, equal to others with the same start."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.text = (
            study.model_dump_json(include={"world": True, "behavior": True, "rounds": True})
            + f"{study.platform.warmup} {study.platform.slate} {widest_slate(study)}"
        )

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text


@lru_cache(maxsize=1)
def _made_once(key: _Key, seed: int) -> Start:
    return _make(key.study, seed)


def _make(study: Study, seed: int) -> Start:
    streams = Streams(seed)
    assert isinstance(study.world, WorldConfig)
    world = generate(
        study.world, study.behavior, streams, study.rounds, widest_slate(study), study.platform.warmup
    )
    plain = study.platform.model_copy(update={"learn_from": "all"})
    simulation = Simulation(world, plain, NoRecommender(), streams, study.rounds)
    return Start(world, simulation.log, simulation.blocked)
