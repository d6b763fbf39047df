"""Training for all ID tables: logistic matrix factorization by Adagrad, on rows of a table.

An id's parameters are the sum of its rows: `rows` (ids, parts) with parts = 1 (a row of its own, or a slot) or
2 (quotient and remainder). The last column of a table is the bias. Row 0 (`DEFAULT`) is shared by the ids
that have no row: its vector stays zero, its bias is learned. Per log entry (u, i) with negatives j:

    f(u, i) = ⟨w_u, h_i⟩ + b_u + b_i
    L = −log σ(f(u, i) − log k) − Σ_j log σ(log k − f(u, j)) + λ/2 · Σ (squares of what the step touches)
    Adagrad (Duchi, Hazan and Singer, JMLR 2011), with one sum for the vector of a row and one for its bias:
    s ← s + mean of g²,  θ ← θ − learning_rate · g / √s

One sum per row instead of one per parameter ranks as well (NDCG@10 on ml-latest-small within 0.007, mostly
better) in a third of the time. The k negatives of an entry are drawn uniformly from N items. −log k corrects
for this sampling rate: at the optimum f(u, i) = log(N · P(i | u)) for every k (so a negative may be an item
that u took).
Cost: O(entries · (1 + k) · dim · parts) per pass.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from ...philox import uniforms
from ..interactions import FloatArray, IntArray

DEFAULT = 0
"""The row of the ids without one."""
START_SQUARES = 0.1
"""Initial sum of squares for Adagrad; without it the first steps would be as long as the learning rate."""
START_SPREAD = 0.1
"""New rows are uniform within ± this in every dimension; their bias is 0."""


class Parameters:
    """The rows of one table, with Adagrad's sums of squares."""

    def __init__(self, dim: int, key: np.uint64) -> None:
        self.key = key
        self.values: FloatArray = np.zeros((1, dim + 1), np.float32)
        """(rows, dim + 1); the last column is the bias."""
        self.squares: FloatArray = np.full((1, 2), START_SQUARES, np.float32)
        """(rows, 2) sums of squares for the vector and for the bias."""

    def grow(self, rows: int) -> None:
        """Extend the table to `rows` rows; new rows need `start` before they are used."""
        more = max(rows, len(self.values) * 3 // 2) - len(self.values)
        if rows > len(self.values):
            self.values = np.concatenate([self.values, np.zeros((more, self.values.shape[1]), np.float32)])
            self.squares = np.concatenate([self.squares, np.full((more, 2), START_SQUARES, np.float32)])

    def start(self, rows: IntArray, owners: NDArray[np.int64]) -> None:
        """Give rows[j] its initial values, a function of the key and owners[j] only."""
        dim = self.values.shape[1] - 1
        self.values[rows, :dim] = START_SPREAD * (2 * uniforms(self.key, 0, owners, dim) - 1)
        self.values[rows, dim] = 0
        self.squares[rows] = START_SQUARES

    def of(self, rows: IntArray) -> FloatArray:
        """Return (n, dim + 1): for each id the sum of its rows (n, parts)."""
        out = self.values[rows[:, 0]]
        for part in range(1, rows.shape[1]):
            out += self.values[rows[:, part]]
        return out


def train(
    user: IntArray,
    item: IntArray,
    of_users: Parameters,
    of_items: Parameters,
    user_rows: IntArray,
    item_rows: IntArray,
    pool: IntArray,
    *,
    negatives: int,
    passes: int,
    learning_rate: float,
    regularization: float,
    rng: Generator,
    learn_items: bool = True,
) -> None:
    """Run passes over the entries (user[j], item[j]) in a random order, negatives drawn from `pool`; in place."""
    for _ in range(passes if user.size else 0):
        order = rng.permutation(user.size)
        drawn = pool[rng.integers(0, pool.size, (user.size, negatives), dtype=np.int32)]
        one_pass(
            user[order],
            item[order],
            drawn,
            of_users.values,
            of_users.squares,
            of_items.values,
            of_items.squares,
            user_rows,
            item_rows,
            learning_rate,
            regularization,
            learn_items,
        )


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def one_pass(user, item, negatives, w, w_sum, h, h_sum, user_rows, item_rows, rate, ridge, learn_items):
    """One Adagrad step per entry for the user, one per example for the item, in the given order."""
    rate, ridge = np.float32(rate), np.float32(ridge)
    width, k = w.shape[1], negatives.shape[1]
    dim = width - 1
    offset = np.float32(math.log(k))
    of_user, of_item = np.empty(width, np.float32), np.empty(width, np.float32)
    slope = np.empty(width, np.float32)
    for j in range(user.size):
        mine = user_rows[user[j]]
        _sum(of_user, w, mine)
        slope[:] = 0
        for example in range(k + 1):
            i = item[j] if example == 0 else negatives[j, example - 1]
            its = item_rows[i]
            _sum(of_item, h, its)
            score = of_user[dim] + of_item[dim] - offset
            for d in range(dim):
                score += of_user[d] * of_item[d]
            miss = np.float32(1) / (np.float32(1) + np.exp(-score))
            if example == 0:
                miss -= np.float32(1)
            for d in range(dim):
                slope[d] += miss * of_item[d]
            slope[dim] += miss
            if learn_items:
                for row in its:
                    _step(h[row], h_sum[row], of_user, miss, miss, rate, ridge, row != DEFAULT)
        for row in mine:
            _step(w[row], w_sum[row], slope, np.float32(1), slope[dim], rate, ridge, row != DEFAULT)


@njit(cache=True, inline="always")
def _sum(out, table, rows):
    first = table[rows[0]]
    for d in range(out.size):
        out[d] = first[d]
    for part in range(1, rows.size):
        out += table[rows[part]]


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def _step(row, sums, direction, times, slope, rate, ridge, has_vector):
    """Step a row along times · direction, and its bias along `slope`, both with the ridge penalty."""
    dim = row.size - 1
    if has_vector:
        squares = np.float32(0)
        for d in range(dim):
            g = times * direction[d] + ridge * row[d]
            squares += g * g
        sums[0] += squares / np.float32(dim)
        step = rate / np.sqrt(sums[0])
        for d in range(dim):
            row[d] -= step * (times * direction[d] + ridge * row[d])
    g = slope + ridge * row[dim]
    sums[1] += g * g
    row[dim] -= rate * g / np.sqrt(sums[1])
