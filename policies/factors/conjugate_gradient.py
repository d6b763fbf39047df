"""The row systems of `row_solves.py`, (I + T'T) z = T'c^½: a few steps of conjugate gradients from the last z.

The system is scaled by (G + ridge_r)^−½ from both sides, so that it is the identity plus T'T of rank s = |S_r|: a
few steps go far, and no step costs d². (Libraries that take such steps, `implicit` and irspack, work on the
unscaled system.) T'T is never formed; a product with it reads T once, O(s d). Every step lowers the loss of its
row. Rows with up to `SHORT_ROW` entries are solved exactly, which costs less.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .block_coordinate import SHORT_ROW, scaled_columns, solve_short_row

CONVERGED = np.float32(1e-12)
"""Squared residuals below this share of |c| are rounding errors: further steps gain nothing."""
SUM_FASTMATH = {"reassoc", "nsz", "contract"}
"""Lets the compiler reorder sums to vectorize them; the order is the same on every call."""


@njit(cache=True, error_model="numpy")
def solve_by_steps(indptr, indices, weights, which, rows, columns, values, ridge, steps, longest):
    """Improve x of the rows `which` in `rows`, in the basis in which G is diag(`values`)."""
    dim = columns.shape[1]
    room = np.empty(longest * dim, np.float32)
    square = np.empty(SHORT_ROW * SHORT_ROW, np.float32)
    none = np.zeros(longest, np.float32)
    # Separate arrays: the compiler does not see that rows of one array are contiguous.
    scale = np.empty(dim, np.float32)
    residual, direction, image = np.empty_like(scale), np.empty_like(scale), np.empty_like(scale)
    for r in which:
        first, size = indptr[r], indptr[r + 1] - indptr[r]
        x = rows[r]
        if size == 0:
            x[:] = 0
            continue
        for k in range(dim):
            scale[k] = np.float32(1) / np.sqrt(values[k] + ridge[r])
        target = np.sqrt(weights[first : first + size])
        scaled = room[: size * dim].reshape(size, dim)
        scaled_columns(columns, indices[first : first + size], target, scale, 0, scaled)
        if size <= min(dim, SHORT_ROW):
            solve_short_row(scaled, target, square, x)
        else:
            x /= scale
            _descend(scaled, target, none[:size], steps, x, residual, direction, image)
        x *= scale


@njit(cache=True, error_model="numpy", fastmath=SUM_FASTMATH)
def _descend(scaled, target, none, steps, z, residual, direction, image):
    """Take the steps from `z`, in place; `none` (s,) is zeros, the last three are buffers (d,)."""
    dim = z.size
    for k in range(dim):
        residual[k] = -z[k]
    _add_product(scaled, target, z, residual)
    left = _inner(residual, residual)
    enough = CONVERGED * _inner(target, target)
    direction[:] = residual
    for step in range(steps):
        if left <= enough:
            break
        for k in range(dim):
            image[k] = -direction[k]
        _add_product(scaled, none, direction, image)
        length = -left / _inner(direction, image)
        for k in range(dim):
            z[k] += length * direction[k]
        if step == steps - 1:
            break
        for k in range(dim):
            residual[k] += length * image[k]
        before, left = left, _inner(residual, residual)
        for k in range(dim):
            direction[k] = residual[k] + left / before * direction[k]


@njit(cache=True, fastmath=SUM_FASTMATH)
def _add_product(scaled, target, z, total):
    """Add T'(target − T z) to `total`, reading T once."""
    size, dim = target.size, z.size
    for a in range(0, size - 3, 4):  # Four at a time: each read of z and total serves four
        t0, t1, t2, t3 = scaled[a], scaled[a + 1], scaled[a + 2], scaled[a + 3]
        s0 = s1 = s2 = s3 = np.float32(0)
        for k in range(dim):
            s0 += t0[k] * z[k]
            s1 += t1[k] * z[k]
            s2 += t2[k] * z[k]
            s3 += t3[k] * z[k]
        s0, s1, s2, s3 = target[a] - s0, target[a + 1] - s1, target[a + 2] - s2, target[a + 3] - s3
        for k in range(dim):
            total[k] += (s0 * t0[k] + s1 * t1[k]) + (s2 * t2[k] + s3 * t3[k])
    for a in range(size // 4 * 4, size):
        t0 = scaled[a]
        s0 = target[a] - _inner(t0, z)
        for k in range(dim):
            total[k] += s0 * t0[k]


@njit(cache=True, fastmath=SUM_FASTMATH)
def _inner(a, b):
    total = np.float32(0)
    for k in range(a.size):
        total += a[k] * b[k]
    return total
