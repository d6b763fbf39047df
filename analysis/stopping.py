"""A study that stops when it is decided: what it asks of its tables, and how its arms are compared afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .results import Point, Results
from .statistics import LEVEL, Interval, compare, confidence_sequence, holm, t_interval
from .statistics.sequential import SPREAD

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Question:
    """One thing to be decided."""

    name: str
    """In words: a line of the gate, or arm and measure."""
    decided: bool
    failed: bool
    """A run of an arm that it is about has failed."""


def questions(results: Results) -> list[Question]:
    """Return what the study is to decide: with a gate its lines, else every arm against the reference.

    A primary measure is decided when the confidence sequence of its paired difference leaves out zero,
    or when every seed gives the same difference.
    """
    return list(_of_gate(results) if results.study.get("gate") else _of_primary(results))


def _of_gate(results: Results) -> Iterator[Question]:
    from .verdict import judge

    for verdict in judge(results):
        at = f" at {verdict.label}" if verdict.label else ""
        for line in verdict.judgements:
            yield Question(f"{line.role} {line.measure}{at}", line.outcome != "UNDECIDED", verdict.failed > 0)


def _of_primary(results: Results) -> Iterator[Question]:
    for point in results.points:
        at = f" at {point.label}" if point.label else ""
        for arm in results.arms:
            if arm == results.reference:
                continue
            judged = point.runs[point.runs["arm"].isin([arm, results.reference])]
            failed = bool((judged["status"] != "ok").any())
            for measure in results.primary:
                yield Question(
                    f'{measure} of "{arm}"{at}', _is_clear(point, arm, results.reference, measure), failed
                )


def _is_clear(point: Point, arm: str, reference: str, measure: str) -> bool:
    if measure not in point.runs:
        return False
    interval = confidence_sequence(_pairs(point.runs, arm, reference, measure), LEVEL)
    return interval.low > 0 or interval.high < 0 or interval.low == interval.high


def _pairs(runs: pd.DataFrame, arm: str, reference: str, measure: str) -> NDArray[np.float64]:
    """(n,) differences in the order in which the study ran its seeds."""
    values = {
        name: runs[runs["arm"] == name].set_index("seed")[measure].astype(float) for name in (arm, reference)
    }
    seeds = runs["seed"].drop_duplicates()
    return (values[arm].reindex(seeds) - values[reference].reindex(seeds)).to_numpy(np.float64)


def compare_of(manifest: Mapping[str, Any]) -> Callable[..., pd.DataFrame]:
    """Return how the arms of a study are compared: `statistics.compare`, or always-valid if it was stopped."""
    return sequential_compare if manifest.get("stopping") else compare


def sequential_compare(
    runs: pd.DataFrame,
    reference: str,
    measures: Sequence[str],
    *,
    primary: Sequence[str] = (),
    arms: Sequence[str] | None = None,
    level: float = LEVEL,
    method: str = "t",
) -> pd.DataFrame:
    """`statistics.compare` for a study whose number of seeds was decided by its results.

    Intervals are confidence sequences, and p is always valid: 1 over the likelihood-ratio mixture that
    they come from, at most 1. Columns, Holm's adjustment and verdicts as there.
    """
    if method != "t":
        raise BadInput(
            f'method = "{method}": this study was stopped when it was decided, so its intervals are confidence '
            "sequences; leave method out"
        )
    table = compare(runs, reference, measures, primary=primary, arms=arms, level=level)
    table = table.assign(verdict=table["verdict"].astype(object), reason=table["reason"].astype(object))
    for place, row in table.iterrows():
        interval, p = _always_valid(_pairs(runs, row["arm"], reference, row["measure"]), level)
        table.loc[place, ["low", "high", "p"]] = interval.low, interval.high, p
        if interval.n > 1 and interval.reason:
            table.loc[place, "reason"] = interval.reason
    table["p_holm"] = np.nan
    others = table[~table["primary"].astype(bool)]
    for _, part in others.groupby(["arm", others["measure"].str.contains(":", regex=False)], sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy())
    table["verdict"] = [_verdict(row, level) for row in table.to_dict("records")]
    return table


def _always_valid(values: NDArray[np.float64], level: float) -> tuple[Interval, float]:
    """Confidence sequence, and the p-value of a mean of 0 that holds whenever one looks."""
    interval = confidence_sequence(values, level)
    mean, _, error, n = (float(each) for each in t_interval(values, level))
    if n < 2 or error == 0:
        return interval, 1.0 if n > 1 and mean == 0 else np.nan
    square, r = (mean / error) ** 2 / (n - 1), 1 + n * SPREAD
    evidence = 0.5 * n * (np.log1p(square) - np.log1p(square / r)) - 0.5 * np.log(r)
    return interval, float(min(1.0, np.exp(-evidence)))


def _verdict(row: Mapping[Any, Any], level: float) -> str:
    low, high, difference = row["low"], row["high"], row["difference"]
    if not np.isfinite(low):
        return "cannot say"
    if low == high and difference == 0:
        return "the same"
    clear = (low > 0 or high < 0) if row["primary"] else row["p_holm"] < 1 - level or low == high
    if not clear:
        return "no clear difference"
    return "higher" if difference > 0 else "lower"
