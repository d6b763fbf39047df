"""Lorenz curves of exposure, consumption and demand, at the start and at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

POINTS = 101
"""Number of points per curve: at 0, 1, … 100 % of items."""


def lorenz_curve(counts: NDArray) -> NDArray[np.float64]:
    """Return (101,) the share of all counts that the lowest 0, 1, … 100 % of items have; NaN without counts."""
    ordered = np.sort(np.asarray(counts, float))
    if ordered.size == 0 or ordered.sum() <= 0:
        return np.full(POINTS, np.nan)
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    return np.interp(np.linspace(0, 1, POINTS), np.linspace(0, 1, total.size), total / total[-1])


class LorenzRecord:
    """Sums what was shown and taken over the first and the last `window` rounds of a run so far.

    It keeps the counts of the last `window` rounds, so it need not know how long the run will be.
    """

    def __init__(self, items: int, window: int) -> None:
        self._window = window
        self._start = np.zeros((2, items), np.int64)
        self._last = np.zeros((window, 2, items), np.int32)
        """The latest rounds; round t is in row t mod window."""
        self._live = np.zeros((2, items), bool)
        """Which items were live at the end of the first rounds, and of the last."""

    def add(self, round: int, shown: NDArray, taken: NDArray, live: NDArray[np.bool_]) -> None:
        """Add one round: counts (items,) and which items are live."""
        if round < self._window:
            self._start += (shown, taken)
            self._live[0] = live
        self._last[round % self._window] = (shown, taken)
        self._live[1] = live

    def table(self, demand: NDArray[np.float64]) -> dict[str, list]:
        """Return columns when, what, x, y: curves over the items live at the end of each span."""
        columns: dict[str, list] = {"when": [], "what": [], "x": [], "y": []}
        share = np.linspace(0, 1, POINTS)
        sums = {"start": self._start, "end": self._last.sum(axis=0, dtype=np.int64)}
        for (when, (shown, taken)), live in zip(sums.items(), self._live, strict=True):
            for what, counts in (("exposure", shown), ("consumption", taken), ("demand", demand)):
                columns["when"] += [when] * POINTS
                columns["what"] += [what] * POINTS
                columns["x"] += share.tolist()
                columns["y"] += lorenz_curve(counts[live]).tolist()
        return columns

    def state(self) -> dict[str, NDArray]:
        """Return the state for a checkpoint."""
        return {"start": self._start, "last": self._last, "live": self._live}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Restore what `state` returned; a longer run also has columns for future items."""
        known = state["start"].shape[1]
        for array, kept in ((self._start, "start"), (self._last, "last"), (self._live, "live")):
            array[:] = 0
            array[..., :known] = state[kept]
