"""Means over seeds with t intervals, Holm's adjustment, and differences up to rounding error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; `low` and `high` are NaN if there is none, and `reason` says why."""

    mean: float
    low: float
    high: float
    n: int
    """Number of values used (finite ones)."""
    reason: str = ""


def t_interval(
    values: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return mean, half width of its t interval, standard error and count over the last axis.

    Non-finite values are left out. Shapes: (..., n) → four arrays (...). Half width and standard error are NaN
    where n < 2. A spread within rounding error counts as 0.
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    n = finite.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, values, 0.0).sum(axis=-1) / np.where(n > 0, n, np.nan)
        off = np.where(finite, values - mean[..., None], 0.0)
        sd = np.sqrt((off**2).sum(axis=-1) / np.where(n > 1, n - 1, np.nan))
        size = np.abs(np.where(finite, values, 0.0)).max(axis=-1, initial=0.0)
        sd = np.where(sd <= rounding_error(size), 0.0 * sd, sd)
        error = sd / np.sqrt(n)
        half = t.ppf(0.5 + level / 2, np.maximum(n - 1, 1)) * error
    return mean, half, error, n


def one_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float, float, int]:
    """Return `t_interval` of one set of values of any shape, as plain numbers."""
    mean, half, error, n = t_interval(np.ravel(np.asarray(values, float)), level)
    return float(mean), float(half), float(error), int(n)


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the mean of independent values (n,), one per seed, with its t interval."""
    mean, half, _, n = one_interval(values, level)
    return Interval(mean, mean - half, mean + half, n, too_few(n))


def too_few(n: int) -> str:
    """Return why n values give no interval; empty if they do."""
    return {0: "no values", 1: "one seed gives no interval"}.get(n, "")


def ratio_interval(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval:
    """Return mean(above) / mean(below) of paired values with the t interval of its jackknife.

    It is a ratio of means, not a mean of ratios, which a seed with a small denominator would dominate. NaN if
    fewer than two pairs are finite or the sign of the denominator is not clear (95 %).
    """
    from scipy.stats import t

    some = np.isfinite(above) & np.isfinite(below)
    above, below, n = above[some], below[some], int(some.sum())
    if n < 2:
        return Interval(np.nan, np.nan, np.nan, n, "takes at least two seeds")
    base = mean_interval(below)
    if base.low <= 0 <= base.high:
        return Interval(np.nan, np.nan, np.nan, n, "the sign of the denominator is not clear")
    ratio = above.sum() / below.sum()
    without = (above.sum() - above) / (below.sum() - below)
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    half = float(t.ppf(0.975, n - 1) * error)
    return Interval(float(ratio), float(ratio) - half, float(ratio) + half, n)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's step-down adjusted p-values (Holm 1979); p (m,), NaN is left out of the family and stays NaN."""
    p = np.asarray(p, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(factor * p[order]), 1.0) if len(order) else []
    return adjusted


ULPS = 16
"""Units in the last place within which two numbers count as the same."""


def rounding_error(*sizes: ArrayLike) -> NDArray[np.float64]:
    """Return, elementwise, the largest difference that rounding may cause between numbers of these sizes."""
    largest = np.abs(np.asarray(sizes[0], np.float64))
    for size in sizes[1:]:
        largest = np.fmax(largest, np.abs(np.asarray(size, np.float64)))
    return ULPS * np.finfo(np.float64).eps * largest


def subtract(here: ArrayLike, there: ArrayLike) -> NDArray[np.float64]:
    """Return here − there; 0 if that is within rounding error, NaN if a side is not finite."""
    here, there = np.asarray(here, np.float64), np.asarray(there, np.float64)
    with np.errstate(invalid="ignore"):
        gap = here - there
        return np.where(np.abs(gap) <= rounding_error(here, there), 0.0 * gap, gap)
