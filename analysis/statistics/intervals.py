"""A mean over seeds with its t interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rounding import rounding

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its t interval; `low` and `high` are NaN where there is none, and `reason` says why."""

    mean: float
    low: float
    high: float
    n: int
    """Values it rests on (finite ones)."""
    reason: str = ""


def t_interval(
    values: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean, half width of its t interval, standard error and count over the last axis.

    Values that are not finite are left out. Shapes: (..., n) → four arrays (...). Half width and
    standard error are NaN where n < 2. A spread that is only rounding counts as none (0).
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
        sd = np.where(sd <= rounding(size), 0.0 * sd, sd)
        error = sd / np.sqrt(n)
        half = t.ppf(0.5 + level / 2, np.maximum(n - 1, 1)) * error
    return mean, half, error, n


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean of independent values (one per seed) and its t interval; values (n,)."""
    means, halves, _, counts = t_interval(np.ravel(np.asarray(values, float)), level)
    mean, half, n = float(means), float(halves), int(counts)
    return Interval(mean, mean - half, mean + half, n, _why_no_interval(n))


def _why_no_interval(n: int) -> str:
    return {0: "no values", 1: "one seed gives no interval"}.get(n, "")
