"""Matrix factorization trained on the expected value of whole lists to users who take only a few items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from ...config import Config as BaseConfig
from ...errors import PolicyError, WrongFields
from ...machine import blas_on_one_thread
from ..base import FactorPolicy, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..profiles import topic_profiles
from ..search_space import Choice, Range
from .fitted_factors import is_collapsed
from .list_objective import Values, satisfaction, score_gradient

BATCH = 64
"""Users per step of the optimizer."""
INIT_SCALE = 0.1
"""Standard deviation of fresh factors."""


class ListMF(FactorPolicy):
    """Matrix factorization trained for the list as a whole: its expected satisfaction when a few items are taken.

    score(u, i) = ⟨w_u, h_i⟩ + b_i, learned from the lists that these scores produce, not only from single items.
    Maximizes, with N_u the number of entries of user u and λ = `list_weight`:
        Σ_u N_u [(1 − λ)·mean over u's entries of log softmax_i(s_u) + λ·Σ_t p_ut V(a_ut) / V(n)]
        − (`regularization` / 2)(‖W‖² + ‖H‖²).
    The second term is the expected satisfaction of Peng, Raghavan, Pierson, Kleinberg and Garg (WWW 2024): a
    person wants one topic t, with probability p_ut (here the share of t in u's history), and takes the
    `consumed` best of the a_ut items of that topic among the n = `list_length` that score best, whose values
    are drawn from `values` (V: `list_objective.satisfaction`). Division by V(n) makes it relative to a list
    that is built with t known.

    The training is ours; the paper does not treat it. The direction of the second term is what each item adds, or
    would add, to the list of the n best, carried over to the scores by a soft list whose edge is `temperature` wide
    (`list_objective.score_gradient`). Two simpler ways do not work: a softmax fitted to histories already divides
    its *mass* over topics like the histories, but its n largest scores may still share one topic; and V of the
    expected places is satisfied with many items that are each half on the list (trained that way, lists missed the
    best ones by 4 of 10 places in the test where they now miss them by less than 1).
    λ = 0 is matrix factorization with a full softmax loss; λ = 1 distinguishes items by their topics only (within
    a topic, the initial order by how often items were taken mostly persists). Cool-downs are ignored: the list
    is that of a user to whom all live items are available. Mini-batch Adagrad on blocks of users, manual gradients.

    What to expect: lists of higher expected satisfaction, not necessarily of more topics. Where the best list is
    concentrated (one dominant taste, low `success`, `consumed` near n), λ removes topics. The list term pulls the
    factors more weakly than the likelihood does: choose `regularization` anew for every λ; near λ = 1 the
    default leaves everybody with nearly the same list.

    Users without history get bestsellers; items that nobody took rank below all others, in random order.
    Cost per pass: O(users·items·(dim + topics)); ranking as a factor model.
    """

    kind = "list_mf"
    library_bytes = 40 * 2**20  # Its compiled code
    weighs_entries = True
    reads_tags = True
    cold_columns = 2
    bias_columns = 1
    space = {
        "dim": Choice((8, 16, 32, 64)),
        "list_weight": Range(0.05, 0.95, log=False),
        "regularization": Range(0.1, 100),
        "learning_rate": Range(0.02, 0.5),
        "temperature": Range(0.2, 2),
    }

    class Config(BaseConfig):
        dim: int = Field(default=32, ge=1, le=4096)
        """Dimensions of the factors."""
        list_weight: float = Field(default=0.3, ge=0, le=1)
        """λ: 0 fits single items only, 1 considers the topics of the list only."""
        list_length: int = Field(default=10, ge=1, le=1000)
        """n: length of the list to train for."""
        consumed: int = Field(default=1, ge=1, le=1000)
        """k: how many items a person takes from it at most."""
        values: Values = "bernoulli"
        """Worth of an item of the wanted topic: bernoulli, uniform, exponential or pareto."""
        success: float = Field(default=0.2, ge=1e-6, lt=1)
        """bernoulli: the probability that one such item satisfies."""
        tail: float = Field(default=3.0, gt=1)
        """pareto: the exponent; the lower, the heavier the tail."""
        temperature: float = Field(default=0.5, ge=0.1, le=100)
        """Width of the soft list's edge, in units of the score."""
        regularization: float = Field(default=10.0, ge=0, le=1e9)
        """Penalty on every factor row; biases are not penalized."""
        learning_rate: float = Field(default=0.1, gt=0)
        """Step size of Adagrad."""
        iterations: int = Field(default=20, ge=1)
        """Passes of a fit from scratch."""
        refit_iterations: int = Field(default=1, ge=1)
        """Passes of a refit with warm start."""
        warm_start: bool = True
        """Start a refit from the last parameters."""
        window: int | None = Field(default=None, ge=1)
        """Learn from the last so many rounds only; all time when omitted."""

        @model_validator(mode="after")
        def _fits_the_list(self):
            if self.consumed > self.list_length:
                raise WrongFields(
                    f"consumed = {self.consumed} is more than list_length = {self.list_length}: "
                    "nobody takes more than the list holds. Lower consumed",
                    "consumed",
                    "list_length",
                )
            return self

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._cold: ColdStart | None = None
        self._parameters: dict[str, FloatArray] = {}
        config = self.config
        self._table = satisfaction(
            config.values, config.list_length, config.consumed, config.success, config.tail
        )

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Train on the log; from the last parameters if there are any."""
        counts = seen.counts_in(self.config.window)
        self._cold = cold = ColdStart(counts, rng)
        warm = self.config.warm_start and bool(self._parameters)
        if counts.nnz == 0:
            self._parameters = {}
            return
        self._parameters = self._grown(counts.shape, self._parameters if warm else {}, rng)
        passes = self.config.refit_iterations if warm else self.config.iterations
        self._train(seen, counts, np.flatnonzero(cold.warm).astype(np.int32), passes, rng)

    def _grown(
        self, shape: tuple[int, int], old: dict[str, FloatArray], rng: Generator
    ) -> dict[str, FloatArray]:
        """Return parameters and Adagrad's sums for so many users and items, the old ones where there are any."""
        assert self._cold is not None
        users, items = shape
        dim, draw = self.config.dim, lambda rows: INIT_SCALE * rng.standard_normal((rows, self.config.dim))
        taken = self._cold.taken
        out = {
            "users": draw(users),
            "items": draw(items),
            "biases": np.log((taken + 1) / taken.sum()),
            "users.sums": np.zeros((users, dim)),
            "items.sums": np.zeros((items, dim)),
            "biases.sums": np.zeros(items),
        }
        out = {name: array.astype(np.float32) for name, array in out.items()}
        known = {"users": users, "items": items, "biases": items}
        if old:
            trained = np.zeros(items, bool)
            trained[: old["trained"].size] = old["trained"] > 0
            for name in known:
                for part in (name, f"{name}.sums"):
                    # An item that was never taken before was never trained: it gets fresh parameters.
                    keep = slice(0, len(old[part])) if name == "users" else np.flatnonzero(trained)
                    out[part][keep] = old[part][keep]
        out["trained"] = (taken > 0).astype(np.float32)
        return out

    def _train(
        self, seen: Observation, counts: sparse.csr_matrix, users: IntArray, passes: int, rng: Generator,
        of_items: bool = True,
    ) -> None:  # fmt: skip
        """Pass over `users`; with of_items=False only their rows change. Parameters are replaced, not modified."""
        config, parameters = self.config, {name: array.copy() for name, array in self._parameters.items()}
        known = np.flatnonzero(parameters["trained"])
        histories = counts[:, known]
        shares = topic_profiles(seen, window=config.window).astype(np.float32)
        tags, live = seen.tags[known], seen.live[known]
        compact = {name: parameters[name][known] for name in ("items", "items.sums", "biases", "biases.sums")}
        items, biases = compact["items"], compact["biases"]
        step, penalty = np.float32(config.learning_rate), np.float32(config.regularization)
        users = users[np.diff(histories.indptr)[users] > 0]
        with blas_on_one_thread(), np.errstate(over="ignore", invalid="ignore"):
            for _ in range(passes):
                order = rng.permutation(users)
                for start in range(0, order.size, BATCH):
                    rows = order[start : start + BATCH]
                    own = parameters["users"][rows]
                    scores = own @ items.T + biases
                    _, slope = score_gradient(
                        scores, histories[rows], shares[rows], tags, live, self._table,
                        config.temperature, config.list_weight,
                    )  # fmt: skip
                    of_own = slope @ items - penalty * own
                    if of_items:
                        share = np.float32(rows.size / order.size)
                        _adagrad_step(
                            items, compact["items.sums"], slope.T @ own - share * penalty * items, step
                        )
                        _adagrad_step(biases, compact["biases.sums"], slope.sum(axis=0), step)
                    sums = parameters["users.sums"][rows]
                    _adagrad_step(own, sums, of_own, step)
                    parameters["users"][rows], parameters["users.sums"][rows] = own, sums
        for name, array in compact.items():
            parameters[name][known] = array
        self.require_finite("lower learning_rate", *parameters.values())
        self._parameters = parameters

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Draw and train these users' rows; item parameters do not change."""
        if self._cold is None or not self._parameters:
            return
        counts = seen.counts_in(self.config.window)[:, : self._cold.taken.size]
        old, dim = self._parameters, self.config.dim
        size = max(len(old["users"]), seen.n_users)
        rows = {name: np.zeros((size, dim), np.float32) for name in ("users", "users.sums")}
        warm = np.zeros(size, bool)
        warm[: self._cold.warm.size] = self._cold.warm
        for name, array in rows.items():
            array[: len(old[name])] = old[name]
            array[users] = 0
        rows["users"][users] = INIT_SCALE * rng.standard_normal((len(users), dim))
        self._parameters = old | rows
        self._train(seen, counts, np.asarray(users, np.int32), self.config.iterations, rng, of_items=False)
        warm[users] = np.diff(counts.indptr)[users] > 0
        self._cold.warm = warm

    def factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return (w, 1) and (h, b) with the two columns of `ColdStart.factors`."""
        if self._cold is None:
            raise PolicyError("list_mf: rank() before fit()")
        if not self._parameters:
            return self._cold.factors(None, None, users, seen.n_items)
        of_users, of_items, biases = (self._parameters[name] for name in ("users", "items", "biases"))
        known = self._parameters["trained"] > 0
        # No score of a known item can be lower: |⟨w, h⟩| ≤ |w||h|.
        reach = np.linalg.norm(of_users, axis=1).max() * np.linalg.norm(of_items[known], axis=1).max()
        items = np.zeros((seen.n_items, self.config.dim + 1), np.float32)
        items[:, -1] = biases[known].min() - reach - 1 - self._cold.ties(seen.n_items)
        items[: known.size][known] = np.column_stack([of_items, biases])[known]
        rows = np.column_stack([of_users, np.ones(len(of_users), np.float32)])
        return self._cold.factors(rows, items, users, seen.n_items)

    def remarks(self) -> list[str]:
        """Warn if there are more dimensions than data, or if regularization has shrunk all factors to nearly 0."""
        if self._cold is None or not self._parameters:
            return []
        remarks = self.dim_warning(self._cold.warm, self._cold.taken)
        users, items = self._parameters["users"][self._cold.warm], self._parameters["items"]
        if is_collapsed(users, items[self._cold.taken > 0]):
            remarks.append(
                f"warning: regularization = {self.config.regularization:g} is too strong for this log: all factors "
                f"are nearly 0, so {self.kind} ranks by its biases, the same for everybody. Lower it"
            )
        return remarks

    def state(self) -> State:
        """Return the parameters, Adagrad's sums, and what is known of cold users and items."""
        return {} if self._cold is None else {**self._cold.state(), **self._parameters}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        names = [f"{name}{part}" for name in ("users", "items", "biases") for part in ("", ".sums")]
        self._parameters = {name: np.array(state[name]) for name in [*names, "trained"] if name in state}


def _adagrad_step(values: FloatArray, sums: FloatArray, slope: NDArray[Any], step: np.float32) -> None:
    """Take one step of Adagrad upward, in place."""
    sums += slope * slope
    values += step * slope / (np.sqrt(sums) + np.float32(1e-8))
