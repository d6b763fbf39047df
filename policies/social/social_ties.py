"""The visible social ties, validated, without duplicates and self-loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import PolicyError
from ..interactions import IntArray, Observation


@dataclass(frozen=True)
class Ties:
    """Distinct ties u → v, sorted by u, then v."""

    indptr: NDArray[np.int64]
    """(users + 1,) ties indptr[u]…indptr[u+1]−1 are those of user u."""
    friend: IntArray
    """(ties,) v"""

    @property
    def follower(self) -> IntArray:
        """(ties,) u"""
        return np.repeat(np.arange(self.indptr.size - 1, dtype=np.int32), np.diff(self.indptr))

    @property
    def key(self) -> NDArray[np.int64]:
        """(ties,) ascending; one number per pair of users that does not depend on how many users there are."""
        return (self.follower.astype(np.int64) << 32) | self.friend


def social_ties(seen: Observation, kind: str) -> Ties:
    """Return the visible ties; PolicyError where they do not link the observation's users."""
    indptr, friend = np.asarray(seen.friends.indptr), np.asarray(seen.friends.indices)
    if indptr.size != seen.n_users + 1 or (np.diff(indptr) < 0).any() or indptr[-1] != friend.size:
        raise PolicyError(
            f"{kind}: the rows of the social graph do not fit the {seen.n_users} users and {friend.size} ties: "
            f"friends.indptr must hold {seen.n_users + 1} ascending numbers, the last of them {friend.size}"
        )
    strangers = friend[(friend < 0) | (friend >= seen.n_users)]
    if strangers.size:
        raise PolicyError(
            f"{kind}: the social graph names user {strangers[0]}, who is none of the {seen.n_users} users "
            f"(ids 0 to {seen.n_users - 1}): drop such ties, or use the ids of the log"
        )
    follower = np.repeat(np.arange(seen.n_users), np.diff(indptr))
    other = follower != friend
    key = np.unique((follower[other].astype(np.int64) << 32) | friend[other])
    rows = np.searchsorted(key >> 32, np.arange(seen.n_users + 1))
    return Ties(rows.astype(np.int64), (key & 0xFFFFFFFF).astype(np.int32))
