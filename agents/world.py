"""The hidden state of one run: catalog, population, social ties, and what users have taken so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..philox import normal, normals
from .behavior import Behavior
from .creators import Creators
from .items import Items
from .social_graph import SocialGraph
from .users import Users

_CACHED_PAIRS = 2**25
"""Maximum number of user-item pairs whose idiosyncrasy is cached (128 MiB); for more, it is redrawn each time."""


@dataclass
class World:
    """All hidden state. The platform never sees this object, only an Observation built from it."""

    behavior: Behavior
    items: Items
    users: Users
    graph: SocialGraph
    idiosyncrasy: float
    """Standard deviation of the fixed user-item effect that lies outside any low-rank structure."""
    idiosyncrasy_key: np.uint64
    """Key of its counter-based draws, so that it needs no memory (`echodrift.philox.normal`)."""
    creators: Creators | None = None
    """Providers who make the new items; None if providers do nothing."""
    taken: NDArray[np.int64] = field(init=False)
    """(items,) how often each item has been taken so far, warm-up included."""
    recent: NDArray[np.int32] = field(init=False)
    """(users, memory × takes_per_round) ring buffer of items taken in the last rounds, −1 where empty;
    round t writes block t mod memory."""

    def __post_init__(self) -> None:
        self.taken = np.zeros(len(self.items), np.int64)
        self.recent = np.full((len(self.users), self.behavior.memory * self.takes_per_round), -1, np.int32)

    @property
    def fixed_arrays(self) -> list[NDArray[Any]]:
        """Arrays that never change and may be shared with a copy of the world."""
        kept = vars(self).get("_all_idiosyncrasies")
        return [] if kept is None else [kept]

    @cached_property
    def takes_per_round(self) -> int:
        """Width of one round in `recent`: the largest appetite, plus one for word of mouth."""
        return int(self.users.appetite.max()) + 1

    def recent_block(self, round: int) -> NDArray[np.int32]:
        """Return the (users, takes_per_round) part of `recent` that belongs to a round."""
        start = (round % self.behavior.memory) * self.takes_per_round
        return self.recent[:, start : start + self.takes_per_round]

    def record_takes(
        self,
        round: int,
        users: NDArray[np.int32],
        taken: NDArray[np.int32],
        heard_users: NDArray[np.int32],
        heard_items: NDArray[np.int32],
    ) -> None:
        """Record what was taken in a round, so that friends see it for `memory` rounds.

        taken (B, m): items that `users` (B,) took, −1 where fewer. heard_items (w,): what `heard_users` (w,)
        took by word of mouth, one each.
        """
        items = np.concatenate([taken[taken >= 0], heard_items])
        self.taken += np.bincount(items, minlength=len(self.items))
        block = self.recent_block(round)
        block[:] = -1
        block[users, : taken.shape[1]] = taken
        block[heard_users, -1] = heard_items

    def idiosyncrasies(self, users: NDArray[np.int32], n_items: int) -> NDArray[np.float32]:
        """Return the fixed user-item effects (len(users), n_items) of the items 0…n_items−1."""
        if self.keeps_idiosyncrasies:
            return self._all_idiosyncrasies[users, :n_items]
        return np.float32(self.idiosyncrasy) * normals(self.idiosyncrasy_key, users, n_items)

    @property
    def keeps_idiosyncrasies(self) -> bool:
        """Whether the fixed user-item effects are kept in memory, instead of being drawn again each time."""
        return len(self.users) * len(self.items) <= _CACHED_PAIRS

    @property
    def kept_idiosyncrasies(self) -> NDArray[np.float32]:
        """(users, items) the fixed user-item effects if they are kept and not all 0; otherwise an empty array."""
        if self.idiosyncrasy and self.keeps_idiosyncrasies:
            return self._all_idiosyncrasies
        return np.empty((0, 0), np.float32)

    def idiosyncrasies_between(self, users: NDArray[np.int32], first: int, last: int) -> NDArray[np.float32]:
        """Return the fixed user-item effects (len(users), last − first) of the items first…last−1."""
        return np.float32(self.idiosyncrasy) * _normals_between(self.idiosyncrasy_key, users, first, last)

    @cached_property
    def _all_idiosyncrasies(self) -> NDArray[np.float32]:
        everyone = np.arange(len(self.users), dtype=np.int32)
        effects = normals(self.idiosyncrasy_key, everyone, len(self.items))
        effects *= np.float32(self.idiosyncrasy)
        return effects


@njit(cache=True)
def _normals_between(key, users, first, last):
    out = np.empty((users.size, last - first), np.float32)
    for b in range(users.size):
        for item in range(first, last):
            out[b, item - first] = normal(key, users[b], item)
    return out
