"""Judge the gate of a study: may the candidate arm replace the baseline? PASS, FAIL or UNDECIDED per line and overall.

A line compares an estimate, candidate − factor · baseline paired by seed, with a limit. It PASSes if its
two-sided interval lies wholly on the good side (ends included). It FAILs if the interval lies wholly on the
bad side, also at the stricter level of Holm's procedure (Holm, Scand. J. Stat. 6, 1979) over all lines at
all grid points. Otherwise it is UNDECIDED, as with fewer than 5 pairs of runs (`statistics.verdict`). The gate
PASSes if all lines do. That is an intersection–union
test (Berger, Technometrics 24, 1982): without adjustment, a candidate that is truly on the bad side of any
limit passes with probability (1 − level) / 2 at most, 2.5 % at 95 % (the one-sided error that ICH E9, 1998,
asks of non-inferiority trials). The gate FAILs if any line does, which is why that side is adjusted: a
candidate on the good side everywhere fails with probability (1 − level) / 2 at most. A study stopped by
`--until` is judged by confidence sequences, intersected over the interim looks, whose errors stay below
1 − level at any number of looks. A line cannot PASS if a seed, or a round of a seed, gives only one arm a
value: the missing value is unknown, and values are seldom missing at random.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..results import Point, Results
from ..saltelli import is_saltelli
from ..statistics import Interval, bca_interval, confidence_sequence, mean_interval, sequence_at_looks
from ..statistics.resampling import fewest_values
from .answer import Answer
from .bounds import horizon_of
from .lines import Line, check_arms, lines_at
from .looks import looks_of
from .remarks import SEQUENCE, explain_undecided, notes_of, why_no_pass
from .verdicts import Judgement, Outcome, TippingPoint, Verdict, overall_outcome

__all__ = ["Answer", "Judgement", "Outcome", "Verdict", "answer", "judge"]

NO_SALTELLI = (
    "the rows of a Saltelli design all live in the same few worlds, so no interval over them speaks for other "
    'worlds; judge with uncertainty.design = "draws"'
)


def judge(results: Results, *, over_behaviors: bool = True) -> list[Verdict]:
    """Judge the `[gate]` of a study by its tables: one verdict per grid point.

    over_behaviors: with [uncertainty], also report under which share of the plausible behaviors each line holds
    and which assumptions decide it. That takes a response surface per line; no outcome depends on it. Raises
    BadInput if the study has no gate, or the gate names an arm, a measure or rounds that the tables lack.
    """
    gate = results.study.get("gate")
    if not gate:
        raise BadInput(
            f'"{results.study.get("name", "the study")}" has no [gate], so there is nothing to judge. '
            "docs/gate.md shows how to write one"
        )
    check_arms(gate, results.arms)
    if is_saltelli(results.study.get("uncertainty")):
        raise BadInput(f"gate: {NO_SALTELLI}")
    interim = looks_of(results.manifest)
    looks = None if interim is None else interim.counts
    method = str(gate.get("method", "t")) if looks is None else SEQUENCE
    level = float(gate.get("level", 0.95))
    lines = [lines_at(results, gate, point) for point in results.points]
    flat = [line for at_point in lines for line in at_point]
    failing = _failing(flat, method, level, looks)
    verdicts = []
    for point, at_point in zip(results.points, lines, strict=True):
        failed = _failed_runs(point, gate)
        failed_seeds = frozenset(int(run["seed"]) for run in failed)
        judged = [
            _judge_line(
                results,
                line,
                id(line) in failing,
                len(flat),
                method,
                level,
                looks,
                failed_seeds,
                over_behaviors,
            )
            for line in at_point
        ]
        outcome = overall_outcome([line.outcome for line in judged])
        notes = notes_of(results.study, at_point, judged, failed, method, int(point.runs["seed"].nunique()))
        if failed and outcome == "PASS":
            outcome = "UNDECIDED"
            notes.append("Every line passes on the seeds that are there; with failed runs that is no PASS.")
        verdicts.append(
            Verdict(
                outcome=outcome,
                baseline=gate["baseline"],
                candidate=gate["candidate"],
                horizon=str(horizon_of(gate)),
                point=dict(point.values),
                judgements=judged,
                notes=notes,
                method=method,
                level=level,
                failed=len(failed),
            )
        )
    return verdicts


def answer(results: Results, *, over_behaviors: bool = True) -> Answer:
    """Judge a study and return the whole answer; options and errors as in `judge`."""
    manifest = results.manifest
    return Answer(
        study=str(results.study.get("name", "")),
        verdicts=judge(results, over_behaviors=over_behaviors),
        seeds=int(results.runs["seed"].nunique()),
        finished=str(manifest.get("finished", "")),
        stopping=manifest.get("stopping") or manifest.get("looked"),
        versions=manifest.get("versions") or {},
        missing_points=max(_planned_points(results.study) - len(results.points), 0),
    )


def _planned_points(study: Mapping[str, Any]) -> int:
    """Return the number of grid points of a study as run: the product of its grid and its zip tables."""
    lengths = [len(values) for values in (study.get("grid") or {}).values()]
    return math.prod(lengths + [len(next(iter(table.values()))) for table in study.get("zip") or () if table])


def interval_of(values: NDArray[np.float64], method: str, level: float) -> Interval:
    """Return the interval for the mean of values (n,), one per seed in order, by the named method.

    With too few values for a bootstrap interval to reach its level, the ends are NaN and `reason` says why.
    """
    methods = {"t": mean_interval, "bootstrap": bca_interval, SEQUENCE: confidence_sequence}
    found = methods[method](values, level)
    if method == "bootstrap" and 2 <= found.n < fewest_values(level) and found.low < found.high:
        reason = f"{found.n} seeds: a bootstrap interval at {100 * level:g} % takes {fewest_values(level)}"
        return replace(found, low=np.nan, high=np.nan, reason=reason)
    return found


def _interval(line: Line, method: str, level: float, looks: Sequence[int] | None) -> Interval:
    """Return the interval of a line, intersected over the interim looks if there were any."""
    pairs = line.pairs
    if looks is None:
        return interval_of(pairs.values, method, level)
    values = np.full(len(pairs.seeds) + len(pairs.missing), np.nan)
    values[pairs.places] = pairs.values
    return sequence_at_looks(values, looks, level)


def _failing(lines: Sequence[Line], method: str, level: float, looks: Sequence[int] | None) -> set[int]:
    """Return the ids of the lines that FAIL, by Holm's step-down procedure on intervals."""
    failing: set[int] = set()
    while left := [line for line in lines if id(line) not in failing]:
        strict = 1 - (1 - level) / len(left)
        new = {id(line) for line in left if line.fails(_interval(line, method, strict, looks))}
        if not new:
            break
        failing |= new
    return failing


