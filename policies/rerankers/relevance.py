"""Normalization of scores per user, so that rerankers can weigh them against other criteria."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..interactions import FloatArray, IntArray

Scale = Literal["minmax", "softmax"]


def scaled(scores: FloatArray, items: IntArray, scale: Scale) -> NDArray[np.float64]:
    """Return (B, C) scores on a per-user scale, 0 for padding.

    minmax: (s − min)/(max − min), 0 where all are equal. softmax: exp(s) over its sum.
    """
    out = np.zeros(items.shape)
    _scale(scores, items, scale == "softmax", out)
    return out


@njit(cache=True)
def _scale(scores, items, softmax, out):
    rows, width = items.shape
    for b in range(rows):
        top, low = -np.inf, np.inf
        for c in range(width):
            if items[b, c] >= 0:
                top, low = max(top, np.float64(scores[b, c])), min(low, np.float64(scores[b, c]))
        if softmax:
            total = 0.0
            for c in range(width):
                if items[b, c] >= 0:
                    out[b, c] = math.exp(np.float64(scores[b, c]) - top)
                    total += out[b, c]
            for c in range(width):
                if items[b, c] >= 0:
                    out[b, c] /= total
        else:
            span = top - low if top > low else 1.0
            for c in range(width):
                if items[b, c] >= 0:
                    out[b, c] = (np.float64(scores[b, c]) - low) / span
