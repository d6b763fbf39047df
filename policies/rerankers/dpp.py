"""Determinantal point process (DPP): diverse slates by greedy maximization of a determinant."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import Field

from ..base import Ranking
from ..interactions import Observation
from .candidates import CandidatesConfig, FromCandidates, select
from .relevance import Scale, scaled
from .similarity import Similarity, candidate_vectors, similar_row, similarities

MIN_RESIDUAL = 1e-5
"""Candidates with a smaller residual count as linear combinations of the chosen ones (cosines have errors ~1e-7)."""


class DPP(FromCandidates):
    """Determinantal point process: slates of good items that are unlike each other, by greedy MAP.

    Greedy maximum of det(L_I), L = Diag(q) S Diag(q), log q_i = θ s(i) / (2(1 − θ)), θ = 1 − weight.

    S_ij = similarity_share·cos(i, j) for i ≠ j and 1 for i = j. Each step appends argmax_i of log d²_i + 2 log q_i,
    where d²_i is what is left of S_ii after projecting out the chosen items, kept by an incremental Cholesky
    factorization: e_i = (S_ji − ⟨c_j, c_i⟩)/d_j, d²_i ← d²_i − e_i². Multiplied by weight, that is
    weight·log d²_i + (1 − weight)·s(i): 0 keeps the order of the scores, and no q overflows. Where
    similarity_share = 1, items of equal tags exclude each other; what remains when all d² are used up (below
    1e-5, since cosines are float32) is filled in the old order. Scores are returned unchanged.

    Source: Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process", 2018; ours:
    similarity_share, and filling up instead of stopping. Cost: O(n²·candidates) per user, plus that of similarities.
    """

    kind = "dpp"

    class Config(CandidatesConfig):
        weight: float = Field(default=0.3, ge=0, le=1)
        """1 − θ: 0 keeps the order of the scores, 1 considers only the volume that the slate spans."""
        similarity: Similarity = "topics"
        """Cosine of the items' tags, or of who took them."""
        similarity_share: float = Field(default=0.9, ge=0, le=1)
        """Similarity of two items with equal vectors; below 1 a topic can appear more than once."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

    config: Config

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        scores = scaled(ranking.scores, ranking.items, config.scale)
        alike = similarities(seen, config.similarity)
        chosen = _greedy(ranking.items, scores, n, config.weight, config.similarity_share, *alike)
        return select(ranking, chosen)


@njit(cache=True)
def _greedy(items, scores, n, weight, share, unit, indptr, indices, data):
    rows, width = items.shape
    chosen = np.full((rows, n), -1, np.int64)
    vectors = np.empty((width, unit.shape[1]), np.float32)
    scratch, alike = np.zeros(unit.shape[0]), np.empty(width)
    factor = np.empty((n, width))
    for b in range(rows):
        candidate_vectors(items[b], unit, vectors)
        left = np.ones(width)
        free = items[b] >= 0
        for r in range(n):
            best, pick = -np.inf, -1
            for c in range(width):
                # The logarithm is at most 0, so the score alone is an upper bound.
                if free[c] and left[c] > MIN_RESIDUAL and (1 - weight) * scores[b, c] > best:
                    value = (1 - weight) * scores[b, c] + weight * math.log(left[c])
                    if value > best:
                        best, pick = value, c
            if pick < 0:
                for c in range(width):
                    if free[c]:
                        pick = c
                        break
            if pick < 0:
                break
            chosen[b, r] = pick
            free[pick] = False
            if r + 1 == n or left[pick] <= MIN_RESIDUAL:
                continue
            similar_row(pick, items[b], vectors, indptr, indices, data, scratch, alike)
            root = math.sqrt(left[pick])
            row = factor[r]
            for c in range(width):
                row[c] = share * alike[c]
            for k in range(r):
                weight_of = factor[k, pick]
                before = factor[k]
                for c in range(width):
                    row[c] -= weight_of * before[c]
            for c in range(width):
                row[c] /= root
                left[c] -= row[c] * row[c]
    return chosen
