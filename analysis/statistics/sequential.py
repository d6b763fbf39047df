"""Confidence sequences: intervals valid at every number of seeds at once, so that a study may be looked at any time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput
from .intervals import LEVEL, Interval, one_interval, too_few

SPREAD = 0.5
"""Variance of the normal mixture over the standardized effect. With it the interval is tightest near 20 seeds
and within 3 % of the tightest possible from 13 to 58 seeds (95 % level)."""


def confidence_sequence(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return an interval for the mean of normal values with unknown variance that is valid at all n at once.

    values (n,): paired differences in order of seed; non-finite values are left out. With probability `level` the
    true mean lies in the interval of *every* n = 1, 2, …, so looking after every batch and stopping at any time is
    allowed. It is wider than the t interval at one n (by 60 % at 20–30 seeds), and there is none (NaN) below 6
    seeds at 95 %.

    With ν = n − 1, t the t statistic against a mean m, and r = 1 + n g, the mixture over effect sizes
    m/σ ~ N(0, g) of the likelihood ratios of t, E(m) = r^(−1/2) ((1 + t²/ν) / (1 + t²/(ν r)))^(n/2), is
    a nonnegative martingale of mean 1 under m in the order of the seeds, so that P(sup E ≥ 1/α) ≤ α (Ville).
    The interval is {m: E(m) < 1/α}. Gönen, Johnson, Lu & Westfall, Am. Stat. 59 (2005) for E; Wang &
    Ramdas, Sequential Analysis 44 (2025), for the sequence; Lai, Ann. Stat. 4 (1976), for the idea.
    """
    if not 0 < level < 1:
        raise BadInput(f"the level of a confidence sequence must lie between 0 and 1 (here {level:g})")
    mean, _, error, n = one_interval(values, level)
    if n < 2:
        return Interval(mean, np.nan, np.nan, n, too_few(n))
    width = float(sequence_width(n, level))
    if not np.isfinite(width):
        first = first_look(level)
        return Interval(mean, np.nan, np.nan, n, f"{n} seeds: an always-valid interval takes {first}")
    half = width * error * float(np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n, "" if half > 0 else "the same value in every seed")


def sequence_at_looks(values: ArrayLike, looks: Iterable[int], level: float = LEVEL) -> Interval:
    """Return the confidence sequence intersected over the looks taken: what one look excludes stays excluded.

    values (n,): as in `confidence_sequence`; looks: number of values at each look, those beyond n ignored; all n
    are the last look. The sequence covers the true mean at all looks together with probability `level`, and so does
    their intersection. If the intersection is empty (in 1 − level of studies at most, as one look then missed the
    truth), the earlier looks stand, and `reason` says so. The mean is that of all values, and may lie outside. An
    earlier look at which all values were equal excludes nothing.
    """
    values = np.ravel(np.asarray(values, float))
    last = confidence_sequence(values, level)
    low, high, reason = -np.inf, np.inf, last.reason
    for count in sorted({*(count for count in looks if 0 < count < values.size), values.size}):
        found = last if count == values.size else confidence_sequence(values[:count], level)
        if not np.isfinite(found.low) or (found.low == found.high and count < values.size):
            continue
        if max(low, found.low) > min(high, found.high):
            reason = f"what was seen at {count} seeds contradicts what was seen before; that stands"
            break
        low, high = max(low, found.low), min(high, found.high)
    if not np.isfinite(low):
        return last
    return Interval(last.mean, float(low), float(high), last.n, reason)


def sequence_width(n: ArrayLike, level: float = LEVEL, spread: float = SPREAD) -> NDArray[np.float64]:
    """Return the half width of the confidence sequence in standard deviations of the values; infinite if none."""
    n = np.asarray(n, dtype=np.float64)
    r = 1 + n * spread
    bound = (np.sqrt(r) / (1 - level)) ** (2 / n)
    finite = (n >= 2) & (bound < r)
    square = (n - 1) / n * (bound - 1) / np.where(finite, 1 - bound / r, 1.0)
    return np.where(finite, np.sqrt(square), np.inf)


def first_look(level: float = LEVEL) -> int:
    """Return the smallest number of seeds at which the confidence sequence is finite."""
    n = np.arange(2, 2000)
    return int(n[np.isfinite(sequence_width(n, level))][0])
