"""How many dimensions a log has above noise: its singular values against those of logs with the same counts."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from ...philox import uniform
from ...sim.streams import Streams
from .pairs import Pairs

SHUFFLES = 20
"""Shuffled logs whose highest singular value is the noise."""
SWAPS = 5
"""Attempted swaps per pair in a shuffle; about half of them succeed, and from two per pair on the values are stationary."""


def singular_values(pairs: Pairs) -> NDArray[np.float64]:
    """Return the singular values, descending, of the degree-normalized matrix a_ui / √(d_u d_i); the first one is 1.

    All min(users, items) of them, without approximation.
    """
    return np.sqrt(np.maximum(np.linalg.eigvalsh(_gram(pairs.user, pairs.item, pairs))[::-1], 0.0))


def noise_level(pairs: Pairs, streams: Streams, shuffles: int = SHUFFLES) -> float:
    """Return the highest non-trivial singular value among shuffled logs.

    A shuffle swaps the items of two pairs again and again, wherever no pair occurs twice: all users and items keep their
    counts (the swap randomization of Gionis et al., KDD 2007).
    """
    from scipy.sparse.linalg import eigsh

    key = streams.key("calibration.shuffle")
    start = np.ones(min(pairs.users, pairs.items))
    highest = 0.0
    for shuffle in range(shuffles):
        user, item = pairs.user.copy(), pairs.item.copy()
        there = np.zeros((pairs.users, pairs.items), bool)
        there[user, item] = True
        _swap(user, item, there, SWAPS * len(pairs), key, shuffle)
        two = eigsh(_gram(user, item, pairs), 2, which="LA", tol=1e-4, v0=start, return_eigenvectors=False)
        highest = max(highest, float(np.sqrt(max(two.min(), 0.0))))
    return highest


def _gram(user: NDArray[np.int32], item: NDArray[np.int32], pairs: Pairs) -> NDArray[np.float64]:
    """Return the smaller Gram matrix of the degree-normalized matrix."""
    degrees = pairs.user_counts[user] * pairs.item_counts[item].astype(float)
    matrix = sparse.csr_matrix((1 / np.sqrt(degrees), (user, item)), shape=(pairs.users, pairs.items))
    product = matrix @ matrix.T if pairs.users <= pairs.items else matrix.T @ matrix
    return product.toarray()


@njit(cache=True)
def _swap(user, item, there, tries, key, shuffle):
    for attempt in range(tries):
        a = int(uniform(key, shuffle, attempt, 0) * user.size)
        b = int(uniform(key, shuffle, attempt, 1) * user.size)
        u, i, v, j = user[a], item[a], user[b], item[b]
        if there[u, j] or there[v, i]:
            continue
        there[u, i] = there[v, j] = False
        there[u, j] = there[v, i] = True
        item[a], item[b] = j, i
