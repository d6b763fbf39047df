"""Policies that wrap a model of implicit, LensKit, or with scikit-learn's methods."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from threadpoolctl import ThreadpoolController

from ...config import Config as BaseConfig
from ...errors import EchodriftError, PolicyError
from ...machine import blas_on_one_thread
from ..base import Policy, Ranking
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation, count_pairs
from ..registry import register
from ..topk import top_k_dense
from .choosing import check_model, protocol_for
from .models import build, find, is_factory, isolated_generators
from .protocols import Name, Protocol

BLOCK = 256
"""Users per call of the model: bounds memory to block × items."""
SEEDS = 2**31 - 1
"""Upper bound of seeds: some libraries accept no larger ones."""
MAX_REMARKS = 3
"""Maximum number of a model's warnings to report from a fit."""
IGNORED_WARNINGS = {"ParameterWarning"}
"""Warnings not to report: implicit warns how long an internal conversion took."""
PAIRS_ONLY = {("implicit", "BayesianPersonalizedRanking")}
"""Models (package, class) that learn from pairs and ignore how much these count."""
MAX_SCORE = 1e37
"""Largest score of a model: scores below those of the model must still fit float32."""


class AdaptedConfig(BaseConfig):
    """The fields for fitting and querying a model."""

    protocol: Name = Field(default="auto")
    """How to query it: "implicit", "recommend", "predict", "transform", "lenskit" (docs/your-own-recommender.md);
    "auto" looks at its methods."""
    fitted: bool = Field(default=False)
    """The model is fitted already: it is queried, and never trained. Its users and items must be the
    simulator's, in the same order; additional users and items are cold."""
    binary: bool = Field(default=False)
    """Pass whether, not how often, a user took an item."""
    window: int | None = Field(default=None, ge=1)
    """Pass the last so many rounds only; all of the log when omitted."""
    dense: bool = Field(default=False)
    """Pass arrays instead of sparse matrices ("recommend", "predict", "transform")."""


class AdapterConfig(AdaptedConfig):
    """A model by its path, and how to query it."""

    model: str = Field()
    """ "package.module:Name" of a class, of a function that returns a model, or of a model. Nothing is ever
    unpickled: to use a model in a file, name a function of yours that loads it."""
    arguments: dict[str, Any] = Field(default={})
    """Keyword arguments for the class or function."""


