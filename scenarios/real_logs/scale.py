"""The scale of a twin's values: a log does not say how much people like nothing at all.

Adding a constant to every item's quality changes no choice between items, only how often a visit ends
with nothing. A log has no such visits, so the constant is set by convention: under the reference visit
below, the mean probability of being satisfied is that of the default generated world. The reference is
fixed, not the study's own behavior, so `behavior.outside` and the like keep their meaning and can be swept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...agents.behavior import Behavior

ORGANIC_SATISFACTION = 0.37
"""P(satisfied) of the reference visit, as in the default generated world at the end of its warm-up (five seeds: .36 to .38)."""
VISITS = 4000
"""Fixed pseudo-random visits over which the probability is averaged."""
SLATE = 10
"""Items of the reference visit."""


def organic_values(
    tastes: NDArray,
    shares: NDArray,
    topics: NDArray,
    quality: NDArray,
    popularity: NDArray,
    match: float,
    idiosyncrasy: float,
) -> NDArray[np.float64]:
    """Return (VISITS, SLATE) values v − v_0 of the items of reference visits, in the order shown.

    A reference visit: a user, uniformly; an intent by `shares`; items with probability ∝ (1 + popularity)^b;
    b, v_0 and its spread are the defaults of `Behavior`.
    """
    standard = Behavior()
    rng = np.random.Generator(np.random.PCG64(30))
    user = rng.integers(0, shares.shape[0], VISITS)
    intent = (np.cumsum(shares[user], axis=1) < rng.random((VISITS, 1))).sum(axis=1)
    intent = np.minimum(intent, (shares[user] > 0).sum(axis=1) - 1)
    weights = np.cumsum((1.0 + popularity) ** standard.organic_popularity)
    item = np.searchsorted(weights, rng.random((VISITS, SLATE)) * weights[-1])
    item = np.minimum(item, weights.size - 1)
    values = match * np.einsum("vt,vnt->vn", tastes[user, intent], topics[item]) + quality[item]
    values += idiosyncrasy * rng.standard_normal(values.shape)
    return values - (standard.outside + standard.outside_sd * rng.standard_normal((VISITS, 1)))


def satisfaction(values: NDArray[np.float64]) -> float:
    """Return the mean P(satisfied) of visits with values (visits, slate) relative to v_0, default attention.

    Σ_d P(depth = d)·O_d / (1 + O_d), O_d the sum of the odds exp(v − v_0) of the first d items.
    """
    odds = np.cumsum(np.exp(np.minimum(values, 50.0)), axis=1)
    reach = Behavior().attention ** np.arange(values.shape[1] + 1)
    reach[-1] = 0
    return float((odds / (1 + odds) @ (reach[:-1] - reach[1:])).mean())


def shift_to(values: NDArray[np.float64], goal: float = ORGANIC_SATISFACTION) -> float:
    """Return the constant that brings the satisfaction of `values` to the goal (bisection)."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if satisfaction(values + middle) < goal else (low, middle)
    return (low + high) / 2
