"""Save the state of a simulation as named arrays for a checkpoint, and restore it.

To resume, a simulation is rebuilt from its study, including the warm-up, and its state is then restored. So a
checkpoint contains only what the rounds change. All fields of the world are saved unless `CONSTANT_FIELDS` lists
them: a field added later is saved automatically, and a field that is not an array, number or configuration raises an
error. Random streams have no state: a draw is a function of seed, decision and round.
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
from .state import State, add_prefix, copy_into, select_prefix
from .streams import Streams

if TYPE_CHECKING:
    from ..agents.world import World
    from .loop import Simulation


CONSTANT_FIELDS = {
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
"""Fields of the world that no round changes. Without creators, all fields of `items` are constant too."""


def state(simulation: Simulation) -> State | None:
    """Return everything that the rounds have changed; None if the recommender cannot export its state."""
    recommender = simulation.recommender.state()
    if recommender is None:
        return None
    kept = {
        "round": np.array(simulation.round),
        "horizon": np.array(simulation.horizon),
        **add_prefix("world", _world(simulation.world)),
        **add_prefix("log", simulation.log.state()),
        **add_prefix("learning", simulation.learning.state()),
    }
    if simulation.paired is not None:
        paired = state(simulation.paired)
        assert paired is not None, "an organic world has no recommender that could lack a state"
        kept |= add_prefix("learning.twin", paired)
    kept |= add_prefix("recommender", recommender)
    if simulation.blocked.bits.any():
        kept["blocked"] = simulation.blocked.bits
    kept["exposures"] = np.array([slates.round for slates in simulation.exposures], np.int64)
    for place, slates in enumerate(simulation.exposures):
        parts = {"users": slates.users, "slates": slates.slates, "organic": slates.organic}
        kept |= add_prefix(f"exposures.{place}", parts)
    return kept


def restore(simulation: Simulation, kept: Mapping[str, NDArray[Any]]) -> None:
    """Restore what `state` returned into a simulation that was just built from the same study.

    It may be allocated for more rounds than the saved one. Raises ValueError for a state of another study.
    """
    round, horizon = int(kept["round"]), int(kept["horizon"])
    if not simulation.round == 0 <= round <= simulation.horizon:
        raise ValueError(
            f"a state of round {round} does not fit a simulation of {simulation.horizon} rounds that is at round "
            f"{simulation.round}"
        )
    longer = horizon != simulation.horizon
    world = select_prefix("world", kept)
    expected = _world(simulation.world)
    if world.keys() != expected.keys():
        raise ValueError(
            f"the state contains other parts of the world: {sorted(world.keys() ^ expected.keys())}"
        )
    for name, value in world.items():
        owner, _, field = name.rpartition(".")
        holder = getattr(simulation.world, owner) if owner else simulation.world
        if value.ndim:
            copy_into(getattr(holder, field), value, name, longer)
        else:
            setattr(holder, field, value.item())
    simulation.log.restore(select_prefix("log", kept))
    simulation.blocked.bits[:] = 0
    if "blocked" in kept:
        copy_into(simulation.blocked.bits, kept["blocked"], "blocked", longer)
    simulation.exposures.clear()
    for place, past_round in enumerate(kept["exposures"].tolist()):
        slates = select_prefix(f"exposures.{place}", kept)
        simulation.exposures.append(
            Exposures(past_round, **{name: np.array(slates[name]) for name in slates})
        )
    simulation.learning.restore(select_prefix("learning", kept))
    if simulation.paired is not None:
        restore(simulation.paired, select_prefix("learning.twin", kept))
    simulation.recommender.restore(select_prefix("recommender", kept))
    simulation.round = round
    creators = simulation.world.creators
    if creators is not None and horizon == round < simulation.horizon:
        # The saved run ended here and made no items for the next round, which this longer run needs.
        prepare_round(simulation.world, creators, round)


def _world(world: World) -> State:
    arrays = dict(_changing_fields(world, ""))
    if world.creators is None:
        arrays = {name: value for name, value in arrays.items() if not name.startswith("items.")}
    return arrays


def _changing_fields(holder: Any, owner: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for field in fields(holder):
        value = getattr(holder, field.name)
        name = f"{owner}.{field.name}" if owner else field.name
        if field.name in CONSTANT_FIELDS.get(owner, ()):
            continue
        if isinstance(value, np.ndarray):
            yield name, value
        elif isinstance(value, (bool, int, float, np.generic)):
            yield name, np.array(value)
        elif is_dataclass(value):
            yield from _changing_fields(value, name)
        elif not _is_constant(value):
            raise TypeError(f"a checkpoint cannot store {name}, which is a {type(value).__name__}")


def _is_constant(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(isinstance(element, str) for element in value)
    return value is None or isinstance(value, (Config, Streams))
