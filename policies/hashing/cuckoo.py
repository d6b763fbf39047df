"""A collision-free hash map from 64-bit ids to row numbers: cuckoo hashing.

Pagh and Rodler, "Cuckoo hashing" (J. Algorithms 2004), as used for embedding tables by Monolith (Liu et
al., ORSUM@RecSys 2022, arXiv 2209.07663, section on the hash table): two tables T0, T1 with hashes h0, h1.
Insert x at T0[h0(x)]; if y is there, it is evicted to T1[h1(y)], and so on, alternately. A walk of
`MAX_KICKS` evictions counts as a cycle: the whole map is rehashed with new hash functions.

Lookup and delete check two places; insert is O(1) amortized. The tables double before their load exceeds
`MAX_LOAD`: with one id per place, cycles become common above a load of one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..interactions import IntArray

MAX_KICKS = 64
"""Evictions after which a walk counts as a cycle; longer walks without a cycle are very rare at this load."""
MAX_LOAD = 0.45
"""Largest share of filled places."""
MIN_PLACES = 8
"""Places of each table at the start; a power of 2."""
SAME_SIZE_TRIES = 8
"""New hash functions to try before the tables double."""

Ids = NDArray[np.int64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S1, _S2, _S3 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True)
def mix64(x):
    """Return 64 well-mixed bits of a 64-bit number (a bijection: the finalizer of SplitMix64)."""
    z = np.uint64(x) + _GAMMA
    z = (z ^ (z >> _S1)) * _M1
    z = (z ^ (z >> _S2)) * _M2
    return z ^ (z >> _S3)


class CuckooMap:
    """A map from ids to row numbers ≥ 0, stored in plain arrays."""

    def __init__(self, seed: int | np.uint64 = 0) -> None:
        self.ids = np.zeros((2, MIN_PLACES), np.int64)
        """(2, places) the id at each place; meaningless where `rows` is −1."""
        self.rows: IntArray = np.full((2, MIN_PLACES), -1, np.int32)
        """(2, places) the row of the id at this place; −1: free."""
        self.seeds = np.array([mix64(np.uint64(seed)), mix64(~np.uint64(seed))], np.uint64)
        """(2,) the seeds of h0 and h1."""
        self.size = 0
        """Ids in the map."""
        self.rehashes = 0
        """Number of rehashes because of a cycle."""

    def __len__(self) -> int:
        return self.size

    def insert(self, ids: Ids, rows: IntArray) -> None:
        """Map ids[j] to rows[j]; an id that is in the map already gets the new row."""
        self.ids, self.rows, self.seeds, self.size, cycles = _insert(
            self.ids,
            self.rows,
            self.seeds,
            self.size,
            np.asarray(ids, np.int64),
            np.asarray(rows, np.int32),
        )
        self.rehashes += cycles

    def lookup(self, ids: NDArray[Any]) -> IntArray:
        """Return the row of each id, −1 where it is not in the map."""
        return _lookup(self.ids, self.rows, self.seeds, np.asarray(ids, np.int64))

    def delete(self, ids: Ids) -> IntArray:
        """Remove the ids and return their rows, −1 where an id was not in the map."""
        had = _delete(self.ids, self.rows, self.seeds, np.asarray(ids, np.int64))
        self.size -= int((had >= 0).sum())
        return had

    def keys(self) -> Ids:
        """Return the ids in the map, ascending."""
        return np.sort(self.ids[self.rows >= 0])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return its contents as plain arrays."""
        return {"ids": self.ids, "map": self.rows, "seeds": self.seeds, "rehashes": np.array(self.rehashes)}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> CuckooMap:
        """Return the map that `state` describes."""
        restored = cls()
        restored.ids, restored.rows = np.array(state["ids"]), np.array(state["map"])
        restored.seeds, restored.rehashes = np.array(state["seeds"]), int(state["rehashes"])
        restored.size = int((restored.rows >= 0).sum())
        return restored


@njit(cache=True)
def _place(key, seed, places):
    return np.int64(mix64(np.uint64(key) ^ seed) & np.uint64(places - 1))


@njit(cache=True)
def _walk(ids, rows, seeds, key, row):
    """Insert a new id, evicting alternately; return the (key, row) left over, row = −1 for none."""
    side = 0
    for _ in range(MAX_KICKS):
        at = _place(key, seeds[side], ids.shape[1])
        evicted, its_row = ids[side, at], rows[side, at]
        ids[side, at], rows[side, at] = key, row
        if its_row < 0:
            return key, np.int32(-1)
        key, row = evicted, its_row
        side = 1 - side
    return key, row


@njit(cache=True)
def _rehash(ids, rows, seeds, places, key, row):
    """Insert everything, and (key, row) unless row = −1, into tables of `places` with new hash functions."""
    tries = 0
    while True:
        tries += 1
        if tries > SAME_SIZE_TRIES:
            tries, places = 0, 2 * places
        seeds = np.array([mix64(seeds[0]), mix64(seeds[1])])
        new_ids, new_rows = np.zeros((2, places), np.int64), np.full((2, places), -1, np.int32)
        left = np.int32(-1)
        if row >= 0:
            _, left = _walk(new_ids, new_rows, seeds, key, row)
        for side in range(2):
            for at in range(ids.shape[1]):
                if left < 0 and rows[side, at] >= 0:
                    _, left = _walk(new_ids, new_rows, seeds, ids[side, at], rows[side, at])
        if left < 0:
            return new_ids, new_rows, seeds


@njit(cache=True)
def _find(ids, rows, seeds, key):
    """Return (table, place) of an id; table = −1 where it is not in the map."""
    for side in range(2):
        at = _place(key, seeds[side], ids.shape[1])
        if rows[side, at] >= 0 and ids[side, at] == key:
            return side, at
    return -1, np.int64(-1)


@njit(cache=True)
def _insert(ids, rows, seeds, size, new, new_rows):
    cycles = 0
    for j in range(new.size):
        side, at = _find(ids, rows, seeds, new[j])
        if side >= 0:
            rows[side, at] = new_rows[j]
            continue
        size += 1
        if size > MAX_LOAD * 2 * ids.shape[1]:
            ids, rows, seeds = _rehash(ids, rows, seeds, 2 * ids.shape[1], new[j], new_rows[j])
            continue
        key, row = _walk(ids, rows, seeds, new[j], new_rows[j])
        if row >= 0:
            cycles += 1
            ids, rows, seeds = _rehash(ids, rows, seeds, ids.shape[1], key, row)
    return ids, rows, seeds, size, cycles


@njit(cache=True)
def _lookup(ids, rows, seeds, wanted):
    out = np.empty(wanted.size, np.int32)
    for j in range(wanted.size):
        side, at = _find(ids, rows, seeds, wanted[j])
        out[j] = rows[side, at] if side >= 0 else -1
    return out


@njit(cache=True)
def _delete(ids, rows, seeds, unwanted):
    had = np.full(unwanted.size, -1, np.int32)
    for j in range(unwanted.size):
        side, at = _find(ids, rows, seeds, unwanted[j])
        if side >= 0:
            had[j] = rows[side, at]
            rows[side, at] = -1
    return had
