"""What the platform can observe: the interaction log, exposures, tags and visible ties; never true tastes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from ..bits import clear_bits, no_bits, set_bits, unpacked

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]


class Source(IntEnum):
    """Where an interaction came from."""

    SLATE = 0
    ORGANIC = 1
    SOCIAL = 2
    """Word of mouth: taken because a friend took it."""
    IMPORTED = 3
    """A row of a real log, from before round 0."""


@dataclass(frozen=True)
class Interactions:
    """The interaction log in time order: one entry per item taken. All arrays have shape (n,)."""

    user: IntArray
    item: IntArray
    round: IntArray
    """Round of the interaction; negative in the warm-up and in an imported log."""
    rank: NDArray[np.int16]
    """1-based rank on the slate it was taken from; 0 where there was none."""
    source: NDArray[np.int8]
    """A `Source`."""
    weight: FloatArray | None = None
    """How much each entry counts, finite and not negative; None: 1 each. Only a log transform sets it."""

    def __len__(self) -> int:
        return int(self.user.size)

    @staticmethod
    def empty() -> Interactions:
        """Return a log without entries."""
        return Interactions(
            np.empty(0, np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.int16),
            np.empty(0, np.int8),
        )

    def part(self, first: int, last: int | None = None) -> Interactions:
        """Return the entries first…last−1 (to the end for None) without copying."""
        window = slice(first, last)
        return self._at(window)

    def where(self, keep: NDArray[np.bool_]) -> Interactions:
        """Return the entries for which `keep` (n,) is true."""
        return self._at(keep)

    def _at(self, which: slice | NDArray[np.bool_]) -> Interactions:
        return Interactions(
            self.user[which],
            self.item[which],
            self.round[which],
            self.rank[which],
            self.source[which],
            None if self.weight is None else self.weight[which],
        )


class InteractionLog:
    """A growing log: appends take amortized O(1) per entry, `view()` gives read-only access without a copy."""

    _types = (np.int32, np.int32, np.int32, np.int16, np.int8)

    def __init__(self, capacity: int = 1024) -> None:
        self._columns = [np.empty(capacity, kind) for kind in self._types]
        self._size = 0

    def append(self, user, item, round, rank, source) -> None:
        """Append entries; `user` (n,) sets the length, the others are arrays (n,) or scalars."""
        count = len(user)
        capacity = self._columns[0].size
        while self._size + count > capacity:
            capacity *= 2
        if capacity > self._columns[0].size:
            for place, column in enumerate(self._columns):
                # One column at a time, and spare room is not written to: the system gives memory to what is used.
                self._columns[place] = np.empty(capacity, column.dtype)
                self._columns[place][: self._size] = column[: self._size]
        window = slice(self._size, self._size + count)
        for column, values in zip(self._columns, (user, item, round, rank, source), strict=True):
            column[window] = values
        self._size += count

    def __len__(self) -> int:
        return self._size

    def state(self) -> dict[str, NDArray[Any]]:
        """Return its columns, for a checkpoint."""
        names = ("user", "item", "round", "rank", "source")
        return {name: column[: self._size] for name, column in zip(names, self._columns, strict=True)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        self._columns, self._size = [np.empty(1024, kind) for kind in self._types], 0
        self.append(*(state[name] for name in ("user", "item", "round", "rank", "source")))

    def view(self) -> Interactions:
        """Return the log so far without copying; the arrays refuse writes."""
        columns: list[Any] = [column[: self._size] for column in self._columns]
        for column in columns:
            column.flags.writeable = False
        return Interactions(*columns)


@dataclass(frozen=True)
class Exposures:
    """The slates of one round."""

    round: int
    users: IntArray
    """(B,) ascending."""
    slates: IntArray
    """(B, n) items in rank order, −1 where the slate was shorter."""
    organic: NDArray[np.bool_]
    """(B,) true where the visit was off the platform's slate."""


class Blocked:
    """The (user, item) pairs that must not be recommended now, as a bit set of shape (users, items).

    A pair is blocked while its cool-down runs (`behavior.repeat`). Memory: users × items / 8 bytes.
    """

    def __init__(self, users: int, items: int) -> None:
        self.n_items = items
        self.bits = no_bits(users, items)

    def set(self, users: IntArray, items: IntArray) -> None:
        """Block the pairs users[j], items[j]."""
        set_bits(self.bits, users, items)

    def clear(self, users: IntArray, items: IntArray) -> None:
        """Free the pairs users[j], items[j]."""
        clear_bits(self.bits, users, items)

    def visible(self, n_items: int) -> Blocked:
        """Return a read-only view for a platform that knows of the first n_items items."""
        view = Blocked.__new__(Blocked)
        view.n_items = n_items
        view.bits = self.bits.view()
        view.bits.flags.writeable = False
        return view

    def rows(self, users: IntArray) -> NDArray[np.bool_]:
        """Return a dense (B, items) array, true where blocked."""
        return unpacked(self.bits[users], self.n_items)


