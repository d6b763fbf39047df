"""The social graph: which users follow which, and with how much influence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class SocialGraph:
    """Directed ties in compressed rows; an undirected graph has both directions.

    A user's number of ties never changes: rewiring replaces the target of a tie in place, so a mutual tie
    turns into two one-way ones.
    """

    indptr: NDArray[np.int64]
    """(users + 1,)"""
    indices: NDArray[np.int32]
    """(ties,) the friend that each tie points to."""
    influence: NDArray[np.float32]
    """(ties,) τ_uv ≥ 0: weight of that friend's consumption."""

    @property
    def ties(self) -> int:
        """Number of directed ties."""
        return int(self.indices.size)


def from_pairs(
    source: NDArray[np.int32], target: NDArray[np.int32], users: int, *, directed: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return (indptr, indices) of the distinct ties source → target (and back, unless directed), without self-ties."""
    if not directed:
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
    ties = np.unique(source.astype(np.int64) * users + target)
    ties = ties[ties // users != ties % users]
    indptr = np.searchsorted(ties // users, np.arange(users + 1))
    return indptr.astype(np.int64), (ties % users).astype(np.int32)


def draw_influence(ties: int, spread: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (ties,) influences: log-normal with median 1 and the given spread of the logarithm."""
    return np.exp(spread * rng.standard_normal(ties)).astype(np.float32)
