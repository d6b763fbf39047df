"""Matrix factorization that pulls the factors of friends together: social influence as similarity of tastes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ...config import Config as BaseConfig
from ...machine import blas_on_one_thread
from ..cold_start import ColdStart
from ..factors.fitted_factors import FittedFactorPolicy
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from .social_als import CG_STEPS, sweep, update_users
from .social_ties import social_ties


class SocialMF(FittedFactorPolicy):
    """Matrix factorization (ALS) in which each user's factors are pulled to the mean of their friends'.

    score(u, i) = ⟨w_u, h_i⟩. Minimizes
    Σ_ui c_ui (p_ui − ⟨w_u, h_i⟩)² + λ(Σ‖w_u‖² + Σ‖h_i‖²) + S Σ_u ‖w_u − m_u‖²,
    m_u = Σ_{v ∈ N(u)} w_v / |N(u)| over the friends N(u); users without friends have no last term.

    The last term is that of SocialMF (Jamali and Ester, RecSys 2010), with equal trust in all friends; the
    first two are those of ALS for implicit feedback (Hu, Koren and Volinsky, ICDM 2008; p, c and λ as in
    `matrix_factorization`) in place of squared errors of ratings, so that both social models of this
    package rank takes. S = 0 is ALS. Setting the gradient by w_u to zero, with u also a friend of others:
    (Hᵀ C_u H + λ + S·[u has friends] + S Σ_{x: u ∈ N(x)} 1/|N(x)|²) w_u
        = Hᵀ C_u p_u + S m_u + S Σ_{x: u ∈ N(x)} (w_x − m_x + w_u/|N(x)|)/|N(x)|.
    Users are updated one after the other with the others' newest factors (Gauss–Seidel), by CG_STEPS conjugate
    gradient steps each; every step lowers the objective. Items are updated as in ALS.

    A user without history gets factors from friends, and the bestsellers if there are none. Cost per pass:
    O(pairs·dim + ties·dim + (users + items)·dim²); ranking as a factor model.
    """

    kind = "social_mf"
    weighs_entries = True
    weighs_when = {"binary": False}
    space = {
        "dim": Choice((8, 16, 32, 64, 128)),
        "regularization": Range(0.01, 1000),
        "confidence": Range(0.3, 100),
        "social_weight": Range(0.1, 1000),
    }

    class Config(BaseConfig):
        dim: int = Field(default=32, ge=1, le=4096)
        """Dimensions of the factors."""
        regularization: float = Field(default=1.0, ge=0, le=1e9)
        """λ"""
        confidence: float = Field(default=10.0, ge=0)
        """Weight of one take, against 1 for a pair that was never taken."""
        social_weight: float = Field(default=10.0, ge=0)
        """S; on the scale of regularization."""
        binary: bool = False
        """Use whether a pair was taken, not how often."""
        iterations: int = Field(default=15, ge=1)
        """Passes of a fit from scratch."""
        refit_iterations: int = Field(default=1, ge=1)
        """Passes of a refit with warm start."""
        warm_start: bool = True
        """Start a refit from the last factors."""
        window: int | None = Field(default=None, ge=1)
        """Learn from the last so many rounds only; all time when omitted."""

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._without_ties = False

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Minimize the objective; from the last factors if there are any."""
        config = self.config
        ties = social_ties(seen, self.kind)
        self._without_ties = ties.friend.size == 0
        matrix = self._weighted(seen)
        self._cold = ColdStart(seen.counts_in(self.config.window), rng)
        if matrix.nnz == 0:
            self._users = self._items = None
            return
        warm = config.warm_start and self._users is not None
        # The same initialization as the library's, so that S = 0 gives the same iterates.
        users = _initial_factors(
            self._users if warm else None, seen.n_users, config.dim, rng, self._cold.warm
        )
        items = _initial_factors(
            self._items if warm else None, seen.n_items, config.dim, rng, self._cold.taken > 0
        )
        transpose = matrix.T.tocsr()
        with blas_on_one_thread():
            for _ in range(config.refit_iterations if warm else config.iterations):
                sweep(matrix, transpose, ties, users, items, config.regularization, config.social_weight)
        self.require_finite("raise regularization, or lower confidence, social_weight or dim", users, items)
        self._users, self._items = users, items
        self._cold.warm = self._cold.warm | users.any(axis=1)

    def _weighted(self, seen: Observation) -> sparse.csr_matrix:
        """Return the confidence of every pair that was taken."""
        counts = seen.counts_in(self.config.window)
        weights = np.ones_like(counts.data) if self.config.binary else counts.data
        with np.errstate(over="ignore"):  # Factors that are not finite are reported later
            weights = 1 + np.float32(self.config.confidence) * weights
        return sparse.csr_matrix((weights, counts.indices, counts.indptr), shape=counts.shape)

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Update the users' factors to convergence, with all other factors fixed."""
        if self._cold is None or self._users is None or self._items is None:
            return
        config = self.config
        ties = social_ties(seen, self.kind)
        matrix = self._weighted(seen)[:, : self._items.shape[0]]
        factors = _initial_factors(self._users, seen.n_users, config.dim)
        factors[users] = 0
        with blas_on_one_thread():
            for _ in range(max(config.iterations, config.dim // CG_STEPS + 1)):
                update_users(
                    matrix, ties, factors, self._items, config.regularization, config.social_weight, users
                )
        warm = self._cold.is_warm(np.arange(seen.n_users, dtype=np.int32))
        warm[users] = factors[users].any(axis=1)
        self._users, self._cold.warm = factors, warm

    def remarks(self) -> list[str]:
        """Add a warning if the platform sees no ties."""
        remarks = super().remarks()
        if self._users is not None and self._without_ties:
            remarks.append(f"warning: the platform sees no social ties, so {self.kind} is plain ALS")
        return remarks


def _initial_factors(
    last: FloatArray | None,
    size: int,
    dim: int,
    rng: Generator | None = None,
    used: NDArray[np.bool_] | None = None,
) -> FloatArray:
    """Return (size, dim): the last factors; rows that are `used` for the first time are drawn as the library does.

    Rows without history start at 0: random values that no friend corrects would look like a taste.
    """
    out = np.zeros((size, dim), np.float32)
    if last is not None:
        out[: last.shape[0]] = last
    if rng is not None and used is not None:
        new = used & ~out.any(axis=1)
        # Draw for all rows, so that every row gets the same numbers as in the library.
        out[new] = (rng.random((size, dim), dtype=np.float32) * np.float32(0.01))[new]
    return out