def count_pairs(log: Interactions, n_users: int, n_items: int) -> sparse.csr_matrix:
    """Return (n_users, n_items) float32: how often each user took each item; rows sorted by item.

    If entries have weights, the sum of weights; entries of weight 0 are ignored.
    Two counting sorts: about four times faster than scipy's conversion of pairs to compressed rows.
    """
    if log.weight is None:
        indptr, indices, data = _count_pairs(log.user, log.item, n_users, n_items)
    else:
        log = log.where(log.weight > 0)
        indptr, indices, data = _weigh_pairs(log.user, log.item, log.weight, n_users, n_items)
    matrix = sparse.csr_matrix((n_users, n_items), dtype=np.float32)
    matrix.indptr, matrix.indices, matrix.data = indptr, indices, data
    matrix.has_canonical_format = True
    return matrix


@njit(cache=True)
def _count_pairs(user, item, n_users, n_items):
    return _weigh_pairs(user, item, None, n_users, n_items)


@njit(cache=True)
def _weigh_pairs(user, item, weight, n_users, n_items):
    start = np.zeros(n_items + 1, np.int64)
    for j in range(item.size):
        start[item[j] + 1] += 1
    start = np.cumsum(start)
    by_item = np.empty(item.size, np.int32)
    for j in range(item.size):
        by_item[start[item[j]]] = j
        start[item[j]] += 1
    first = np.zeros(n_users + 1, np.int64)
    for j in range(user.size):
        first[user[j] + 1] += 1
    first = np.cumsum(first)
    # Equal pairs come one after the other here, so a row is merged while it is filled.
    indices, data = np.empty(user.size, np.int32), np.empty(user.size, np.float32)
    filled = first[:-1].copy()
    for j in by_item:
        u = user[j]
        at = filled[u]
        worth = np.float32(1) if weight is None else weight[j]
        if at > first[u] and indices[at - 1] == item[j]:
            data[at - 1] += worth
        else:
            indices[at], data[at] = item[j], worth
            filled[u] += 1
    indptr = np.zeros(n_users + 1, np.int32)
    size = 0
    for u in range(n_users):
        for at in range(first[u], filled[u]):
            indices[size], data[size] = indices[at], data[at]
            size += 1
        indptr[u + 1] = size
    return indptr, indices[:size].copy(), data[:size].copy()


@dataclass(frozen=True)
class Friends:
    """The social ties that the platform can see, in compressed rows: user u follows indices[indptr[u]:indptr[u+1]]."""

    indptr: NDArray[np.int64]
    """(users + 1,)"""
    indices: IntArray
    """(ties,)"""


@dataclass(frozen=True)
class Observation:
    """All that a policy may read in a round. Ids are dense: users 0…n_users−1, items 0…n_items−1."""

    round: int
    n_users: int
    n_items: int
    """Items born so far; an id never changes or returns."""
    log: Interactions
    """What the policy may learn from (see `platform.learn_from`)."""
    tags: FloatArray
    """(n_items, topics) the topics that the platform assigns to each item; rows sum to 1, and may be wrong."""
    live: NDArray[np.bool_]
    """(n_items,) false once an item has retired."""
    blocked: Blocked
    """Pairs in their cool-down."""
    friends: Friends
    exposures: tuple[Exposures, ...] = field(default=())
    """The slates behind `log`, of its last rounds, oldest first (`platform.keep_exposures`)."""
    frozen: bool = False
    """Whether `log` ends before round 0 for good (`platform.learn_from = "warmup"`)."""
    providers: IntArray | None = None
    """(n_items,) the provider of each item, read-only; None where nobody made more than one."""

    @cached_property
    def counts(self) -> sparse.csr_matrix:
        """(n_users, n_items) float32: how often each user took each item in `log`; see `count_pairs`."""
        return count_pairs(self.log, self.n_users, self.n_items)

    @property
    def learned_until(self) -> int:
        """First round after the end of `log`: the present, or 0 if the log is frozen. Windows end here."""
        return 0 if self.frozen else self.round

    @cached_property
    def popularity(self) -> NDArray[Any]:
        """(n_items,) how often each item was taken in `log`: int64, or float64 sums of the entries' weights."""
        popularity = np.bincount(self.log.item, self.log.weight, self.n_items)
        popularity.flags.writeable = False
        return popularity

    def last(self, rounds: int | None) -> Interactions:
        """Return the entries of the last so many rounds of what may be learned from; all of `log` for None."""
        return self.log if rounds is None else self.since(self.learned_until - rounds)

    def counts_in(self, window: int | None) -> sparse.csr_matrix:
        """Return (n_users, n_items): how often each user took each item in the last `window` rounds; None for all."""
        return self.counts if window is None else count_pairs(self.last(window), self.n_users, self.n_items)

    def since(self, round: int) -> Interactions:
        """Return the entries of `log` at or after a round (the log is in time order)."""
        start = int(np.searchsorted(self.log.round, round, side="left"))
        return self.log.part(start)

    def without(self, dropped: NDArray[np.bool_]) -> Observation:
        """Return the observation without the log entries for which `dropped` (n,) is true."""
        return replace(self, log=self.log.where(~dropped))

    def available(self, users: IntArray) -> NDArray[np.bool_]:
        """Return (B, n_items): live and not in the user's cool-down. Dense: prefer `topk` for many users."""
        return self.live & ~self.blocked.rows(users)[:, : self.n_items]
