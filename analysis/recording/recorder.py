"""The recorder of a run: computes the measures of every round and the run's other tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents.behavior import RECENT
from ...agents.world import World
from ...sim.loop import RoundState, Simulation
from ...sim.state import State, add_prefix, select_prefix
from ..measures import build
from ..measures.base import Round, Setup
from ..measures.popularity import profile_groups, profile_popularity
from .deciles import DecileRecord
from .lorenz import LorenzRecord
from .network import NetworkRecord
from .taste_survival import TasteRecord


class Recorder:
    """An observer of a simulation that keeps one row of measures per round.

    Args:
        simulation: the run, before its first round.
        columns: measures to compute; all if empty.
        split_by: "group", "community" and "profile" (see `popularity.profile_groups`) add columns for every part.
        parts: further parts of the population to split by, label → (users,).
    """

    def __init__(
        self,
        simulation: Simulation,
        columns: Sequence[str] = (),
        split_by: Sequence[str] = (),
        parts: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> None:
        world = simulation.world
        popularity = world.taken.copy()
        log = simulation.log.view()
        taken = (popularity, log.user, log.item, len(world.users))
        profiles = profile_groups(*taken, world.items.catalog) if "profile" in split_by else {}
        self.setup = Setup(
            world=world,
            slate=simulation.platform.slate,
            popularity=popularity,
            key=simulation.streams.key("measures.panel"),
            profile_popularity=profile_popularity(*taken),
            splits={**_splits(world, split_by), **profiles, **(parts or {})},
        )
        self.measures = build(self.setup, list(columns) or None)
        self.rows: list[dict[str, float]] = []
        self._lorenz = LorenzRecord(len(world.items), RECENT)
        self._deciles = DecileRecord(popularity, world.items)
        self._tastes = TasteRecord(world.users)
        self._network = NetworkRecord(world)
        simulation.observers.append(self)

    def observe(self, simulation: Simulation, now: RoundState) -> None:
        """Measure a round (called in the loop's measure phase)."""
        choices = now.choices
        round = Round(
            index=now.round,
            world=simulation.world,
            users=now.users,
            slates=now.slates,
            organic=now.organic,
            unserved=now.unserved,
            cold=now.cold,
            intents=choices.intents,
            depth=choices.depth,
            taken=choices.taken,
            surplus=choices.surplus,
            surplus_start=choices.surplus_start,
            hit=choices.hit,
            heard_users=now.heard_users,
            heard_items=now.heard_items,
            blocked=simulation.blocked.bits,
            organic_slates=partial(simulation.organic_slates, now.round, simulation.platform.slate),
        )
        row: dict[str, float] = {"round": now.round}
        row.update(self.measures.update(round))
        self.rows.append(row)
        own = round.part("own")
        counts = (own.shown_counts, own.taken_counts, round.live)
        self._lorenz.add(now.round, *counts)
        self._deciles.add(now.round, *counts)
        self._tastes.add(now.round)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the tables other than the rounds, as columns: see `table` or `tables` of each record.

        "lorenz", "deciles", "tastes", "network_users" and "network_ties".
        """
        return {
            "lorenz": self._lorenz.table(self.setup.world.items.demand),
            "deciles": self._deciles.table(),
            "tastes": self._tastes.table(),
            **self._network.tables(),
        }

    def state(self) -> State:
        """Return the rows so far and the state of measures and tables, for a checkpoint."""
        columns = list(self.rows[0]) if self.rows else []
        kept = {
            "columns": np.array(columns, np.str_),
            "round": np.array([row["round"] for row in self.rows], np.int64),
            "rows": np.array([[row[name] for name in columns] for row in self.rows], np.float64),
        }
        for name, stateful in self._stateful().items():
            kept |= add_prefix(name, stateful.state())
        return kept

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned, in the recorder of the same run before its first round."""
        columns = state["columns"].tolist()
        self.rows[:] = [dict(zip(columns, values, strict=True)) for values in state["rows"].tolist()]
        for row, round in zip(self.rows, state["round"].tolist(), strict=True):
            row["round"] = round
        for name, stateful in self._stateful().items():
            stateful.restore(select_prefix(name, state))

    def _stateful(self) -> dict[str, Any]:
        """Return all attributes that have a state, by name, which is their prefix in a checkpoint."""
        return {name: value for name, value in vars(self).items() if hasattr(value, "state")}


def _splits(world: World, split_by: Sequence[str]) -> Mapping[str, NDArray[np.bool_]]:
    users = world.users
    masks: dict[str, NDArray[np.bool_]] = {}
    if "group" in split_by:
        masks |= {f"group={name}": users.group == g for g, name in enumerate(users.group_names)}
    if "community" in split_by:
        masks |= {f"community={c}": users.community == c for c in np.unique(users.community)}
    return masks
