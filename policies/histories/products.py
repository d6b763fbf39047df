"""Products of sparse history matrices, written directly into dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

TILE = 1024
"""Columns of a dense factor to process at once, so that sums stay in the cache."""


def gram(histories: sparse.csr_matrix, out: NDArray[Any]) -> None:
    """Add XᵀX to the lower triangle of `out` (m, m), for X = `histories` (n, m) with sorted rows.

    Row by row of the result, from the users of one item: O(Σ_u |H_u|²) / 2.
    """
    by_item = histories.T.tocsr()
    _gram(by_item.indptr, by_item.indices, by_item.data, *csr_parts(histories), out)


def mirror(matrix: NDArray[Any]) -> None:
    """Copy the lower triangle of `matrix` (m, m) to the upper one."""
    _mirror(matrix)


def inner_products(left: sparse.csr_matrix, right: sparse.csr_matrix, out: NDArray[Any]) -> None:
    """Write left · right to `out` (B, m); right (n, m). O(entries of `right` that `left` meets)."""
    out[:] = 0
    _inner_products(*csr_parts(left), *csr_parts(right), out)


def times_dense(left: sparse.csr_matrix, right: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write left · right to `out` (B, m); right (n, m) dense, each of its rows read at most once."""
    by_column = left.T.tocsr()
    out[:] = 0
    _times_dense(*csr_parts(by_column), right, out)


def csr_parts(matrix: sparse.csr_matrix) -> tuple[Any, Any, Any]:
    """Return the row pointer, the column indices and the data, as kernels take them."""
    return matrix.indptr, matrix.indices, matrix.data


@njit(cache=True)
def _gram(starts, users, weights, indptr, items, values, out):
    done = indptr[:-1].copy()  # End of each user's entries up to the current item
    for i in range(starts.size - 1):
        row = out[i]
        for a in range(starts[i], starts[i + 1]):
            u, weight = users[a], weights[a]
            done[u] += 1
            for b in range(indptr[u], done[u]):
                row[items[b]] += weight * values[b]


@njit(cache=True)
def _mirror(matrix):
    size, tile = matrix.shape[0], 64
    for first in range(0, size, tile):
        for left in range(0, first + tile, tile):
            for i in range(first, min(first + tile, size)):
                for j in range(left, min(left + tile, i)):
                    matrix[j, i] = matrix[i, j]


@njit(cache=True)
def _inner_products(indptr, columns, values, starts, places, weights, out):
    for b in range(indptr.size - 1):
        row = out[b]
        for a in range(indptr[b], indptr[b + 1]):
            value = values[a]
            for at in range(starts[columns[a]], starts[columns[a] + 1]):
                row[places[at]] += value * weights[at]


@njit(cache=True)
def _times_dense(starts, rows, values, right, out):
    for first in range(0, right.shape[1], TILE):
        last = min(first + TILE, right.shape[1])
        for i in range(starts.size - 1):
            line = right[i, first:last]
            for a in range(starts[i], starts[i + 1]):
                total, value = out[rows[a], first:last], values[a]
                for j in range(line.size):
                    total[j] += value * line[j]
