"""Calibrated recommendations (Steck): slates whose topic shares match the user's history."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationInfo, field_validator

from ...errors import BadInput, WrongFields
from ..base import Ranking
from ..interactions import Observation
from ..profiles import sparse_tags
from .calibration_flow import improve_slates
from .candidates import FromCandidates, select
from .relevance import Scale, scaled
from .targets import TargetConfig, targets

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
    counts = (p > 0) & (mixed > 0)  # Alpha·p underflows to 0 for the smallest p, whose term is 0
    np.divide(p, mixed, out=terms, where=counts)
    np.log(terms, out=terms, where=counts)
    return (p * terms).sum(axis=-1)


class Calibrated(FromCandidates):
    """Calibrated slates (Steck): topics in the proportions of the user's history, traded off against scores.

    Returns the slate I that maximizes (1 − weight)·Σ_i s(i) − weight·C_KL(p, q̃(I)).

    p: the profile of the user's history, mixed with a prior (`prior_weight`). q: mean tag of the slate,
    weighted by rank; q̃: q mixed with alpha·p. `weight` trades scores against calibration and depends on their
    scale, so report C_KL beside the loss in hit rate, never `weight` alone. Scores are returned unchanged.

    - solver "greedy": starting from an empty slate, each step appends the candidate with the largest objective, ties
      to the one ranked higher before; the order of selection is the order of the slate. With `normalize =
      "final"` and equal rank weights the objective is monotone submodular, so greedy gains over the empty slate at
      least 1 − 1/e of what the best slate gains over it, and it is exact where every candidate has one topic.
    - solver "flow": where every candidate has one topic, the optimum of the minimum-cost flow source → topic
      → item → sink, whose arcs into topic g cost what its j-th item adds to C_KL. These costs are convex in
      j and items of a topic differ by score only, so that n successive shortest paths are the greedy steps.
      Otherwise, the relaxation with fractional items (concave, solved by Frank–Wolfe) is rounded; this slate and
      the greedy one are both improved by chains of exchanges, and the better one is returned. A slate is never
      worse than the greedy one, and is shown in greedy order.

    Sources: Steck, "Calibrated recommendations", RecSys 2018; a flow formulation is due to Abdollahpouri et al.,
    WSDM 2023 (the network here is ours). Targets from recent history: Lin et al., UMAP 2024.
    Cost: O(n·candidates) per user, with a logarithm only for topics that an item has and only where an upper
    bound (the gain at an earlier step) does not already rule the item out. "flow" with items of several topics:
    about 50 sorts of the candidates and a few rounds of n·candidates exchanges.
    """

    kind = "calibrated"

    class Config(TargetConfig):
        weight: float = Field(default=0.5, ge=0, le=1)
        """λ: 0 keeps the order of the scores, 1 looks at topics only."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""
        normalize: Literal["final", "running"] = "final"
        """Normalize the partial slate by its final or by its current total rank weight."""
        rank_weight: Literal["none", "log", "reciprocal"] = "none"
        """Weight of rank r in q: 1, 1/log2(r + 1) or 1/r."""
        alpha: float = Field(default=ALPHA, gt=0, le=1)
        """Share of p mixed into q."""
        solver: Literal["greedy", "flow"] = "greedy"
        """Greedy, or "flow": exact where every item has one topic, and at least as good as greedy elsewhere."""

        @field_validator("solver")
        @classmethod
        def _about_sets(cls, solver: str, info: ValidationInfo) -> str:
            given: dict[str, Any] = info.data
            if solver == "flow" and (
                given.get("normalize") == "running" or given.get("rank_weight") in ("log", "reciprocal")
            ):
                raise WrongFields(
                    'it chooses a set, so it needs normalize = "final" and rank_weight = "none"; '
                    'with others use solver = "greedy"',
                    "solver",
                    "normalize",
                    "rank_weight",
                )
            return solver

    config: Config

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return the calibrated n of the ranked items."""
        config = self.config
        target = targets(seen, ranking.users, config)
        scores = scaled(ranking.scores, ranking.items, config.scale)
        weights = rank_weights(config.rank_weight, n)
        tags = sparse_tags(seen.tags)
        rules = weights, config.normalize == "final", config.weight, config.alpha
        chosen = _greedy(ranking.items, scores, target, *tags, *rules)
        if config.solver == "flow":
            sets = improve_slates(chosen, ranking.items, scores, target, *tags, config.weight, config.alpha)
            items, values = _columns(ranking.items, -1, sets), _columns(scores, 0.0, sets)
            chosen = _columns(sets, -1, _greedy(items, values, target, *tags, *rules))
        return select(ranking, chosen)


def _columns(array: NDArray[Any], empty: Any, columns: NDArray[np.int64]) -> NDArray[Any]:
    """Return array[b, columns[b]], `empty` where a column is −1."""
    if array.shape[1] == 0:
        return np.full(columns.shape, empty, array.dtype)
    return np.where(columns >= 0, np.take_along_axis(array, np.maximum(columns, 0), axis=1), empty)


def rank_weights(name: str, n: int) -> NDArray[np.float64]:
    """Return (n,) the weights of ranks 1…n."""
    ranks = np.arange(1, n + 1, dtype=np.float64)
    return {"none": np.ones(n), "log": 1 / np.log2(ranks + 1), "reciprocal": 1 / ranks}[name]


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
                # With a constant normalizer gains never increase from step to step, so an old gain is a bound.
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
