"""Compare the arms of a sequentially stopped study with always-valid intervals and p-values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..statistics import Interval, compare, sequence_at_looks
from ..statistics.intervals import one_interval
from ..statistics.sequential import SPREAD
from .looks import Looks, looks_of

if TYPE_CHECKING:
    import pandas as pd


def compare_of(manifest: Mapping[str, Any]) -> Callable[..., pd.DataFrame]:
    """Return the function that compares a study's arms: `compare`, or its always-valid form after interim looks."""
    looks = looks_of(manifest)
    return compare if looks is None else partial(sequential_compare, looks=looks)


def sequential_compare(
    runs: pd.DataFrame,
    reference: str,
    measures: Sequence[str],
    *,
    method: str = "t",
    looks: Looks | None = None,
    **how: Any,
) -> pd.DataFrame:
    """`statistics.compare` for a study whose number of seeds was decided by its results.

    Intervals are confidence sequences, intersected over the looks. The always-valid p-value is 1 over the largest
    value, over the looks, of the likelihood-ratio mixture behind them, at most 1. Both take the seeds in the order
    in which the study ran them. how: further options of `compare`.
    """
    if method != "t":
        raise BadInput(
            f'method = "{method}": this study was looked at as it ran (--until decided), so its intervals are confidence '
            "sequences; leave method out"
        )
    counts, first = (looks.counts, looks.seeds) if looks else ((), ())
    order = list(dict.fromkeys([*first, *runs["seed"]]))
    seeds = sorted(runs["seed"].unique())

    def at_looks(values: NDArray[np.float64], level: float) -> tuple[Interval, float]:
        found = dict(zip(seeds, values, strict=True))
        return always_valid(np.array([found.get(seed, np.nan) for seed in order]), counts, level)

    return compare(runs, reference, measures, method=at_looks, **how)


def always_valid(values: NDArray[np.float64], looks: Sequence[int], level: float) -> tuple[Interval, float]:
    """Return the confidence sequence over the looks, and the always-valid p-value of a mean of 0.

    values (seeds,): in the order of the seeds, NaN if there is none; looks: number of seeds at each look.
    """
    p = _p(values, level)
    for count in looks:
        if count < len(values):
            p = np.fmin(p, _p(values[:count], level))
    return sequence_at_looks(values, looks, level), float(p)


def _p(values: NDArray[np.float64], level: float) -> float:
    mean, _, error, n = one_interval(values, level)
    if n < 2 or error == 0:
        return 1.0 if n > 1 and mean == 0 else np.nan
    square, r = (mean / error) ** 2 / (n - 1), 1 + n * SPREAD
    evidence = 0.5 * n * (np.log1p(square) - np.log1p(square / r)) - 0.5 * np.log(r)
    return float(min(1.0, np.exp(-evidence)))
