"""Alternating least squares for implicit feedback: exact row solves, or block coordinate steps for long rows.

One half of a sweep minimizes, for every row r (a user) with the columns' factors y (the items) held,

    Σ_{j ∈ S_r} c_rj (⟨x_r, y_j⟩ − 1)² + x_r'G x_r + ridge_r ‖x_r‖²,    G = α₀ Y'Y (+ a penalty).

Every row has its own ridge, so no factorization of G + ridge_r·I can be shared; its eigenvectors can. Both
factor matrices are turned into them (scores do not change), G becomes diagonal, and with
T = C^½ Y_S (G + ridge_r)^−½, s = |S_r|, each row is one of

* s ≤ d, exact:  x = (…)^−½ T'(I + T T')⁻¹ c^½: O(s²d + s³/3) instead of O(s d² + d³/3);
* s > d, exact:  x = (…)^−½ (I + T'T)⁻¹ T'c^½: the normal equations, with no eigenvalue below 1;
* both above `block`: one pass over blocks of coordinates, each solved with the others held (iALS++, Rendle,
  Krichene, Zhang and Koren, arXiv 2110.14044), O(s d·block). Unlike there, the blocks are of eigenvectors
  of G, which couple only through S_r.

Per half sweep besides: O((rows + columns)·d²) in matrix products and one eigendecomposition, O(d³).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from .interactions import FloatArray

FEW = 8
"""Rows with up to so many entries are too short for calls of BLAS to pay."""
SMALL = 16
"""Up to here a plain Cholesky loop is faster than a call of LAPACK."""


def gram(columns: FloatArray, unobserved_weight: float) -> NDArray[np.float64]:
    """Return α₀ Y'Y (d, d)."""
    with np.errstate(over="ignore", invalid="ignore"):  # shows as factors that are not finite
        return (np.float32(unobserved_weight) * (columns.T @ columns)).astype(np.float64)


def eigenbasis(quadratic: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """Return the eigenvalues (d,) of G, none below 0, and its eigenvectors (d, d), by column."""
    if not np.isfinite(quadratic).all():
        nothing = np.full_like(quadratic, np.nan, np.float32)
        return nothing[0], nothing
    values, vectors = scipy.linalg.eigh(quadratic, driver="evd", check_finite=False)
    return np.maximum(values, 0).astype(np.float32), np.ascontiguousarray(vectors, np.float32)


def half_sweep(
    matrix: sparse.csr_matrix,
    rows: FloatArray,
    columns: FloatArray,
    quadratic: NDArray[np.float64],
    ridge: FloatArray,
    block: int,
) -> tuple[FloatArray, FloatArray]:
    """Return improved factors of the rows, and the columns' factors in the same basis: eigenvectors of G.

    `matrix` (rows, columns) holds the weights c of the pairs in S; `quadratic` (d, d) is G, `ridge` (rows,) is
    positive. Rows without entries become zero. Where the input is not finite, or a row cannot be solved,
    the result is not finite.
    """
    values, vectors = eigenbasis(quadratic)
    columns = columns @ vectors
    steps = columns.shape[1] > block and bool((np.diff(matrix.indptr) > block).any())
    # only block steps look at where a row was
    rows = rows @ vectors if steps else np.empty_like(rows)
    solve_rows(matrix, np.arange(rows.shape[0]), rows, columns, values, ridge, block)
    return rows, columns


def solve_rows(
    matrix: sparse.csr_matrix,
    which: NDArray[np.integer[Any]],
    rows: FloatArray,
    columns: FloatArray,
    values: FloatArray,
    ridge: FloatArray,
    block: int,
) -> None:
    """Write the solutions of the rows `which` into `rows`, all in the basis in which G is diag(`values`)."""
    if not (np.isfinite(values).all() and np.isfinite(columns).all()):
        rows[which] = np.nan
        return
    longest = int(np.diff(matrix.indptr).max(initial=0))
    with np.errstate(all="ignore"):
        _solve(
            matrix.indptr, matrix.indices, matrix.data, which, rows, columns, values, ridge, block, longest
        )


@njit(cache=True, error_model="numpy")
def _solve(indptr, indices, weights, which, rows, columns, values, ridge, block, longest):
    dim = columns.shape[1]
    block = min(block, dim)
    room = np.empty(longest * dim, np.float32)
    # the smaller side of an exact solve, or a block: never more than this
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
            _gather(columns, entries, target, scale, 0, scaled)
            if size <= min(dim, FEW):
                normal = square[: size * size].reshape(size, size)
                for a in range(size):
                    for b in range(a, size):
                        normal[a, b] = _inner(scaled[a], scaled[b])
                _solve_shifted(normal, target)
                x[:] = 0
                for a in range(size):
                    _add(x, target[a], scaled[a])
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
def _block_pass(columns, entries, target, scale, room, square, block, x):
    """Minimize over one block of coordinates after the other."""
    size, dim = target.size, x.size
    rest = -target
    x /= scale
    for low in range(0, dim, block):
        width = min(block, dim - low)
        scaled = room[low * size : (low + width) * size].reshape(size, width)
        _gather(columns, entries, target, scale, low, scaled)
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
def _gather(columns, entries, target, scale, low, out):
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
    for j in range(size):
        matrix[j, j] += np.float32(1)
    if size > SMALL:
        for j in range(size):
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
        return
    # U'U, row by row so that it becomes vector code
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
