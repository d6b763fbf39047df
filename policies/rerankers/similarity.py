"""Similarity of items, by their tags or by who took them, for rerankers that diversify a slate."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from ..interactions import Observation

Similarity = Literal["topics", "taken"]
_SUMS = {"reassoc", "nsz"}  # Lets the compiler vectorize sums; their order stays the same on every call

SimilarityData = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""Unit vectors (items, D), or D = 0 and the cosines in compressed rows: indptr, indices, data."""


def similarities(seen: Observation, kind: Similarity) -> SimilarityData:
    """Return what `similar_row` needs.

    "topics": cosine of the tags. "taken": cosine of the columns of `seen.counts`, binary: of how many users
    that took one also took the other. An item without tags or takers is similar to no other.
    """
    if kind == "topics":
        norms = np.linalg.norm(seen.tags, axis=1, keepdims=True)
        unit = np.ascontiguousarray(seen.tags / np.where(norms > 0, norms, 1), np.float32)
        none = np.empty(0, np.int32)
        return unit, np.zeros(1, np.int32), none, none.astype(np.float32)
    taken: Any = seen.counts.copy()
    taken.data = np.ones_like(taken.data)
    sizes = np.bincount(taken.indices, minlength=seen.n_items)
    taken = taken @ sparse.diags_array(1 / np.sqrt(np.maximum(sizes, 1)))
    product: Any = sparse.csr_matrix(taken.T @ taken)
    return (
        np.empty((seen.n_items, 0), np.float32),
        product.indptr.astype(np.int32),
        product.indices.astype(np.int32),
        product.data.astype(np.float32),
    )


@njit(cache=True, fastmath=_SUMS)
def dot(a, b):
    """Return the inner product of two rows."""
    total = np.float32(0)
    for g in range(a.size):
        total += a[g] * b[g]
    return total


@njit(cache=True)
def candidate_vectors(items, unit, out):
    """Copy the unit vectors of one user's candidates to `out` (C, D), zeros for padding."""
    for c in range(items.size):
        for g in range(unit.shape[1]):
            out[c, g] = unit[items[c], g] if items[c] >= 0 else np.float32(0)


@njit(cache=True)
def similar_row(pick, items, vectors, indptr, indices, data, scratch, out):
    """Write the similarities of candidate `pick` to all candidates to `out` (C,); `scratch` (items,) is zeros."""
    width = items.size
    if vectors.shape[1] > 0:
        chosen = vectors[pick]
        for c in range(width):
            out[c] = dot(chosen, vectors[c])
        return
    item = items[pick]
    for at in range(indptr[item], indptr[item + 1]):
        scratch[indices[at]] = data[at]
    for c in range(width):
        out[c] = scratch[items[c]] if items[c] >= 0 else 0.0
    for at in range(indptr[item], indptr[item + 1]):
        scratch[indices[at]] = 0.0
