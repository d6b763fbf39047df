"""Does a value follow a key in a way that a quadratic cannot: a jump, a late spike, more than one wave?

A response surface is quadratic in every key. What it cannot follow it takes for noise, and the share of plausible
behaviors that is read from it is then off by more than its interval says (docs/statistics.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .coordinates import Coordinates
from .given_data import SEED

RESAMPLES = 499
LEVEL = 0.05
"""Share of surfaces without misfit in which one is told, over all keys, at most."""
MAX_NUMBERS = 2**21
"""Most numbers that are held at once."""

Array = NDArray[np.float64]


def lack_of_fit(coordinates: Coordinates, values: Array) -> str:
    """Return the key whose curve departs most clearly from a quadratic; "" where none does.

    values: (draws,). For each key with more than three values: residuals of a least-squares quadratic in that key
    alone, summed up in its order; the largest such sum against those of residuals with random signs, fitted
    again (wild bootstrap), p times the number of keys. Stute, González Manteiga & Presedo Quindimil, J. Am.
    Stat. Assoc. 93 (1998). It sees main effects, whatever the law of the noise.
    """
    keys = [key for key, columns in coordinates.columns.items() if set(columns) & set(coordinates.squared)]
    keys = [key for key in keys if coordinates.support[key][0].size > 3]
    found = {key: _p(coordinates.places[:, coordinates.columns[key][0]], values) for key in keys}
    key = min(found, key=lambda name: found[name], default="")
    return key if key and found[key] * len(found) < LEVEL else ""


def _p(at: Array, values: Array) -> float:
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    ends = np.append(np.flatnonzero(np.diff(at) > 0), at.size - 1)  # draws with one value are one place
    basis = np.linalg.qr(np.vander(at, 3))[0]
    left = values - basis @ (basis.T @ values)
    seen = float(np.abs(np.cumsum(left)[ends]).max())
    rng, beyond, done, batch = np.random.default_rng(SEED), 0, 0, max(1, MAX_NUMBERS // at.size)
    while done < RESAMPLES:
        count = min(batch, RESAMPLES - done)
        flipped = left[:, None] * rng.choice([-1.0, 1.0], (at.size, count))
        flipped -= basis @ (basis.T @ flipped)
        beyond += int((np.abs(np.cumsum(flipped, axis=0)[ends]).max(axis=0) >= seen * (1 - 1e-9)).sum())
        done += count
    return (1 + beyond) / (1 + RESAMPLES)
