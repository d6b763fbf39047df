"""Shared computations of the neighbor methods: weights of entries, shrunk cosine, the k most similar rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ..interactions import FloatArray, IntArray
from ..search_space import Choice, Range, SearchSpace
from .history_policy import HistoryPolicy

Scheme = Literal["none", "tfidf", "bm25"]
K1, B = 1.2, 0.75
"""Saturation and length normalization of BM25, the usual values."""
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)

SPACE: SearchSpace = {
    "neighbors": Range(10, 500, whole=True),
    "shrink": Range(0.1, 1000),
    "weighting": Choice(("none", "tfidf", "bm25")),
}


class NeighborConfig(HistoryPolicy.Config):
    """The fields of both neighbor methods."""

    neighbors: int = Field(default=100, ge=1, le=100_000)
    """How many most similar items or users to keep for each; all of them if there are fewer."""
    shrink: float = Field(default=10.0, ge=0)
    """Added to the denominator of the cosine, so that pairs with little overlap count less."""
    weighting: Scheme = "none"
    """Weights of the entries in the cosine: none, tfidf or bm25."""


@dataclass(frozen=True)
class Weighting:
    """Weights w(d, t) of the entries x(d, t) of a matrix of documents d and terms t.

    none: x. tfidf: x·(1 + ln((1 + N) / (1 + df_t))). bm25: ln(1 + (N − df_t + ½) / (df_t + ½)) ·
    x·(K1 + 1) / (x + K1·(1 − B + B·|d| / mean |d|)). N: documents with entries, df_t: documents with t, |d|: sum
    of d's entries. Every weight is positive, so cosines are between 0 and 1.
    """

    scheme: Scheme
    inverse_frequency: FloatArray
    """(terms,)"""
    mean_length: float

    @classmethod
    def of(cls, documents: sparse.csr_matrix, scheme: Scheme) -> Weighting:
        """Learn the frequencies of terms and the mean length of documents (n, terms) that have entries."""
        n = np.count_nonzero(np.diff(documents.indptr))
        frequency = np.bincount(documents.indices, minlength=documents.shape[1])
        inverse = np.ones(frequency.size)
        if scheme == "tfidf":
            inverse += np.log((1 + n) / (1 + frequency))
        elif scheme == "bm25":
            inverse = np.log1p((n - frequency + 0.5) / (frequency + 0.5))
        return cls(
            scheme, inverse.astype(np.float32), float(documents.data.sum(dtype=np.float64)) / max(n, 1)
        )

    def apply(self, documents: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the weights of `documents` (n, terms)."""
        values = documents.data
        if self.scheme == "bm25":
            length = np.asarray(documents.sum(axis=1), np.float64).ravel()
            damping = K1 * (1 - B + B * length / self.mean_length)
            values = values * (K1 + 1) / (values + np.repeat(damping, np.diff(documents.indptr)))
        values = (values * self.inverse_frequency[documents.indices]).astype(np.float32)
        return sparse.csr_matrix((values, documents.indices, documents.indptr), shape=documents.shape)


def lengths(documents: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return (n,) the Euclidean length of each row.

    Similarities are divided in float64 and then rounded, so that ties in exact arithmetic stay ties.
    """
    return np.sqrt(np.asarray(documents.power(2).sum(axis=1), np.float64).ravel())


def nearest(documents: sparse.csr_matrix, k: int, shrink: float) -> tuple[IntArray, FloatArray]:
    """Return for each of the n rows its k most similar others, ids and similarities (n, k), best first.

    sim(x, y) = x·y / (|x||y| + shrink) where x·y > 0; ties go to the lower id; −1 and 0 where there are fewer
    than k. Each pair is visited once: O(Σ_t df_t²) / 2 for the sums, plus the pairs that share a term.
    """
    k = max(min(k, documents.shape[0] - 1), 1)
    by_term = documents.T.tocsr()
    keys = _nearest(
        documents.indptr, documents.indices, documents.data, by_term.indptr, by_term.indices, by_term.data,
        lengths(documents), k, float(shrink),
    )  # fmt: skip
    keys = np.sort(keys, axis=1)[:, ::-1]
    ids = np.where(keys > 0, _LOW - (keys & _LOW), _LOW).astype(np.uint32).view(np.int32)
    return np.ascontiguousarray(ids), (keys >> _SHIFT).astype(np.uint32).view(np.float32)


@njit(cache=True)
def _nearest(indptr, terms, values, starts, rows, weights, length, k, shrink):
    """Return (n, k) unsorted keys whose order is "higher similarity, then lower id"; 0 for none."""
    n = length.size
    heaps, floor = np.zeros((n, k), np.uint64), np.zeros(n, np.float32)
    done = starts[:-1].copy()  # End of the entries of each term whose rows have been processed
    products, similarity = np.zeros(n, np.float32), np.empty(n + 1, np.float32)
    met, hits = np.empty(n + 1, np.int32), np.empty(n + 1, np.int32)
    for i in range(n):
        count = 0
        for a in range(indptr[i], indptr[i + 1]):
            t, value = terms[a], values[a]
            for b in range(starts[t], done[t]):
                j = rows[b]
                before = products[j]
                met[count] = j  # Branchless: a misprediction costs more than the store
                count += before == 0
                products[j] = before + value * weights[b]
            done[t] += 1
        for m in range(count):
            j = met[m]
            similarity[m] = products[j] / (length[i] * length[j] + shrink)
            products[j] = 0
        found = 0
        for m in range(count):
            hits[found] = m
            found += (similarity[m] >= floor[i]) | (similarity[m] >= floor[met[m]])
        for h in range(found):
            j, value = met[hits[h]], np.float32(similarity[hits[h]])
            word = np.uint64(value.view(np.uint32)) << _SHIFT
            _offer(heaps[i], floor, i, word | (_LOW - np.uint64(j)))
            _offer(heaps[j], floor, j, word | (_LOW - np.uint64(i)))
    return heaps


@njit(cache=True)
def _offer(heap, floor, row, key):
    """Replace the smallest key of a full heap (zeros count as keys) if `key` is larger."""
    if key <= heap[0]:
        return
    at = 0
    while True:
        child = 2 * at + 1
        if child >= heap.size:
            break
        if child + 1 < heap.size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    floor[row] = np.uint32(heap[0] >> _SHIFT).view(np.float32)


def as_csr(ids: IntArray, values: FloatArray, columns: int) -> sparse.csr_matrix:
    """Return rows of ids and values (n, k), −1 for none, as a sparse (n, columns) matrix."""
    kept: NDArray[np.bool_] = ids >= 0
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    return sparse.csr_matrix((values[kept], ids[kept], indptr), shape=(ids.shape[0], columns))
