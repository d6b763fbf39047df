"""A model of implicit, LensKit, or with scikit-learn's methods, as a policy."""

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
from .choosing import protocol_for
from .models import build, contained, find
from .protocols import Name, Protocol

BLOCK = 256
"""Users asked at once: bounds memory to block × items."""
SEEDS = 2**31 - 1
"""Seeds are drawn below this: some libraries take no more."""
MOST_REMARKS = 3
"""Warnings of a model that are passed on from a fit."""
IDLE = {"ParameterWarning"}
"""Warnings that are nobody's business: implicit tells how long a conversion of its own took."""
NO_VALUES = {("implicit", "BayesianPersonalizedRanking")}
"""Models (package, class) that learn from which pairs there are and never look at how much these count."""
LARGEST = 1e37
"""Largest score: what stands below the model's own scores must still be a float32."""


class AdaptedConfig(BaseConfig):
    """How a model is asked."""

    protocol: Name = Field(default="auto")
    """How to ask it: "implicit", "recommend", "predict", "transform", "lenskit" (docs/your-own-recommender.md);
    "auto" looks at its methods."""
    fitted: bool = Field(default=False)
    """Take the model as it comes, fitted already: it is asked, and never trained. Its users and items are the
    simulator's, in the same order; users and items beyond are cold."""
    binary: bool = Field(default=False)
    """Hand over whether, not how often, a user took an item."""
    window: int | None = Field(default=None, ge=1)
    """Hand over the last so many rounds only; all of the log when omitted."""
    dense: bool = Field(default=False)
    """Hand over arrays instead of sparse matrices ("recommend", "predict", "transform")."""


class AdapterConfig(AdaptedConfig):
    """A model by its path, and how it is asked."""

    model: str = Field()
    """ "package.module:Name" of a class, of a function that returns a model, or of a model. Nothing is ever
    unpickled: to use a model in a file, name a function of yours that loads it."""
    arguments: dict[str, Any] = Field(default={})
    """What the class or function is called with."""


class Adapted(Policy):
    """What every adapter shares; a subclass says where the model comes from."""

    weighs_entries = True
    weighs_when = {"binary": False}
    config: Any  # an AdaptedConfig; each has its own

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # Built here, too, so that a wrong path or argument is told before anything starts.
        with blas_on_one_thread():
            model = self._new(0)
        # After the model's own libraries are loaded; OpenMP, too, adds up in another order with more threads.
        self._threads = ThreadpoolController()
        self._model = type(model)
        self._how = protocol_for(model, self.config.protocol, self._path())
        self._asked: Protocol | None = self._how(model, self.config.dense) if self.config.fitted else None
        self._cold: ColdStart | None = None
        self._size = 0
        self._folded: NDArray[np.bool_] = np.zeros(0, bool)
        self._seed = 0
        self._said: list[str] = []

    @classmethod
    def learns_weights(cls, fields: Mapping[str, Any]) -> str | None:
        """Return why not, too, where the model is known to look at pairs only; of others nothing is known."""
        refusal = super().learns_weights(fields)
        if refusal:
            return refusal
        made = cls(**fields)
        for one in made._model.__mro__:
            if (one.__module__.partition(".")[0], one.__name__) in NO_VALUES:
                return f"has the model {made._path()}, which learns which pairs there are and loses their weights"
        return None

    def _new(self, seed: int) -> Any:
        """Return a model of its own."""
        raise NotImplementedError

    def _path(self) -> str:
        return type(self).__name__

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Build the model anew and train it on the log; with fitted = true, only note who is cold."""
        counts = self._counts(seen)
        self._cold, self._seed = ColdStart(counts, rng), int(rng.integers(SEEDS))
        self._folded = np.zeros(seen.n_users, bool)
        if self.config.fitted:
            assert self._asked is not None
            self._size = self._asked.knows(seen.n_items)
            return
        self._asked, self._size = None, seen.n_items
        if counts.nnz == 0:
            return
        with blas_on_one_thread():
            asked = self._how(self._new(self._seed), self.config.dense)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")  # else a second run in this process would be told less
            self._call("fit()", asked.fit, counts.copy(), self._seed)
        said = [one for one in said if one.category.__name__ not in IDLE]
        self._said = [f"{self._path()}: {one.category.__name__}: {one.message}" for one in said]
        self._asked = asked

    def remarks(self) -> list[str]:
        """Return what the model itself warned of in the last fit."""
        return list(dict.fromkeys(self._said))[:MOST_REMARKS]

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Have factors of new users worked out when they are ranked; those who read histories need nothing."""
        asked = self._asked
        if asked is None or asked.reads_history or users.size == 0:
            return
        rows = as_wide(self._counts(seen)[users], self._size)
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
        """Ask for enough items that n available ones are among them; below those, what sells best."""
        if self._cold is None:
            raise PolicyError(f"{self.kind}: rank() before fit()")
        items = np.empty((users.size, n), np.int32)
        best = np.empty((users.size, n), np.float32)
        counts = self._counts(seen) if users.size else None
        for start in range(0, users.size, BLOCK):
            part = users[start : start + BLOCK]
            rows = slice(start, start + part.size)
            scores = self._block(seen, part, as_wide(counts[part], self._size), n)  # type: ignore[index]
            items[rows], best[rows] = top_k_dense(scores, part, n, seen.live, seen.blocked)
        return Ranking(users, items, best)

    def _block(self, seen: Observation, users: IntArray, histories: sparse.csr_matrix, n: int) -> FloatArray:
        cold, asked = self._cold, self._asked
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
            warm = cold.is_warm(users) & self._has(asked, users) & ~again
        hidden = np.flatnonzero(~seen.live[: self._size])
        unborn = np.arange(seen.n_items, self._size)  # a model that came fitted may know of them
        hidden = np.concatenate([hidden, unborn]).astype(np.int32)
        # So many of the model's items may be unavailable to a user: n more than that hold n available ones.
        unavailable = (seen.blocked.rows(users)[:, : self._size] & seen.live[: self._size]).sum(axis=1)
        for group, anew in ((warm, False), (again, True)):
            if group.any():
                most = n + int(unavailable[group].max())
                said = self._scores_of(asked, users[group], histories[group], most, hidden, anew)
                scores[group] = below(said[:, : seen.n_items], bestsellers)
        return scores

    def _has(self, asked: Protocol, users: IntArray) -> NDArray[np.bool_]:
        """Whether a model that came fitted has factors of these users."""
        factors = getattr(asked.model, "user_factors", None)
        return users < (factors.shape[0] if factors is not None else np.iinfo(np.int32).max)

    def _scores_of(self, asked: Protocol, users, histories, most, hidden, again) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the same in every round: those of the fit are enough
            said = self._call("its answer", asked.scores, users, histories, most, hidden, again)
        wrong = ~((said == -np.inf) | (np.abs(said) < LARGEST))
        if wrong.any():
            row, item = np.argwhere(wrong)[0]
            raise PolicyError(
                f"{self._path()}: the score of item {item} for user {users[row]} is {said[row, item]}: a score is a "
                f"number within ±{LARGEST:g}"
            )
        return said.astype(np.float32)

    def _call(self, what: str, function: Any, *arguments: Any) -> Any:
        try:
            with self._threads.limit(limits=1), contained(self._seed):
                return function(*arguments)
        except (EchodriftError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a library written in Rust is no Exception
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


def as_wide(rows: sparse.csr_matrix, size: int) -> sparse.csr_matrix:
    """Return the rows with the first `size` items; empty columns where there are fewer."""
    if size <= rows.shape[1]:
        return rows[:, :size]
    return sparse.csr_matrix((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], size))


