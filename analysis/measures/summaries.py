"""Summaries that compare a run with the organic arm: single numbers computed from a column's values over the rounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMOOTHING_ROUNDS = 10
"""Length of the trailing means from which the half-life is read, in rounds."""


def niche_half_life(rounds: ArrayLike, exposure: ArrayLike, organic: ArrayLike) -> tuple[float, bool]:
    """Return (half-life in rounds, censored) of a run's niche exposure against the organic arm of the same seed.

    The half-life is the time from the first round to the first round in which the trailing 10-round mean (shorter at the
    beginning) of `exposure` is at most half of that of `organic`, in which nobody recommends anything: 0 if half of it is
    lost at once. A run that never halves is right-censored: (its length so far, True). Rounds in which either is undefined
    are left out; (NaN, True) if there is nothing to compare.
    """
    when, shown, wanted = (np.asarray(values, float) for values in (rounds, exposure, organic))
    known = np.isfinite(shown) & np.isfinite(wanted)
    last = np.nan
    for place in np.flatnonzero(known):
        part = slice(max(0, place + 1 - SMOOTHING_ROUNDS), place + 1)
        reference = _sum(wanted[part][known[part]])
        if not reference > 0:
            continue
        last = float(when[place] - when[0])
        if _sum(shown[part][known[part]]) <= reference / 2:
            return last, False
    return last, True


def _sum(values: NDArray[np.float64]) -> float:
    return float(values.sum())
