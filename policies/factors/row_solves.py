"""Half a sweep of alternating least squares for implicit feedback: every row solved, the columns fixed.

For every row r (a user), with the columns' factors y (the items) fixed, minimize

    Σ_{j ∈ S_r} c_rj (⟨x_r, y_j⟩ − 1)² + x_r'G x_r + ridge_r ‖x_r‖²,    G = α₀ Y'Y (+ a penalty).

Every row has its own ridge, so no factorization of G + ridge_r·I can be shared, but its eigenvectors can. Both
factor matrices are rotated into this basis (scores do not change), so that G becomes diagonal. With
T = C^½ Y_S (G + ridge_r)^−½ and x = (G + ridge_r)^−½ z, a row's equations are

    (I + T'T) z = T'c^½,

which `block_coordinate.py` solves exactly or by blocks, and `conjugate_gradient.py` by a few steps.

Per half sweep besides: O((rows + columns)·d²) in matrix products and one eigendecomposition, O(d³).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy import sparse

from ..interactions import FloatArray
from .block_coordinate import SHORT_ROW, solve_by_blocks
from .conjugate_gradient import solve_by_steps


def gram(columns: FloatArray, unobserved_weight: float) -> NDArray[np.float64]:
    """Return α₀ Y'Y (d, d)."""
    with np.errstate(over="ignore", invalid="ignore"):  # Leaves non-finite factors, which are reported later
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
    cg_steps: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Return improved factors of the rows, and the columns' factors in the same basis: eigenvectors of G.

    `matrix` (rows, columns) holds the weights c of the pairs in S; `quadratic` (d, d) is G, `ridge` (rows,) is
    positive. Rows take `cg_steps` steps of conjugate gradients; with 0 they are solved, exactly or by `block`s.
    Rows without entries become zero. Where the input is not finite, or a row cannot be solved, the result is
    not finite.
    """
    values, vectors = eigenbasis(quadratic)
    columns = columns @ vectors
    longest = int(np.diff(matrix.indptr).max(initial=0))
    # Exact solves do not use the last value of a row.
    steps = longest > min(SHORT_ROW, columns.shape[1]) if cg_steps else min(longest, columns.shape[1]) > block
    rows = rows @ vectors if steps else np.empty_like(rows)
    solve_rows(matrix, np.arange(rows.shape[0]), rows, columns, values, ridge, block, cg_steps)
    return rows, columns


def solve_rows(
    matrix: sparse.csr_matrix,
    which: NDArray[np.integer[Any]],
    rows: FloatArray,
    columns: FloatArray,
    values: FloatArray,
    ridge: FloatArray,
    block: int,
    cg_steps: int = 0,
) -> None:
    """Write solutions (with `cg_steps`: improved values) of the rows `which` into `rows`.

    All arrays are in the basis in which G is diag(`values`).
    """
    if not (np.isfinite(values).all() and np.isfinite(columns).all()):
        rows[which] = np.nan
        return
    longest = int(np.diff(matrix.indptr).max(initial=0))
    log = matrix.indptr, matrix.indices, matrix.data
    with np.errstate(all="ignore"):
        if cg_steps:
            solve_by_steps(*log, which, rows, columns, values, ridge, cg_steps, longest)
        else:
            solve_by_blocks(*log, which, rows, columns, values, ridge, block, longest)
