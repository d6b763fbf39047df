"""The lines of a gate with their numbers at a grid point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import BadInput, did_you_mean
from .bounds import Bound, Horizon, parse_bound, parse_horizon
from .contrasts import Contrast, contrast
from .results import Point, Results
from .statistics import Interval


@dataclass(frozen=True)
class Line:
    """A line of the gate with its numbers at one grid point."""

    role: Literal["guardrail", "goal"]
    measure: str
    side: Literal["at_least", "at_most"]
    bound: Bound
    horizon: Horizon
    pairs: Contrast
    point: Point

    def good(self, interval: Interval) -> bool:
        limit = self.bound.offset
        return interval.low >= limit if self.side == "at_least" else interval.high <= limit

    def bad(self, interval: Interval) -> bool:
        limit = self.bound.offset
        return interval.high < limit if self.side == "at_least" else interval.low > limit


def check_arms(gate: Mapping[str, Any], arms: Sequence[str]) -> None:
    """Raise BadInput for a baseline or candidate that is no arm."""
    wrong = [
        f'gate.{key}: no arm is named "{gate[key]}".{did_you_mean(gate[key], arms)} Arms: {", ".join(arms)}'
        for key in ("baseline", "candidate")
        if gate[key] not in arms
    ]
    if wrong:
        raise BadInput("\n".join(wrong))


def lines_at(results: Results, gate: Mapping[str, Any], point: Point) -> list[Line]:
    found = []
    for role in ("guardrail", "goal"):
        for number, line in enumerate(gate.get(role) or []):
            key, measure = f"gate.{role}[{number}]", line["measure"]
            side: Any = "at_least" if line.get("at_least") is not None else "at_most"
            if measure not in results.measures and len(results.rounds):
                raise BadInput(
                    f'{key}: the tables have no measure "{measure}".{did_you_mean(measure, results.measures)}'
                )
            bound = parse_bound(line[side])
            horizon = parse_horizon(line.get("horizon") or gate.get("horizon", "last 20 rounds"))
            try:
                pairs = contrast(point, gate["baseline"], gate["candidate"], measure, bound, horizon)
            except ValueError as error:
                raise BadInput(f"{key}: {error}") from None
            found.append(Line(role, measure, side, bound, horizon, pairs, point))
    return found


def spreads(results: Results, gate: Mapping[str, Any]) -> list[tuple[float, float, int]]:
    """Return (sd over seeds, distance of a candidate without effect from the limit, pairs) of every line of a gate.

    The grid point with the widest spread counts. The distance is negative where such a candidate is on
    the bad side, NaN for a bound that is a number. Raises BadInput where the results do not fit the gate.
    """
    check_arms(gate, results.arms)
    found: list[tuple[float, float, int]] = []
    for point in results.points:
        for place, line in enumerate(lines_at(results, gate, point)):
            values, baseline = line.pairs.values, line.pairs.baseline
            n = len(values)
            sd = float(values.std(ddof=1)) if n > 1 else float("nan")
            none = (1 - line.bound.factor) * float(baseline.mean()) - line.bound.offset if n else float("nan")
            distance = none if line.side == "at_least" else -none
            entry = (sd, distance if line.bound.factor else float("nan"), n)
            if place == len(found):
                found.append(entry)
            elif not sd <= found[place][0] and math.isfinite(sd):
                found[place] = entry
    return found
