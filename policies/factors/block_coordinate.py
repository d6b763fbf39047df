"""The row systems of `row_solves.py`, (I + T'T) z = T'c^½: solved exactly, or by blocks where rows are long.

With s = |S_r|, the rows of T (s, d), each row is one of

* s ≤ d, exact:  z = T'(I + T T')⁻¹ c^½: O(s²d + s³/3) instead of O(s d² + d³/3);
* s > d, exact:  z = (I + T'T)⁻¹ T'c^½: the normal equations, with no eigenvalue below 1;
* both above `block`: one pass over blocks of coordinates, each solved with the others fixed (iALS++, Rendle,
  Krichene, Zhang and Koren, arXiv 2110.14044), O(s d·block). Unlike there, the blocks are of eigenvectors
  of G, which couple only through S_r.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SHORT_ROW = 8
"""Rows with at most this many entries are too short for BLAS calls to pay off."""
SMALL_SYSTEM = 16
"""Up to this size a plain Cholesky loop is faster than a LAPACK call."""


@njit(cache=True, error_model="numpy")
def solve_by_blocks(indptr, indices, weights, which, rows, columns, values, ridge, block, longest):
    """Write x of the rows `which`, in the basis in which G is diag(`values`), into `rows`."""
    dim = columns.shape[1]
    block = min(block, dim)
    room = np.empty(longest * dim, np.float32)
    # The smaller side of an exact solve, and a block, are at most this large.
    side = min(longest, dim)
    square = np.empty(side * side, np.float32)
    scale = np.empty(dim, np.float32)
    for r in which:
        first, size = indptr[r], indptr[r + 1] - indptr[r]
        x = rows[r]
        if size == 0:
            x[:] = 0
            continue
        for k in range(dim):
            scale[k] = np.float32(1) / np.sqrt(values[k] + ridge[r])
        entries = indices[first : first + size]
        target = np.sqrt(weights[first : first + size])
        if min(size, dim) <= block:
            scaled = room[: size * dim].reshape(size, dim)
            scaled_columns(columns, entries, target, scale, 0, scaled)
            if size <= min(dim, SHORT_ROW):
                solve_short_row(scaled, target, square, x)
            elif size <= dim:
                normal = square[: size * size].reshape(size, size)
                np.dot(scaled, scaled.T, normal)
                _solve_shifted(normal, target)
                x[:] = np.dot(scaled.T, target)
            else:
                normal = square[: dim * dim].reshape(dim, dim)
                np.dot(scaled.T, scaled, normal)
                right = np.dot(scaled.T, target)
                _solve_shifted(normal, right)
                x[:] = right
            x *= scale
        else:
            _block_pass(columns, entries, target, scale, room, square, block, x)


@njit(cache=True, error_model="numpy")
def solve_short_row(scaled, target, square, x):
    """Write z into `x` for T = `scaled` (s, d), s ≤ d small; `target` c^½ is overwritten."""
    size = target.size
    normal = square[: size * size].reshape(size, size)
    for a in range(size):
        for b in range(a, size):
            normal[a, b] = _inner(scaled[a], scaled[b])
    _solve_small(normal, target)
    x[:] = 0
    for a in range(size):
        _add(x, target[a], scaled[a])


@njit(cache=True, error_model="numpy")
def _block_pass(columns, entries, target, scale, room, square, block, x):
    """Minimize over the blocks of coordinates, one after the other."""
    size, dim = target.size, x.size
    rest = -target
    x /= scale
    for low in range(0, dim, block):
        width = min(block, dim - low)
        scaled = room[low * size : (low + width) * size].reshape(size, width)
        scaled_columns(columns, entries, target, scale, low, scaled)
        rest += np.dot(scaled, x[low : low + width])
    for low in range(0, dim, block):
        width = min(block, dim - low)
        scaled = room[low * size : (low + width) * size].reshape(size, width)
        normal = square[: width * width].reshape(width, width)
        np.dot(scaled.T, scaled, normal)
        step = -np.dot(scaled.T, rest) - x[low : low + width]
        _solve_shifted(normal, step)
        x[low : low + width] += step
        rest += np.dot(scaled, step)
    x *= scale


@njit(cache=True, fastmath={"reassoc"})
def _inner(a, b):
    total = np.float32(0)
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True)
def _add(total, factor, line):
    for k in range(total.size):
        total[k] += factor * line[k]


@njit(cache=True)
def scaled_columns(columns, entries, target, scale, low, out):
    """Write T: c^½ · y · (G + ridge)^−½ for the coordinates from `low` on."""
    width = out.shape[1]
    for at in range(entries.size):
        line, root = columns[entries[at]], target[at]
        for k in range(width):
            out[at, k] = root * line[low + k] * scale[low + k]


@njit(cache=True, error_model="numpy")
def _solve_shifted(matrix, right):
    """Replace `right` by (I + matrix)⁻¹ right; `matrix` (n, n) is symmetric and is overwritten."""
    size = right.size
    if size <= SMALL_SYSTEM:
        _solve_small(matrix, right)
        return
    for j in range(size):
        matrix[j, j] += np.float32(1)
        if not np.isfinite(matrix[j, j]):  # LAPACK would raise
            right[:] = np.nan
            return
    lower = np.linalg.cholesky(matrix)
    for j in range(size):
        right[j] /= lower[j, j]
        _add(right[j + 1 :], -right[j], lower[j + 1 :, j])
    for j in range(size - 1, -1, -1):
        right[j] -= _inner(lower[j + 1 :, j], right[j + 1 :])
        right[j] /= lower[j, j]


@njit(cache=True, error_model="numpy")
def _solve_small(matrix, right):
    """Do the same as `_solve_shifted` by U'U, row by row so that the compiler vectorizes it."""
    size = right.size
    for j in range(size):
        matrix[j, j] += np.float32(1)
    for j in range(size):
        inverse = np.float32(1) / np.sqrt(matrix[j, j])
        for k in range(j, size):
            matrix[j, k] *= inverse
        for i in range(j + 1, size):
            factor = matrix[j, i]
            for k in range(i, size):
                matrix[i, k] -= factor * matrix[j, k]
    for j in range(size):
        right[j] /= matrix[j, j]
        _add(right[j + 1 :], -right[j], matrix[j, j + 1 :])
    for j in range(size - 1, -1, -1):
        right[j] -= _inner(matrix[j, j + 1 :], right[j + 1 :])
        right[j] /= matrix[j, j]
