"""Test a response surface for lack of fit: does a value depend on a key in a way that a quadratic cannot follow?

A response surface is quadratic in every key. It takes a jump, a late spike or more than one wave for noise, and the
share of plausible behaviors estimated from it is then off by more than its interval says (docs/statistics.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .coordinates import Coordinates
from .given_data import SEED

RESAMPLES = 499
LEVEL = 0.05
"""Highest rate of false alarms among surfaces that fit, over all keys."""
MAX_NUMBERS = 2**21
"""Most numbers in memory at once."""

Array = NDArray[np.float64]


def lack_of_fit(coordinates: Coordinates, values: Array) -> str:
    """Return the key whose curve departs most clearly from a quadratic; "" if none does.

    values: (draws,). For each key with more than three values, the residuals of a least-squares quadratic in that
    key alone are cumulated in its order. The largest absolute sum is compared with those of refitted residuals
    with random signs (wild bootstrap), and p is multiplied by the number of keys. Stute, González Manteiga &
    Presedo Quindimil, J. Am. Stat. Assoc. 93 (1998). It detects main effects, whatever the noise distribution.
    """
    keys = [key for key, columns in coordinates.columns.items() if set(columns) & set(coordinates.squared)]
    keys = [key for key in keys if coordinates.support[key][0].size > 3]
    found = {key: _p(coordinates.places[:, coordinates.columns[key][0]], values) for key in keys}
    key = min(found, key=lambda name: found[name], default="")
    return key if key and found[key] * len(found) < LEVEL else ""


def _p(at: Array, values: Array) -> float:
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    ends = np.append(
        np.flatnonzero(np.diff(at) > 0), at.size - 1
    )  # Draws with equal values share one position.
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
