"""How the arms of a study are compared that stopped when it was decided: intervals that hold however often one looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..statistics import LEVEL, Interval, compare, holm, sequence_at_looks, t_interval
from ..statistics.intervals import apart
from ..statistics.sequential import SPREAD
from .looks import Looks, looks_of

if TYPE_CHECKING:
    import pandas as pd


def pairs(
    runs: pd.DataFrame, arm: str, reference: str, measure: str, looks: Looks | None
) -> tuple[NDArray[np.float64], list[int]]:
    """(n,) differences in the order in which the study ran its seeds, and how many of them each look had."""
    values = {
        name: runs[runs["arm"] == name].set_index("seed")[measure].astype(float) for name in (arm, reference)
    }
    there = runs["seed"].drop_duplicates().tolist()
    order = dict.fromkeys([*(looks.seeds if looks else ()), *there])
    here, other = (values[name].reindex(list(order)).to_numpy(np.float64) for name in (arm, reference))
    return apart(here, other), list(looks.counts if looks else ())


def compare_of(manifest: Mapping[str, Any]) -> Callable[..., pd.DataFrame]:
    """Return how the arms of a study are compared: `statistics.compare`, or always-valid if one looked as it ran."""
    looks = looks_of(manifest)
    return compare if looks is None else partial(sequential_compare, looks=looks)


def sequential_compare(
    runs: pd.DataFrame,
    reference: str,
    measures: Sequence[str],
    *,
    primary: Sequence[str] = (),
    arms: Sequence[str] | None = None,
    level: float = LEVEL,
    method: str = "t",
    looks: Looks | None = None,
) -> pd.DataFrame:
    """`statistics.compare` for a study whose number of seeds was decided by its results.

    Intervals are confidence sequences, intersected over the looks, and p is always valid: 1 over the
    likelihood-ratio mixture that they come from, at its largest over the looks, at most 1. Columns, Holm's
    adjustment and verdicts as there.
    """
    if method != "t":
        raise BadInput(
            f'method = "{method}": this study was looked at as it ran (--until decided), so its intervals are confidence '
            "sequences; leave method out"
        )
    table = compare(runs, reference, measures, primary=primary, arms=arms, level=level)
    table = table.assign(verdict=table["verdict"].astype(object), reason=table["reason"].astype(object))
    for place, row in table.iterrows():
        values, counts = pairs(runs, row["arm"], reference, row["measure"], looks)
        interval, p = always_valid(values, counts, level)
        table.loc[place, ["low", "high", "p"]] = interval.low, interval.high, p
        if interval.n > 1 and interval.reason:
            table.loc[place, "reason"] = interval.reason
    table["p_holm"] = np.nan
    others = table[~table["primary"].astype(bool)]
    for _, part in others.groupby(["arm", others["measure"].str.contains(":", regex=False)], sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy())
    table["verdict"] = [_verdict(row, level) for row in table.to_dict("records")]
    return table


def always_valid(values: NDArray[np.float64], looks: Sequence[int], level: float) -> tuple[Interval, float]:
    """Confidence sequence over the looks, and the p-value of a mean of 0 that holds whenever one looks.

    values (seeds,): in the order of the seeds, NaN where there is none; looks: seeds after each.
    """
    p = _p(values, level)
    for count in looks:
        if count < len(values):
            p = np.fmin(p, _p(values[:count], level))
    return sequence_at_looks(values, looks, level), float(p)


def _p(values: NDArray[np.float64], level: float) -> float:
    mean, _, error, n = (float(each) for each in t_interval(values, level))
    if n < 2 or error == 0:
        return 1.0 if n > 1 and mean == 0 else np.nan
    square, r = (mean / error) ** 2 / (n - 1), 1 + n * SPREAD
    evidence = 0.5 * n * (np.log1p(square) - np.log1p(square / r)) - 0.5 * np.log(r)
    return float(min(1.0, np.exp(-evidence)))


def _verdict(row: Mapping[Any, Any], level: float) -> str:
    low, high, difference = row["low"], row["high"], row["difference"]
    if not np.isfinite(low):
        return "cannot say"
    if low == high and difference == 0:
        return "the same"
    clear = (low > 0 or high < 0) if row["primary"] else row["p_holm"] < 1 - level or low == high
    if not clear:
        return "no clear difference"
    # of an interval that earlier looks cut, the mean of all seeds may lie outside
    return "higher" if low > 0 or (high >= 0 and difference > 0) else "lower"
