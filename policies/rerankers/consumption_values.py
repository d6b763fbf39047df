"""Expected value of several items of a topic to a user who consumes the k best, as gains per additional item."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

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
    # V is concave; rounding must not make a later item gain more than an earlier one.
    return np.tile(np.minimum.accumulate(gains), (topics, 1))


def success_gains(chances: ArrayLike, consumed: int) -> NDArray[np.float64]:
    """Return (n,) what each of n independent items adds to E[min(k, successes)]: chance·P(fewer than k before it).

    A difference of two values would be mostly rounding error once nearly every slate succeeds.
    """
    chances = np.asarray(chances, np.float64)
    fewer = np.zeros(consumed)  # Probability of exactly j < k successes so far
    fewer[0] = 1.0
    gains = np.empty(chances.size)
    for a, chance in enumerate(chances):
        gains[a] = chance * fewer.sum()
        moved = fewer * chance
        fewer -= moved
        fewer[1:] += moved[:-1]
    return gains


def empirical_gains(sample: ArrayLike, n: int, consumed: int) -> NDArray[np.float64]:
    """Return (n,) what each of n draws, with replacement, from the non-negative `sample` adds to E[k best].

    E[k best] = Σ_j (x_j − x_{j−1})·E[min(k, draws of at least x_j)], x ascending and x_0 = 0.
    """
    levels, counts = np.unique(np.asarray(sample, np.float64), return_counts=True)
    above = counts[::-1].cumsum()[::-1] / counts.sum()
    before = binom.cdf(consumed - 1, np.arange(n)[:, None], above)
    return (before * above * np.diff(levels, prepend=0.0)).sum(axis=1)
