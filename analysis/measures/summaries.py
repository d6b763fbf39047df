"""Summaries of a run: single numbers computed from a column's values over the rounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

START_ROUNDS = 5
"""Number of rounds that define the start level."""
SMOOTHING_ROUNDS = 10
"""Length of the trailing mean from which the half-life is read, in rounds."""


def niche_half_life(rounds: ArrayLike, niche_exposure: ArrayLike) -> tuple[float, bool]:
    """Return (half-life in rounds, censored) of a run's niche exposure.

    The half-life is the time from the first round to the first round in which the trailing 10-round mean
    (shorter at the beginning) is at or below half of the start level, the mean of the first 5 rounds. A
    run that never halves is right-censored: (its length so far, True). A run that starts at 0, or without
    a value, has nothing to halve: (NaN, True). NaN values are left out of the means.
    """
    when, values = np.asarray(rounds, float), np.asarray(niche_exposure, float)
    start = _mean(values[:START_ROUNDS])
    if not start > 0:
        return np.nan, True
    for last in range(values.size):
        if _mean(values[max(0, last + 1 - SMOOTHING_ROUNDS) : last + 1]) <= start / 2:
            return float(when[last] - when[0]), False
    return float(when[-1] - when[0]), True


def _mean(values: NDArray[np.float64]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else np.nan
