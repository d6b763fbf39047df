"""Exploration on top of any factor model: ε-greedy, UCB or Thompson sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ...bits import is_set
from ...config import Config as BaseConfig
from ...errors import BadInput, EchodriftError
from ...machine import blas_on_one_thread
from ...philox import uniform
from ..base import FactorPolicy, Policy, Ranking, State
from ..fields import validated
from ..interactions import FloatArray, IntArray, Observation
from ..registry import build_policy, inspected, kinds, policy_class, spec_of
from ..size import Size, dimensions
from ..ties import tie_key
from ..topk import top_k_dense, top_k_factors
from . import bandit_posterior as posterior

USER_BLOCK = 256
"""Users whose confidence widths are computed at once; smaller blocks are padded, so that a score does not depend
on who else is ranked."""
MAX_TRIES = 64
"""Rejection-sampling draws for a random slot before all available items are listed instead."""


class Bandit(Policy):
    """Exploration on top of any factor model: ε-greedy, upper confidence bounds (LinUCB) or Thompson sampling.

    The model's item factors h_i are the contexts of a linear bandit. The posterior of user u has precision
    A_u = λI + Σ_i n_ui h_i h_iᵀ over the items that u was observed with (see `exposures`); its mean is the model's
    own w_u (not the ridge estimate A_u⁻¹Σ h_i: so the ranking without exploration is that of the model). With
    h_i, w_u in the model's own units:

    - "epsilon_greedy": each slot is, with probability ε, an available item drawn uniformly from those not yet
      on the list, and otherwise the best not yet on the list. A drawn item carries the score of the item whose
      slot it took, so scores do not rise along a row.
    - "ucb": score = ⟨w_u, h_i⟩ + α·sqrt(h_iᵀ A_u⁻¹ h_i), as LinUCB (Li, Chu, Langford and Schapire, WWW 2010).
    - "thompson": w̃_u ~ N(w_u, noise²·A_u⁻¹), fresh for each user at each call, then the ranking of w̃_u, as in
      Agrawal and Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013.

    A user's draws depend on the call's key and the user id only, not on who else is ranked.

    Columns that `ColdStart` adds to the factors are no contexts, nor are biases: they are the same for all users.
    Under "ucb" and "thompson", a user without history has mean 0 instead of bestsellers: only the prior remains,
    and the items' biases if the model has them. An item that nobody took has h_i = 0 in most factor models: neither
    of the two explores it, ε-greedy does. With ε, α or noise = 0, or while the model has learned nothing,
    rankings are the model's own, bestsellers included.

    Cost: fit as the model. Rank: that of the model, plus O(n) per user (ε-greedy); plus O(pairs·d²) for A_u
    and O(d³) per user (Thompson); plus O(users·items·d²) (UCB). A_u is recomputed at every call, because a
    running sum would round differently after a checkpoint.
    """

    # No search space: by held-out interactions, exploration only costs.
    kind = "bandit"

    class Config(BaseConfig):
        policy: dict[str, Any] = Field(default={"kind": "matrix_factorization"})
        """The factor model: `kind` and its fields."""
        strategy: Literal["epsilon_greedy", "ucb", "thompson"] = "epsilon_greedy"
        """How it explores."""
        epsilon: float = Field(default=0.1, ge=0, le=1)
        """epsilon_greedy: probability that a slot is drawn at random."""
        exploration: float = Field(default=0.25, ge=0, le=1e6)
        """ucb: α, how many widths to add to a score."""
        noise: float = Field(default=0.25, ge=0, le=1e6)
        """thompson: scale of the draws; 1 is the posterior of observations with unit noise."""
        prior_precision: float = Field(default=1.0, ge=1e-6, le=1e9)
        """ucb, thompson: λ. A user without observations has the prior N(0, I/λ)."""
        exposures: bool = True
        """ucb, thompson: items shown and not taken count as observed too (in the stored slates)."""

        @field_validator("policy", mode="before")
        @classmethod
        def _is_a_table(cls, spec: Any) -> Any:
            if isinstance(spec, str):
                raise ValueError(f'must be a table: policy = {{ kind = "{spec}" }}')  # noqa: TRY004  pydantic's
            return spec

        @field_validator("policy")
        @classmethod
        def _build(cls, spec: dict[str, Any]) -> dict[str, Any]:
            # ValueError is what pydantic attaches to the name of the field.
            try:
                return _checked_model(spec)
            except BadInput as error:
                raise ValueError(str(error)) from None

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.model: Any = build_policy(self.config.policy)

    @classmethod
    def learns_weights(cls, fields: Mapping[str, Any]) -> str | None:
        """Return the answer of the model."""
        spec = cls.Config(**fields).policy
        refusal = policy_class(spec["kind"]).learns_weights({k: v for k, v in spec.items() if k != "kind"})
        return refusal and f"has the model {spec['kind']}, which {refusal}"

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Fit the model."""
        self.model.fit(seen, rng)

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Fold these users into the model."""
        self.model.fold_in(seen, users, rng)

    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Rank with the configured kind of exploration."""
        config = self.config
        users = np.ascontiguousarray(users, np.int32)
        strength = {
            "epsilon_greedy": config.epsilon,
            "ucb": config.exploration,
            "thompson": config.noise,
        }[config.strategy]
        if config.strategy == "epsilon_greedy" or strength == 0:
            ranking = self.model.rank(seen, users, n, rng)
            return self._mixed_in(ranking, seen, tie_key(rng)) if strength > 0 else ranking
        of_users, of_items, width = self._factors(seen, users)
        if width == 0:
            return self.model.rank(seen, users, n, rng)
        observed = posterior.observations(seen, config.exposures)
        contexts = np.ascontiguousarray(of_items[:, :width])
        if config.strategy == "ucb":
            return self._optimistic(seen, users, n, (of_users, of_items, contexts), observed)
        key = tie_key(rng)
        drawn = of_users.copy()
        for rows, part in _blocks(users):
            precision = posterior.precisions(observed, part, contexts, config.prior_precision)
            drawn[rows, :width] += config.noise * posterior.draws(precision, key, part)
        return Ranking(users, *top_k_factors(drawn, of_items, users, n, seen.live, seen.blocked))

    def _factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray, int]:
        """Return the model's factors and how many of their columns are contexts."""
        of_users, of_items = self.model.factors(seen, users)
        learned = of_items.shape[1] - self.model.cold_columns
        width = max(learned - self.model.bias_columns, 0)
        if self.model.cold_columns:
            of_users, cold = of_users.copy(), of_users[:, -1] == 1
            of_users[cold, width:learned] = 1
            # No user gets bestsellers; items without factors keep their random order for everybody.
            of_users[:, -1], of_users[:, -2] = 0, 1
        return of_users, of_items, width

    def _optimistic(self, seen: Observation, users: IntArray, n: int, factors: Any, observed: Any) -> Ranking:
        of_users, of_items, contexts = factors
        items, best = np.empty((users.size, n), np.int32), np.empty((users.size, n), np.float32)
        for rows, part in _blocks(users):
            # Padding users get the precision of the block's first user; their results are discarded.
            full = np.concatenate([part, np.repeat(part[:1], USER_BLOCK - part.size)])
            precision = posterior.precisions(observed, full, contexts, self.config.prior_precision)
            scores = posterior.widths(precision, contexts)
            scores *= np.float32(self.config.exploration)
            left = np.zeros((USER_BLOCK, of_users.shape[1]), np.float32)
            left[: part.size] = of_users[rows]
            with blas_on_one_thread():
                scores += left @ of_items.T
            items[rows], best[rows] = top_k_dense(scores[: part.size], part, n, seen.live, seen.blocked)
        return Ranking(users, items, best)

    def _mixed_in(self, ranking: Ranking, seen: Observation, key: np.uint64) -> Ranking:
        items, scores = np.full_like(ranking.items, -1), np.full_like(ranking.scores, -np.inf)
        given = ranking.users, ranking.items, ranking.scores
        _explore(key, self.config.epsilon, *given, seen.live, seen.blocked.bits, items, scores)
        return Ranking(ranking.users, items, scores)

    def memory(self, size: Size) -> float:
        """Add to the model's the precision matrices of a block of users, and its scores.

        The matrices exist with their inverses; "ucb" also multiplies every item's factors with each other.
        """
        width = dimensions(self.model.config)
        block = min(USER_BLOCK, size.users) * (4 * width * width * 8 + 3 * size.items * 4)
        products = min(posterior.ITEM_BLOCK, size.items) * width * width * 2
        return self.model.memory(size) + block + products

    def remarks(self) -> list[str]:
        """Return the remarks of the model."""
        return self.model.remarks()

    @property
    def keeps_state(self) -> bool:
        return self.model.keeps_state

    def state(self) -> State | None:
        """Return the model's state: everything else is in the observation."""
        return self.model.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Let the model take over its state."""
        self.model.restore(state)


def _checked_model(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a factor model with every default; the code of a class that is not built in is not called."""
    model = inspected("policies", spec)
    if isinstance(model, FactorPolicy):
        return spec_of(model)
    if isinstance(model, type) and issubclass(model, FactorPolicy):
        fields = {name: value for name, value in spec.items() if name != "kind"}
        filled = validated(str(spec["kind"]), model.Config, fields)
        return {"kind": spec["kind"], **filled.model_dump(mode="json", exclude_none=True)}
    raise BadInput(
        f'"{spec["kind"]}" has no factors to explore. Allowed: {", ".join(_factor_kinds())}, or a class of your '
        "own that derives from FactorPolicy"
    )


