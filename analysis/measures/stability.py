"""Stability of slates: how much of what a user is shown was on the slate of the visit before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .base import Column, Round, Setup, UserMeasure


class SlateStability(UserMeasure):
    """Share of a slate that was on the same user's slate at the visit before.

    Slates of the recommender; organic ones for users without it. Organic visits of users with a recommender are left out
    and count as no visit. Mean over visitors from their second slate on, counting users equally. Range [0, 1]; above 0.9
    the loop hardly moves: what is measured then is the first fit rather than a feedback (docs/model.md).
    """

    columns: ClassVar = (
        Column(
            "slate_stability", "slate unchanged since the last visit", "share", 0, 1, "neither", "exposure"
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._last = np.full((len(setup.world.users), setup.slate), -1, np.int32)

    def per_user(self, round: Round) -> dict[str, NDArray[np.float64]]:
        """Compare each slate with the one before, and keep it."""
        slates = round.part("own").slates
        if slates.shape[1] > self._last.shape[1]:
            # A switch may lengthen the slate.
            wider = slates.shape[1] - self._last.shape[1]
            self._last = np.pad(self._last, ((0, 0), (0, wider)), constant_values=-1)
        return {"slate_stability": _repeated(self._last, round.users, slates)}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the last slates."""
        return {"last": self._last}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the last slates."""
        self._last = np.array(state["last"], np.int32)


@njit(cache=True)
def _repeated(last, users, slates):
    """Return (B,) the share of each slate (−1: empty slot) that is in the row of its user in `last`, and replace the row."""
    out = np.full(users.size, np.nan)
    for b in range(users.size):
        before = last[users[b]]
        shown, again, known = 0, 0, False
        for j in range(before.size):
            known = known or before[j] >= 0
        for item in slates[b]:
            if item < 0:
                continue
            shown += 1
            for other in before:
                if other == item:
                    again += 1
                    break
        if shown == 0:
            continue
        if known:
            out[b] = again / shown
        before[:] = -1
        for j in range(slates.shape[1]):
            before[j] = slates[b, j]
    return out
