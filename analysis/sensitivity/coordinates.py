"""Coordinates and polynomial terms of a response surface over draws from priors."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .columns import is_number

if TYPE_CHECKING:
    import pandas as pd

STEPS = 101
"""Points along the range of a key at which its curve is evaluated."""

Array = NDArray[np.float64]


class Coordinates:
    """Draws as numbers: for a numeric key its quantile, −1 to 1; for a choice a 0/1 column per value but the first."""

    def __init__(self, draws: pd.DataFrame) -> None:
        self.numeric = {str(key): is_number(draws[key]) for key in draws}
        self.support: dict[str, Any] = {}
        self.columns: dict[str, list[int]] = {}
        parts: list[Array] = []
        for key in map(str, draws):
            column = draws[key]
            if self.numeric[key]:
                numbers = column.to_numpy(np.float64)
                levels, counts = np.unique(numbers, return_counts=True)
                middle = (np.cumsum(counts) - counts / 2) / numbers.size
                self.support[key] = (levels, 2 * middle - 1)
                new = [np.interp(numbers, levels, 2 * middle - 1)] if levels.size > 1 else []
            else:
                self.support[key] = list(dict.fromkeys(column))
                new = [(column == choice).to_numpy(np.float64) for choice in self.support[key][1:]]
            self.columns[key] = list(range(len(parts), len(parts) + len(new)))
            parts += new
        self.places = np.stack(parts, axis=1) if parts else np.empty((len(draws), 0))

    @property
    def squared(self) -> list[int]:
        """Columns whose square is not redundant: those of numeric keys with at least three levels."""
        return [
            at
            for key, columns in self.columns.items()
            if self.numeric[key] and self.support[key][0].size > 2
            for at in columns
        ]

    def scan(self, key: str) -> tuple[list[Any], list[int], Array]:
        """Return values of a key through its range, its columns, and the coordinates in those (values, columns)."""
        columns = self.columns[key]
        if not self.numeric[key]:
            return self.support[key], columns, np.eye(len(columns) + 1)[:, 1:]
        levels, places = self.support[key]
        if levels.size < STEPS:
            return levels.tolist(), columns, places[:, None][:, : len(columns)]
        steps = np.linspace(places[0], places[-1], STEPS)
        return np.interp(steps, places, levels).tolist(), columns, steps[:, None]


class Terms:
    """Linear terms, squares and products of coordinates, each with mean 0 and standard deviation 1 over the draws."""

    def __init__(self, coordinates: Coordinates) -> None:
        own = list(coordinates.columns.values())
        pairs = [(at, at) for at in coordinates.squared]
        pairs += [(i, j) for one, two in combinations(own, 2) for i in one for j in two]
        self.pairs = np.array(pairs, np.int64).reshape(-1, 2)
        raw = self._raw(coordinates.places)
        self.mean, spread = raw.mean(axis=0), raw.std(axis=0)
        self.spread = np.where(spread > 1e-12, spread, 1.0)

    def _raw(self, places: Array) -> Array:
        return np.hstack([places, places[:, self.pairs[:, 0]] * places[:, self.pairs[:, 1]]])

    def at(self, places: Array) -> Array:
        """Return the terms at coordinates (rows, coordinates) → (rows, terms)."""
        return (self._raw(places) - self.mean) / self.spread
