"""User-based neighbors: items that similar users took."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ..interactions import Blocked, FloatArray, IntArray
from ..size import BLOCK, Size
from ..topk import top_k_dense
from .history_policy import HistoryPolicy
from .neighbors import SPACE, NeighborConfig, Weighting, as_csr, lengths
from .products import inner_products


class UserKNN(HistoryPolicy):
    """User-based neighbors: what the users with the most similar histories took, by shrunk cosine.

    score(u, i) = Σ_{v ∈ N(u)} sim(u, v)·x_vi.

    sim(u, v) = w_u·w_v / (|w_u||w_v| + shrink): the shrunk cosine of two histories, weighted as in
    `neighbors.Weighting` with users as documents and items as terms (so that a bestseller says less).
    N(u): the `neighbors` users v ≠ u most similar to u. u's history is that of this round, the others' are
    those of the last fit, as are the weights of items.

    Cost per fit: one pass over the log. Per ranked user: Σ_{i ∈ H_u} (users who took i), users, and the
    entries of the neighbors. A refit costs what a fit costs.
    """

    kind = "user_knn"
    space = SPACE
    Config = NeighborConfig

    def learn(self, histories: sparse.csr_matrix) -> None:
        """Weight the histories."""
        self._weighting = Weighting.of(histories, self.config.weighting)
        weighted = self._weighting.apply(histories)
        self._lengths, self._by_item = lengths(weighted), weighted.T.tocsr()

    def memory(self, size: Size) -> float:
        """Add the similarities of a block of users to everybody."""
        return super().memory(size) + 3 * BLOCK * size.users * 4

    def score_histories(self, histories: sparse.csr_matrix, users: IntArray) -> FloatArray:
        """Find the neighbors of each history and add up their weighted histories."""
        weighted = self._weighting.apply(histories)
        similarity = np.empty((histories.shape[0], self._lengths.size), np.float32)
        inner_products(weighted, self._by_item, similarity)
        with np.errstate(invalid="ignore"):  # 0 / 0 if neither user has a history
            similarity /= lengths(weighted)[:, None] * self._lengths + self.config.shrink
        similarity[~(similarity > 0)] = -np.inf
        known = np.flatnonzero(users < self._lengths.size)
        similarity[known, users[known]] = -np.inf
        everybody = np.ones(self._lengths.size, bool)
        nobody = Blocked(histories.shape[0], self._lengths.size)
        rows = np.arange(histories.shape[0], dtype=np.int32)
        ids, values = top_k_dense(similarity, rows, self.config.neighbors, everybody, nobody)
        out = np.empty(histories.shape, np.float32)
        inner_products(as_csr(ids, values, self._lengths.size), self._fitted, out)
        return out
