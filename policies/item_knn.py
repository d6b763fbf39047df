"""Item-based neighbors: what is similar to what the user took."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .histories import HistoryPolicy
from .interactions import FloatArray, IntArray
from .neighbors import SPACE, NeighborConfig, Weighting, add_rows, nearest


class ItemKNN(HistoryPolicy):
    """score(u, j) = Σ_{i ∈ H_u : j ∈ N(i)} sim(i, j)·x_ui.

    sim(i, j) = w_i·w_j / (|w_i||w_j| + shrink): the shrunk cosine of two items as vectors over users, weighted
    as in `neighbors.Weighting` with items as documents and users as terms (so that a user who takes
    everything says less). N(i): the `neighbors` items most similar to i, without i itself, as in Deshpande and
    Karypis (ACM TOIS 2004). x: the history of this round, not weighted.

    Cost per fit: O(Σ_u |H_u|²) / 2 plus the pairs that share a user; there is nothing to start from, a refit
    costs what a fit costs. Per ranked user: O(|H_u|·neighbors).
    """

    kind = "item_knn"
    space = SPACE
    Config = NeighborConfig
    config: NeighborConfig

    def learn(self, histories: sparse.csr_matrix) -> None:
        """Find each item's neighbors."""
        by_item = histories.T.tocsr()
        weighted = Weighting.of(by_item, self.config.weighting).apply(by_item)
        self._ids, self._similarities = nearest(weighted, self.config.neighbors, self.config.shrink)

    def respond(self, histories: sparse.csr_matrix, users: IntArray) -> FloatArray:
        """Return the summed similarities to what is in each history."""
        out = np.zeros(histories.shape, np.float32)
        add_rows(histories.indptr, histories.indices, histories.data, self._ids, self._similarities, out)
        return out
