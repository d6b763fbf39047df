"""Sums over the slots of slates, where −1 is an empty slot, and over users."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _row_sums(ids, values):
    sums = np.zeros(ids.shape[0])
    for b in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            if ids[b, j] >= 0:
                sums[b] += values[ids[b, j]]
    return sums


def row_sums(ids: NDArray[np.int32], values: NDArray) -> NDArray[np.float64]:
    """Return (B,): the sum of values[i] (items,) over the items i ≥ 0 in each row of ids (B, n)."""
    return _row_sums(np.ascontiguousarray(ids), np.asarray(values, np.float64))


@njit(cache=True)
def row_counts(ids):
    """Return (B,): how many entries of each row of ids (B, n) are items, that is ≥ 0."""
    counts = np.zeros(ids.shape[0], np.int64)
    for b in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            counts[b] += ids[b, j] >= 0
    return counts


def row_means(ids: NDArray[np.int32], values: NDArray) -> NDArray[np.float64]:
    """Return (B,): the mean of values[i] over the items i ≥ 0 in each row of ids; NaN for an empty row."""
    filled = row_counts(ids)
    return np.where(filled > 0, row_sums(ids, values) / np.maximum(filled, 1), np.nan)


@njit(cache=True)
def ratios(above, below, users, masks):
    """Return (1 + L,): Σ above / Σ below over all users, then over those in each of the masks (L, people).

    above, below, users: (n,), entry j belongs to users[j]. Entries in which either is not finite are left
    out; NaN where the denominator is 0.
    """
    labels = masks.shape[0]
    tops = np.zeros(1 + labels)
    bottoms = np.zeros(1 + labels)
    for j in range(users.size):
        if not (np.isfinite(above[j]) and np.isfinite(below[j])):
            continue
        tops[0] += above[j]
        bottoms[0] += below[j]
        for label in range(labels):
            if masks[label, users[j]]:
                tops[1 + label] += above[j]
                bottoms[1 + label] += below[j]
    for label in range(1 + labels):
        tops[label] = tops[label] / bottoms[label] if bottoms[label] != 0.0 else np.nan
    return tops