class Adapted(Policy):
    """Base class of adapters; a subclass provides the model."""

    weighs_entries = True
    weighs_when = {"binary": False}
    config: Any  # A subclass of AdaptedConfig

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # A wrong path, argument or class is reported here, and nothing of it is called before the first fit.
        check_model(self._target(), self._arguments(), self.config.protocol, self.config.fitted, self._path())
        self._threads: ThreadpoolController | None = None
        self._protocol_class: type[Protocol] | None = None
        self._protocol: Protocol | None = None
        self._cold: ColdStart | None = None
        self._model_items = 0
        self._folded: NDArray[np.bool_] = np.zeros(0, bool)
        self._seed = 0
        self._warnings: list[str] = []

    @classmethod
    def learns_weights(cls, fields: Mapping[str, Any]) -> str | None:
        """Also refuse models that are known to use pairs only; about other models nothing is known."""
        refusal = super().learns_weights(fields)
        if refusal:
            return refusal
        made = cls(**fields)
        target = made._target()
        # A function that makes models has their name in the libraries that are known.
        named = (target,) if is_factory(target) and not isinstance(target, type) else ()
        classes = (target if isinstance(target, type) else type(target)).__mro__
        for one in (*named, *classes):
            if (str(one.__module__).partition(".")[0], getattr(one, "__name__", "")) in PAIRS_ONLY:
                return f"has the model {made._path()}, which learns which pairs there are and loses their weights"
        return None

    def _target(self) -> Any:
        """Return the class, function or model that models are made from."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that models are made with."""
        return {}

    def _new(self, seed: int) -> Any:
        """Return a new model."""
        with blas_on_one_thread():
            model = build(self._target(), self._arguments(), seed, self._path())
        if self._threads is None:
            # Created after the model's libraries are loaded. OpenMP is limited too: its sums depend on the threads.
            self._threads = ThreadpoolController()
        if self._protocol_class is None:
            self._protocol_class = protocol_for(model, self.config.protocol, self._path())
        return model

    def _asked(self, seed: int) -> Protocol:
        """Return a new model with the protocol to query it."""
        model = self._new(seed)
        assert self._protocol_class is not None
        return self._protocol_class(model, self.config.dense)

    def _path(self) -> str:
        return type(self).__name__

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Build a new model and train it on the log; with fitted = true, only record which users are cold."""
        counts = self._counts(seen)
        self._cold, self._seed = ColdStart(counts, rng), int(rng.integers(SEEDS))
        self._folded = np.zeros(seen.n_users, bool)
        if self.config.fitted:
            self._protocol = self._protocol or self._asked(0)
            self._model_items = self._protocol.model_items(seen.n_items)
            return
        self._protocol, self._model_items = None, seen.n_items
        if counts.nnz == 0:
            return
        asked = self._asked(self._seed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # Otherwise a second run in this process would see fewer
            self._call("fit()", asked.fit, counts.copy(), self._seed)
        caught = [one for one in caught if one.category.__name__ not in IGNORED_WARNINGS]
        self._warnings = [f"{self._path()}: {one.category.__name__}: {one.message}" for one in caught]
        self._protocol = asked

    def remarks(self) -> list[str]:
        """Return the model's own warnings in the last fit."""
        return list(dict.fromkeys(self._warnings))[:MAX_REMARKS]

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Mark new users, whose factors are computed when they are ranked; models that read histories need nothing."""
        asked = self._protocol
        if asked is None or asked.reads_history or users.size == 0:
            return
        rows = resized(self._counts(seen)[users], self._model_items)
        with_history = users[np.diff(rows.indptr) > 0]
        if with_history.size == 0:
            return
        try:
            self._scores_of(asked, with_history[:1], rows[np.diff(rows.indptr) > 0][:1], 1, _nobody(), True)
        except PolicyError as error:
            raise PolicyError(
                f"{self._path()} cannot place users that it was not fitted on: {error}"
            ) from error
        folded = np.zeros(seen.n_users, bool)
        folded[: self._folded.size] = self._folded
        folded[with_history] = True
        self._folded = folded

    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Query enough items for n available ones to be among them; bestsellers come below those."""
        if self._cold is None:
            raise PolicyError(f"{self.kind}: rank() before fit()")
        items = np.empty((users.size, n), np.int32)
        best = np.empty((users.size, n), np.float32)
        counts = self._counts(seen) if users.size else None
        for start in range(0, users.size, BLOCK):
            part = users[start : start + BLOCK]
            rows = slice(start, start + part.size)
            scores = self._block(seen, part, resized(counts[part], self._model_items), n)  # type: ignore[index]
            items[rows], best[rows] = top_k_dense(scores, part, n, seen.live, seen.blocked)
        return Ranking(users, items, best)

    def _block(self, seen: Observation, users: IntArray, histories: sparse.csr_matrix, n: int) -> FloatArray:
        cold, asked = self._cold, self._protocol
        assert cold is not None
        bestsellers = cold.bestsellers(seen.n_items)
        scores = np.tile(bestsellers, (users.size, 1))
        if asked is None:
            return scores
        again = np.zeros(users.size, bool)
        if asked.reads_history:
            warm = np.diff(histories.indptr) > 0
        else:
            again = self._folded[np.minimum(users, self._folded.size - 1)] & (users < self._folded.size)
            warm = cold.is_warm(users) & self._has_factors(asked, users) & ~again
        hidden = np.flatnonzero(~seen.live[: self._model_items])
        unborn = np.arange(seen.n_items, self._model_items)  # A model that was fitted elsewhere may know them
        hidden = np.concatenate([hidden, unborn]).astype(np.int32)
        # With n more items than are unavailable to a user, at least n available ones are among them.
        unavailable = (seen.blocked.rows(users)[:, : self._model_items] & seen.live[: self._model_items]).sum(
            axis=1
        )
        for group, anew in ((warm, False), (again, True)):
            if group.any():
                most = n + int(unavailable[group].max())
                answer = self._scores_of(asked, users[group], histories[group], most, hidden, anew)
                scores[group] = with_bestsellers_below(answer[:, : seen.n_items], bestsellers)
        return scores

    def _has_factors(self, asked: Protocol, users: IntArray) -> NDArray[np.bool_]:
        """Whether a model that was fitted elsewhere has factors for these users."""
        factors = getattr(asked.model, "user_factors", None)
        return users < (factors.shape[0] if factors is not None else np.iinfo(np.int32).max)

    def _scores_of(self, asked: Protocol, users, histories, most, hidden, again) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # They repeat in every round; those of the fit are enough
            answer = self._call("its answer", asked.scores, users, histories, most, hidden, again)
        wrong = ~((answer == -np.inf) | (np.abs(answer) < MAX_SCORE))
        if wrong.any():
            row, item = np.argwhere(wrong)[0]
            raise PolicyError(
                f"{self._path()}: the score of item {item} for user {users[row]} is {answer[row, item]}: a score is a "
                f"number within ±{MAX_SCORE:g}"
            )
        return answer.astype(np.float32)

    def _call(self, what: str, function: Any, *arguments: Any) -> Any:
        try:
            assert self._threads is not None
            with self._threads.limit(limits=1), isolated_generators(self._seed):
                return function(*arguments)
        except (EchodriftError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # Panics of Rust libraries do not derive from Exception
            raise PolicyError(
                f"{self._path()} failed in {what}: {type(error).__name__}: {error}. Settings: {self._settings()}"
            ) from error

    def _counts(self, seen: Observation) -> sparse.csr_matrix:
        window = self.config.window
        counts = seen.counts if window is None else count_pairs(seen.last(window), seen.n_users, seen.n_items)
        if self.config.binary:
            counts = counts.copy()
            counts.data[:] = 1
        return counts


def resized(rows: sparse.csr_matrix, size: int) -> sparse.csr_matrix:
    """Return the rows with the first `size` items; missing columns are empty."""
    if size <= rows.shape[1]:
        return rows[:, :size]
    return sparse.csr_matrix((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], size))


