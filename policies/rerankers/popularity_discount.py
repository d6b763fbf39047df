"""Popularity discount: scores minus a penalty for an item's popularity."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from pydantic import Field

from ..base import Ranking
from ..interactions import Observation
from .candidates import CandidatesConfig, FromCandidates, select
from .relevance import Scale, scaled


class PopularityDiscount(FromCandidates):
    """Subtracts popularity from the scores.

    Returns the n items with the largest (1 − weight)·s(i) − weight·log(1 + taken_i)/log(1 + max taken).

    Exact: items do not depend on each other. ties go to the item that was ranked higher. This value is also the score
    that is returned, so that a later reranker weighs the discounted scores. Cost: one sort per user.
    """

    kind = "popularity_discount"

    class Config(CandidatesConfig):
        weight: float = Field(default=0.3, ge=0, le=1)
        """0 keeps the order of the scores, 1 ranks the least popular candidates first."""
        window: int | None = Field(default=None, ge=1)
        """Popularity in the last so many rounds; in all of the log when omitted."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

    config: Config

    @property
    def rescores(self) -> bool:
        """Whether it only assigns new scores: yes, items do not depend on each other."""
        return True

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        taken = np.log1p(np.bincount(seen.last(config.window).item, minlength=seen.n_items))
        cost = taken / max(taken.max(initial=0.0), 1e-300)
        value = (1 - config.weight) * scaled(ranking.scores, ranking.items, config.scale)
        value -= config.weight * np.where(ranking.items >= 0, cost[ranking.items], 0.0)
        return best_of(ranking, value, n)


def best_of(ranking: Ranking, value: np.ndarray, n: int) -> Ranking:
    """Return the n candidates with the largest `value` (B, C), which becomes their score; ties in ranked order."""
    order = np.argsort(np.where(ranking.items >= 0, -value, np.inf), axis=1, kind="stable")[:, :n]
    columns = np.full((len(order), n), -1, np.int64)
    columns[:, : order.shape[1]] = order
    if ranking.items.shape[1]:
        columns[:, : order.shape[1]][np.take_along_axis(ranking.items, order, axis=1) < 0] = -1
    return select(ranking, columns, value.astype(np.float32))
