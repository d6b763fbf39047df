"""Estimate item quality: the part of popularity that topics and tastes do not explain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tastes import Tastes

PSEUDO_COUNT = 1.0
"""Pseudo-count that shrinks an item's ratio of observed to expected users toward 1."""
SWEEPS = 6
"""Fixed-point iterations."""
_BLOCK_SIZE = 2_000_000
"""Most values that are in memory at once."""


def find_quality(
    tastes: Tastes,
    weight: NDArray,
    topics: NDArray,
    counts: NDArray,
    match: float,
    start: NDArray,
    sweeps: int = SWEEPS,
) -> NDArray[np.float64]:
    """Return q (items,), centered, such that the model's demand reproduces the observed counts.

    Model demand m_i = Σ_u w_u Σ_k s_uk softmax_i(match·⟨a_uk, x_i⟩ + q_i) with w_u = `weight` (users,), the
    user's number of interactions. Iterative scaling: with the exposure E_i = m_i / exp(q_i), scaled to the
    total of the counts, exp(q_i) ← (n_i + c) / (E_i + c), c = `PSEUDO_COUNT`: the posterior mean of a
    rate with the prior Gamma(c, c), so that an item seen once or twice is not rated low on thin evidence.
    """
    quality = np.asarray(start, np.float64).copy()
    for _ in range(sweeps):
        exposure = model_demand(tastes, weight, topics, quality, match) / np.exp(quality)
        exposure *= counts.sum() / exposure.sum()
        quality = np.log((counts + PSEUDO_COUNT) / (exposure + PSEUDO_COUNT))
    return quality - quality.mean()


def model_demand(
    tastes: Tastes, weight: NDArray, topics: NDArray, quality: NDArray, match: float
) -> NDArray[np.float64]:
    """Return (items,) Σ_u w_u Σ_k s_uk softmax_i(match·⟨a_uk, x_i⟩ + q_i); sums to Σ w_u."""
    used = tastes.shares > 0
    points = (np.float32(match) * tastes.tastes[used]).astype(np.float32)
    mass = (weight[:, None] * tastes.shares)[used]
    across = np.ascontiguousarray(topics.T, np.float32)
    base = quality.astype(np.float32)
    demand = np.zeros(topics.shape[0])
    step = max(1, _BLOCK_SIZE // topics.shape[0])
    for first in range(0, len(points), step):
        rows = slice(first, first + step)
        values = points[rows] @ across
        values += base
        values -= values.max(axis=1, keepdims=True)
        np.exp(values, out=values)
        demand += (mass[rows] / values.sum(axis=1)).astype(np.float32) @ values
    return demand