def with_bestsellers_below(answer: FloatArray, bestsellers: FloatArray) -> FloatArray:
    """Return (B, items): the model's scores; items without one get scores below those, bestsellers first."""
    size = bestsellers.size
    place = np.empty(size, np.float32)
    place[np.argsort(-bestsellers, kind="stable")] = np.arange(size, dtype=np.float32)
    known = np.full((answer.shape[0], size), -np.inf, np.float32)
    known[:, : answer.shape[1]] = answer
    silent = np.isneginf(known)
    lowest = np.where(silent, np.inf, known).min(axis=1)
    lowest = np.where(np.isfinite(lowest), lowest, 0).astype(np.float32)
    # Steps in proportion to the scores, so that float32 can resolve them.
    step = np.maximum(np.abs(lowest), np.float32(1e-6))
    return np.where(silent, lowest[:, None] - step[:, None] * (1 + place / size), known)


class Adapter(Adapted):
    """A model of implicit, LensKit, or with scikit-learn's methods.

    `model` names a class, or a function that returns a model: {kind = "adapter", model =
    "implicit.als:AlternatingLeastSquares", arguments = {factors = 32}}. The adapter passes how often each
    user took each item, queries as many items as needed for n available ones, and drops unavailable ones. Items
    without a score from the model (newborn ones among them) come below the others, bestsellers first. Users
    without history get bestsellers.

    Seeds come from the run: as `random_state`, `seed` or `random_seed` where the model takes one; besides, the
    global generators of numpy, random and torch are seeded while the model works and restored afterwards.

    Cost: every refit is a cold fit, since the libraries do not agree on a warm start; there is no checkpointed
    state, so an interrupted run starts over. Ranking: the model's own, plus O(items) per user. LensKit is
    queried user by user.
    """

    kind = "adapter"
    Config = AdapterConfig

    def _target(self) -> Any:
        return find(self.config.model)

    def _arguments(self) -> dict[str, Any]:
        return self.config.arguments

    def _path(self) -> str:
        return self.config.model


def adapted(model: Any, name: str) -> type[Adapted]:
    """Return a policy class around a model in memory, registered as `kind = name` in this process.

    With the field fitted = true it is queried as it is, otherwise a copy is trained at every refit; your model itself
    is never altered. Worker processes of a parallel study do not know it: use jobs = 1, or a function in a module of
    yours as the `model` of kind "adapter".
    """

    class AdaptedModel(Adapted):
        __doc__ = f"{type(model).__name__}, passed in from Python."
        Config = AdaptedConfig

        def _target(self) -> Any:
            return model

        def _path(self) -> str:
            return name

    AdaptedModel.__name__ = type(model).__name__
    return register(name)(AdaptedModel)


def _nobody() -> IntArray:
    return np.empty(0, np.int32)
