"""Random order among items that a method cannot tell apart: by id, the oldest would always win."""

from __future__ import annotations

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


@njit(cache=True)
def _draws(key, n_items):
    out = np.empty(n_items)
    for item in range(n_items):
        out[item] = uniform(key, 0, 0, item)
    return out