def below(said: FloatArray, bestsellers: FloatArray) -> FloatArray:
    """Return (B, items): the model's scores, and below them all bestsellers of which it says nothing."""
    size = bestsellers.size
    place = np.empty(size, np.float32)
    place[np.argsort(-bestsellers, kind="stable")] = np.arange(size, dtype=np.float32)
    known = np.full((said.shape[0], size), -np.inf, np.float32)
    known[:, : said.shape[1]] = said
    silent = np.isneginf(known)
    lowest = np.where(silent, np.inf, known).min(axis=1)
    lowest = np.where(np.isfinite(lowest), lowest, 0).astype(np.float32)
    # Steps in proportion to the scores, so that a float32 keeps them apart.
    step = np.maximum(np.abs(lowest), np.float32(1e-6))
    return np.where(silent, lowest[:, None] - step[:, None] * (1 + place / size), known)


class Adapter(Adapted):
    """A model of implicit, LensKit, or with scikit-learn's methods.

    `model` names a class, or a function that returns a model: {kind = "adapter", model =
    "implicit.als:AlternatingLeastSquares", arguments = {factors = 32}}. The adapter hands over how often each
    user took each item, asks for as many items as it takes to have n available ones, leaves out the unavailable
    ones, and puts bestsellers below what the model says nothing of (newborn items among them). Users without
    history get bestsellers.

    Seeds come from the run: as `random_state`, `seed` or `random_seed` where the model takes one; besides, the
    global generators of numpy, random and torch are seeded while the model works and put back after it.

    Cost: every refit is a cold fit, since the libraries do not agree on a warm start; there is no state to go on
    from, so a run that was interrupted starts over. Ranking: the model's own, plus O(items) per user. LensKit is
    asked user by user.
    """

    kind = "adapter"
    Config = AdapterConfig

    def _new(self, seed: int) -> Any:
        return build(find(self.config.model), self.config.arguments, seed, self.config.model)

    def _path(self) -> str:
        return self.config.model


def adapted(model: Any, name: str) -> type[Adapted]:
    """Return a policy class around a model in memory, known as `kind = name` in this process.

    With the field fitted = true it is asked as it is, else trained anew at every refit; your model itself is
    never altered. Processes of a parallel study do not know it: use jobs = 1, or a function in a module of yours
    as the `model` of kind "adapter".
    """

    class AdaptedModel(Adapted):
        __doc__ = f"{type(model).__name__}, handed over in Python."
        Config = AdaptedConfig

        def _new(self, seed: int) -> Any:
            return build(model, {}, seed, name)

        def _path(self) -> str:
            return name

    AdaptedModel.__name__ = type(model).__name__
    return register(name)(AdaptedModel)


def _nobody() -> IntArray:
    return np.empty(0, np.int32)
