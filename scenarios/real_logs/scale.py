"""Set the level of a twin's item values relative to the outside option, which a log does not identify.

Adding a constant to every item's quality changes no choice between items, only how often a visit ends
without one. A log has no such visits, so the constant is set by convention: in the reference visits below,
the mean probability of being satisfied is that of the default generated world. The reference does not depend
on the study's own behavior, so that `behavior.outside` and similar fields keep their meaning and can be varied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...agents.behavior import Behavior

REFERENCE_SATISFACTION = 0.37
"""Mean P(satisfied) of the reference visits, that of the default generated world after its warm-up (.36 to .38)."""
VISITS = 4000
"""Number of reference visits; they are pseudo-random and the same for every log."""
SLATE = 10
"""Number of items of a reference visit."""


def reference_values(
    tastes: NDArray,
    shares: NDArray,
    topics: NDArray,
    quality: NDArray,
    popularity: NDArray,
    match: float,
    idiosyncrasy: float,
) -> NDArray[np.float64]:
    """Return (VISITS, SLATE) values v − v_0 of the items of reference visits, in the order shown.

    In a reference visit the user is drawn uniformly, the intent by `shares`, and items with probability
    ∝ (1 + popularity)^b; b, v_0 and its spread are the defaults of `Behavior`.
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
    """Return the mean P(satisfied) of visits with values (visits, slate) relative to v_0, with default attention.

    Σ_d P(depth = d)·O_d / (1 + O_d), where O_d is the sum of the odds exp(v − v_0) of the first d items.
    """
    odds = np.cumsum(np.exp(np.minimum(values, 50.0)), axis=1)
    reach = Behavior().attention ** np.arange(values.shape[1] + 1)
    reach[-1] = 0
    return float((odds / (1 + odds) @ (reach[:-1] - reach[1:])).mean())


def find_shift(values: NDArray[np.float64], target: float = REFERENCE_SATISFACTION) -> float:
    """Return the constant to add to `values` so that their satisfaction is the target (bisection)."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if satisfaction(values + middle) < target else (low, middle)
    return (low + high) / 2
