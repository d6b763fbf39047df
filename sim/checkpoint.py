"""The state of a simulation as named arrays, and back: what a checkpoint keeps of it.

A simulation is rebuilt from its study, warm-up included, and then given its state; so only what rounds change is
kept. All fields of the world are kept unless they are named in `FIXED`: one that is added later is kept without
anybody thinking of it, and one that is neither array nor number nor configuration is refused. Random streams have no
state: a draw is a function of seed, decision and round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..agents.production import prepare_round
from ..config import Config
from ..policies.interactions import Exposures
from .state import State, fill, part, under
from .streams import Streams

if TYPE_CHECKING:
    from ..agents.world import World
    from .loop import Simulation


FIXED = {
    "users": {
        "tastes_start",
        "shares_start",
        "n_tastes",
        "community",
        "group",
        "activity",
        "attention",
        "appetite",
        "outside",
        "quality_weight",
        "target",
    },
    "graph": {"indptr", "influence"},
    "items": {"catalog"},
    "creators": {"entered", "normalizer", "horizon", "slate"},
    "": {"idiosyncrasy", "idiosyncrasy_key"},
}
"""Fields of the world that no round changes; all of `items` where no creators make new ones."""


def state(simulation: Simulation) -> State | None:
    """Return all that rounds have changed; None where the recommender cannot say what it knows."""
    recommender = simulation.recommender.state()
    if recommender is None:
        return None
    kept = {
        "round": np.array(simulation.round),
        "horizon": np.array(simulation.horizon),
        **under("world", _world(simulation.world)),
        **under("log", simulation.log.state()),
        **under("learning", simulation.learning.state()),
    }
    if simulation.twin is not None:
        twin = state(simulation.twin)
        assert twin is not None, "an organic world has no recommender whose state could be missing"
        kept |= under("learning.twin", twin)
    kept |= under("recommender", recommender)
    if simulation.blocked.bits.any():
        kept["blocked"] = simulation.blocked.bits
    kept["exposures"] = np.array([slates.round for slates in simulation.exposures], np.int64)
    for place, slates in enumerate(simulation.exposures):
        parts = {"users": slates.users, "slates": slates.slates, "organic": slates.organic}
        kept |= under(f"exposures.{place}", parts)
    return kept


def restore(simulation: Simulation, kept: Mapping[str, NDArray[Any]]) -> None:
    """Take over what `state` returned into a simulation that was just built from the same study.

    It may be laid out for more rounds than the one that was kept. Raises ValueError for a state of another study.
    """
    round, horizon = int(kept["round"]), int(kept["horizon"])
    if not simulation.round == 0 <= round <= simulation.horizon:
        raise ValueError(
            f"a state of round {round} does not fit a simulation of {simulation.horizon} rounds that is at round "
            f"{simulation.round}"
        )
    longer = horizon != simulation.horizon
    world = part("world", kept)
    expected = _world(simulation.world)
    if world.keys() != expected.keys():
        raise ValueError(
            f"the state holds other parts of the world: {sorted(world.keys() ^ expected.keys())}"
        )
    for name, value in world.items():
        owner, _, field = name.rpartition(".")
        holder = getattr(simulation.world, owner) if owner else simulation.world
        if value.ndim:
            fill(getattr(holder, field), value, name, longer)
        else:
            setattr(holder, field, value.item())
    simulation.log.restore(part("log", kept))
    simulation.blocked.bits[:] = 0
    if "blocked" in kept:
        fill(simulation.blocked.bits, kept["blocked"], "blocked", longer)
    simulation.exposures.clear()
    for place, when in enumerate(kept["exposures"].tolist()):
        slates = part(f"exposures.{place}", kept)
        simulation.exposures.append(Exposures(when, **{name: np.array(slates[name]) for name in slates}))
    simulation.learning.restore(part("learning", kept))
    if simulation.twin is not None:
        restore(simulation.twin, part("learning.twin", kept))
    simulation.recommender.restore(part("recommender", kept))
    simulation.round = round
    creators = simulation.world.creators
    if creators is not None and horizon == round < simulation.horizon:
        # The last round of a run makes no items for a round after it; this one has one.
        prepare_round(simulation.world, creators, round)


def _world(world: World) -> State:
    found = dict(_kept(world, ""))
    if world.creators is None:
        found = {name: value for name, value in found.items() if not name.startswith("items.")}
    return found


def _kept(holder: Any, owner: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for field in fields(holder):
        value = getattr(holder, field.name)
        name = f"{owner}.{field.name}" if owner else field.name
        if field.name in FIXED.get(owner, ()):
            continue
        if isinstance(value, np.ndarray):
            yield name, value
        elif isinstance(value, (bool, int, float, np.generic)):
            yield name, np.array(value)
        elif is_dataclass(value):
            yield from _kept(value, name)
        elif not _never_changes(value):
            raise TypeError(f"a checkpoint cannot keep {name}, which is a {type(value).__name__}")


def _never_changes(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(isinstance(each, str) for each in value)
    return value is None or isinstance(value, (Config, Streams))
