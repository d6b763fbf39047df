"""Matrix factorization for implicit feedback: ALS (by the `implicit` library) or BPR."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from ...config import Config as BaseConfig
from ...errors import PolicyError
from ...machine import blas_on_one_thread
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range, SearchSpace
from . import als, bpr
from .fitted_factors import FittedFactorPolicy

_BY_MODEL: dict[str, dict[str, float]] = {
    "als": {"regularization": 1.0, "iterations": 15, "refit_iterations": 1},
    "bpr": {"regularization": 0.01, "iterations": 100, "refit_iterations": 10},
}


class MatrixFactorization(FittedFactorPolicy):
    """Matrix factorization for implicit feedback: weighted least squares (ALS) or pairwise ranking (BPR).

    score(u, i) = ⟨w_u, h_i⟩, learned from how often each user took each item.

    ALS (Hu, Koren and Volinsky, ICDM 2008) minimizes Σ_ui c_ui (p_ui − ⟨w_u, h_i⟩)² + λ(Σ‖w_u‖² + Σ‖h_i‖²),
    p_ui = 1 and c_ui = 1 + confidence·count_ui where user u took item i, else p_ui = 0 and c_ui = 1. (The
    library takes c itself as its matrix, times its own alpha, which stays 1.) λ is the same for every row,
    not scaled by its number of entries: choose it anew for every `dim` before comparing dimensions.

    BPR (Rendle et al., UAI 2009) ascends log σ(⟨w_u, h_i⟩ + b_i − ⟨w_u, h_j⟩ − b_j) over distinct pairs (u, i)
    of the log and items j that u never took; one draw per pair and iteration, counts play no role. As in the
    paper, j is uniform, but among the items that somebody has taken (`bpr`); with negatives = "popularity" the
    library trains, and draws j from the entries of the log, thus by popularity. That ranks far worse: NDCG@100
    0.20 and not 0.31 on ml-latest-small, 0.25 and not 0.40 on lastfm-2k (dim = 32, the other fields as below).

    A refit starts from the last factors (`warm_start`) and runs `refit_iterations`; up to 16 dimensions ALS
    does the library's steps in its own compiled code (`als.sweep`). An item that nobody has
    taken has zero factors and thus score 0, in an order drawn at fit; a user without entries gets the most
    taken items. Cost per iteration: ALS O(pairs·dim + (users + items)·dim²), BPR O(pairs·dim); ranking as a
    factor model.
    """

    kind = "matrix_factorization"
    weighs_entries = True
    weighs_when = {"model": "als", "binary": False}
    space = {
        "dim": Choice((8, 16, 32, 64, 128)),
        "regularization": Range(0.01, 1000),
        "confidence": Range(0.3, 100),
    }

    class Config(BaseConfig):
        dim: int = Field(default=32, ge=1, le=4096)
        """Dimensions of the factors."""
        model: Literal["als", "bpr"] = "als"
        """Least squares on all pairs, or pairwise ranking."""
        regularization: float | None = Field(default=None, ge=0, le=1e9)
        """λ; 1 for als and 0.01 for bpr when omitted."""
        confidence: float = Field(default=10.0, ge=0)
        """als: weight of one take, against 1 for a pair that was never taken."""
        binary: bool = False
        """als: use whether a pair was taken, not how often."""
        negatives: Literal["uniform", "popularity"] = "uniform"
        """bpr: draw items never taken uniformly, or from the entries of the log, as `implicit` does."""
        learning_rate: float = Field(default=0.05, gt=0)
        """bpr: step size."""
        iterations: int | None = Field(default=None, ge=1)
        """Passes of a fit from scratch; 15 for als and 100 for bpr when omitted."""
        refit_iterations: int | None = Field(default=None, ge=1)
        """Passes of a refit with warm start; 1 for als and 10 for bpr when omitted."""
        warm_start: bool = True
        """Start a refit from the last factors."""
        window: int | None = Field(default=None, ge=1)
        """Learn from the last so many rounds only; all time when omitted."""

        @model_validator(mode="before")
        @classmethod
        def _fill_in(cls, data: Any) -> Any:
            # The configuration holds the values in use, so that they appear in study files too.
            defaults = _BY_MODEL["bpr" if data.get("model") == "bpr" else "als"]
            unset = [name for name in defaults if data.get(name) is None]
            return {**data, **{name: defaults[name] for name in unset}}

    config: Config

    @classmethod
    def space_for(cls, fields: Mapping[str, Any]) -> SearchSpace:
        """Return `space`, or the one for BPR, which has no confidence and another scale of regularization."""
        if fields.get("model") != "bpr":
            return cls.space
        return {
            "dim": cls.space["dim"],
            "regularization": Range(0.0001, 1.0),
            "learning_rate": Range(0.01, 0.2),
            "iterations": Choice((50, 100, 200)),
        }

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.bias_columns = int(self.config.model == "bpr")

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Factorize the counts; from the last factors if there are any."""
        counts = seen.counts_in(self.config.window)
        self._cold = cold = ColdStart(counts, rng)
        if counts.nnz == 0:
            self._users = self._items = None
            return
        with blas_on_one_thread():
            self._factorize(self._weighted(counts), cold, rng)

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the counts in the form that the library expects: for ALS, the confidence of every pair."""
        weights = np.ones_like(counts.data) if self.config.binary else counts.data
        if self.config.model == "als":
            with np.errstate(over="ignore"):  # Factors that are not finite are reported later
                weights = 1 + np.float32(self.config.confidence) * weights
        # Rows are sorted, so the library does not reorder the arrays, which are shared with seen.counts.
        return sparse.csr_matrix((weights, counts.indices, counts.indptr), shape=counts.shape)

    def _factorize(self, matrix: sparse.csr_matrix, cold: ColdStart, rng: Generator) -> None:
        config = self.config
        warm = config.warm_start and self._users is not None and self._items is not None
        users = items = None
        if warm or self._uses_own_bpr:
            users = self._fresh_rows(self._users if warm else None, cold.warm, rng)
            items = self._fresh_rows(self._items if warm else None, cold.taken > 0, rng)
            if config.model == "bpr":
                users[:, -1] = 1  # Multiplies the item's bias
        passes = (config.refit_iterations if warm else config.iterations) or 1
        if users is not None and items is not None and self._uses_own_bpr:
            self._ascend(matrix, cold, users, items, passes, rng)
        elif users is not None and items is not None and config.model == "als" and config.dim <= als.MAX_DIM:
            transpose = matrix.T.tocsr()
            for _ in range(passes):
                als.sweep(matrix, transpose, users, items, config.regularization or 0.0)
        else:
            users, items = self._fit_with_implicit(matrix, rng, users, items)
        self.require_finite(self._remedy(), users, items)
        self._users, self._items = users, items

    def _remedy(self) -> str:
        """Return what to change if training left NaN or infinite values."""
        config = self.config
        if config.model == "als":
            return "raise regularization, or lower confidence or dim"
        # A step multiplies parameters by 1 − learning_rate·λ: with learning_rate·λ above 2, λ makes them grow.
        shrink = config.learning_rate * (config.regularization or 0.0)
        if shrink < 2:
            return "lower learning_rate"
        return (
            f"learning_rate × regularization = {shrink:g} overshoots, as every value from 2 on does: lower "
            "learning_rate or regularization"
        )

    @property
    def _uses_own_bpr(self) -> bool:
        return self.config.model == "bpr" and self.config.negatives == "uniform"

    def _ascend(
        self,
        matrix: sparse.csr_matrix,
        cold: ColdStart,
        users: FloatArray,
        items: FloatArray,
        passes: int,
        rng: Generator,
        learn_items: bool = True,
    ) -> None:
        bpr.train(
            bpr.Sampler.of(matrix, np.flatnonzero(cold.taken > 0).astype(np.int32), rng),
            users,
            items,
            passes=passes,
            learning_rate=self.config.learning_rate,
            regularization=self.config.regularization or 0.0,
            learn_items=learn_items,
        )

    def _fit_with_implicit(self, matrix: sparse.csr_matrix, rng: Generator, users=None, items=None) -> Any:
        """Return the factors that `implicit` finds, from given ones or from its own random start."""
        from implicit.recommender_base import ModelFitError

        model = self._model(rng)
        if users is not None and items is not None:
            model.iterations = self.config.refit_iterations
            model.user_factors, model.item_factors = users, items
        # A failed fit leaves non-finite factors, which the caller reports with the settings.
        with suppress(ModelFitError):
            model.fit(matrix, show_progress=False)
        return model.user_factors, model.item_factors

    def _model(self, rng: Generator) -> Any:
        config = self.config
        shared = {
            "factors": config.dim,
            "regularization": config.regularization,
            "iterations": config.iterations,
            "num_threads": 1,
            "random_state": rng,
        }
        if config.model == "als":
            from implicit.cpu.als import AlternatingLeastSquares

            return AlternatingLeastSquares(alpha=1.0, **shared)
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        return BayesianPersonalizedRanking(learning_rate=config.learning_rate, **shared)

    def _fresh_rows(self, factors: FloatArray | None, used: NDArray[np.bool_], rng: Generator) -> FloatArray:
        """Add rows for new users or items; rows used for the first time are drawn as the library does."""
        is_als, width = self.config.model == "als", self.config.dim
        grown = np.zeros((used.size, width if is_als else width + 1), np.float32)
        if factors is not None:
            grown[: factors.shape[0]] = factors
        if not is_als:
            grown[~used] = 0  # Rows that left the window are not learned; ALS sets them to zero by itself
        new = np.flatnonzero(used & ~grown[:, :width].any(axis=1))
        draws = rng.random((new.size, grown.shape[1]), dtype=np.float32)
        grown[new] = draws * np.float32(0.01) if is_als else (draws - np.float32(0.5)) / width
        return grown

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Learn the users' rows, items fixed: ALS by normal equations, BPR by `iterations` (uniform only)."""
        if self.config.model == "bpr" and not self._uses_own_bpr:
            raise PolicyError(
                'matrix_factorization with model = "bpr" and negatives = "popularity" cannot rank for users that '
                'it was not fitted on: take negatives = "uniform"'
            )
        if self._cold is None or self._users is None or self._items is None:
            return
        matrix = self._weighted(seen.counts_in(self.config.window))[:, : self._items.shape[0]]
        own = matrix[users]
        self._users, warm = self._users.copy(), self._cold.warm.copy()
        with blas_on_one_thread():
            if self._uses_own_bpr:
                warm[users] = own @ (self._cold.taken > 0) > 0
                rows = self._fresh_rows(None, warm[users], rng)
                rows[:, -1] = 1
                self._ascend(own, self._cold, rows, self._items, self.config.iterations or 1, rng, False)
                self.require_finite(self._remedy(), rows)
                self._users[users] = rows
            else:
                self._solve(matrix, users)
                warm[users] = np.diff(own.indptr) > 0
        self._cold.warm = warm

    def _solve(self, matrix: sparse.csr_matrix, users: IntArray) -> None:
        """Write the least squares of these users' rows of confidences."""
        assert self._users is not None and self._items is not None
        items = self._items.astype(np.float64)
        gram = items.T @ items + (self.config.regularization or 0.0) * np.eye(items.shape[1])
        for user in users:
            row = slice(matrix.indptr[user], matrix.indptr[user + 1])
            own, confidence = items[matrix.indices[row]], matrix.data[row].astype(np.float64)
            normal = gram + own.T @ (own * (confidence - 1)[:, None])
            self._users[user] = np.linalg.lstsq(normal, own.T @ confidence)[0]
