"""iALS: alternating least squares on distinct pairs with frequency-scaled regularization."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ...machine import blas_on_one_thread
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from .fitted_factors import FittedFactorPolicy
from .implicit_loss import ImplicitLoss, LeastSquaresConfig


class LeastSquaresPolicy(FittedFactorPolicy):
    """What `ials` and `spectral_mf` share: everything but `train`."""

    weighs_entries = True
    weighs_when = {"binary": False}
    config: Any  # A subclass of LeastSquaresConfig

    @abstractmethod
    def train(
        self, loss: ImplicitLoss, users: FloatArray, items: FloatArray, warm: bool, rng: Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Return trained factors, starting from the given ones: fresh ones, or the last ones in a warm refit."""

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Factorize the log; from the last factors if there are any."""
        counts = seen.counts_in(self.config.window)
        self._cold = ColdStart(counts, rng)
        if counts.nnz == 0:
            self._users = self._items = None
            return
        loss = ImplicitLoss.of(counts, self.config)
        users, items, warm = self._users, self._items, self.config.warm_start
        if users is None or items is None or not warm:
            users, items = (self.fresh(size, rng) for size in counts.shape)
            warm = False
        else:
            # A sweep solves for users first, and for new items from them: neither needs random initialization.
            users, items = (_grown(x, size) for x, size in zip((users, items), counts.shape, strict=True))
        with blas_on_one_thread():
            users, items = self.train(loss, users, items, warm, rng)
        self.require_finite("raise regularization, or lower dim", users, items)
        self._users, self._items = users, items

    def fresh(self, size: int, rng: Generator) -> FloatArray:
        """Return (size, dim) random initial factors."""
        scale = np.float32(self.config.init_scale / np.sqrt(self.config.dim))
        return scale * rng.standard_normal((size, self.config.dim), dtype=np.float32)

    def penalty_on_users(self) -> NDArray[np.float64] | float:
        """Return P (d, d) of the term w_u'P w_u that `train` added to the loss, for `fold_in`."""
        return 0.0

    def regularization_for_fold_in(self) -> float:
        """Return λ of the last fit, for `fold_in`."""
        return self.config.regularization

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Solve for the users exactly with the items' factors as they are."""
        if self._cold is None or self._users is None or self._items is None:
            return
        counts = seen.counts_in(self.config.window)[:, : self._items.shape[0]]
        with blas_on_one_thread():
            loss = replace(
                ImplicitLoss.of(counts, self.config), regularization=self.regularization_for_fold_in()
            )
            rows = loss.fold_in_users(users, self._items, self.penalty_on_users())
        self._users, warm = _grown(self._users, seen.n_users), np.zeros(seen.n_users, bool)
        warm[: self._cold.warm.size] = self._cold.warm
        self._users[users], warm[users] = rows, np.diff(counts.indptr)[users] > 0
        self._cold.warm = warm


def _grown(factors: FloatArray, size: int) -> FloatArray:
    """Return a copy with rows of zeros for new users or items."""
    grown = np.zeros((size, factors.shape[1]), np.float32)
    grown[: factors.shape[0]] = factors
    return grown


class IALS(LeastSquaresPolicy):
    """iALS: matrix factorization by least squares over all pairs, its regularization scaled by frequency.

    score(u, i) = ⟨w_u, h_i⟩, by alternating minimization of

    Σ_{(u,i) ∈ S} (⟨w_u, h_i⟩ − 1)² + α₀ Σ_{u,i} ⟨w_u, h_i⟩²
      + λ [Σ_u (|S_u| + α₀·items)^ν ‖w_u‖² + Σ_i (|S_i| + α₀·users)^ν ‖h_i‖²],

    S the distinct pairs of the log (Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on
    Item Recommendation Benchmarks", arXiv 2110.14037; blocks: "iALS++", arXiv 2110.14044). `binary = false`
    makes S a multiset, one element per take, in the loss and in |S_u|. Items and users are all that the
    platform knows of, taken or not.

    `solver = "cg"`: a row takes `cg_steps` conjugate gradient steps per sweep from its last value, preconditioned
    by its equations without entries (`conjugate_gradient.py`). "exact": it is solved, in a basis that makes short
    rows cheap; only rows with more than `block` entries at a `dim` above `block` take one pass of block coordinate
    steps instead (`block_coordinate.py`). All have the same optima. The papers' solvers are exact and by blocks; on
    MovieLens and last.fm logs 16 sweeps with 3 steps reach the loss and ranking quality of exact ones. Factors
    are unique only up to a rotation, which is arbitrary here.

    A refit starts from the last factors. New users are folded in by an exact solve with fixed items (the
    paper: passes of block steps from zero). Cost of a sweep: O((users + items)·dim² + dim³ + pairs·dim·cg_steps),
    exact: Σ_rows s·min(s, dim)·max(s, dim) for rows of s entries in place of the last; ranking as a factor model.
    """

    kind = "ials"
    space = {
        "dim": Choice((16, 32, 64, 128, 256)),
        "regularization": Range(0.001, 1.0),
        "unobserved_weight": Range(0.01, 1.0),
        "frequency_exponent": Choice((0.5, 1.0)),
    }

    class Config(LeastSquaresConfig):
        pass

    config: Config

    def train(
        self, loss: ImplicitLoss, users: FloatArray, items: FloatArray, warm: bool, rng: Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Sweep as often as configured."""
        for _ in range(self.config.refit_iterations if warm else self.config.iterations):
            users, items = loss.sweep(users, items)
        return users, items
