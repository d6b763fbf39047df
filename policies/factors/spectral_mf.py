"""Matrix factorization with a controlled spectrum, to separate nominal dimension from effective rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...errors import WrongFields
from ...machine import blas_on_one_thread
from ..base import State
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from .ials import LeastSquaresPolicy
from .implicit_loss import ImplicitLoss, LeastSquaresConfig
from .spectral_point import Point, add_pair, grown, initial_vector, penalty_matrix, replace_last, start
from .spectrum import effective_rank, exponent_for, singular_values, top_pair, with_exponent

MAX_TRIALS = 16
"""Maximum number of values of λ to try."""
MIN_RELATIVE_LAMBDA = 1e-4
"""λ is not lowered below this share of `regularization`."""


class SpectralMF(LeastSquaresPolicy):
    """iALS with a controlled spectrum of scores: a penalty on the top singular value, or a chosen effective rank.

    σ₁ ≥ σ₂ ≥ … are the singular values of the score matrix W H'.
    score(u, i) = ⟨w_u, h_i⟩, by alternating minimization of (loss of `ials`) + γ σ₁². Lin et al. (WSDM 2025,
    arXiv 2404.12008) find popularity in the top singular vector of the score matrix and penalize its singular
    value; only their abstract was at hand, so base loss and solver are this project's.

    `spectral_penalty` γ: with u, v the top singular vectors, σ₁² = Σ_u ⟨w_u, H'v⟩² = Σ_i ⟨h_i, W'u⟩², so a
    sweep adds the matrix γ H'v v'H to the users' normal equations, γ W'u u'W to the items', and solves them
    as `ials` does; u and v come from power iteration before each half sweep. If γ pushes σ₁ down to σ₂, the top
    vectors are not unique and would alternate: so the penalty is spread over the pairs of past sweeps, with
    weights 2/(t + 2) as in the Frank–Wolfe method for max over v, never below 1/16. γ = 0 is `ials`.

    `effective_rank` r: the fitted scores should have exp(entropy of σ/Σσ) = r, whatever `dim`; by
    * control = "regularization": search for λ (from `regularization` on, geometrically, then by secants), each
      trial starting from the factors of the nearest weaker λ: a lost direction does not come back by itself. The
      result is an optimum of the loss at that λ, up to a few sweeps: near the λ that removes them, directions vanish
      slowly, and more `iterations` lower the rank further. A refit starts from the last λ.
    * control = "spectrum": factors as fitted, then σ_k ← c σ_k^p with p found by bisection: singular vectors
      and Σσ² stay. Only the spectrum changes, and any r up to the rank is reached; but no loss is minimized.

    Cost of a sweep: as `ials`, plus power iterations of O((users + items)·dim); a search takes up to 16 trials
    of iterations/4 sweeps. `remarks` reports effective rank, σ₁ and λ of the last fit.
    """

    kind = "spectral_mf"
    space = {
        "dim": Choice((16, 32, 64, 128, 256)),
        "regularization": Range(0.001, 1.0),
        "unobserved_weight": Range(0.01, 1.0),
        "spectral_penalty": Range(0.001, 1.0),
    }

    class Config(LeastSquaresConfig):
        spectral_penalty: float = Field(default=0.1, ge=0, le=1e9)
        """γ: weight of the squared top singular value; equal to unobserved_weight it doubles that for its direction."""
        effective_rank: float | None = Field(default=None, ge=1)
        """Target effective rank of the score matrix; not controlled when omitted."""
        control: Literal["regularization", "spectrum"] = "regularization"
        """How effective_rank is reached: by the strength of λ, or by reshaping the fitted spectrum."""
        tolerance: float = Field(default=0.02, gt=0, lt=1)
        """Relative error of the effective rank that ends the search for λ."""

        @model_validator(mode="after")
        def _reachable(self) -> Any:
            if self.effective_rank is not None and self.effective_rank > self.dim:
                raise WrongFields(
                    f"effective_rank = {self.effective_rank:g} cannot exceed dim = {self.dim}: raise dim",
                    "effective_rank",
                    "dim",
                )
            return self

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._point: Point | None = None
        self._reshaping: NDArray[np.float64] | None = None
        """(dim, dim) maps fitted user factors to those used for ranking, where control = "spectrum"."""
        self._rank_and_sigma = (0.0, 0.0)
        """Effective rank and top singular value of the factors used for ranking."""

    def train(
        self, loss: ImplicitLoss, users: FloatArray, items: FloatArray, warm: bool, rng: Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Sweep, reach the target effective rank, and return the factors used for ranking."""
        config, last = self.config, self._point
        if warm and last is not None:
            point = grown(last, *loss.by_user.shape)
        else:
            warm, point = False, start(loss, users, items)
        point = self._run_sweeps(loss, point, config.refit_iterations if warm else config.iterations)
        target, by_spectrum = config.effective_rank, config.control == "spectrum"
        if target is not None and not by_spectrum:
            point = self._search_regularization(loss, point, target, warm, rng)
        self.require_finite("raise regularization, or lower dim", point.users, point.items)
        self._point, self._reshaping = point, None
        users, singular = point.users, singular_values(point.users, point.items)
        if target is not None and by_spectrum and singular.any():
            exponent = exponent_for(singular, target)
            self._reshaping, singular = with_exponent(point.users, point.items, exponent)
            users = (users @ self._reshaping).astype(np.float32)
        self._rank_and_sigma = effective_rank(users, point.items), float(singular[0])
        return users, point.items

    def _run_sweeps(self, loss: ImplicitLoss, point: Point, sweeps: int) -> Point:
        """Return the point after that many sweeps at its λ."""
        loss = replace(loss, regularization=point.regularization)
        penalty = self.config.spectral_penalty
        for _ in range(sweeps):
            users, items = point.users, point.items
            if penalty == 0:
                users, items = loss.sweep(users, items)
                point = replace(point, users=users, items=items, sweeps=point.sweeps + 1)
                continue
            left, right, _ = top_pair(users, items, initial_vector(point, loss))
            point = add_pair(point, left, right)
            on_users = penalty * penalty_matrix(items, point.right, point.shares)
            users, items = loss.solve_users(users, items, on_users)
            left, right, _ = top_pair(users, items, right)
            point = replace(
                point, left=replace_last(point.left, left), right=replace_last(point.right, right)
            )
            on_items = penalty * penalty_matrix(users, point.left, point.shares)
            users, items = loss.solve_items(users, items, on_items)
            point = replace(point, users=users, items=items, sweeps=point.sweeps + 1)
        return point

    def _search_regularization(
        self, loss: ImplicitLoss, point: Point, target: float, warm: bool, rng: Generator
    ) -> Point:
        """Search over λ for a point of effective rank `target`; return the nearest one."""
        config = self.config
        sweeps = config.refit_iterations if warm else max(2, config.iterations // 4)
        rank = effective_rank(point.users, point.items)
        best = abs(rank / target - 1), point
        weak: tuple[float, Point] | None = None  # Larger rank than wanted
        strong: tuple[float, float] | None = None  # Less
        for _ in range(MAX_TRIALS):
            if best[0] <= config.tolerance or not np.isfinite(rank):
                break
            if rank > target:
                weak = rank, point
            else:
                strong = rank, point.regularization
            if weak is None:
                # Lost directions need a nonzero start to grow back.
                if point.regularization < MIN_RELATIVE_LAMBDA * config.regularization:
                    break
                step = np.clip((max(rank, 0.1) / target) ** 2, 0.1, 0.9)
                items = point.items + self.fresh(point.items.shape[0], rng)
                point = replace(point, items=items, regularization=float(point.regularization * step))
            elif strong is None:
                step = np.clip(weak[0] / target, 1.05, 4)
                point = replace(weak[1], regularization=float(weak[1].regularization * step))
            else:
                ends = np.log([weak[1].regularization, strong[1]])
                heights = np.log([weak[0], max(strong[0], 0.1)])
                share = np.clip((heights[0] - np.log(target)) / (heights[0] - heights[1]), 0.1, 0.9)
                step = ends[0] + share * (ends[1] - ends[0])
                point = replace(weak[1], regularization=float(np.exp(step)))
            point = self._run_sweeps(loss, point, sweeps)
            rank = effective_rank(point.users, point.items)
            best = min(best, (abs(rank / target - 1), point), key=lambda trial: trial[0])
        return best[1]

    def penalty_on_users(self) -> NDArray[np.float64] | float:
        """Return γ H'v v'H."""
        point = self._point
        if point is None or self.config.spectral_penalty == 0:
            return 0.0
        return self.config.spectral_penalty * penalty_matrix(point.items, point.right, point.shares)

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Solve for the users exactly with the items' factors, λ and v as they are."""
        super().fold_in(seen, users, rng)
        if self._users is not None and self._reshaping is not None:
            with blas_on_one_thread():
                self._users[users] = (self._users[users] @ self._reshaping).astype(np.float32)

    def regularization_for_fold_in(self) -> float:
        """Return the λ of the last fit."""
        return self.config.regularization if self._point is None else self._point.regularization

    def remarks(self) -> list[str]:
        """Add effective rank, top singular value and λ to the remarks of `ials`."""
        if self._point is None or self._users is None:
            return super().remarks()
        rank, sigma = self._rank_and_sigma
        remark = (
            f"effective rank {rank:.4g} of the score matrix at dim = {self.config.dim}; top singular value "
            f"{sigma:.4g}; regularization {self._point.regularization:.4g}"
        )
        remarks = [*super().remarks(), remark]
        target = self.config.effective_rank
        if target is not None and abs(rank / target - 1) > self.config.tolerance:
            remarks.append(
                f"warning: {self.kind} reached effective rank {rank:.4g} where effective_rank = {target:g} was "
                "asked for: the log is too small for more, or raise iterations or tolerance"
            )
        return remarks

    def state(self) -> State:
        """Return factors, past singular vectors, λ, and what is known of cold users and items."""
        state = super().state() or {}
        if self._point is not None:
            state |= {f"point.{name}": np.array(value) for name, value in vars(self._point).items()}
            state["found"] = np.array(self._rank_and_sigma)
        if self._reshaping is not None:
            state["turn"] = self._reshaping.copy()
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        super().restore(state)
        self._reshaping = np.array(state["turn"]) if "turn" in state else None
        if "point.users" in state:
            parts: dict[str, Any] = {
                name.removeprefix("point."): np.array(value)
                for name, value in state.items()
                if name.startswith("point.")
            }
            parts |= {"regularization": float(parts["regularization"]), "sweeps": int(parts["sweeps"])}
            self._point = Point(**parts)
            rank, sigma = state["found"]
            self._rank_and_sigma = float(rank), float(sigma)