def _factor_kinds() -> list[str]:
    """Return the available kinds of factor models."""
    found = []
    for kind in kinds():
        try:
            if issubclass(policy_class(kind), FactorPolicy):
                found.append(kind)
        except (ImportError, EchodriftError):
            continue  # A third-party kind that cannot be imported is not available
    return found


def _blocks(users: IntArray) -> list[tuple[slice, IntArray]]:
    starts = range(0, users.size, USER_BLOCK)
    return [(slice(at, min(at + USER_BLOCK, users.size)), users[at : at + USER_BLOCK]) for at in starts]


@njit(cache=True)
def _explore(key, epsilon, users, ranked, given, live, bits, items, scores):
    """Fill `items` and `scores` slot by slot from the ranked rows and from random available items."""
    listed = np.full(live.size, -1, np.int64)
    for b in range(users.size):
        user, best, counter = users[b], 0, 0
        for slot in range(ranked.shape[1]):
            if ranked[b, slot] < 0:
                break  # The model's row is exhausted: there are no more items
            while listed[ranked[b, best]] == b:
                best += 1
            item = ranked[b, best]
            scores[b, slot] = given[b, best]
            if uniform(key, 0, user, counter) < epsilon:
                item = -1
                for attempt in range(MAX_TRIES):
                    tried = int(uniform(key, 0, user, counter + 1 + attempt) * live.size)
                    if live[tried] and listed[tried] != b and not is_set(bits, user, tried):
                        item = tried
                        break
                if item < 0:
                    item = _random_available(
                        uniform(key, 0, user, counter + 1 + MAX_TRIES), b, user, listed, live, bits
                    )
            counter += 2 + MAX_TRIES
            items[b, slot] = item
            listed[item] = b


@njit(cache=True)
def _random_available(draw, b, user, listed, live, bits):
    """Return the item that a uniform draw selects among the available ones not yet on the list."""
    left = np.empty(live.size, np.int32)
    size = 0
    for item in range(live.size):
        if live[item] and listed[item] != b and not is_set(bits, user, item):
            left[size] = item
            size += 1
    return left[int(draw * size)]
