"""Proportional slates: slots are allotted to topics like seats, by D'Hondt or Sainte-Laguë (PM-2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import Field

from ..base import Ranking
from ..interactions import Observation
from ..profiles import sparse_tags
from .candidates import FromCandidates, select
from .relevance import Scale, scaled
from .targets import TargetConfig, targets

TIE_TOLERANCE = 1e-9
"""Quotients that differ by a smaller relative amount are ties: the difference is rounding error."""
MIN_RELEVANCE = 0.01
"""Relevance of the worst candidate, where the best has 1: with 0 its topic would not count."""


class Proportional(FromCandidates):
    """Slots as seats: topics win them by Sainte-Laguë or D'Hondt (PM-2).

    Every slot is a seat: it goes to the topic with the largest quotient, and within it to the best item.

    Quotients: p_c/(2 s_c + 1) (Sainte-Laguë) or p_c/(s_c + 1) (D'Hondt, which favors large shares), p the profile of
    the history and s_c the seats that topic c has. Ties, up to a share of 1e-9, go to the topic with the lower
    id. A topic without a candidate left gets none. The item:
    argmax_i focus·q_c* P(i|c*) + (1 − focus)·Σ_{c ≠ c*} q_c P(i|c), q the quotients, P(i|c) = tag(i, c)·relevance,
    relevance the scaled score between 0.01 and 1; ties to the item that was ranked higher. Then s_c +=
    P(i|c)/Σ_c' P(i|c') = tag(i, c). With one topic per item and focus = 1 the seats are exactly those of the method
    of election, as far as the candidates allow. Scores are returned unchanged.

    After PM-2 of Dang and Croft, SIGIR 2012, where `focus` is λ and the method Sainte-Laguë. Cost:
    O(n·candidates·topics of an item) per user.
    """

    kind = "proportional"

    class Config(TargetConfig):
        method: Literal["sainte_lague", "dhondt"] = "sainte_lague"
        """How seats are allotted: by p/(2 s + 1) or by p/(s + 1)."""
        focus: float = Field(default=1.0, ge=0, le=1)
        """How much an item counts for the topic whose turn it is, against all its other topics."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

    config: Config

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        target = targets(seen, ranking.users, config)
        relevance = MIN_RELEVANCE + (1 - MIN_RELEVANCE) * scaled(ranking.scores, ranking.items, config.scale)
        step = 2.0 if config.method == "sainte_lague" else 1.0
        tags = sparse_tags(seen.tags)
        return select(ranking, _seats(ranking.items, relevance, target, *tags, n, step, config.focus))


@njit(cache=True)
def _seats(items, relevance, target, indptr, topics, values, n, step, focus):
    rows, width = items.shape
    n_topics = target.shape[1]
    chosen = np.full((rows, n), -1, np.int64)
    quotient = np.empty(n_topics)
    for b in range(rows):
        seats = np.zeros(n_topics)
        left = np.zeros(n_topics, np.int64)
        free = items[b] >= 0
        for c in range(width):
            if free[c]:
                for at in range(indptr[items[b, c]], indptr[items[b, c] + 1]):
                    left[topics[at]] += 1
        for r in range(n):
            turn = -1
            for g in range(n_topics):
                quotient[g] = target[b, g] / (step * seats[g] + 1)
                if left[g] > 0 and (turn < 0 or quotient[g] > (1 + TIE_TOLERANCE) * quotient[turn]):
                    turn = g
            best, pick = -np.inf, -1
            for c in range(width):
                if not free[c]:
                    continue
                value = 0.0
                for at in range(indptr[items[b, c]], indptr[items[b, c] + 1]):
                    g = topics[at]
                    value += (focus if g == turn else 1 - focus) * quotient[g] * values[at]
                value *= relevance[b, c]
                if value > best:
                    best, pick = value, c
            if pick < 0:
                break
            chosen[b, r] = pick
            free[pick] = False
            for at in range(indptr[items[b, pick]], indptr[items[b, pick] + 1]):
                seats[topics[at]] += values[at]
                left[topics[at]] -= 1
    return chosen
