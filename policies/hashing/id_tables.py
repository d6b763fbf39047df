"""ID tables: which rows of an embedding table an id owns or shares, and whether it gets one at all.

Three tables with one interface: `exact`, collisionless, one row per admitted id, through a cuckoo map;
`hash`, M slots by a fixed seeded hash; `quotient_remainder`, the sum E_r[h mod R] + E_q[h div R]. Source:
Monolith (Liu et al., ORSUM@RecSys 2022, arXiv 2209.07663), which compares the first with the third in production
and with the second offline. Row 0 belongs to the ids without a row.

Differs from the paper: occurrences are counted exactly, not by an approximate sliding filter, and admission and
expiry are decided when the policy is fitted, not event by event.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...philox import uniforms
from ..interactions import IntArray
from .cuckoo import CuckooMap, Ids, mix64

Admission = Literal["none", "threshold", "probabilistic"]
ADMISSION_CONFIDENCE = 0.95
"""Probability with which the probabilistic filter has admitted an id that was seen `threshold` times."""


class IdTable(ABC):
    """A map from ids to rows 1, 2, … of an embedding table."""

    parts: int = 1
    """Rows whose sum is the embedding of an id."""
    rows: int = 1
    """Number of rows, row 0 included."""

    @abstractmethod
    def rows_of(self, ids: NDArray[Any]) -> IntArray:
        """Return (n, parts) row numbers; 0 where an id has none."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return its contents as plain arrays."""

    @abstractmethod
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""


class ExactTable(IdTable):
    """Every added id owns a row; rows of dropped ids are reused by the next added ids, last freed first."""

    def __init__(self, key: np.uint64) -> None:
        self.map = CuckooMap(key)
        self.free: IntArray = np.empty(0, np.int32)
        """Rows without an owner; the last one is reused next."""
        self.rows = 1

    def add(self, ids: Ids) -> tuple[Ids, IntArray, NDArray[np.bool_]]:
        """Add ids (distinct); return those that are new, their rows, and which rows had an owner before."""
        new = ids[self.map.lookup(ids) < 0]
        reused = self.free[::-1][: new.size]
        self.free = self.free[: self.free.size - reused.size]
        fresh = np.arange(self.rows, self.rows + new.size - reused.size, dtype=np.int32)
        self.rows += fresh.size
        rows = np.concatenate([reused, fresh])
        self.map.insert(new, rows)
        return new, rows, np.arange(new.size) < reused.size

    def drop(self, ids: Ids) -> IntArray:
        """Remove ids and return the rows that became free."""
        rows = self.map.delete(ids)
        rows = rows[rows >= 0]
        self.free = np.concatenate([self.free, rows])
        return rows

    def rows_of(self, ids: NDArray[Any]) -> IntArray:
        return np.maximum(self.map.lookup(ids), 0)[:, None]

    def state(self) -> dict[str, NDArray[Any]]:
        return {**self.map.state(), "free": self.free, "rows": np.array(self.rows)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.map = CuckooMap.from_state(state)
        self.free, self.rows = np.array(state["free"]), int(state["rows"])


class HashTable(IdTable):
    """Slot 1 + (mixed id mod M). With the raw id modulo M, dense ids below M would not collide at all."""

    def __init__(self, key: np.uint64, slots: int) -> None:
        self.key, self.slots, self.rows = np.uint64(key), slots, slots + 1

    def rows_of(self, ids: NDArray[Any]) -> IntArray:
        return _slots(self.key, self.slots, np.asarray(ids, np.int64))[:, None]

    def state(self) -> dict[str, NDArray[Any]]:
        return {"key": np.array(self.key), "slots": np.array(self.slots)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.__init__(np.uint64(state["key"]), int(state["slots"]))


class QuotientRemainderTable(HashTable):
    """E_r[h mod R] + E_q[h div R], M = R + Q rows, R = ⌈M/2⌉, Q = M − R (M = 1 counts as 2).

    h is a seeded permutation of 0 … RQ − 1, so ids below RQ have distinct pairs, spread over all rows; the
    raw id would leave every quotient but the first few unused. An id from RQ on shares the pair of id mod RQ.
    """

    parts = 2

    def __init__(self, key: np.uint64, slots: int) -> None:
        slots = max(slots, 2)
        super().__init__(key, slots)
        self.remainders = (slots + 1) // 2
        self.quotients = slots - self.remainders

    def rows_of(self, ids: NDArray[Any]) -> IntArray:
        return _pairs(self.key, self.remainders, self.quotients, np.asarray(ids, np.int64))


@njit(cache=True)
def _slots(key, slots, ids):
    out = np.empty(ids.size, np.int32)
    for j in range(ids.size):
        out[j] = 1 + np.int64(mix64(mix64(key) ^ np.uint64(ids[j])) % np.uint64(slots))
    return out


@njit(cache=True)
def _pairs(key, remainders, quotients, ids):
    out = np.empty((ids.size, 2), np.int32)
    codes = remainders * quotients
    bits = 2
    while (1 << bits) < codes:
        bits += 2
    half = np.uint64(bits // 2)
    mask = np.uint64((1 << (bits // 2)) - 1)
    for j in range(ids.size):
        h = ids[j] % codes
        while True:  # A Feistel network permutes a power of 4; cycle walking restricts it to `codes`
            left, right = np.uint64(h) >> half, np.uint64(h) & mask
            for turn in range(4):
                left, right = (
                    right,
                    left ^ (mix64(key ^ mix64((right << np.uint64(8)) | np.uint64(turn))) & mask),
                )
            h = np.int64((left << half) | right)
            if h < codes:
                break
        out[j, 0] = 1 + h % remainders
        out[j, 1] = 1 + remainders + h // remainders
    return out


def make_table(kind: str, key: np.uint64, slots: int) -> IdTable:
    """Return an empty table of a kind; `slots` is M, unused for "exact"."""
    if kind == "exact":
        return ExactTable(key)
    return (HashTable if kind == "hash" else QuotientRemainderTable)(key, slots)


def admission_probability(admission: Admission, threshold: int, counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probability that an id seen so many times has been admitted.

    "none": at the first occurrence. "threshold": from `threshold` occurrences on. "probabilistic":
    p = 1 − (1 − p₁)^count with p₁ = 1 − 0.05^(1/threshold), the second of the two variants in Monolith's
    repository (the other, count/threshold, is not offered).
    """
    counts = np.asarray(counts, np.float64)
    if admission == "probabilistic":
        return -np.expm1(counts * math.log(1 - ADMISSION_CONFIDENCE) / threshold)
    return (counts >= (threshold if admission == "threshold" else 1)).astype(np.float64)


def admitted(key: np.uint64, admission: Admission, threshold: int, counts: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether id j with counts[j] occurrences is admitted, by a fixed draw per id: monotone in counts[j]."""
    draw = uniforms(key, 1, np.arange(len(counts)), 1)[:, 0]
    return draw < admission_probability(admission, threshold, counts)
