"""Fixed panels of users for costly measures: samples that depend on the seed only, the same in every arm."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .base import Round, Setup

PANEL_SIZE = 200
"""Number of users on the panel."""
EVERY = 5
"""Rounds between evaluations of a panel measure."""


def panel_rng(key: np.uint64, name: str) -> np.random.Generator:
    """Return the generator that draws a panel, a function of the setup's key and the panel's name."""
    return np.random.Generator(
        np.random.PCG64DXSM(np.random.SeedSequence([int(key), zlib.crc32(name.encode())]))
    )


class UserPanel:
    """A uniform sample of at most 200 users. Get it with `setup.shared(UserPanel)`."""

    def __init__(self, setup: Setup) -> None:
        count = len(setup.world.users)
        drawn = panel_rng(setup.key, "users").choice(count, min(PANEL_SIZE, count), replace=False)
        self.users: NDArray[np.int32] = np.sort(drawn).astype(np.int32)
        """(P,) ascending."""
        self._member = np.zeros(count, bool)
        self._member[self.users] = True

    def visits(self, round: Round) -> NDArray[np.int64]:
        """Return the rows of a round whose users are on the panel."""
        return np.flatnonzero(self._member[round.users])
