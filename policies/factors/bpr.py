"""Bayesian personalized ranking by stochastic gradient ascent, with uniform negatives.

Rendle, Freudenthaler, Gantner and Schmidt-Thieme, UAI 2009. The last column of the items' factors is the
bias b, the last column of the users' is 1, so f(u, i) = ⟨w_u, h_i⟩ holds it already. One step, from i that u
took and j that u did not take:

    z = σ(−(f(u, i) − f(u, j)))
    w_u += η·(z·(h_i − h_j) − λ·w_u)    h_i += η·(z·w_u − λ·h_i)    b_i += η·(z − λ·b_i)
                                        h_j −= η·(z·w_u + λ·h_j)    b_j −= η·(z + λ·b_j)

with the values before the step on the right. (u, i) is uniform over the distinct pairs, with replacement; j is
uniform over the items of the pool that u did not take. So every pair weighs the same; a uniform draw of
triples (u, i, j) would weigh it by the number of items that u did not take. One λ serves all parameters.

A draw is a function of (key, number of the step). Cost per pass: O(pairs · (dim + log of a history)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse

from ...philox import philox
from ..interactions import FloatArray, IntArray

MAX_LINEAR_SEARCH = 64
"""Up to this many items of a history, linear search beats binary search and its branch mispredictions."""
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@dataclass(frozen=True)
class Sampler:
    """The pairs from which triples are drawn: those of users who have not taken the whole pool."""

    owner: IntArray
    """(pairs,) the user of each pair, ascending."""
    places: IntArray
    """(pairs,) its item as an index into the pool, ascending for each user."""
    first: NDArray[np.int64]
    """(users + 1,) where each user's pairs start."""
    pool: IntArray
    """The items that are learned, ascending."""
    key: np.uint64

    @classmethod
    def of(cls, taken: sparse.csr_matrix, pool: IntArray, rng: Generator) -> Sampler:
        """Take the pairs of `taken` (users, items) whose items are in the pool; draws one number from `rng`."""
        among = taken[:, pool]
        among.sort_indices()
        size = np.diff(among.indptr)
        useful = np.where(size < pool.size, size, 0)  # Users who took the whole pool have no negatives
        keep = np.repeat(useful > 0, size)
        owner = np.repeat(np.arange(size.size, dtype=np.int32), useful)
        first = np.concatenate([[0], np.cumsum(useful)]).astype(np.int64)
        key = rng.integers(2**64, dtype=np.uint64)
        return cls(owner, among.indices[keep].astype(np.int32), first, pool, key)


def train(
    sampler: Sampler,
    users: FloatArray,
    items: FloatArray,
    *,
    passes: int,
    learning_rate: float,
    regularization: float,
    learn_items: bool = True,
) -> None:
    """Make passes · pairs steps on `users` (n, dim + 1) and, with `learn_items`, `items` (m, dim + 1), in place."""
    s, steps = sampler, passes * sampler.owner.size
    _ascend(
        steps, s.key, s.owner, s.places, s.first, s.pool, users, items,
        learning_rate, regularization, learn_items,
    )  # fmt: skip


@njit(cache=True)
def _draw(step, key, owner, places, first, size):
    """Return a user and the pool indices of a positive and a negative item."""
    step = np.uint64(step)
    words = philox(step & _LOW, step >> _SHIFT, 0, 0, key & _LOW, key >> _SHIFT)
    pair = np.int64((np.uint64(words[0]) * np.uint64(owner.size)) >> _SHIFT)
    u = owner[pair]
    start, high = first[u], first[u + 1]
    rank = np.int64((np.uint64(words[1]) * np.uint64(size - (high - start))) >> _SHIFT)
    # Find the rank-th item that u has not taken directly, instead of by rejection sampling.
    low = start
    while high - low > MAX_LINEAR_SEARCH:
        middle = (low + high) >> 1
        if places[middle] - (middle - start) > rank:
            high = middle
        else:
            low = middle + 1
    row, limit, before = places[low:high], np.int32(rank + low - start), np.int32(0)
    for m in range(row.size):
        before += np.int32(row[m] - np.int32(m) <= limit)
    return u, np.int64(places[pair]), rank + low - start + before


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def _ascend(steps, key, owner, places, first, pool, users, items, rate, ridge, learn_items):
    rate, ridge = np.float32(rate), np.float32(ridge)
    dim, size, one = users.shape[1] - 1, pool.size, np.float32(1)
    for step in range(steps):
        u, a, b = _draw(step, key, owner, places, first, size)
        w, good, bad = users[u], items[pool[a]], items[pool[b]]
        margin = good[dim] - bad[dim]
        for d in range(dim):
            margin += w[d] * (good[d] - bad[d])
        z = one / (one + np.exp(margin))
        if learn_items:
            for d in range(dim):
                x, y, v = good[d], bad[d], w[d]
                w[d] = v + rate * (z * (x - y) - ridge * v)
                good[d] = x + rate * (z * v - ridge * x)
                bad[d] = y - rate * (z * v + ridge * y)
            good[dim] += rate * (z - ridge * good[dim])
            bad[dim] -= rate * (z + ridge * bad[dim])
        else:
            for d in range(dim):
                w[d] += rate * (z * (good[d] - bad[d]) - ridge * w[d])
