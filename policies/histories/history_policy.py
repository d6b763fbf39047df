"""Base class of policies that score items from a user's current history: EASE and the neighbor methods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ...config import Config as BaseConfig
from ...errors import PolicyError
from ..base import Policy, Ranking, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..size import BLOCK, Size
from ..topk import top_k_dense


class HistoryPolicy(Policy):
    """A policy that learns from the matrix of histories and scores items for the histories of this round.

    Only items in the log at the time of a fit enter the model; the others, and those that a history says
    nothing about (score exactly 0), are in the random order of `ColdStart`. A user whose history holds no
    item of the model gets the bestsellers. There are no parameters per user, so new users need no fold-in.
    """

    block: ClassVar[int] = BLOCK
    """Users scored at once: bounds memory to block × items."""
    weighs_entries = True
    weighs_when = {"binary": False}

    class Config(BaseConfig):
        binary: bool = True
        """Use whether a pair was taken, not how often."""
        window: int | None = Field(default=None, ge=1)
        """Histories of the last so many rounds only; all time when omitted."""

    config: Any

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._cold: ColdStart | None = None
        self._items: IntArray = np.empty(0, np.int32)
        self._fitted = sparse.csr_matrix((0, 0), dtype=np.float32)

    @abstractmethod
    def learn(self, histories: sparse.csr_matrix) -> None:
        """Learn from `histories` (n_users, items of the model) float32, rows sorted, at least one entry.

        The result must depend on this matrix only, without randomness: `restore` calls this method again.
        """

    @abstractmethod
    def score_histories(self, histories: sparse.csr_matrix, users: IntArray) -> FloatArray:
        """Return (B, items of the model) float32: scores for the present histories of `users`."""

    @final
    def fit(self, seen: Observation, rng: Generator) -> None:
        """Learn from the histories so far."""
        self._cold = ColdStart(seen.counts_in(self.config.window), rng)
        self._items = np.flatnonzero(self._cold.taken > 0).astype(np.int32)
        self._fitted = self._histories(seen)
        if self._items.size:
            self.learn(self._fitted)

    def _histories(self, seen: Observation) -> sparse.csr_matrix:
        """Return a new (n_users, items of the model) matrix."""
        histories = seen.counts_in(self.config.window)[:, self._items]
        if self.config.binary:
            histories.data[:] = 1
        return histories

    @final
    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Score block by block and keep the best n available items; ties go to the lower id."""
        if self._cold is None:
            raise PolicyError(f"{self.kind or type(self).__name__}: rank() before fit()")
        histories = self._histories(seen)
        tie_offsets, bestsellers = self._cold.tie_offsets(seen.n_items), self._cold.bestsellers(seen.n_items)
        items = np.empty((users.size, n), np.int32)
        best = np.empty((users.size, n), np.float32)
        scores = np.empty((min(self.block, users.size), seen.n_items), np.float32)
        for start in range(0, users.size, self.block):
            part = users[start : start + self.block]
            own, rows = histories[part], slice(start, start + part.size)
            known = scores[: part.size]
            known[:] = tie_offsets
            if own.nnz:
                _put(self.score_histories(own, part), self._items, known)
            known[np.diff(own.indptr) == 0] = bestsellers
            items[rows], best[rows] = top_k_dense(known, part, n, seen.live, seen.blocked)
        return Ranking(users, items, best)

    def memory(self, size: Size) -> float:
        """Return the bytes of a block of scores, to which a subclass adds what it learns."""
        return size.dense_scores

    @final
    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Do nothing: rankings read the histories of the round."""

    @final
    def state(self) -> State:
        """Return the training histories, which are much smaller than the model learned from them."""
        if self._cold is None:
            return {}
        learned = self._fitted
        parts = {"indptr": learned.indptr, "indices": learned.indices, "data": learned.data}
        return self._cold.state() | parts

    @final
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned, and learn from it again."""
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        self._items = np.flatnonzero(self._cold.taken > 0).astype(np.int32)
        parts = (np.array(state["data"]), np.array(state["indices"]), np.array(state["indptr"]))
        self._fitted = sparse.csr_matrix(parts, shape=(parts[2].size - 1, self._items.size))
        if self._items.size:
            self.learn(self._fitted)


@njit(cache=True)
def _put(scores, items, out):
    """Write scores (B, m) to the columns `items` (m,) of out, except where they are 0."""
    for b in range(scores.shape[0]):
        for j in range(items.size):
            if scores[b, j] != 0:
                out[b, items[j]] = scores[b, j]
