"""What slates are worth under every intent of their visitor, also where the slate depends on the intent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...agents.dynamics.choice import Objective, taste_values
from .base import Round


def values_by_intent(
    round: Round, rows: NDArray[np.int64], objective: Objective = "surplus"
) -> NDArray[np.float64]:
    """Return (len(rows), K): the expected value of visits (`choice.slate_value`) for each intent; NaN for unused tastes.

    An organic visit of people who search has one slate per intent: what the same draws show under it.
    """
    world = round.world
    users = round.users[rows]
    values = taste_values(world, users, round.slates[rows], objective)
    searched = np.flatnonzero(round.organic[rows]) if world.behavior.search else np.empty(0, np.int64)
    for intent in range(values.shape[1]) if searched.size else ():
        which = searched[world.users.n_tastes[users[searched]] > intent]
        slates = round.organic_slates(users[which], np.full(which.size, intent, np.int32))
        values[which, intent] = taste_values(world, users[which], slates, objective)[:, intent]
    return values
