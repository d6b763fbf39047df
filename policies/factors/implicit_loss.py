"""The iALS loss on one log, and half sweeps that lower it; `IALS` in `ials.py` states the equation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ...config import Config as BaseConfig
from ..interactions import FloatArray, IntArray
from .row_solves import eigenbasis, gram, half_sweep, solve_rows


class LeastSquaresConfig(BaseConfig):
    """The fields that `ials` and `spectral_mf` share."""

    dim: int = Field(default=64, ge=1, le=8192)
    """Dimensions of the factors."""
    regularization: float = Field(default=0.01, ge=1e-30, le=1e9)
    """λ, before it is scaled by frequency."""
    unobserved_weight: float = Field(default=0.1, ge=0, le=1e9)
    """α₀: weight of every pair's squared score, against 1 for a pair of the log."""
    frequency_exponent: float = Field(default=1.0, ge=0, le=2)
    """ν: 1 regularizes a row in proportion to its number of terms in the loss, 0 all rows equally."""
    init_scale: float = Field(default=0.1, gt=0, le=1e6)
    """First factors are normal with standard deviation init_scale/√dim."""
    binary: bool = True
    """S is the set of distinct pairs, as published; false: a pair counts as often as it was taken."""
    solver: Literal["cg", "exact"] = "cg"
    """Per row and sweep: conjugate gradient steps from the row's last value, or the exact optimum."""
    cg_steps: int = Field(default=3, ge=1)
    """With solver = "cg": steps per row and sweep."""
    block: int = Field(default=128, ge=1)
    """With solver = "exact": rows with more entries than this go block by block where dim is above it too."""
    iterations: int = Field(default=16, ge=1)
    """Sweeps (users, then items) of a fit from scratch."""
    refit_iterations: int = Field(default=2, ge=1)
    """Sweeps of a refit with warm start."""
    warm_start: bool = True
    """Start a refit from the last factors."""
    window: int | None = Field(default=None, ge=1)
    """Learn from the last so many rounds only; all time when omitted."""


@dataclass(frozen=True)
class ImplicitLoss:
    """The loss of `IALS` on one log, and how to lower it."""

    by_user: sparse.csr_matrix
    """(users, items) weights of the pairs in S."""
    by_item: sparse.csr_matrix
    """Its transpose, in compressed rows."""
    of_users: FloatArray
    """(users,) (|S_u| + α₀·items)^ν."""
    of_items: FloatArray
    """(items,) (|S_i| + α₀·users)^ν."""
    regularization: float
    """λ."""
    config: LeastSquaresConfig

    @classmethod
    def of(cls, counts: sparse.csr_matrix, config: LeastSquaresConfig) -> Self:
        """Return the loss on `counts` (users, items)."""
        weights = np.ones_like(counts.data) if config.binary else counts.data
        by_user = sparse.csr_matrix((weights, counts.indices, counts.indptr), shape=counts.shape)
        scales = []
        for axis in (1, 0):
            terms = np.asarray(by_user.sum(axis=axis), np.float64).ravel()
            terms += config.unobserved_weight * counts.shape[axis]
            scales.append((terms**config.frequency_exponent).astype(np.float32))
        return cls(by_user, by_user.T.tocsr(), scales[0], scales[1], config.regularization, config)

    def sweep(
        self,
        users: FloatArray,
        items: FloatArray,
        penalty_on_users: NDArray[np.float64] | float = 0.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Return factors after solving for the users and then for the items."""
        users, items = self.solve_users(users, items, penalty_on_users)
        return self.solve_items(users, items)

    def solve_users(
        self, users: FloatArray, items: FloatArray, penalty: NDArray[np.float64] | float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Return improved users, and items in the same new basis; `penalty` P (d, d) adds w_u'P w_u."""
        return self._half(self.by_user, users, items, self.of_users, penalty)

    def solve_items(
        self, users: FloatArray, items: FloatArray, penalty: NDArray[np.float64] | float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Return users in a new basis, and improved items in it; `penalty` P (d, d) adds h_i'P h_i."""
        items, users = self._half(self.by_item, items, users, self.of_items, penalty)
        return users, items

    def _half(
        self,
        matrix: sparse.csr_matrix,
        rows: FloatArray,
        columns: FloatArray,
        of_rows: FloatArray,
        penalty: NDArray[np.float64] | float,
    ) -> tuple[FloatArray, FloatArray]:
        config = self.config
        quadratic = gram(columns, config.unobserved_weight) + penalty
        ridge = np.float32(self.regularization) * of_rows
        cg_steps = config.cg_steps if config.solver == "cg" else 0
        return half_sweep(matrix, rows, columns, quadratic, ridge, config.block, cg_steps)

    def fold_in_users(
        self, which: IntArray, items: FloatArray, penalty: NDArray[np.float64] | float = 0.0
    ) -> FloatArray:
        """Return the optimal factors (B, d) of the users `which` for fixed `items`, in the basis of `items`."""
        values, vectors = eigenbasis(gram(items, self.config.unobserved_weight) + penalty)
        ridge = np.float32(self.regularization) * self.of_users[which]
        rows = np.zeros((which.size, items.shape[1]), np.float32)
        solve_rows(
            self.by_user[which], np.arange(which.size), rows, items @ vectors, values, ridge, items.shape[1]
        )
        return rows @ np.ascontiguousarray(vectors.T)
