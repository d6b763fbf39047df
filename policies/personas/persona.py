"""AMP-CF: each user has several persona vectors, weighted by their attention to the candidate item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ...config import Config as BaseConfig
from ...errors import BadInput, PolicyError
from ...machine import blas_on_one_thread
from ..base import ScorePolicy, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from ..size import Size
from . import persona_attention as attending
from . import persona_training as training
from .persona_training import Objective, Parameters

SUMS_PREFIX = "sums."
"""Prefix of Adagrad's sums in the state."""


@dataclass(frozen=True)
class Explanation:
    """The persona behind a recommendation, and the past items that it explains."""

    persona: int
    """Index of the persona with the largest attention for the item."""
    attention: float
    """Its attention, from 1/personas to 1."""
    items: IntArray
    """(m,) items of the user's history, by decreasing attention of this persona."""
    attentions: FloatArray
    """(m,) the attention of this persona to each of them."""


class Persona(ScorePolicy):
    """AMP-CF: matrix factorization with several vectors (personas) per user, weighted by attention to each item.

    score(u, j) = ⟨x_u(j), v_j⟩ + b_j, with x_u(j) = Σ_k a_uk(j)·p_uk over the user's personas p_u1 … p_uK.

    Attention a_uk(j) = softmax_k(cos(A_u p_uk, A_v v_j)/temperature). Loss per entry (u, j) of the log, with
    N = `negatives` items drawn by how often they were taken: L_D = −y_uj + log Σ_{j' ∈ {j} ∪ negatives}
    exp(y_uj'), plus (λ/2)(Σ_k‖p_uk‖² + ‖v_j‖²). With `lambda_p` or `lambda_n` above 0 it becomes
    alpha·L_D + (1 − alpha)(lambda_p·H(a | positive) − lambda_n·mean H(a | negatives)): sharp attention on what
    was taken, flat elsewhere. Mini-batch Adagrad. With K = 1 this is matrix factorization with a softmax loss.

    Source: Barkan, Fuchs, Caciularu and Koenigstein, "Explainable Recommendations via Attentive Multi-Persona
    Collaborative Filtering", RecSys 2020 (no official code; the entropy terms are those of the later version,
    as public reimplementations have them). Ours, where the sources are silent: Adagrad; the L2 term; A_u and
    A_v start as the identity, so that a persona first attends to the items near it, and personas start as
    independent draws: the cosine depends on their directions only, so they attend differently from the first step.
    A negative that equals the positive is kept, otherwise the loss would not approach the full softmax as N grows.

    `log_q` subtracts log p(j), the log probability of being drawn, from each score in the loss (Bengio and Senécal,
    IEEE Transactions on Neural Networks 2008), so that y estimates log p(j|u). Without it, as the sources write
    the loss, y estimates log p(j|u)/p(j), which favors niche items over their share. On by default: on the
    default study's first log NDCG@10 is 0.099 with it and 0.007 without (popularity: 0.089).

    Pitfall: cosines lie in [−1, 1], so at temperature 1 no persona gets more than e² times the attention of
    another, at most e²/(e² + K − 1) of it (K = 4: 0.71). Lower `temperature`, or learn it, for personas to
    specialize.

    A user without history gets bestsellers; items that nobody took rank below all others, in random order.
    Cost: O(entries·N·K·(d + d_a)) per pass; ranking O(users·items·K·(d + d_a)), no fast path.
    """

    kind = "persona"
    space = {
        "personas": Choice((1, 2, 4, 8)),
        "dim": Choice((8, 16, 32, 64)),
        "temperature": Range(0.05, 2),
        "learning_rate": Range(0.02, 0.5),
        "regularization": Range(3e-3, 0.5),
        "log_q": Choice((False, True)),
    }

    class Config(BaseConfig):
        personas: int = Field(default=4, ge=1, le=64)
        """K: vectors per user."""
        dim: int = Field(default=16, ge=1, le=1024)
        """Dimensions of personas and items."""
        attention_dim: int | None = Field(default=None, ge=1, le=1024)
        """d_a: dimensions in which attention compares them; `dim` when omitted."""
        temperature: float = Field(default=1.0, ge=training.MIN_TEMPERATURE, le=training.MAX_TEMPERATURE)
        """Divides the cosines: the lower, the sharper the attention. With learn_temperature, where it starts."""
        learn_temperature: bool = False
        """Train one temperature for all users along with the rest."""
        negatives: int = Field(default=16, ge=1, le=4096)
        """N: items drawn against every positive."""
        negative_sampling: Literal["unigram", "uniform"] = "unigram"
        """Draw them in proportion to how often they were taken, or uniformly."""
        log_q: bool = True
        """Correct the loss for how negatives are drawn (changes nothing with "uniform")."""
        alpha: float = Field(default=0.5, ge=0, le=1)
        """Weight of L_D against the entropy terms; no effect if the weights of both of these are 0."""
        lambda_p: float = Field(default=0.0, ge=0)
        """Weight of the attention's entropy on positives."""
        lambda_n: float = Field(default=0.0, ge=0)
        """Weight of minus the attention's entropy on negatives."""
        regularization: float = Field(default=0.1, ge=0, le=1e9)
        """λ, applied once per entry of the log."""
        binary: bool = False
        """Train on whether a pair was taken, not on every take."""
        learning_rate: float = Field(default=0.1, gt=0)
        """Step size of Adagrad."""
        iterations: int = Field(default=10, ge=1)
        """Passes of a fit from scratch."""
        refit_iterations: int = Field(default=2, ge=1)
        """Passes of a refit with warm start."""
        warm_start: bool = True
        """Start a refit from the last parameters."""
        window: int | None = Field(default=None, ge=1)
        """Learn from the last so many rounds only; all time when omitted."""

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._parameters: Parameters | None = None
        self._sums: Parameters = {}
        self._cold: ColdStart | None = None
        self._taken = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int64)
        self._histories: sparse.csr_matrix | None = None

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Train on the log; from the last parameters if there are any."""
        counts = seen.counts_in(self.config.window)
        self._cold, self._histories = ColdStart(counts, rng), counts
        self._lengths = np.diff(counts.indptr)
        config = self.config
        if counts.nnz == 0:
            self._parameters, self._sums = None, {}
            return
        users, items = self._entries(counts)
        self._taken = np.bincount(items, minlength=seen.n_items)
        shape = (seen.n_users, seen.n_items, config.personas, config.dim, config.attention_dim or config.dim)
        fresh = training.initial(*shape, rng)
        fresh["log_temperature"][:] = np.log(config.temperature)
        sums = {name: np.zeros_like(array) for name, array in fresh.items()}
        passes = config.iterations
        if config.warm_start and self._parameters is not None:
            passes = config.refit_iterations
            for new, old in ((fresh, self._parameters), (sums, self._sums)):
                for name, array in old.items():
                    new[name][: len(array)] = array
        self._parameters, self._sums = fresh, sums
        self._train(users, items, passes, self._trained(), rng)

    def _entries(self, counts: sparse.csr_matrix) -> tuple[IntArray, IntArray]:
        """Return users and items of the entries to learn from."""
        pairs = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
        if self.config.binary:
            return pairs, counts.indices
        times = counts.data.astype(np.int64)
        return np.repeat(pairs, times), np.repeat(counts.indices, times)

    def _trained(self) -> tuple[str, ...]:
        maps = ("user_map", "item_map") if self.config.personas > 1 else ()
        learned = ("log_temperature",) if self.config.learn_temperature else ()
        return ("personas", "items", "biases", *maps, *learned)

    def _train(
        self, users: IntArray, items: IntArray, passes: int, names: tuple[str, ...], rng: Generator
    ) -> None:
        """Pass over the entries; update only the named parameters, in place."""
        config, parameters, taken = self.config, self._parameters, self._taken
        assert parameters is not None
        source: IntArray | int = taken.size
        log_q = np.zeros(taken.size, np.float32)
        if config.negative_sampling == "unigram":
            source = np.repeat(np.arange(taken.size, dtype=np.int32), taken)
            if config.log_q:
                log_q = np.log(np.maximum(taken, 1) / taken.sum()).astype(np.float32)
        alpha = config.alpha if config.lambda_p > 0 or config.lambda_n > 0 else 1.0
        entropies = (1 - alpha) * config.lambda_p, (1 - alpha) * config.lambda_n
        objective = Objective(alpha, *entropies, config.regularization)
        with blas_on_one_thread(), np.errstate(over="ignore", invalid="ignore"):
            for _ in range(passes):
                for who, candidates in training.batches(users, items, source, config.negatives, rng):
                    _, rows, columns, found = training.gradients(
                        parameters, who, candidates, log_q, objective
                    )
                    training.step(parameters, self._sums, rows, columns, found, config.learning_rate, names)
        self.require_finite("lower learning_rate", *parameters.values())

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Draw and train these users' personas; items, maps and temperature stay."""
        cold = self._cold
        if self._parameters is None or cold is None:
            return
        histories = seen.counts_in(self.config.window)
        self._histories, counts = histories, histories[:, : self._taken.size]
        mine = np.zeros(counts.shape[0], bool)
        mine[users] = True
        for table in (self._parameters, self._sums):
            old = table["personas"]
            table["personas"] = np.zeros((max(len(old), mine.size), *old.shape[1:]), np.float32)
            table["personas"][: len(old)] = old
            table["personas"][users] = 0
        fresh = self._parameters["personas"]
        fresh[users] = training.draw((len(users), *fresh.shape[1:]), rng)
        who, items = self._entries(counts)
        chosen = mine[who]
        self._train(who[chosen], items[chosen], self.config.iterations, ("personas",), rng)
        warm = np.zeros(fresh.shape[0], bool)
        warm[: cold.warm.size] = cold.warm
        warm[users] = np.diff(counts.indptr)[users] > 0
        cold.warm = warm

    def scores(self, seen: Observation, users: IntArray, rng: Generator) -> FloatArray:
        """Return y for every user and item, bestsellers for users without history."""
        if self._cold is None:
            raise PolicyError("persona: rank() before fit()")
        scores = np.zeros((users.size, seen.n_items), np.float32)
        if self._parameters is not None:
            known, warm = self._taken > 0, self._cold.is_warm(users)
            scores[warm] = self._with_untaken_below(
                attending.scores(self._parameters, users[warm], known), known, seen.n_items
            )
        return self._cold.fill(scores, users)

    def _with_untaken_below(self, scores: FloatArray, known: NDArray[np.bool_], n_items: int) -> FloatArray:
        """Return scores of all items; those that nobody took are below the rest of the row, in random order."""
        assert self._cold is not None
        everything = np.empty((len(scores), n_items), np.float32)
        taken = np.zeros(n_items, bool)
        taken[: known.size] = known
        everything[:, taken] = scores
        floor = scores.min(axis=1, keepdims=True) - 1
        everything[:, ~taken] = floor - self._cold.ties(n_items)[~taken]
        return everything

    def explain(self, user: int, item: int, seen: Observation | None = None) -> Explanation:
        """Return the persona with the most attention to `item` for `user`, and the past items that it explains.

        The history is that of `seen`, or that of the last fit, which `restore` does not bring back. BadInput
        where the last fit knows nothing of the user or of the item.
        """
        parameters, cold = self._parameters, self._cold
        if parameters is None or cold is None or user < 0 or not cold.is_warm(np.array([user]))[0]:
            raise BadInput(
                f"persona cannot explain anything to user {user}: the last fit had no history of them"
            )
        known = self._taken > 0
        if not 0 <= item < known.size or not known[item]:
            raise BadInput(f"persona cannot explain item {item}: nobody had taken it at the last fit")
        histories = self._histories if seen is None else seen.counts_in(self.config.window)
        if histories is None:
            raise BadInput(
                "persona cannot explain anything without histories, which a restored policy does not hold: "
                "explain(user, item, seen) takes those of an observation"
            )
        row = histories[user].indices
        history = row[(row < known.size) & known[np.minimum(row, known.size - 1)]]
        asked = np.concatenate([[item], history]).astype(np.int32)
        attention = self.attention(user, asked)
        persona = int(attention[0].argmax())
        weights = attention[1:, persona]
        order = np.argsort(-weights, kind="stable")
        return Explanation(persona, float(attention[0, persona]), asked[1:][order], weights[order])

    def attention(self, user: int, items: IntArray) -> FloatArray:
        """Return (len(items), personas): the attention of each of the user's personas to each item."""
        if self._parameters is None:
            raise PolicyError("persona: attention() before fit()")
        return attending.weights(self._parameters, user, items)

    def memory(self, size: Size) -> float:
        """Return the bytes of as many factors as there are personas, and of a block of scores."""
        return size.factors(self.config.dim * self.config.personas) + size.dense_scores

    def remarks(self) -> list[str]:
        """Warn if histories are shorter than the number of personas, or if there are more dimensions than rows."""
        if self._parameters is None:
            return []
        config, lengths = self.config, self._lengths[self._lengths > 0]
        remarks = []
        if np.median(lengths) < config.personas:
            remarks.append(
                f"warning: half of the users with a history, or more, have taken fewer items than the personas = "
                f"{config.personas} of {self.kind}, so some of these rest on nothing: lower personas, or start from a "
                "longer log."
            )
        elif lengths.min() < config.personas:
            remarks.append(
                f"personas = {config.personas} is more than some users have taken items: some of their personas "
                "rest on nothing."
            )
        if config.dim > min(lengths.size, np.count_nonzero(self._taken)):
            remarks.append(
                f"warning: dim = {config.dim} is more than there are users with a history, or items that were "
                "taken: persona can learn the log by heart. Lower dim."
            )
        return remarks

    def state(self) -> State:
        """Return parameters, Adagrad's sums and what is known of cold users and items."""
        if self._cold is None:
            return {}
        state = {**self._cold.state(), "lengths": self._lengths}
        if self._parameters is not None:
            sums = {SUMS_PREFIX + name: array for name, array in self._sums.items()}
            state |= {**self._parameters, **sums, "drawn": self._taken}
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        self._lengths = np.array(state["lengths"])
        self._parameters, self._sums, self._histories = None, {}, None
        if "drawn" in state:
            self._taken = np.array(state["drawn"])
            names = [name.removeprefix(SUMS_PREFIX) for name in state if name.startswith(SUMS_PREFIX)]
            self._parameters = {name: np.array(state[name]) for name in names}
            self._sums = {name: np.array(state[SUMS_PREFIX + name]) for name in names}
