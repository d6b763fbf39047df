"""Welfare: the surplus that users get from their visits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Column, Round, SplitMeasure, Terms


class Welfare(SplitMeasure):
    """Mean surplus per visit: Σ over taken items of (v + ε) − (v_0 + ε_0), 0 for a visit without a take.

    Every visit counts once (not every user): it is the value that the round created per visit.
    `welfare_start` values the same items and noise at the tastes of round 0, so that a taste that moved toward
    what is shown does not count as a gain. In units of the standard Gumbel noise; `welfare` in [0, ∞),
    `welfare_start` unbounded; high is good.
    """

    columns: ClassVar = (
        Column("welfare", "surplus per visit", "Gumbel units", 0, np.inf, "higher", "welfare"),
        Column(
            "welfare_start",
            "surplus per visit at initial tastes",
            "Gumbel units",
            -np.inf,
            np.inf,
            "higher",
            "welfare",
        ),
    )

    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Sum surplus over visits."""
        visits = np.ones(round.users.size)
        return round.users, {
            "welfare": (round.surplus, visits),
            "welfare_start": (round.surplus_start, visits),
        }
