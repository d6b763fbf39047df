"""Survival of tastes: the share of users who still have at least half of a taste's round-0 share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...agents.users import Users

HALF = 0.5
"""A taste is lost when less than this fraction of its round-0 share is left."""
MAX_ROWS = 256
"""Maximum number of rounds kept per run; of a longer run, every second, fourth, … round and the last."""


class TasteRecord:
    """Tracks every taste of users with several tastes; memory does not grow with rounds.

    Tastes are ranked by their shares at round 0: 1 is the dominant taste, a user's last one the minority taste.
    """

    def __init__(self, users: Users) -> None:
        self._users = users
        several = users.n_tastes > 1
        ranks = users.shares.shape[1]
        self._has = several[:, None] & (np.arange(ranks) < users.n_tastes[:, None])
        self._floor = np.float32(HALF) * users.shares_start
        self._lost = np.zeros((2, *users.shares.shape), bool)
        """Whether a taste was ever below its floor: in the actual shares, in the neutral shadow."""
        self._stride = 1
        self._seen = 0
        self._rows = np.zeros((0, ranks, 4))
        self._last = np.zeros((ranks, 4))

    def add(self, round: int) -> None:
        """Add one round, with the shares that users acted on."""
        for place, shares in enumerate((self._users.shares, self._users.neutral)):
            below = shares < self._floor
            self._lost[place] |= below
            self._last[:, place] = (self._has & ~below).sum(axis=0)
            self._last[:, 2 + place] = (self._has & ~self._lost[place]).sum(axis=0)
        self._seen = round + 1
        if round % self._stride == 0:
            if len(self._rows) == MAX_ROWS:
                self._rows = self._rows[::2]
                self._stride *= 2
            if round % self._stride == 0:
                self._rows = np.concatenate([self._rows, self._last[None]])

    def table(self) -> dict[str, Any]:
        """Return one row per (kept) round and rank of taste; ranks that no user has are left out.

        Columns: round, taste (1 = dominant), users (number who have such a taste and at least two), kept (share
        of them for whom at least half of it is left), survived (share for whom it was never less), and
        kept_neutral, survived_neutral: the same in the neutral shadow (docs/model.md), where every taste is
        served equally well.
        """
        users = self._has.sum(axis=0)
        ranks = np.flatnonzero(users)
        rounds = np.arange(len(self._rows)) * self._stride
        rows = self._rows
        if self._seen and (not len(rounds) or rounds[-1] != self._seen - 1):
            rounds = np.append(rounds, self._seen - 1)
            rows = np.concatenate([rows, self._last[None]])
        shares = rows[:, ranks] / users[ranks, None]
        names = ("kept", "kept_neutral", "survived", "survived_neutral")
        return {
            "round": np.repeat(rounds, len(ranks)).astype(np.int32),
            "taste": np.tile(ranks + 1, len(rounds)).astype(np.int8),
            "users": np.tile(users[ranks], len(rounds)).astype(np.int32),
            **{name: shares[:, :, place].ravel() for place, name in enumerate(names)},
        }

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "lost": self._lost,
            "stride": self._stride,
            "seen": self._seen,
            "rows": self._rows,
            "last": self._last,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._lost = np.array(state["lost"], bool)
        self._stride, self._seen = int(state["stride"]), int(state["seen"])
        self._rows = np.array(state["rows"], np.float64)
        self._last = np.array(state["last"], np.float64)
