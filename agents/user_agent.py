"""Users as Mesa agents: each is a view of one row of the population arrays."""

from __future__ import annotations

from typing import Any

import mesa
import numpy as np

from .dynamics.choice import ChoiceKeys
from .dynamics.reference import Visit, visit_one
from .world import World


class _Row:
    """A descriptor that reads and writes one user's row of an array in `Users`."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, agent: User | None, owner: type | None = None) -> Any:
        if agent is None:
            return self
        value = getattr(agent.world.users, self.name)[agent.row]
        return value.item() if value.ndim == 0 else value

    def __set__(self, agent: User, value: Any) -> None:
        getattr(agent.world.users, self.name)[agent.row] = value


class User(mesa.Agent):
    """One user, for `model.agents.select(…)`, `.agg(…)`, DataCollector and Mesa's visualization.

    Attributes are views: reading and writing them reads and writes the arrays that the vectorized step
    works on. `row` is the user id of logs and tables (Mesa's `unique_id` counts from 1).
    """

    tastes = _Row("(K, topics) current tastes.")
    shares = _Row("(K,) share of demand of each taste; sums to one.")
    neutral = _Row("(K,) shares in the neutral shadow.")
    tastes_start = _Row("(K, topics) tastes at round 0.")
    shares_start = _Row("(K,) shares at round 0, in descending order.")
    n_tastes = _Row("Number of tastes.")
    community = _Row("Number of the community.")
    group = _Row("Number of the group.")
    activity = _Row("Probability of a visit in a round.")
    attention = _Row("Probability of continuing to the next rank.")
    appetite = _Row("Maximum number of items taken in a visit.")
    outside = _Row("Value of taking nothing.")
    quality_weight = _Row("Weight of item quality.")
    fatigue = _Row("(topics,) recent exposure.")
    target = _Row("(topics,) calibrated target.")

    def __init__(self, model: mesa.Model, world: World, row: int) -> None:
        super().__init__(model)
        self.world = world
        self.row = row

    @property
    def friends(self) -> np.ndarray:
        """Rows of the users this one follows."""
        graph = self.world.graph
        return graph.indices[graph.indptr[self.row] : graph.indptr[self.row + 1]]

    def visit(self, round: int, slate: np.ndarray, keys: ChoiceKeys) -> Visit:
        """Return this user's visit to a slate, by the reference implementation in plain Python. Changes nothing."""
        return visit_one(self.world, round, self.row, slate, keys)
