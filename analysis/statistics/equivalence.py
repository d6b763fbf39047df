"""Tests of equivalence and non-inferiority: show that there is no harm, rather than fail to show harm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...errors import BadInput
from .intervals import LEVEL, Interval, one_interval, too_few


@dataclass(frozen=True)
class Equivalence(Interval):
    """A mean tested against two bounds; `low` and `high` are the deciding interval (at 2 · level − 1)."""

    lower: float = -np.inf
    """Bound that the mean should lie above; −∞ for none."""
    upper: float = np.inf
    """Bound that the mean should lie below; ∞ for none."""
    p_lower: float = np.nan
    """One-sided p-value of "the mean lies at or below `lower`"."""
    p_upper: float = np.nan
    """One-sided p-value of "the mean lies at or above `upper`"."""
    p: float = np.nan
    """The larger of the two: the p-value of "not within the bounds"; NaN below two values."""
    equivalent: bool = False
    """Shown to lie within the bounds, at `level`."""
    level: float = LEVEL


def tost(values: ArrayLike, low: float, high: float, level: float = LEVEL) -> Equivalence:
    """Two one-sided t tests: is the mean of the values shown to lie between `low` and `high`?

    values (n,): one per seed, such as paired differences; non-finite values are left out. The mean is equivalent
    if both one-sided tests at 1 − level reject, that is, if the t interval at 2 · level − 1 (90 % for 95 %) lies
    strictly within the bounds. One infinite bound makes it a test of non-inferiority. Not "equivalent" means only
    that equivalence was not shown. Raises BadInput unless low < high. Schuirmann, J. Pharmacokinet. Biopharm. 15
    (1987).
    """
    from scipy.stats import t

    if not low < high:
        raise BadInput(f"the bounds of an equivalence test must be low < high (here {low:g} and {high:g})")
    if not 0.5 < level < 1:
        raise BadInput(f"the level of an equivalence test must lie between 0.5 and 1 (here {level:g})")
    mean, half, error, n = one_interval(values, 2 * level - 1)
    if n < 2:
        return Equivalence(mean, np.nan, np.nan, n, too_few(n), low, high, level=level)
    if error > 0:
        p_lower, p_upper = t.sf((mean - low) / error, n - 1), t.sf((high - mean) / error, n - 1)
    else:
        p_lower, p_upper = float(mean <= low), float(mean >= high)
    p = float(max(p_lower, p_upper))
    return Equivalence(
        mean,
        mean - half,
        mean + half,
        n,
        "" if error > 0 else "the same value in every seed",
        low,
        high,
        float(p_lower),
        float(p_upper),
        p,
        p < 1 - level,
        level,
    )


def noninferior(values: ArrayLike, margin: float, level: float = LEVEL) -> Equivalence:
    """Is the mean shown to lie above −margin? One of `tost`'s two tests; margin ≥ 0 in the unit of the values."""
    if not 0 <= margin < np.inf:
        raise BadInput(f"the margin of a non-inferiority test must be a number from 0 up (here {margin:g})")
    return tost(values, -margin, np.inf, level)
