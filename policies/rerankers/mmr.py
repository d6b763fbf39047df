"""Maximal marginal relevance (MMR): each next item is relevant and dissimilar to those before it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import Field

from ..base import Ranking
from ..interactions import Observation
from .candidates import CandidatesConfig, FromCandidates, select
from .relevance import Scale, scaled
from .similarity import Similarity, candidate_vectors, similar_row, similarities


class MMR(FromCandidates):
    """Maximal marginal relevance: each next item trades its score off against similarity to those before.

    Greedy: append argmax_i (1 − weight)·s(i) − weight·max_{j in slate} sim(i, j).

    sim is a cosine in [0, 1]. The first item is the best one; ties go to the item that was ranked higher. There
    is no objective of the whole slate behind it. Scores are returned unchanged. After Carbonell
    and Goldstein, SIGIR 1998; their λ is 1 − weight.
    Cost: O(n·candidates·topics) per user; with similarity = "taken", O(n·(candidates + similar items)) and the
    product countsᵀ·counts once a round.
    """

    kind = "mmr"

    class Config(CandidatesConfig):
        weight: float = Field(default=0.3, ge=0, le=1)
        """0 keeps the order of the scores, 1 considers similarity only."""
        similarity: Similarity = "topics"
        """Cosine of the items' tags, or of who took them."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

    config: Config

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        scores = scaled(ranking.scores, ranking.items, config.scale)
        return select(
            ranking, _greedy(ranking.items, scores, n, config.weight, *similarities(seen, config.similarity))
        )


@njit(cache=True)
def _greedy(items, scores, n, weight, unit, indptr, indices, data):
    rows, width = items.shape
    chosen = np.full((rows, n), -1, np.int64)
    vectors = np.empty((width, unit.shape[1]), np.float32)
    scratch, alike = np.zeros(unit.shape[0]), np.empty(width)
    for b in range(rows):
        candidate_vectors(items[b], unit, vectors)
        nearest = np.zeros(width)
        free = items[b] >= 0
        for r in range(n):
            best, pick = -np.inf, -1
            for c in range(width):
                if free[c]:
                    value = (1 - weight) * scores[b, c] - weight * nearest[c]
                    if value > best:
                        best, pick = value, c
            if pick < 0:
                break
            chosen[b, r] = pick
            free[pick] = False
            if r + 1 < n:
                similar_row(pick, items[b], vectors, indptr, indices, data, scratch, alike)
                for c in range(width):
                    nearest[c] = max(nearest[c], alike[c])
    return chosen
