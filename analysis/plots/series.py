"""Compute curves from a table of rounds: means over seeds with 95 % t bands, binned if there are many rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..results import END as ENDS
from ..results import cubes
from ..statistics import t_interval

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 300
"""Curves with more rounds are averaged over bins of equal width."""


@dataclass(frozen=True)
class Curve:
    """Mean over seeds by round; `half` is the half width of the 95 % t band, NaN with one seed."""

    rounds: NDArray[np.float64]
    mean: NDArray[np.float64]
    half: NDArray[np.float64]


def curves(rounds: pd.DataFrame, columns: Sequence[str]) -> dict[str, dict[str, Curve]]:
    """Return column → arm → curve, for the arms that have any finite value in that column.

    Rounds at which the measure was not evaluated are skipped. Beyond `MOST_POINTS` rounds each run
    is first averaged over bins of `bin_width` rounds, so the band stays one over seeds.
    """
    arms, seeds = rounds["arm"].unique(), rounds["seed"].unique()
    width = bin_width(rounds)
    bins = int(rounds["round"].max()) // width + 1 if len(rounds) else 0
    found: dict[str, dict[str, Curve]] = {column: {} for column in columns}
    there = [column for column in found if column in rounds.columns]
    for column, cube in zip(there, cubes(rounds, there, arms, seeds, bins, width=width), strict=True):
        mean, half, _, n = t_interval(cube)
        for i, name in enumerate(arms):
            some = n[i] > 0
            if some.any():
                when = (np.flatnonzero(some) * width + (width - 1) / 2).astype(np.float64)
                found[column][str(name)] = Curve(when, mean[i, some], half[i, some])
    return found


def bin_width(rounds: pd.DataFrame) -> int:
    """Rounds that one point of a curve averages over (1 = every round is shown)."""
    return -(-int(rounds["round"].max() + 1) // MOST_POINTS) if len(rounds) else 1


def ends(rounds: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean per arm over the first and the last `ENDS` rounds: index arm, columns start and end."""
    import pandas as pd

    if column not in rounds.columns or not len(rounds):
        return pd.DataFrame(columns=["start", "end"], dtype=float)
    last = rounds["round"].max()
    parts = {
        "start": rounds[rounds["round"] < ENDS],
        "end": rounds[rounds["round"] > last - ENDS],
    }
    # Per run first: a run with fewer evaluated rounds counts as much as any other.
    means = {
        k: part.groupby(["arm", "seed"])[column].mean().groupby("arm").mean() for k, part in parts.items()
    }
    return pd.DataFrame(means).dropna(how="all")
