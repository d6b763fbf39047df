"""Two baselines: random rankings, and the same most popular items for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from ..bits import is_set
from ..config import Config as BaseConfig
from ..errors import PolicyError
from ..philox import uniform
from .base import Policy, Ranking, State
from .interactions import IntArray, Observation
from .size import Size
from .ties import tie_key, tie_order, tie_width
from .topk import top_k_shared


class Random(Policy):
    """Available items in random order, fresh on every call.

    A user's draw depends on the call's key and the user id, not on who else is ranked. Scores fall
    evenly from 1 to 0 along the list and carry no information. Cost: O(n) per user.
    """

    kind = "random"
    weighs_entries = True
    counts_log = False

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Learn nothing."""

    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Draw n available items without replacement for each user."""
        users = np.ascontiguousarray(users, np.int32)
        items = np.full((users.size, n), -1, np.int32)
        _draw(tie_key(rng), users, seen.live, seen.blocked.bits, items)
        fall = (1 - np.arange(n) / max(n, 1)).astype(np.float32)
        return Ranking(users, items, np.where(items >= 0, fall, np.float32(-np.inf)))

    def memory(self, size: Size) -> float:
        """Return the bytes of a few small arrays: there is nothing to store."""
        return size.small_tables

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Do nothing: rankings do not depend on histories."""

    def state(self) -> State:
        """Return an empty state: there is nothing to remember."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Do nothing."""


class Popularity(Policy):
    """The most taken items first, the same order for everybody; equal counts in random order.

    The random order among equal counts is drawn anew at every fit and covers items born later, which
    have count 0. Score: the count, plus a number below 1 for the tie. Cost: O(log + items log items)
    per fit, O(n) per user.
    """

    kind = "popularity"
    weighs_entries = True
    counts_log = False

    class Config(BaseConfig):
        window: int | None = Field(default=None, ge=1)
        """Count the last so many rounds only; all time when omitted."""

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._counts: NDArray[Any] | None = None
        self._key = np.uint64(0)

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Count how often each item was taken, and draw the order of ties."""
        window = self.config.window
        log = seen.last(window)
        self._counts = np.bincount(log.item, log.weight, seen.n_items)
        self._key = tie_key(rng)

    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Take the first n items of the shared order that are available to each user."""
        if self._counts is None:
            raise PolicyError("popularity: rank() before fit()")
        scores = tie_order(self._key, seen.n_items) * tie_width(self._counts)
        scores[: self._counts.size] += self._counts
        users = np.ascontiguousarray(users, np.int32)
        return Ranking(users, *top_k_shared(scores, users, n, seen.live, seen.blocked))

    def memory(self, size: Size) -> float:
        """Return the bytes of one order of the items."""
        return size.small_tables

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Do nothing: everybody gets the same order."""

    def state(self) -> State:
        """Return the counts and the key of the tie order."""
        return {} if self._counts is None else {"counts": self._counts, "key": np.array(self._key)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over the counts and the key of the tie order."""
        if state:
            self._counts, self._key = np.array(state["counts"]), np.uint64(state["key"])


@njit(cache=True)
def _draw(key, users, live, bits, items):
    """Fill the rows of `items` by rejection sampling; where few items are left, by shuffling those."""
    n = items.shape[1]
    taken = np.full(live.size, -1, np.int64)
    for b in range(users.size):
        user = users[b]
        count, slot = 0, 0
        while count < n and slot < 4 * n + 32 and live.size > 0:
            item = int(uniform(key, 0, user, slot) * live.size)
            slot += 1
            if live[item] and taken[item] != b and not is_set(bits, user, item):
                taken[item] = b
                items[b, count] = item
                count += 1
        if count == n:
            continue
        left = np.empty(live.size, np.int32)
        size = 0
        for item in range(live.size):
            if live[item] and taken[item] != b and not is_set(bits, user, item):
                left[size] = item
                size += 1
        for at in range(min(n - count, size)):
            other = at + int(uniform(key, 0, user, slot + at) * (size - at))
            left[at], left[other] = left[other], left[at]
            items[b, count + at] = left[at]
