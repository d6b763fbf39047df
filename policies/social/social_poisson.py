"""Social Poisson factorization: takes come from users' own tastes or are copied from their friends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from ...config import Config as BaseConfig
from ...errors import PolicyError
from ...machine import blas_on_one_thread
from ..base import ScorePolicy, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from .copying import CopyingData, copying_data, unordered_round
from .poisson_cavi import Gammas, Posterior
from .poisson_scores import PosteriorMeans, common_ties, posterior_means
from .social_ties import Ties, social_ties

SF_FLOOR = 1e-10
"""Expected count of a pair without the factors (mode = "sf")."""
START_SPREAD = 0.05
"""Relative spread of the random initialization: wider ones end in lower bounds."""
_PARTS = ("users", "items", "ties")


class SocialPoisson(ScorePolicy):
    """Poisson factorization with friends as a source of takes (spf), without them (pf), or only them (sf).

    score(u, i) = E[θ_u]ᵀE[β_i] + Σ_{v ∈ friends of u} E[τ_uv] r_vi; Chaney, Blei, Eliassi-Rad (RecSys 2015).

    r_ui | friends ~ Poisson(θ_uᵀβ_i + Σ_v τ_uv r_vi), θ_uk, β_ik ~ Gamma(0.3, 0.3), τ_uv ~ Gamma(2, 5). Mode
    "pf" drops the social term, "sf" the factors (leaving 1e-10). Fitted by coordinate ascent on the evidence
    lower bound (`poisson_cavi`): φ^M_uik ∝ G[θ_uk]G[β_ik], φ^S_uiv ∝ G[τ_uv] r_vi, normalized jointly, with
    shapes prior + Σ r φ and rates prior + Σ_i E[β_ik], prior + Σ_u E[θ_uk], prior + Σ_i r_vi over everything,
    zeros included.

    Unlike in the paper's text, φ has geometric means, as in its code; unlike in its code, shapes start
    from the prior in every pass, every log-expectation has its rate, τ is not kept near 0 at first, and counts
    stay counts (`binary` makes them 1). One pass updates all of θ, then τ, then β, instead of a loop per user.

    With reciprocal ties the conditionals above have no common joint distribution. `time_ordered` gives them one, by
    the chain rule: the sources of a take at round t are the base θ_uᵀβ_i and τ_uv times v's takes of i before t.
    That is the likelihood Σ_takes log(θ_uᵀβ_i + Σ_v τ_uv r_vi^{<t}) − Σ_ui θ_uᵀβ_i − Σ_uv τ_uv R_v of a
    process in which every take of v is followed by τ_uv takes by u on average, at any delay; copies after the
    end of the log are neglected. The rate of τ_uv is prior + R_v: all takes of v if u may take an
    item again; with `binary`, the takes of v of what u did not have yet, since only those could be copied. An
    imported log without timestamps has no order: the paper's model holds for it.

    `activity_shape` a' gives every user and item a separate rate, θ_uk ~ Gamma(0.3, ξ_u) with
    ξ_u ~ Gamma(a', a'/0.3), and β_ik likewise: the extension of hierarchical Poisson factorization (Gopalan,
    Hofman and Blei, UAI 2015). It is not part of the social model's paper; "pf" with it is that method.

    An item that nobody took has the prior's factors, the same for all, and a random order drawn at fit. A user
    without history is ranked by friends; with no friend who took anything, by bestsellers (in "sf", whatever
    the history). A tie that is new since the last fit has the τ of a tie along which nothing was copied. Cost
    per pass: O(pairs·dim + friends' earlier takes) + (users + items)·dim digammas; ranking: a factor model's,
    plus the friends' histories.
    """

    kind = "social_poisson"
    library_bytes = 12 * 2**20  # Its compiled code
    weighs_entries = True
    weighs_when = {"mode": "pf", "binary": False}  # Takes of friends are counts, not weights
    block = 64
    space = {
        "dim": Choice((8, 16, 32, 64, 128)),
        "influence_shape": Range(0.1, 5),
        "influence_rate": Range(1, 100),
        "factor_shape": Range(0.1, 2),
        "activity_shape": Range(0.1, 10),
    }

    class Config(BaseConfig):
        mode: Literal["spf", "pf", "sf"] = "spf"
        """Factors and friends, factors only (Poisson factorization), or friends only."""
        dim: int = Field(default=32, ge=1, le=4096)
        """Dimensions of the factors (spf, pf)."""
        influence: Literal["learned", "fixed"] = "learned"
        """Learn τ of every tie, or fix it at 1."""
        time_ordered: bool = True
        """Only a friend's earlier takes can have been copied; false: the paper's model."""
        binary: bool = False
        """Use whether (and when first) a pair was taken, not how often."""
        factor_shape: float = Field(default=0.3, ge=0.03, le=1e4)
        """Shape of the prior of θ and β; below 1 it makes them sparse."""
        factor_rate: float = Field(default=0.3, ge=1e-4, le=1e4)
        """Rate of the prior of θ and β."""
        activity_shape: float | None = Field(default=None, gt=0)
        """Gives every user and item a separate prior rate, ξ ~ Gamma(this, this / factor_rate); none when omitted."""
        influence_shape: float = Field(default=2.0, ge=0.03, le=1e6)
        """Shape of the prior of τ."""
        influence_rate: float = Field(default=5.0, ge=1e-4, le=1e6)
        """Rate of the prior of τ, whose mean is shape / rate."""
        iterations: int = Field(default=100, ge=1)
        """Maximum number of passes of a fit from scratch, and of a fold-in."""
        refit_iterations: int = Field(default=5, ge=1)
        """Passes of a refit with warm start."""
        tolerance: float = Field(default=1e-3, ge=0)
        """A fit from scratch ends when ten passes raise the bound by less than this share; 0: never."""
        warm_start: bool = True
        """Start a refit from the last posterior."""
        window: int | None = Field(default=None, ge=1)
        """Learn from the last so many rounds only; all time when omitted."""

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._cold: ColdStart | None = None
        self._posterior: Posterior | None = None
        self._ties = _no_ties(0)
        self._means: PosteriorMeans | None = None

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Maximize the evidence lower bound; from the last posterior if there is one."""
        config = self.config
        counts = seen.counts_in(self.config.window)
        self._cold, self._means = ColdStart(counts, rng), None
        ties = self._social(seen)
        if counts.nnz == 0:
            self._posterior = None
            return
        data = self._data(seen, ties)
        with blas_on_one_thread():
            if config.warm_start and self._posterior is not None:
                posterior = self._start(seen, ties, data)
                posterior.ascend(data, config.refit_iterations, 0.0)
            else:
                posterior = self._start(seen, ties, data, rng)
                posterior.ascend(data, config.iterations, config.tolerance)
        self.require_finite(
            "raise factor_shape or the rates of the priors",
            *(getattr(posterior, name).shape for name in _PARTS),
        )
        self._posterior, self._ties = posterior, ties

    def _social(self, seen: Observation) -> Ties:
        return _no_ties(seen.n_users) if self.config.mode == "pf" else social_ties(seen, self.kind)

    def _data(self, seen: Observation, ties: Ties) -> CopyingData:
        log, unordered = seen.last(self.config.window), unordered_round(seen.log)
        if not self.config.time_ordered:
            log, unordered = replace(log, round=np.zeros_like(log.round)), 0
        return copying_data(
            log, ties, seen.n_users, seen.n_items, unordered=unordered, binary=self.config.binary
        )

    def _start(
        self, seen: Observation, ties: Ties, data: CopyingData, rng: Generator | None = None
    ) -> Posterior:
        """Return the last posterior, extended to new users and items; with `rng`, a random initialization instead."""
        config, last = self.config, self._posterior
        dim = 0 if config.mode == "sf" else config.dim
        factor = (config.factor_shape, config.factor_rate)
        influence = (config.influence_shape, config.influence_rate)
        sides = []
        for size, old in (
            (seen.n_users, last and last.users),
            (seen.n_items, last and last.items),
        ):
            shape = np.full((size, dim), factor[0], np.float32)
            side = Gammas(shape, np.full(dim, factor[1]), factor, config.activity_shape or 0.0)
            if rng is not None:
                shape *= 1 + np.float32(START_SPREAD) * rng.random(shape.shape, np.float32)
            elif old is not None:
                known = old.shape.shape[0]
                side.shape[:known], side.own[:known], side.rate = old.shape, old.own, old.rate
            sides.append(side)
        shape = np.full(ties.friend.size, influence[0], np.float32)
        if rng is None and last is not None:
            here, there = common_ties(ties, self._ties)
            shape[here] = last.ties.shape[there]
        strength = Gammas(shape, influence[1] + data.chances, influence)
        floor = SF_FLOOR if config.mode == "sf" else 0.0
        return Posterior(sides[0], sides[1], strength, config.influence == "fixed", floor)

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Iterate θ and τ of these users, with fixed β."""
        if self._posterior is None or self._cold is None:
            return
        ties = self._social(seen)
        data = self._data(seen, ties)
        posterior = self._start(seen, ties, data)
        own = np.isin(ties.follower, users)
        here, there = common_ties(ties, self._ties)
        kept = ~own[here]
        posterior.ties.rate[here[kept]] = self._posterior.ties.rate[there[kept]]
        posterior.users.shape[users] = self.config.factor_shape
        posterior.ties.shape[own] = self.config.influence_shape
        with blas_on_one_thread():
            posterior.fold_in(data, users, np.flatnonzero(own), self.config.iterations)
        warm = self._cold.is_warm(np.arange(seen.n_users, dtype=np.int32))
        warm[users] = np.diff(data.user_pairs)[users] > 0
        self._cold.warm = warm
        self._posterior, self._ties, self._means = posterior, ties, None

    def scores(self, seen: Observation, users: IntArray, rng: Generator) -> FloatArray:
        """Return expected counts from tastes and friends; bestsellers for users about whom neither says anything."""
        if self._cold is None:
            raise PolicyError("social_poisson: rank() before fit()")
        if self._posterior is None:
            return self._cold.fill(np.zeros((users.size, seen.n_items), np.float32), users)
        if self._means is None or self._means.seen is not seen:
            ties, counts = self._social(seen), seen.counts_in(self.config.window)
            self._means = posterior_means(
                seen, self._posterior, self._cold, ties, self._ties, counts, binary=self.config.binary
            )
        means = self._means
        # Always a full block: for fewer rows BLAS may pick another kernel, which rounds differently.
        rows = np.zeros((self.block, means.users.shape[1]), np.float32)
        rows[: users.size] = means.users[users]
        scores = (rows @ means.items)[: users.size]
        scores += means.floor
        from_friends = means.add_friends(users, scores)
        # Without factors, the user's own history is not used.
        lost = ~from_friends if self.config.mode == "sf" else ~(from_friends | self._cold.is_warm(users))
        if lost.any():
            scores[lost] = self._cold.bestsellers(seen.n_items)
        return scores

    def remarks(self) -> list[str]:
        """Warn if there are more dimensions than users or items to learn them from, or no ties."""
        cold, dim = self._cold, self.config.dim
        if cold is None or self._posterior is None:
            return []
        remarks = []
        known = int(min(cold.warm.sum(), (cold.taken > 0).sum()))
        if self.config.mode != "sf" and dim > known:
            remarks.append(
                f"warning: dim = {dim} is more than the {known} users or items that the log of {self.kind} knows: "
                "lower it, or start with a longer log"
            )
        if self.config.mode != "pf" and self._ties.friend.size == 0:
            left = (
                "ranks bestsellers for everybody"
                if self.config.mode == "sf"
                else 'is plain Poisson factorization, its mode "pf"'
            )
            remarks.append(f"warning: the platform sees no social ties, so {self.kind} {left}")
        return remarks

    def state(self) -> State:
        """Return the posterior, the ties it is about, and what is known of cold users and items."""
        if self._cold is None:
            return {}
        state = self._cold.state()
        if self._posterior is not None:
            state |= {"tie_rows": self._ties.indptr, "friends": self._ties.friend}
            for name in _PARTS:
                part = getattr(self._posterior, name)
                state |= {f"{name}_shape": part.shape, f"{name}_rate": part.rate, f"{name}_own": part.own}
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        self._posterior = self._means = None
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        if "users_shape" in state:
            config = self.config
            factor = (config.factor_shape, config.factor_rate)
            own = config.activity_shape or 0.0
            priors = (
                (factor, own),
                (factor, own),
                ((config.influence_shape, config.influence_rate), 0.0),
            )
            users, items, strength = (
                Gammas(
                    np.array(state[f"{name}_shape"]), np.array(state[f"{name}_rate"]), *prior,
                    np.array(state[f"{name}_own"]),
                )
                for name, prior in zip(_PARTS, priors, strict=True)
            )  # fmt: skip
            floor = SF_FLOOR if config.mode == "sf" else 0.0
            self._posterior = Posterior(users, items, strength, config.influence == "fixed", floor)
            self._ties = Ties(np.array(state["tie_rows"]), np.array(state["friends"]))


def _no_ties(users: int) -> Ties:
    return Ties(np.zeros(users + 1, np.int64), np.empty(0, np.int32))
