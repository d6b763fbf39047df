"""The population: several tastes per user with their shares of demand, and the parameters of each user's behavior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Users:
    """Struct of arrays over users. K is the largest number of tastes; unused tastes have share 0.

    Tastes are named by their shares at round 0: the dominant one (column 0) was largest, `minority` smallest.
    """

    tastes: NDArray[np.float32]
    """(users, K, topics) points on the topic simplex; drift moves them."""
    shares: NDArray[np.float32]
    """(users, K) share of demand; rows sum to one; drift moves them."""
    neutral: NDArray[np.float32]
    """(users, K) the neutral shadow of `shares`: the same draws, but every taste served equally well."""
    tastes_start: NDArray[np.float32]
    """(users, K, topics) tastes at round 0."""
    shares_start: NDArray[np.float32]
    """(users, K) shares at round 0, in descending order."""
    n_tastes: NDArray[np.int32]
    """(users,) number of tastes of each user, 1…K."""
    community: NDArray[np.int32]
    """(users,)"""
    group: NDArray[np.int32]
    """(users,) index into `group_names`."""
    group_names: tuple[str, ...]
    activity: NDArray[np.float32]
    """(users,) probability of a visit in a round."""
    attention: NDArray[np.float32]
    """(users,) probability of continuing from one rank to the next, or the exponent η of r^−η."""
    appetite: NDArray[np.int32]
    """(users,) maximum number of items taken in a visit, ≥ 1."""
    outside: NDArray[np.float32]
    """(users,) v_0: value of taking nothing, in Gumbel noise units."""
    quality_weight: NDArray[np.float32]
    """(users,) weight of item quality for this user; 1 by default."""
    fatigue: NDArray[np.float32]
    """(users, topics) recent exposure to each topic."""
    target: NDArray[np.float32]
    """(users, topics) calibrated target: what the user would consume if all round-0 items were equally visible."""

    def __len__(self) -> int:
        return self.shares.shape[0]

    @property
    def minority(self) -> NDArray[np.int32]:
        """(users,) column of the taste that was smallest at round 0; −1 for users with one taste."""
        return np.where(self.n_tastes > 1, self.n_tastes - 1, -1).astype(np.int32)

    def mean_topics(self) -> NDArray[np.float32]:
        """Return (users, topics): Σ_k s_uk a_uk, the user's overall interest now."""
        return np.einsum("uk,ukt->ut", self.shares, self.tastes)
