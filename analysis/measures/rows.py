"""Sums and ratios over slates: one row per user, where −1 marks an empty slot."""

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
    """Return (B,): the number of items (entries ≥ 0) in each row of ids (B, n)."""
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
def ratios(numerators, denominators, users, masks):
    """Return (1 + L,): Σ numerators / Σ denominators over all users, then over the users of each mask (L, all users).

    numerators, denominators, users: (n,), entry j belongs to users[j]. Entries in which either is not finite are
    left out; NaN if the denominator is 0.
    """
    labels = masks.shape[0]
    tops = np.zeros(1 + labels)
    bottoms = np.zeros(1 + labels)
    for j in range(users.size):
        if not (np.isfinite(numerators[j]) and np.isfinite(denominators[j])):
            continue
        tops[0] += numerators[j]
        bottoms[0] += denominators[j]
        for label in range(labels):
            if masks[label, users[j]]:
                tops[1 + label] += numerators[j]
                bottoms[1 + label] += denominators[j]
    for label in range(1 + labels):
        tops[label] = tops[label] / bottoms[label] if bottoms[label] != 0.0 else np.nan
    return tops