def _judge_line(
    results: Results,
    line: Line,
    fails: bool,
    lines: int,
    method: str,
    level: float,
    looks: Sequence[int] | None,
    failed_seeds: Collection[int],
    over_behaviors: bool,
) -> Judgement:
    """Judge a line; failed_seeds: seeds with a failed run, which count against the verdict and not the line."""
    pairs, limit = line.pairs, line.bound.offset
    interval = _interval(line, method, level, looks)
    one_sided = [seed for seed in pairs.one_sided if seed not in failed_seeds]
    blocked = why_no_pass(one_sided, pairs.uneven)
    holds = line.passes(interval)
    outcome: Outcome = "FAIL" if fails else "PASS" if holds and not blocked else "UNDECIDED"
    needed, reason = None, ""
    if outcome == "UNDECIDED" and holds:
        reason = blocked
    elif outcome == "UNDECIDED":
        margin = line.bound.has_margin
        needed, reason = explain_undecided(
            pairs.values,
            interval,
            limit,
            line.side,
            margin=margin,
            method=method,
            level=level,
            lines=lines,
            blocked=blocked,
        )
    share, tipping_points, surface_r2 = (
        _over_behaviors(results, line, level) if over_behaviors else (None, (), None)
    )
    margins = pairs.margins(line.bound, line.side)
    return Judgement(
        role=line.role,
        measure=line.measure,
        bound=str(line.bound),
        side=line.side,
        limit=limit,
        interval=interval,
        outcome=outcome,
        estimate=line.bound.contrast,
        horizon=str(line.horizon),
        candidate=float(pairs.candidate.mean()) if len(pairs.values) else float("nan"),
        baseline=float(pairs.baseline.mean()) if len(pairs.values) else float("nan"),
        seeds_share=float((margins >= 0).mean()) if len(margins) else float("nan"),
        share=share,
        tipping_points=tipping_points,
        seeds_needed=needed,
        reason=reason,
        missing=pairs.missing,
        one_sided=tuple(sorted((*one_sided, *pairs.uneven))),
        surface_r2=surface_r2,
    )


def _over_behaviors(
    results: Results, line: Line, level: float
) -> tuple[Interval | None, tuple[TippingPoint, ...], float | None]:
    """Return a line's share of plausible behaviors, its tipping points, and the R² of the response surface.

    None without [uncertainty].
    """
    draws = getattr(results, "draws", None)
    if draws is None or not len(draws) or len(line.pairs.values) < 2:
        return None, (), None
    from ..sensitivity import response
    from ..sensitivity.columns import is_number
    from ..sensitivity.priors import joint_keys

    drawn = draws.set_index("seed").reindex(line.pairs.seeds).reset_index()
    surface = response(drawn, line.pairs.values, joint_keys(results.study.get("uncertainty")))
    limit = line.bound.offset
    above = line.side == "at_least"
    share = (surface.share_above if above else surface.share_below)(limit, level)
    tipping_points = []
    for flip in surface.flips(limit):
        good = (flip.direction == "above") == above
        names = ("above", "below") if is_number(drawn[flip.key]) else ("there", "elsewhere")
        tipping_points.append(TippingPoint(flip.key, flip.value, names[0] if good else names[1]))
    return share, tuple(tipping_points), surface.r2


def _failed_runs(point: Point, gate: Mapping[str, Any]) -> list[dict[str, Any]]:
    runs = point.runs
    of_gate = runs["arm"].isin([gate["baseline"], gate["candidate"]])
    return runs[of_gate & (runs["status"] != "ok")].to_dict("records")
