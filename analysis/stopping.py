"""A study that stops when it is decided: what it asks of its tables, and how its arms are compared afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .results import Point, Results
from .statistics import LEVEL, Interval, compare, holm, sequence_at_looks, t_interval
from .statistics.rounding import apart
from .statistics.sequential import SPREAD

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Looks:
    """The looks at a study that `--until` took, also of one that was run on with a set number of seeds."""

    counts: tuple[int, ...]
    """Seeds after each look."""
    seeds: tuple[int, ...]
    """All seeds of the study, in the order in which it ran them; empty where the manifest has none."""
    why: str
    """Why it stopped, in words."""


ON_FIGURES = (
    "One looked at this study as it ran (--until decided); the intervals and bands here take no account of that and are "
    "too narrow for a conclusion."
)


def on_figures(manifest: Mapping[str, Any]) -> str:
    """Return what figures with t intervals say of a study that one looked at as it ran; else nothing."""
    return "" if looks_of(manifest) is None else ON_FIGURES


def looks_of(manifest: Mapping[str, Any]) -> Looks | None:
    """Return the looks that a manifest tells of; None where the number of seeds was set beforehand."""
    told = manifest.get("stopping") or manifest.get("looked")
    if not told:
        return None
    seeds = manifest.get("seeds")
    return Looks(
        counts=tuple(int(count) for count in told.get("looks") or ()),
        seeds=tuple(int(seed) for seed in seeds) if isinstance(seeds, list) else (),
        why=str(told.get("stopped") or "").strip().rstrip("."),
    )


@dataclass(frozen=True)
class Question:
    """One thing to be decided."""

    name: str
    """In words: a line of the gate, or arm and measure."""
    decided: bool
    failed: bool
    """A run of an arm that it is about has failed."""
    settles: bool = False
    """It decides the whole by itself: a line of the gate that FAILs."""
    stuck: str = ""
    """Why the gate cannot PASS any more, whatever more seeds say; empty where it still can."""


def questions(results: Results) -> list[Question]:
    """Return what the study is to decide: with a gate its lines, else every arm against the reference.

    A primary measure is decided when the confidence sequence of its paired difference leaves out zero,
    or when every seed gives the same difference. What one look decides stays decided at the next.
    """
    return list(_of_gate(results) if results.study.get("gate") else _of_primary(results))


def _of_gate(results: Results) -> Iterator[Question]:
    from .verdict import judge

    for verdict in judge(results, over_behaviors=False):
        at = f" at {verdict.label}" if verdict.label else ""
        for line in verdict.judgements:
            yield Question(
                f"{line.role} {line.measure}{at}",
                line.outcome != "UNDECIDED",
                verdict.failed > 0,
                line.outcome == "FAIL",
                line.reason if line.outcome == "UNDECIDED" and line.one_sided else "",
            )


def _of_primary(results: Results) -> Iterator[Question]:
    looks = looks_of(results.manifest)
    for point in results.points:
        at = f" at {point.label}" if point.label else ""
        for arm in results.arms:
            if arm == results.reference:
                continue
            judged = point.runs[point.runs["arm"].isin([arm, results.reference])]
            failed = bool((judged["status"] != "ok").any())
            for measure in results.primary:
                clear = _is_clear(point, arm, results.reference, measure, looks)
                yield Question(f'{measure} of "{arm}"{at}', clear, failed)


def _is_clear(point: Point, arm: str, reference: str, measure: str, looks: Looks | None) -> bool:
    if measure not in point.runs:
        return False
    interval = _always_valid(*_pairs(point.runs, arm, reference, measure, looks), LEVEL)[0]
    return interval.low > 0 or interval.high < 0 or interval.low == interval.high


def _pairs(
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
        pairs, counts = _pairs(runs, row["arm"], reference, row["measure"], looks)
        interval, p = _always_valid(pairs, counts, level)
        table.loc[place, ["low", "high", "p"]] = interval.low, interval.high, p
        if interval.n > 1 and interval.reason:
            table.loc[place, "reason"] = interval.reason
    table["p_holm"] = np.nan
    others = table[~table["primary"].astype(bool)]
    for _, part in others.groupby(["arm", others["measure"].str.contains(":", regex=False)], sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy())
    table["verdict"] = [_verdict(row, level) for row in table.to_dict("records")]
    return table


def _always_valid(values: NDArray[np.float64], looks: Sequence[int], level: float) -> tuple[Interval, float]:
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
