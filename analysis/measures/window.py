"""A sliding window over the last rounds, shared by all measures that look back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .base import RECENT, SOURCES, Measure, Round, Setup, Source


class Baskets(NamedTuple):
    """What every user took in the window: the distinct items first, then the repeats."""

    items: NDArray[np.int32]
    """(users, maximum takes in a window); row u contains takes[u] items, the rest is undefined."""
    distinct: NDArray[np.int64]
    """(users,) number of distinct items."""
    takes: NDArray[np.int64]
    """(users,) number of items, including repeats."""


class Window:
    """What was shown and taken in the last `RECENT` rounds. Get it with `setup.shared(Window)`.

    Memory: 2 × users × RECENT × (largest appetite + 1) and 8 × items × RECENT int32, for any number
    of rounds. Every measure that uses the window calls `update` once per round; calls after the first do nothing.
    """

    def __init__(self, setup: Setup) -> None:
        people, items = len(setup.world.users), len(setup.world.items)
        self.width = int(setup.world.users.appetite.max(initial=1)) + 1
        """Maximum takes of one user in one round: the largest appetite, plus one for word of mouth."""
        self.consumed = np.full((people, RECENT * self.width), -1, np.int32)
        """(users, RECENT × width) items taken, word of mouth included, −1 where none; in no particular order."""
        sources: list[Source] = [source for source, _ in SOURCES.values()]
        self.shown: dict[Source, NDArray[np.int64]] = {
            source: np.zeros(items, np.int64) for source in sources
        }
        """Source → (items,) number of its slots in the window."""
        self.taken: dict[Source, NDArray[np.int64]] = {
            source: np.zeros(items, np.int64) for source in sources
        }
        """Source → (items,) number of takes from its slots in the window, word of mouth excluded."""
        self._shown: dict[Source, NDArray[np.int32]] = {
            source: np.zeros((RECENT, items), np.int32) for source in sources
        }
        self._taken: dict[Source, NDArray[np.int32]] = {
            source: np.zeros((RECENT, items), np.int32) for source in sources
        }
        self._last: int | None = None
        self._baskets: Baskets | None = None
        self._packed: int | None = None

    def update(self, round: Round) -> Window:
        """Add a round, unless already added, and return the window that ends with it."""
        if round.index == self._last:
            return self
        if self._last is not None:
            if round.index < self._last:
                raise ValueError(f"round {round.index} came after round {self._last}")
            for missed in range(max(self._last + 1, round.index - RECENT), round.index):
                self._clear(missed % RECENT)
        slot = round.index % RECENT
        self._clear(slot)
        for source in self.shown:
            part = round.part(source)
            self._shown[source][slot], self._taken[source][slot] = part.shown_counts, part.taken_counts
            self.shown[source] += self._shown[source][slot]
            self.taken[source] += self._taken[source][slot]
        _fill(self.consumed, slot * self.width, round.users, round.taken)
        self.consumed[round.heard_users, (slot + 1) * self.width - 1] = round.heard_items
        self._last = round.index
        return self

    def baskets(self) -> Baskets:
        """Return what every user took, word of mouth included; valid until the next `update`."""
        if self._baskets is None:
            people = self.consumed.shape[0]
            self._baskets = Baskets(
                np.empty_like(self.consumed), np.zeros(people, np.int64), np.zeros(people, np.int64)
            )
        if self._packed != self._last:
            _pack(self.consumed, self.shown["all"].size, *self._baskets)
            self._packed = self._last
        return self._baskets

    def _clear(self, slot: int) -> None:
        for total, rounds in ((self.shown, self._shown), (self.taken, self._taken)):
            for source, counts in rounds.items():
                total[source] -= counts[slot]
                counts[slot] = 0
        self.consumed[:, slot * self.width : (slot + 1) * self.width] = -1

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for a checkpoint."""
        last = np.array([] if self._last is None else [self._last], np.int64)
        counts = {f"shown.{source}": array for source, array in self._shown.items()}
        counts |= {f"taken.{source}": array for source, array in self._taken.items()}
        return {"consumed": self.consumed, "last": last, **counts}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        self.consumed[:] = state["consumed"]
        # A longer run also has columns for future items, which nobody has seen yet.
        for what, total, rounds in (("shown", self.shown, self._shown), ("taken", self.taken, self._taken)):
            for source, counts in rounds.items():
                kept = state[f"{what}.{source}"]
                counts[:] = 0
                counts[:, : kept.shape[1]] = kept
                total[source][:] = counts.sum(axis=0)
        self._last = int(state["last"][0]) if state["last"].size else None
        self._packed = None


class WindowMeasure(Measure):
    """A measure of the last `RECENT` rounds, whose window all of them share."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._window = setup.shared(Window)

    def window_values(
        self,
        round: Round,
        names: tuple[str, str],
        among: NDArray[np.bool_],
        value: Callable[[NDArray[np.int64]], float],
    ) -> dict[str, float]:
        """Add the round to the window; return a value of the counts of some items for columns of all sources.

        names: the columns of what is shown and of what is taken, without a suffix. among: (items,).
        """
        window, values = self._window.update(round), {}
        for suffix, (source, _) in SOURCES.items():
            for name, counts in zip(names, (window.shown, window.taken), strict=True):
                if self.wants(name + suffix):
                    values[name + suffix] = value(counts[source][among])
        return values


@njit(cache=True)
def _fill(consumed, start, users, taken):
    for b in range(users.size):
        for m in range(taken.shape[1]):
            consumed[users[b], start + m] = taken[b, m]


@njit(cache=True)
def _pack(consumed, n_items, items, distinct, takes):
    width = consumed.shape[1]
    seen = np.zeros(n_items, np.int64)
    for u in range(consumed.shape[0]):
        front, back = 0, width
        for j in range(width):
            item = consumed[u, j]
            if item < 0:
                continue
            if seen[item] != u + 1:
                seen[item] = u + 1
                items[u, front] = item
                front += 1
            else:
                back -= 1
                items[u, back] = item
        distinct[u] = front
        takes[u] = front + width - back
        for j in range(width - back):
            items[u, front + j] = items[u, back + j]
