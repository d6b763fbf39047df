"""Random tie-breaking among items of equal score; breaking ties by id would always favor the oldest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from ..philox import uniform


def tie_key(rng: Generator) -> np.uint64:
    """Draw the key of one random order of all items, those not born yet included."""
    return rng.integers(0, 2**64, dtype=np.uint64)


def tie_order(key: np.uint64, n_items: int) -> NDArray[np.float64]:
    """Return (n_items,) numbers in (0, 1); item i's depends on the key and i only."""
    return _draws(np.uint64(key), n_items)


def tie_width(counts: NDArray[Any]) -> float:
    """Return the scale for draws in (0, 1) that, added to counts, break ties and change no other order.

    1 for whole counts. If weights make them fractions, the smallest gap between two counts that differ by more
    than a millionth of the largest.
    """
    if counts.size == 0 or (counts == np.floor(counts)).all():
        return 1.0
    gaps = np.diff(np.unique(counts), prepend=0)
    return float(gaps[gaps > 1e-6 * counts.max()].min(initial=counts.max()))


@njit(cache=True)
def _draws(key, n_items):
    out = np.empty(n_items)
    for item in range(n_items):
        out[item] = uniform(key, 0, 0, item)
    return out
