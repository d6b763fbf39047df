"""The judge of all libraries: recall and NDCG of ranked lists, from their definitions, in numpy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

LENGTH = 100
"""Items per list."""
METRICS = ("recall@20", "ndcg@10", "ndcg@100")
BLOCK = 256


def top_lists(scores: Callable, known: sparse.csr_matrix, users: np.ndarray, n: int = LENGTH) -> np.ndarray:
    """Return (B, n) items, best first, by `scores(users)` (B, items), without the known items of each user."""
    lists = np.empty((users.size, n), np.int64)
    for start in range(0, users.size, BLOCK):
        part = users[start : start + BLOCK]
        values = np.array(scores(part), np.float64)
        rows, items = known[part].nonzero()
        values[rows, items] = -np.inf
        best = np.sort(np.argpartition(-values, n, axis=1)[:, :n], axis=1)
        order = np.argsort(-np.take_along_axis(values, best, axis=1), axis=1, kind="stable")
        lists[start : start + part.size] = np.take_along_axis(best, order, axis=1)
    return lists


def judge(lists: np.ndarray, users: np.ndarray, wanted: sparse.csr_matrix) -> dict[str, float]:
    """Return the mean of each metric over `users` (B,) with lists (B, n), padded with −1.

    recall@K = hits among the first K / min(K, wanted); ndcg@K has gain 1 and discount 1/log2(rank + 1).
    """
    want = wanted[users].toarray() > 0
    hits = np.take_along_axis(want, np.maximum(lists, 0), axis=1) & (lists >= 0)
    size = want.sum(axis=1)
    means = {}
    for name in METRICS:
        measure, at = name.split("@")
        k = int(at)
        if measure == "recall":
            each = hits[:, :k].sum(axis=1) / np.minimum(k, size)
        else:
            discount = 1 / np.log2(np.arange(2, k + 2))
            each = (hits[:, :k] * discount).sum(axis=1) / np.cumsum(discount)[np.minimum(k, size) - 1]
        means[name] = float(each.mean())
    return means
