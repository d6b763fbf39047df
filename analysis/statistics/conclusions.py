"""The one rule for what is said of a difference: higher, lower, no clear difference, or why nothing is."""

from __future__ import annotations

import math

from .intervals import Interval

HIGHER, LOWER, OPEN, EQUAL = "higher", "lower", "no clear difference", "equal in every seed"
TOO_FEW, UNKNOWN = "too few seeds to say", "cannot say"
FEWEST = 5
"""Fewest values, one per seed (for differences: pairs of runs), on which a verdict is based."""

LOW_RANK = 5
"""Effective rank below which the scores of a factor model vary in a few directions only, whatever its dimension."""
COLLAPSED = f"no finding about dimension: both models have collapsed to fewer than {LOW_RANK}"
"""Said instead of OPEN and EQUAL of two such models, which are nearly the same one."""


def verdict(
    interval: Interval,
    reference: float = 0.0,
    *,
    clear: bool | None = None,
    touching: str = "",
    collapsed: bool = False,
) -> str:
    """Return what an interval over seeds says of a mean, compared with a reference value.

    One of the words above: TOO_FEW below 5 values or without an interval, UNKNOWN without any value. clear: whether
    the mean differs from the reference value, where an adjusted test decides that; by default, whether the interval
    excludes it. touching: HIGHER or LOWER, if an interval that only touches the reference value from that side
    counts as lying on it. collapsed: whether two factor models are compared that are both below `LOW_RANK`.
    """
    if interval.n == 0:
        return UNKNOWN
    if interval.n < FEWEST or math.isnan(interval.low):
        return TOO_FEW
    above = interval.low > reference or (touching == HIGHER and interval.low == reference)
    below = interval.high < reference or (touching == LOWER and interval.high == reference)
    if not touching and interval.low == interval.high == reference:
        return COLLAPSED if collapsed else EQUAL
    if not (above or below if clear is None else clear):
        return COLLAPSED if collapsed else OPEN
    # The mean of all seeds may lie outside an interval that earlier looks narrowed.
    return HIGHER if above or (not below and interval.mean > reference) else LOWER
