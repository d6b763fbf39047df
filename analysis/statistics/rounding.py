"""Differences that are only rounding: two large numbers that should be equal seldom are, to the last digit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEPS = 16
"""Units in the last place within which two numbers count as the same."""


def rounding(*sizes: ArrayLike) -> NDArray[np.float64]:
    """Return the largest difference that may come from rounding, where numbers as large as these met; elementwise."""
    largest = np.abs(np.asarray(sizes[0], np.float64))
    for size in sizes[1:]:
        largest = np.fmax(largest, np.abs(np.asarray(size, np.float64)))
    return STEPS * np.finfo(np.float64).eps * largest


def apart(here: ArrayLike, there: ArrayLike) -> NDArray[np.float64]:
    """Return here − there; 0 where that is only rounding, NaN where a side is not finite."""
    here, there = np.asarray(here, np.float64), np.asarray(there, np.float64)
    with np.errstate(invalid="ignore"):
        gap = here - there
        return np.where(np.abs(gap) <= rounding(here, there), 0.0 * gap, gap)
