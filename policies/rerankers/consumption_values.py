"""What several items of a topic are worth to somebody who consumes the k best, and how slots should be shared."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from ...errors import BadInput
from ..factors.list_objective import Values, satisfaction

AnyValues = Literal[Values, "empirical"]


def gain_table(
    values: AnyValues,
    topics: int,
    n: int,
    consumed: int,
    *,
    success: float | list[float] = 0.5,
    fading: float = 0.0,
    tail: float = 3.0,
    sample: list[float] | None = None,
) -> NDArray[np.float64]:
    """Return (topics, n): what a topic's first, second, … item adds to V_k, the expected sum of its k best.

    Only Bernoulli values differ between topics; there the i-th item succeeds with chance success·i^(−fading).
    """
    if values == "bernoulli":
        each = np.broadcast_to(np.asarray(success, np.float64), (topics,))
        chances = each[:, None] * np.arange(1, n + 1, dtype=np.float64) ** -fading
        return np.stack([success_gains(row, consumed) for row in chances])
    if values == "empirical":
        gains = empirical_gains(sample or [1.0], n, consumed)
    else:
        gains = np.diff(satisfaction(values, n, consumed, 0.5, tail))
    # V is concave; what rounding adds to a later item must not bring it before an earlier one
    return np.tile(np.minimum.accumulate(gains), (topics, 1))


def success_gains(chances: ArrayLike, consumed: int) -> NDArray[np.float64]:
    """Return (n,) what each of n independent items adds to E[min(k, successes)]: chance·P(fewer than k before it).

    Not as a difference of two values, which would be rounding only once nearly every slate succeeds.
    """
    chances = np.asarray(chances, np.float64)
    fewer = np.zeros(consumed)  # how likely exactly j < k successes are so far
    fewer[0] = 1.0
    gains = np.empty(chances.size)
    for a, chance in enumerate(chances):
        gains[a] = chance * fewer.sum()
        moved = fewer * chance
        fewer -= moved
        fewer[1:] += moved[:-1]
    return gains


def empirical_gains(sample: ArrayLike, n: int, consumed: int) -> NDArray[np.float64]:
    """Return (n,) the same for draws, with replacement, from the non-negative `sample`.

    E[k best] = Σ_j (x_j − x_{j−1})·E[min(k, draws of at least x_j)], x ascending and x_0 = 0.
    """
    levels, counts = np.unique(np.asarray(sample, np.float64), return_counts=True)
    above = counts[::-1].cumsum()[::-1] / counts.sum()
    before = binom.cdf(consumed - 1, np.arange(n)[:, None], above)
    return (before * above * np.diff(levels, prepend=0.0)).sum(axis=1)


def best_slots(shares: ArrayLike, gains: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return (…, topics): how many of n slots each topic gets in the slate of largest Σ_t p_t V_t(a_t).

    `gains`: `gain_table`. Exact: what the next item of a topic adds only shrinks, so the n largest additions make
    the best slate. Ties: the topic with the lower id.
    """
    shares = np.asarray(shares, np.float64)
    worth = shares[..., None] * gains[:, :n]
    chosen = np.argsort(-worth.reshape(*shares.shape[:-1], -1), axis=-1, kind="stable")[..., :n]
    topic = chosen // worth.shape[-1]
    return (topic[..., None] == np.arange(shares.shape[-1])).sum(axis=-2)


def gamma_shares(p: ArrayLike, gamma: float) -> NDArray[np.float64]:
    """Return p^γ / Σ p^γ over the last axis: equal shares at 0 (over topics with p > 0), calibrated at 1, only the
    most likely topics at infinity."""
    p = np.asarray(p, np.float64)
    if not gamma >= 0:
        raise BadInput(f"gamma = {gamma} is not allowed: it must be at least 0")
    top = p.max(axis=-1, keepdims=True)
    relative = p / np.where(top > 0, top, 1)
    power = np.where(relative == 1, 1.0, 0.0) if math.isinf(gamma) else relative**gamma
    power = np.where(p > 0, power, 0.0)
    return power / np.maximum(power.sum(axis=-1, keepdims=True), np.finfo(float).tiny)


def limit_gamma(values: Values, *, tail: float = 3.0, everything: bool = False) -> float:
    """Return the γ that the best slates of ever more slots tend to, at a fixed number consumed.

    0 for Bernoulli, 1/2 for Uniform, 1 for Exponential, tail/(tail − 1) for Pareto; infinity where everything
    on the slate is consumed. Bernoulli means here equal success for all topics, without fading: see
    `limit_shares_by_success`, and `Consumption` for fading. Theorem 1 of Peng et al., WWW 2024.
    """
    if everything:
        return math.inf
    return {"bernoulli": 0.0, "uniform": 0.5, "exponential": 1.0, "pareto": tail / (tail - 1)}[values]


def limit_shares_by_success(success: ArrayLike) -> NDArray[np.float64]:
    """Return (topics,) the shares that the best slates tend to where one item is consumed and topic t's succeed
    with chance q_t: in proportion to 1/log(1/(1 − q_t)), whatever the tastes. Theorem 3 of Peng et al."""
    weights = -1 / np.log1p(-np.asarray(success, np.float64))
    return weights / weights.sum()
