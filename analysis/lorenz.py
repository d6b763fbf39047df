"""Lorenz curves of exposure, consumption and demand, at the start and at the end of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POINTS = 101
"""Points per curve: the share of items 0, 1, … 100 %."""


def lorenz_curve(counts: NDArray) -> NDArray[np.float64]:
    """Return (101,) the share of all counts that falls on the least 0, 1, … 100 % of items; NaN without counts."""
    ordered = np.sort(np.asarray(counts, float))
    if ordered.size == 0 or ordered.sum() <= 0:
        return np.full(POINTS, np.nan)
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    return np.interp(np.linspace(0, 1, POINTS), np.linspace(0, 1, total.size), total / total[-1])


class LorenzRecord:
    """Sums what was shown and taken over the first and the last `window` rounds of a run."""

    def __init__(self, items: int, rounds: int, window: int) -> None:
        self._spans = {"start": range(min(window, rounds)), "end": range(max(0, rounds - window), rounds)}
        self._sums = {when: np.zeros((2, items), np.int64) for when in self._spans}
        self._live = {when: np.zeros(items, bool) for when in self._spans}

    def add(self, round: int, shown: NDArray, taken: NDArray, live: NDArray[np.bool_]) -> None:
        """Take in one round: counts (items,) and who is live."""
        for when, span in self._spans.items():
            if round in span:
                self._sums[when] += (shown, taken)
                self._live[when] = live

    def table(self, demand: NDArray[np.float64]) -> dict[str, list]:
        """Return columns when, what, x, y: curves over the items live at the end of each span."""
        columns: dict[str, list] = {"when": [], "what": [], "x": [], "y": []}
        share = np.linspace(0, 1, POINTS)
        for when, (shown, taken) in self._sums.items():
            live = self._live[when]
            for what, counts in (("exposure", shown), ("consumption", taken), ("demand", demand)):
                columns["when"] += [when] * POINTS
                columns["what"] += [what] * POINTS
                columns["x"] += share.tolist()
                columns["y"] += lorenz_curve(counts[live]).tolist()
        return columns
