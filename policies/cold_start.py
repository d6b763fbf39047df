"""Fallbacks of learned policies where the log says nothing: users without history, items that nobody took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse

from .base import State
from .interactions import FloatArray, IntArray
from .ties import tie_key, tie_order, tie_width

TIE = 1e-6
"""Spread around 0 of the scores of items that a method cannot tell apart."""


class ColdStart:
    """Bestsellers for users without history; a random order, drawn at fit, for items that nobody took.

    A policy creates one in `fit`, uses it in `rank`, and includes it in `state`.
    """

    def __init__(self, counts: sparse.csr_matrix, rng: Generator) -> None:
        """Learn from `counts` (n_users, n_items); draws one number from `rng`."""
        self.key = tie_key(rng)
        self.taken: FloatArray = np.asarray(counts.sum(axis=0), np.float32).ravel()
        """(n_items,) how often each item was taken."""
        self.warm: NDArray[np.bool_] = np.diff(counts.indptr) > 0
        """(n_users,) whether the user took anything."""

    def ties(self, n_items: int) -> FloatArray:
        """Return (n_items,) a random order in (0, 1); an item's number does not depend on the others."""
        return tie_order(self.key, n_items).astype(np.float32)

    def bestsellers(self, n_items: int) -> FloatArray:
        """Return (n_items,) how often each item was taken, plus a number below 1 that breaks ties."""
        scores = self.ties(n_items) * np.float32(tie_width(self.taken))
        scores[: self.taken.size] += self.taken
        return scores

    def tie_offsets(self, n_items: int) -> FloatArray:
        """Return (n_items,) the random order as numbers within ±TIE/2, to add to equal scores."""
        return np.float32(TIE) * (self.ties(n_items) - np.float32(0.5))

    def is_warm(self, users: IntArray) -> NDArray[np.bool_]:
        """Return (B,) whether each user had a history at the last fit; false for users newer than it."""
        known = users < self.warm.size
        return known & self.warm[np.where(known, users, 0)] if self.warm.size else known

    def fill(self, scores: FloatArray, users: IntArray) -> FloatArray:
        """Write bestsellers into the rows of `scores` (B, n_items) whose users are cold; returns `scores`."""
        cold = ~self.is_warm(users)
        if cold.any():
            scores[cold] = self.bestsellers(scores.shape[1])
        return scores

    def factors(
        self,
        of_users: FloatArray | None,
        of_items: FloatArray | None,
        users: IntArray,
        n_items: int,
    ) -> tuple[FloatArray, FloatArray]:
        """Return factors of `users` and of n_items items with two more columns, for a `FactorPolicy`.

        `of_users` (n_users, d) and `of_items` (items at fit, d) are the learned factors, or None for nothing.
        A user with history gets (w_u, 1, 0), one without (0, 0, 1); an item gets (h_i, its tie offset where
        h_i = 0, its score among the bestsellers).
        """
        width = 0 if of_items is None else of_items.shape[1]
        items = np.zeros((n_items, width + 2), np.float32)
        items[:, -1] = self.bestsellers(n_items)
        rows = np.zeros((len(users), width + 2), np.float32)
        if of_users is None or of_items is None:
            rows[:, -1] = 1
            return rows, items
        items[: of_items.shape[0], :width] = of_items
        unknown = ~items[:, :width].any(axis=1)
        items[unknown, -2] = self.tie_offsets(n_items)[unknown]
        warm = self.is_warm(users)
        rows[warm, :width] = of_users[users[warm]]
        rows[:, -2], rows[:, -1] = warm, ~warm
        return rows, items

    def state(self) -> State:
        """Return the arrays that a policy adds to its own state."""
        return {"taken": self.taken, "warm": self.warm, "key": np.array(self.key)}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> ColdStart:
        """Return the instance that `state` describes; other names in it are ignored."""
        restored = cls.__new__(cls)
        restored.taken, restored.warm = np.array(state["taken"]), np.array(state["warm"])
        restored.key = np.uint64(state["key"])
        return restored
