"""What a line of a gate is judged on: one number per seed, candidate − factor · baseline over the horizon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .bounds import Bound, Horizon
from .results import Point
from .statistics.rounding import rounding

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Contrast:
    """The pairs of one line at one grid point, in the order in which the study ran its seeds."""

    seeds: NDArray[np.int64]
    """(n,) seeds that have a value on every side that the bound needs."""
    values: NDArray[np.float64]
    """(n,) candidate − factor · baseline; the line compares their mean with the bound's offset."""
    candidate: NDArray[np.float64]
    """(n,) mean over the horizon."""
    baseline: NDArray[np.float64]
    """(n,) mean over the horizon; NaN where a bound that is a number has no baseline."""
    missing: tuple[int, ...]
    """Seeds of the study without such a value."""
    one_sided: tuple[int, ...] = ()
    """Those of `missing` in which one arm has a value and the other none."""
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(n,) place of each of `seeds` among all seeds of the study, from 0: the order in which one looked at them."""

    def beyond(self, bound: Bound, side: str) -> NDArray[np.float64]:
        """(n,) how far every seed lies on the good side of the bound; negative on the bad side."""
        off = self.values - bound.offset
        return off if side == "at_least" else -off


def contrast(
    point: Point, baseline: str, candidate: str, measure: str, bound: Bound, horizon: Horizon
) -> Contrast:
    """Average a measure over the horizon, run by run, and pair the two arms by seed.

    Rounds without a value (NaN: undefined, or not evaluated) are left out of a run's mean. Differences
    that are only rounding count as none. Raises ValueError where the runs are shorter than the horizon.
    """
    seeds = point.runs["seed"].drop_duplicates().to_numpy(np.int64)
    here, there = (_means(point.rounds, arm, measure, horizon, seeds) for arm in (candidate, baseline))
    with np.errstate(invalid="ignore"):
        values = here - bound.factor * there if bound.factor else here
        # so that a pair that lies exactly at the bound is not put off it by rounding
        room = rounding(here, bound.factor * there) if bound.factor else rounding(here)
        near = np.abs(values - bound.offset) <= room
    values = np.where(near, bound.offset, values)
    there_is = np.isfinite(values)
    return Contrast(
        seeds=seeds[there_is],
        values=values[there_is],
        candidate=here[there_is],
        baseline=there[there_is],
        missing=tuple(int(seed) for seed in seeds[~there_is]),
        one_sided=tuple(int(seed) for seed in seeds[~there_is & (np.isfinite(here) | np.isfinite(there))]),
        places=np.flatnonzero(there_is).astype(np.int64),
    )


def _means(
    rounds: pd.DataFrame, arm: str, measure: str, horizon: Horizon, seeds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(seeds,) mean of a measure over the horizon in the runs of an arm; NaN where there is no run or value."""
    part = rounds[rounds["arm"] == arm]
    if part.empty:
        return np.full(len(seeds), np.nan)
    first, last = horizon.window(int(part["round"].max()) + 1)
    part = part[part["round"].between(first, last)]
    return part.groupby("seed")[measure].mean().reindex(seeds).to_numpy(np.float64)
