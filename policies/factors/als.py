"""Fast ALS sweeps for small dimensions, with the same steps as the library `implicit`.

Each row takes three conjugate gradient steps on its normal equations A x = b, from its last value. The library
multiplies by A entry by entry, at two BLAS calls per entry and step, which at 10 dimensions is nearly all
overhead. Here A is summed once per row, from precomputed products y_j·y_k (j ≤ k) laid out in blocks of fixed
length: the compiler vectorizes this, and it is about five times faster. The order of summation differs, so results
agree with the library's to float32 rounding, not bit by bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy import sparse

from ..interactions import FloatArray

MAX_DIM = 16
"""Above this, the products take more memory and time than they save."""
CG_STEPS = 3
"""As in the library."""
BLOCK = 64
"""Products that are added in one vectorized loop."""


def sweep(
    by_user: sparse.csr_matrix,
    by_item: sparse.csr_matrix,
    users: FloatArray,
    items: FloatArray,
    regularization: float,
) -> None:
    """Update `users` (n_users, d), then `items` (n_items, d), in place.

    `by_user` (n_users, n_items) holds the confidence c of each pair that was taken, `by_item` is its
    transpose; both in compressed rows. Pairs that are not stored count with confidence 1 and preference 0.
    """
    _half(by_user, users, items, regularization)
    _half(by_item, items, users, regularization)


def _half(matrix: Any, rows: FloatArray, columns: FloatArray, regularization: float) -> None:
    gram = columns.T @ columns
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    _solve(matrix.indptr, matrix.indices, matrix.data, matrix @ columns, _products(columns), gram, rows)


@njit(cache=True)
def _products(factors):
    """Return (n, blocks · BLOCK): y_j·y_k for j ≤ k, then zeros."""
    size, dim = factors.shape
    used = dim * (dim + 1) // 2
    out = np.zeros((size, (used + BLOCK - 1) // BLOCK * BLOCK), np.float32)
    for i in range(size):
        at = 0
        for j in range(dim):
            for k in range(j, dim):
                out[i, at] = factors[i, j] * factors[i, k]
                at += 1
    return out


@njit(cache=True)
def _add(total, weight, products):
    for j in range(BLOCK):
        total[np.uint64(j)] += weight * products[np.uint64(j)]


@njit(cache=True)
def _times(matrix, vector, out):
    """Write the product with a symmetric matrix to `out`, row by row so that the compiler vectorizes it."""
    out[:] = 0
    for j in range(vector.size):
        for k in range(vector.size):
            out[k] += vector[j] * matrix[j, k]


@njit(cache=True, error_model="numpy")
def _solve(indptr, indices, confidence, right, products, gram, rows):
    """Take CG_STEPS conjugate gradient steps on every row of `rows`; rows without entries become zero."""
    dim = rows.shape[1]
    total = np.empty(products.shape[1], np.float32)
    matrix = np.empty((dim, dim), np.float32)
    product = np.empty(dim, np.float32)
    for u in range(rows.shape[0]):
        x = rows[u]
        if indptr[u] == indptr[u + 1]:
            x[:] = 0
            continue
        total[:] = 0
        for at in range(indptr[u], indptr[u + 1]):
            line, weight = products[indices[at]], confidence[at] - np.float32(1)
            for start in range(0, total.size, BLOCK):
                _add(total[start : start + BLOCK], weight, line[start : start + BLOCK])
        at = 0
        for j in range(dim):
            for k in range(j, dim):
                matrix[j, k] = matrix[k, j] = gram[j, k] + total[at]
                at += 1
        _times(matrix, x, product)
        rest = right[u] - product
        way = rest.copy()
        old = (rest * rest).sum()
        for _ in range(CG_STEPS):
            if old < 1e-20:
                break
            _times(matrix, way, product)
            step = old / (way * product).sum()
            x += step * way
            rest -= step * product
            new = (rest * rest).sum()
            way = rest + (new / old) * way
            old = new
