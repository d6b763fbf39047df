"""Power-law topic weights, and categorical sampling by inversion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def topic_weights(topics: int, skew: float) -> NDArray[np.float64]:
    """Return π (topics,), π_t ∝ t^−skew for t = 1…topics."""
    weights = np.arange(1, topics + 1, dtype=float) ** -skew
    return weights / weights.sum()


def sample_categorical(weights: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return categorical draws by inversion: weights (n, m) or (m,), draws (n,) in (0, 1)."""
    cumulative = np.cumsum(np.broadcast_to(weights, (draws.size, weights.shape[-1])), axis=1)
    return (cumulative < draws[:, None] * cumulative[:, -1:]).sum(axis=1)
