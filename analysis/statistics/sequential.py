"""A confidence sequence: an interval that holds at every number of seeds at once, so one may look at any time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput
from .intervals import LEVEL, Interval, t_interval

SPREAD = 0.5
"""Variance of the normal mixture over the standardized effect. The interval is tightest near 20 seeds with it
and within 3 % of the tightest possible from 13 to 58 seeds (95 % level)."""


def confidence_sequence(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Interval for the mean of normal values with unknown variance that holds at all n at once.

    values (n,): paired differences in order of seed; those that are not finite are left out. With
    probability `level` the true mean lies in the interval of *every* n = 1, 2, …: one may look after
    every batch and stop when one likes. It is wider than the t interval at one n (by 60 % at 20–30
    seeds), and there is none (NaN) below 6 seeds at 95 %.

    With ν = n − 1, t the t statistic against a mean m, and r = 1 + n g, the mixture over effect sizes
    m/σ ~ N(0, g) of the likelihood ratios of t, E(m) = r^(−1/2) ((1 + t²/ν) / (1 + t²/(ν r)))^(n/2), is
    a nonnegative martingale of mean 1 under m in the order of the seeds, so that P(sup E ≥ 1/α) ≤ α (Ville).
    The interval is {m: E(m) < 1/α}. Gönen, Johnson, Lu & Westfall, Am. Stat. 59 (2005) for E; Wang &
    Ramdas, Sequential Analysis 44 (2025), for the sequence; Lai, Ann. Stat. 4 (1976), for the idea.
    """
    if not 0 < level < 1:
        raise BadInput(f"the level of a confidence sequence must lie between 0 and 1 (here {level:g})")
    means, _, errors, counts = t_interval(np.ravel(np.asarray(values, float)), level)
    mean, error, n = float(means), float(errors), int(counts)
    if n < 2:
        return Interval(mean, np.nan, np.nan, n, "no values" if n == 0 else "one seed gives no interval")
    width = float(sequence_width(n, level))
    if not np.isfinite(width):
        first = first_look(level)
        return Interval(mean, np.nan, np.nan, n, f"{n} seeds: an always-valid interval takes {first}")
    half = width * error * float(np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n, "" if half > 0 else "the same value in every seed")


def sequence_width(n: ArrayLike, level: float = LEVEL, spread: float = SPREAD) -> NDArray[np.float64]:
    """Half width of the confidence sequence in standard deviations of the values; infinite where there is none."""
    n = np.asarray(n, dtype=np.float64)
    r = 1 + n * spread
    bound = (np.sqrt(r) / (1 - level)) ** (2 / n)
    finite = (n >= 2) & (bound < r)
    square = (n - 1) / n * (bound - 1) / np.where(finite, 1 - bound / r, 1.0)
    return np.where(finite, np.sqrt(square), np.inf)


def first_look(level: float = LEVEL) -> int:
    """Smallest number of seeds at which the confidence sequence is an interval."""
    n = np.arange(2, 2000)
    return int(n[np.isfinite(sequence_width(n, level))][0])
