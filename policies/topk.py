"""Fast top-k selection: from scores or factors to ranked available items, block by block.

Every function returns `items` (B, n) int32 and `scores` (B, n) float32, best first, ties to the lower
id, −1 and −inf where fewer than n items are available. A score of −inf means "never show". NaN and
+inf raise PolicyError. One thread; block sizes are constants, so the same call gives the same bits, and a
score does not depend on how many other users are ranked in it. Its last bit may depend on its row in the block: on
AVX2 machines OpenBLAS sums some rows in a different order than others.

Cost: scores are compared 64 at a time with the row's threshold, the n-th best score when its buffer was
last full (the compiler vectorizes this comparison); only scores above it are checked for availability and
put into the buffer. A full buffer is reduced to its best n, which happens about log2(items / n) times per row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..bits import is_set
from ..errors import PolicyError
from ..machine import blas_on_one_thread
from .interactions import Blocked, FloatArray, IntArray

USER_BLOCK = 64
"""Rows of the matrix product. The last block is padded with zeros: for another number of rows BLAS may pick
another kernel, which rounds differently."""
ITEM_BLOCK = 2048
"""Columns of the matrix product: a block of scores (512 KiB) stays in the cache until it is scanned."""
CHUNK = 64
"""Scores compared with the threshold at once."""

TopK = tuple[IntArray, FloatArray]

_SIGN, _LOW, _SHIFT = np.uint32(0x80000000), np.uint64(0xFFFFFFFF), np.uint64(32)


def top_k_dense(
    scores: NDArray[Any], users: NDArray[Any], n: int, live: NDArray[np.bool_], blocked: Blocked
) -> TopK:
    """Keep the best n available items of `scores` (B, n_items); row b belongs to user users[b]."""
    scores = np.ascontiguousarray(scores, np.float32)
    users = np.ascontiguousarray(users, np.int32)
    _check(scores.shape, (users.size, live.size), "scores", "(users, items)")
    items, best = _empty(users.size, n)
    kept = _Buffers(users.size, n)
    kept.scan(scores, 0, users, live, blocked.bits)
    kept.finish(items, best)
    return items, best


def top_k_factors(
    user_factors: NDArray[Any],
    item_factors: NDArray[Any],
    users: NDArray[Any],
    n: int,
    live: NDArray[np.bool_],
    blocked: Blocked,
) -> TopK:
    """Keep the best n available items by inner product of user (B, d) and item (n_items, d) factors."""
    of_users = np.ascontiguousarray(user_factors, np.float32)
    of_items = np.ascontiguousarray(item_factors, np.float32)
    users = np.ascontiguousarray(users, np.int32)
    dim = of_items.shape[1] if of_items.ndim == 2 else -1
    _check(of_users.shape, (users.size, dim), "user factors", "(users, d)")
    _check(of_items.shape, (live.size, dim), "item factors", "(items, d)")
    items, best = _empty(users.size, n)
    kept = _Buffers(USER_BLOCK, n)
    block = np.empty(USER_BLOCK * min(ITEM_BLOCK, live.size), np.float32)
    # scan() reports overflows with a message of its own.
    with blas_on_one_thread(), np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, users.size, USER_BLOCK):
            rows = slice(start, min(start + USER_BLOCK, users.size))
            left = of_users[rows]
            if left.shape[0] < USER_BLOCK:
                left = np.concatenate([left, np.zeros((USER_BLOCK - left.shape[0], dim), np.float32)])
            for first in range(0, live.size, ITEM_BLOCK):
                right = of_items[first : first + ITEM_BLOCK]
                scores = block[: USER_BLOCK * right.shape[0]].reshape(USER_BLOCK, -1)
                np.matmul(left, right.T, out=scores)
                kept.scan(scores, first, users[rows], live, blocked.bits)
            kept.finish(items[rows], best[rows])
    return items, best


def top_k_shared(
    scores: NDArray[Any], users: NDArray[Any], n: int, live: NDArray[np.bool_], blocked: Blocked
) -> TopK:
    """Keep the best n available items by `scores` (n_items,) that are the same for everybody.

    Items are ordered by the scores as given (float64 distinguishes more of them); returned scores are float32.
    """
    scores = np.asarray(scores)
    users = np.ascontiguousarray(users, np.int32)
    _check(scores.shape, (live.size,), "scores", "(items,)")
    wrong = np.isnan(scores) | np.isposinf(scores)
    if wrong.any():
        raise PolicyError(_not_a_score(f"item {int(np.argmax(wrong))}"))
    order = np.argsort(-scores, kind="stable")
    order = order[live[order] & (scores[order] > -np.inf)].astype(np.int32)
    items, best = _empty(users.size, n)
    _walk(order, scores.astype(np.float32), users, blocked.bits, items, best)
    return items, best


class _Buffers:
    """Best scores so far of a block of rows, while blocks of scores arrive in ascending item id."""

    def __init__(self, rows: int, n: int) -> None:
        self.n = n
        self.keys = np.empty((rows, 2 * n + CHUNK // 2), np.uint64)
        self.sizes = np.empty(rows, np.int32)
        self.thresholds = np.empty(rows, np.float32)
        self._clear()

    def _clear(self) -> None:
        self.sizes[:] = 0
        self.thresholds[:] = -np.inf

    def scan(
        self, scores: FloatArray, first: int, users: IntArray, live: NDArray[np.bool_], bits: Any
    ) -> None:
        """Add the scores of the items from `first` on; row b of `scores` belongs to users[b]."""
        if self.n == 0:
            return
        words = scores.view(np.uint32)
        bad = _scan(scores, words, first, users, live, bits, self.n, self.keys, self.sizes, self.thresholds)
        if bad >= 0:
            raise PolicyError(_not_a_score(f"user {int(users[bad])}"))

    def finish(self, items: IntArray, best: FloatArray) -> None:
        """Write the best n of each row and start over."""
        _finish(self.n, self.keys, self.sizes, items, best)
        self._clear()


def _empty(rows: int, n: int) -> TopK:
    return np.full((rows, n), -1, np.int32), np.full((rows, n), -np.inf, np.float32)


def _check(shape: tuple[int, ...], wanted: tuple[int, ...], what: str, axes: str) -> None:
    if shape != wanted:
        raise PolicyError(f"{what} must have shape {axes} = {wanted}, got {shape}")


def _not_a_score(where: str) -> str:
    return (
        f"a score of {where} is NaN or +inf. Check the factors or scores for overflow: lower the learning "
        "rate or the confidence, or raise the regularization; use -inf for an item that must never be shown"
    )


@njit(cache=True)
def _any_beats(chunk, threshold):
    """Return whether one of CHUNK scores beats the threshold, or is NaN."""
    found = np.uint32(0)
    # The compiler vectorizes this form only: a whole word per lane, an unsigned index and a constant length.
    for j in range(CHUNK):
        found |= np.uint32(0) if chunk[np.uint64(j)] <= threshold else np.uint32(0xFFFFFFFF)
    return found != 0


@njit(cache=True)
def _key(word, item):
    """Pack a score, given as its 32 bits, and an id so that the larger key ranks first."""
    if word == _SIGN:
        word = np.uint32(0)  # −0 equals +0
    ordered = ~word if word & _SIGN else word | _SIGN
    return (np.uint64(ordered) << _SHIFT) | (_LOW - np.uint64(item))


@njit(cache=True)
def _score(key):
    ordered = np.uint32(key >> _SHIFT)
    word = ordered ^ _SIGN if ordered & _SIGN else ~ordered
    return np.uint32(word).view(np.float32)


@njit(cache=True)
def _select(keys, size, n):
    """Move the n largest of keys[:size] to the front, in any order (quickselect, median of three)."""
    low, high = 0, size - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) >> 1], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if n - 1 <= j:
            high = j
        elif n - 1 >= i:
            low = i
        else:
            return


@njit(cache=True)
def _scan(scores, words, first, users, live, bits, n, keys, sizes, thresholds):
    """Feed a block of scores (column 0 is item `first`) into the rows' buffers; return a bad row or −1.

    A buffer holds score and id as one unsigned key whose order is "higher score, then lower id".
    """
    capacity = keys.shape[1]
    hits = np.empty(CHUNK, np.int64)
    for b in range(users.size):
        row, kept = scores[b], keys[b]
        size, threshold = sizes[b], thresholds[b]
        for start in range(0, row.size, CHUNK):
            stop = min(start + CHUNK, row.size)
            if stop - start == CHUNK and not _any_beats(row[start:stop], threshold):
                continue
            count = 0
            for j in range(start, stop):  # Branchless: a misprediction costs more than the store
                hits[count] = j
                count += not (row[j] <= threshold)
            for h in range(count):
                j = hits[h]
                score = row[j]
                if score <= threshold:
                    continue
                if not score < np.inf:
                    return b
                item = first + j
                if not live[item] or is_set(bits, users[b], item):
                    continue
                kept[size] = _key(words[b, j], item)
                size += 1
                if size == capacity:
                    _select(kept, size, n)
                    size = n
                    threshold = _score(kept[:n].min())
        sizes[b], thresholds[b] = size, threshold
    return -1


@njit(cache=True)
def _finish(n, keys, sizes, items, best):
    """Write the best n of every buffer to its row, best first."""
    for b in range(items.shape[0]):
        count = sizes[b]
        if count > n:
            _select(keys[b], count, n)
            count = n
        ordered = np.sort(keys[b, :count])
        for r in range(count):
            key = ordered[count - 1 - r]
            items[b, r], best[b, r] = np.int32(_LOW - (key & _LOW)), _score(key)


@njit(cache=True)
def _walk(order, scores, users, bits, items, best):
    n = items.shape[1]
    for b in range(users.size):
        found = 0
        for item in order:
            if found == n:
                break
            if not is_set(bits, users[b], item):
                items[b, found], best[b, found] = item, scores[item]
                found += 1
