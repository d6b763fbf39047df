"""Calibrated recommendations: slates whose topics are in proportion to the user's history."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ...config import Config as BaseConfig
from ...errors import BadInput
from ..base import Ranking, Reranker
from ..interactions import Observation
from ..profiles import sparse_tags, topic_profiles

ALPHA = 0.01
"""Share of p mixed into q, so that a topic missing from the slate costs −log(alpha) and not infinity."""


def kl_calibration(p: ArrayLike, q: ArrayLike, alpha: float = ALPHA) -> NDArray[np.float64]:
    """Return C_KL(p, q) = Σ_g p_g log(p_g / ((1 − alpha) q_g + alpha p_g)) over the last axis.

    p is the target, q the slate's distribution, shapes (…, topics) that broadcast. In nats: 0 where q = p,
    at most log(1/alpha) = 4.605 for the default alpha, reached where q has none of p's topics. Terms with
    p_g = 0 count 0. Source: Steck, "Calibrated recommendations", RecSys 2018.
    """
    if not 0 < alpha <= 1:
        raise BadInput(f"alpha = {alpha} is not allowed: it must be above 0 and at most 1")
    p, q = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(q, np.float64))
    mixed = (1 - alpha) * q + alpha * p
    terms = np.zeros(p.shape)
    np.divide(p, mixed, out=terms, where=p > 0)
    np.log(terms, out=terms, where=p > 0)
    return (p * terms).sum(axis=-1)


class Calibrated(Reranker):
    """Greedy argmax over slates I of (1 − weight)·Σ_i s(i) − weight·C_KL(p, q̃(I)).

    p: the profile of the user's history (`profiles.topic_profiles`). q: mean tag of the slate, weighted by
    rank, mixed with alpha·p. Starting from nothing, each step appends the candidate with the largest
    objective, ties to the one ranked higher before; the order of selection is the order of the slate.
    `weight` trades scores against calibration and depends on their scale, so report C_KL beside the loss in
    hit rate, never `weight` alone. Scores are returned as they came.

    With `normalize = "final"` and equal rank weights the objective is monotone submodular, so greedy is
    within 1 − 1/e of the best slate, and exact where every item has one topic. Source: Steck, RecSys 2018.
    Cost: O(n·candidates) per user, with a logarithm only for topics that an item has and only where an
    upper bound (the gain at an earlier step) does not already rule the item out.
    """

    kind = "calibrated"

    class Config(BaseConfig):
        weight: float = Field(default=0.5, ge=0, le=1)
        """λ: 0 keeps the order of the scores, 1 looks at topics only."""
        candidates: int = Field(default=200, ge=1, le=100_000)
        """How many ranked items to choose from, per user."""
        window: int | None = Field(default=None, ge=1)
        """Target from the last so many rounds of history; all of it when omitted."""
        half_life: float | None = Field(default=None, gt=0)
        """Rounds after which an entry of the history counts half; no decay when omitted."""
        scale: Literal["minmax", "softmax"] = "minmax"
        """How scores are made comparable: (s − min)/(max − min) or softmax, over each user's candidates."""
        normalize: Literal["final", "running"] = "final"
        """Divide the slate so far by its final or by its current total rank weight."""
        rank_weight: Literal["none", "log", "reciprocal"] = "none"
        """Weight of rank r in q: 1, 1/log2(r + 1) or 1/r."""
        alpha: float = Field(default=ALPHA, gt=0, le=1)
        """Share of p mixed into q."""

    config: Config

    @property
    def candidates(self) -> int:
        """How many ranked items it wants to choose from."""
        return self.config.candidates

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return the calibrated n of the ranked items."""
        config = self.config
        target = topic_profiles(seen, window=config.window, half_life=config.half_life)
        weights = rank_weights(config.rank_weight, n)
        chosen = _greedy(
            ranking.items,
            scaled(ranking.scores, ranking.items, config.scale),
            target[ranking.users],
            *sparse_tags(seen.tags),
            weights,
            config.normalize == "final",
            config.weight,
            config.alpha,
        )
        found = chosen >= 0
        columns = np.where(found, chosen, 0)
        items = np.where(found, np.take_along_axis(ranking.items, columns, axis=1), np.int32(-1))
        scores = np.where(found, np.take_along_axis(ranking.scores, columns, axis=1), np.float32(-np.inf))
        return Ranking(ranking.users, items, scores)


def rank_weights(name: str, n: int) -> NDArray[np.float64]:
    """Return (n,) the weights of ranks 1…n."""
    ranks = np.arange(1, n + 1, dtype=np.float64)
    return {"none": np.ones(n), "log": 1 / np.log2(ranks + 1), "reciprocal": 1 / ranks}[name]


def scaled(scores: NDArray[np.float32], items: NDArray[np.int32], scale: str) -> NDArray[np.float64]:
    """Return (B, C) scores on a per-user scale, 0 for padding; equal scores become 0 under minmax."""
    here = items >= 0
    values = np.where(here, scores, np.nan).astype(np.float64)
    out = np.zeros(values.shape)
    rows = here.any(axis=1)
    if not rows.any():
        return out
    values = values[rows]
    top = np.nanmax(values, axis=1, keepdims=True)
    if scale == "softmax":
        shares = np.exp(values - top)
        out[rows] = shares / np.nansum(shares, axis=1, keepdims=True)
    else:
        low = np.nanmin(values, axis=1, keepdims=True)
        out[rows] = (values - low) / np.where(top > low, top - low, 1.0)
    out[~here] = 0.0
    return out


@njit(cache=True)
def _greedy(items, scores, target, indptr, topics, values, weights, final, trade, alpha):
    """Return (B, n) columns of `items` in order of selection, −1 where candidates ran out."""
    rows, width = items.shape
    n = weights.size
    total = weights.sum()
    chosen = np.full((rows, n), -1, np.int64)
    for b in range(rows):
        p = target[b]
        mass = np.zeros(p.size)
        base = np.empty(p.size)
        bound = np.full(width, np.inf)
        for r in range(n):
            if not final:
                total = weights[: r + 1].sum()
            share = (1 - alpha) / total
            for g in range(p.size):
                base[g] = math.log(share * mass[g] + alpha * p[g]) if p[g] > 0 else 0.0
            best, pick = -np.inf, -1
            for c in range(width):
                item = items[b, c]
                # a gain can only shrink from step to step while the normalizer stays
                if item < 0 or bound[c] <= best:
                    continue
                gain = 0.0
                for at in range(indptr[item], indptr[item + 1]):
                    g = topics[at]
                    if p[g] > 0:
                        after = share * (mass[g] + weights[r] * values[at]) + alpha * p[g]
                        gain += p[g] * (math.log(after) - base[g])
                gain = (1 - trade) * scores[b, c] + trade * gain
                if final:
                    bound[c] = gain
                if gain > best:
                    best, pick = gain, c
            if pick < 0:
                break
            chosen[b, r] = pick
            bound[pick] = -np.inf
            item = items[b, pick]
            for at in range(indptr[item], indptr[item + 1]):
                mass[topics[at]] += weights[r] * values[at]
    return chosen
