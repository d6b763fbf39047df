"""EASE: item-item regression in closed form (Steck, "Embarrassingly Shallow Autoencoders")."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.linalg import lapack

from ...errors import PolicyError
from ...machine import blas_on_one_thread, free_bytes, gibibytes
from ..interactions import FloatArray, IntArray
from ..search_space import Range
from ..size import Size
from .history_policy import HistoryPolicy
from .products import csr_parts, gram, inner_products, mirror, times_dense

MIN_ITEMS_PER_USER = 3
"""With fewer users than items / MIN_ITEMS_PER_USER, the users' matrix is inverted in place of the items'."""
BLOCK = 64
"""Users per matrix product, always: for another number BLAS may round differently."""
_REMEDY = "raise l2, or use binary = true"


class Ease(HistoryPolicy):
    """EASE: a linear model from the items in a user's history to all items, learned in closed form.

    score(u, ·) = x_u B, where B minimizes ‖X − XB‖² + λ‖B‖² under B_jj = 0.
    X (users × items) are the histories, 0 and 1 unless `binary` is false; λ = `l2`. With
    P = (XᵀX + λI)⁻¹ the minimum is B_ij = −P_ij / P_jj for i ≠ j (Steck, WWW 2019). B is never formed:
    (x_u B)_j = x_uj − (x_u P)_j / P_jj.

    Two forms of the same result:
    * items: P by Cholesky, in place and in float32, from the lower triangle of XᵀX: 4·items² bytes and
      items³ multiplications and additions. (Against float64, no score of unit size moved by more than 1e-5
      at λ = 1 and 4e-6 at λ = 100 on three logs of 3000 items; it takes half the time and half the memory.)
    * users, where they are fewer than a third of the items (ours, by the Woodbury identity): with
      M = (XXᵀ + λI)⁻¹ and d_j = x_·jᵀ M x_·j, λ P_jj = 1 − d_j and
      (x_u B)_j = ((x_u Xᵀ M X)_j − x_uj d_j) / (1 − d_j). In float64; 8·users² bytes, users³ operations.
      Nothing of size items² is made.

    Ranking reads the user's history of this round. Per user it costs |history|·items, or in the second form
    users² + entries of X. There is no warm start: five rounds change nearly every user's row, and an update
    of P for c changed rows costs 2c·items², more than a quarter of a fit from c = items / 8 on; a refit costs
    as much as a fit. The required memory is compared with the free memory before anything is allocated.
    """

    kind = "ease"
    space = {"l2": Range(1, 30000)}

    class Config(HistoryPolicy.Config):
        l2: float = Field(default=100.0, ge=1e-9, le=1e9)
        """λ: larger values shrink the weights; larger logs need larger values."""

    def learn(self, histories: sparse.csr_matrix) -> None:
        """Invert the smaller of the two matrices."""
        self._inverse: NDArray[Any] = np.empty((0, 0))  # Frees the old one, so that a refit does not hold two
        active = histories[np.diff(histories.indptr) > 0]
        users, items = active.shape
        self._by_user = MIN_ITEMS_PER_USER * users < items
        if self._by_user:
            self._check_memory(8 * users**2, f"{users} × {users} matrix of users")
            self._columns = active.T.tocsr()
            inverse = self._inverted(self._columns, np.float64)
            mirror(inverse)
            self._share = _quadratic_forms(*csr_parts(self._columns), inverse)
            self.require_finite(_REMEDY, self._share)
            if self._share.max() >= 1:
                raise self._too_weak()
        else:
            self._check_memory(4 * items**2, f"{items} × {items} matrix of items")
            inverse = self._inverted(active, np.float32)
            self._scale = inverse.diagonal().copy()
            self.require_finite(_REMEDY, self._scale)
            mirror(inverse)
        self._inverse = inverse

    def _inverted(self, matrix: sparse.csr_matrix, kind: type) -> NDArray[Any]:
        """Return (AᵀA + λI)⁻¹ for A = `matrix` (n, m): the lower triangle of a new (m, m) array."""
        size = matrix.shape[1]
        out = np.zeros((size, size), kind)
        gram(matrix, out)
        out[np.diag_indices(size)] += self.config.l2
        factorize, invert = lapack.get_lapack_funcs(("potrf", "potri"), dtype=kind)
        # LAPACK is column-major: the upper triangle of the transpose is the same memory, so nothing is copied.
        with blas_on_one_thread():
            factor, failed = factorize(out.T, lower=0, clean=0, overwrite_a=1)
            if not failed:
                factor, failed = invert(factor, lower=0, overwrite_c=1)
        if failed:
            raise self._too_weak()
        return factor.T

    def _too_weak(self) -> PolicyError:
        return PolicyError(
            f"ease: l2 = {self.config.l2:g} is lost in rounding beside counts of this size, so the matrix cannot "
            f"be inverted: {_REMEDY}"
        )

    def _check_memory(self, needed: int, what: str) -> None:
        free = free_bytes()
        if needed > free:
            raise PolicyError(
                f"ease: the {what} needs {gibibytes(needed)}, and {gibibytes(free)} are free. Run fewer jobs "
                "at once, use a smaller log or a shorter window, or use item_knn, which needs no such matrix"
            )

    def memory(self, size: Size) -> float:
        """Add the smaller of the two matrices, plus a tenth for intermediate results."""
        items = size.learned_items
        by_user = MIN_ITEMS_PER_USER * size.users < items
        matrix = 8 * size.users**2 if by_user else 4 * items**2
        return super().memory(size) + 1.1 * matrix

    def score_histories(self, histories: sparse.csr_matrix, users: IntArray) -> FloatArray:
        """Return x_u B for a block of histories."""
        out = np.empty(histories.shape, np.float32)
        if not self._by_user:
            times_dense(histories, self._inverse, out)
            _regress_by_item(*csr_parts(histories), self._scale, out)
            return out
        shared, weights = np.zeros((BLOCK, self._inverse.shape[0])), np.empty((self._inverse.shape[0], BLOCK))
        for start in range(0, histories.shape[0], BLOCK):
            own = histories[start : start + BLOCK]
            inner_products(own, self._columns, shared[: own.shape[0]])
            with blas_on_one_thread():
                np.matmul(self._inverse, shared.T, out=weights)
            _regress_by_user(
                *csr_parts(self._columns),
                weights,
                *csr_parts(own.T.tocsr()),
                self._share,
                out[start : start + BLOCK],
            )
        return out


@njit(cache=True)
def _regress_by_item(indptr, items, values, scale, out):
    """Turn x_u P into x_u − x_u P / diag(P), in place."""
    for b in range(out.shape[0]):
        row = out[b]
        for j in range(row.size):
            row[j] /= -scale[j]
        for a in range(indptr[b], indptr[b + 1]):
            row[items[a]] += values[a]


@njit(cache=True)
def _quadratic_forms(starts, users, values, inverse):
    """Return (items,) x_jᵀ M x_j for the columns x_j of the histories and M = `inverse`, symmetric."""
    out = np.zeros(starts.size - 1)
    for j in range(out.size):
        for a in range(starts[j], starts[j + 1]):
            row, total = inverse[users[a]], 0.5 * values[a] * inverse[users[a], users[a]]
            for b in range(starts[j], a):
                total += values[b] * row[users[b]]
            out[j] += 2 * values[a] * total
    return out


@njit(cache=True)
def _regress_by_user(starts, users, values, weights, own_starts, own_rows, own_values, share, out):
    """Write ((x_u Xᵀ M X)_j − x_uj d_j) / (1 − d_j); column b of `weights` is M X x_u for row b of `out`."""
    total = np.empty(weights.shape[1])
    for j in range(share.size):
        total[:] = 0
        for a in range(starts[j], starts[j + 1]):
            total += values[a] * weights[users[a]]
        for a in range(own_starts[j], own_starts[j + 1]):
            total[own_rows[a]] -= own_values[a] * share[j]
        for b in range(out.shape[0]):
            out[b, j] = total[b] / (1 - share[j])
