"""Regret: the surplus lost against the oracle's slate in the arm's own current state."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...agents.dynamics.choice import slate_value
from ...bits import unpacked
from ...sim.oracles import oracle_slates
from .base import Column, Round, UserMeasure
from .intents import values_by_intent
from .panel import EVERY, UserPanel


class Regret(UserMeasure):
    """Expected surplus of `oracle_slate` for the same visitor now, minus that of the slate shown.

    Both are Σ_k s_uk E[log(1 + Σo)] over the depth of the cascade: before the intent is known, at the
    arm's own tastes, shares, friends and fatigue. The oracle may use items that are live and not in
    cool-down, and has the run's full slate length; organic slates count like any other (of people who search,
    the slate that the same draws show under each intent). Mean over the
    visitors of a fixed panel of 200 users, counting users equally, every 5 rounds. In units of the
    standard Gumbel noise; low is good. The oracle is greedy, so a slate can be slightly better: the
    range is not bounded by 0.
    """

    columns: ClassVar = (
        Column(
            "regret",
            "surplus lost against the best slate",
            "Gumbel units",
            -np.inf,
            np.inf,
            "lower",
            "welfare",
        ),
    )
    every: ClassVar = EVERY

    def per_user(self, round: Round) -> dict[str, NDArray[np.float64]]:
        """Value the slates of the panel and the oracle's slates for the same users."""
        world = round.world
        rows = self.setup.shared(UserPanel).visits(round)
        users = round.users[rows]
        shares = world.users.shares[users].astype(np.float64)
        shown = (shares * np.nan_to_num(values_by_intent(round, rows))).sum(axis=1)
        best = oracle_slates(world, users, self.setup.slate, available_items(round, rows), "surplus")
        values = np.full(round.users.size, np.nan)
        values[rows] = slate_value(world, users, best, "surplus") - shown
        return {"regret": values}


def available_items(round: Round, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (len(rows), items born by then): what the slates of some visits could have held."""
    born = round.world.items.n_born(round.index)
    return round.live[:born] & ~unpacked(round.blocked[round.users[rows]], born)
