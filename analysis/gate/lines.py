"""The lines of a gate (guardrails and goals) with their paired values at one grid point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput, did_you_mean
from ..results import Point, Results, cubes
from ..statistics import Interval, verdict
from ..statistics.conclusions import HIGHER, LOWER
from ..statistics.intervals import rounding_error
from .bounds import Bound, Horizon, Side, bound_of, horizon_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Line:
    """A line of a gate with its paired values at one grid point."""

    role: Literal["guardrail", "goal"]
    measure: str
    side: Side
    bound: Bound
    horizon: Horizon
    pairs: Contrast
    point: Point

    def passes(self, interval: Interval) -> bool:
        """Whether the interval lies wholly on the good side of the limit, ends included."""
        return self._verdict(interval) == self._good

    def fails(self, interval: Interval) -> bool:
        """Whether the interval lies wholly on the bad side of the limit."""
        return self._verdict(interval) == (LOWER if self._good == HIGHER else HIGHER)

    @property
    def _good(self) -> str:
        return HIGHER if self.side == "at_least" else LOWER

    def _verdict(self, interval: Interval) -> str:
        return verdict(interval, self.bound.offset, touching=self._good)


def check_arms(gate: Mapping[str, Any], arms: Sequence[str]) -> None:
    """Raise BadInput if the baseline or the candidate is not an arm."""
    wrong = [
        f'gate.{key}: no arm is named "{gate[key]}".{did_you_mean(gate[key], arms)} Arms: {", ".join(arms)}'
        for key in ("baseline", "candidate")
        if gate[key] not in arms
    ]
    if wrong:
        raise BadInput("\n".join(wrong))


def lines_at(results: Results, gate: Mapping[str, Any], point: Point) -> list[Line]:
    """Return every line of a gate at a grid point; raises BadInput if the tables lack its measure or rounds."""
    found = []
    for role in ("guardrail", "goal"):
        for number, line in enumerate(gate.get(role) or []):
            key, measure = f"gate.{role}[{number}]", line["measure"]
            if measure not in results.measures and len(results.rounds):
                raise BadInput(
                    f'{key}: the tables have no measure "{measure}".{did_you_mean(measure, results.measures)}'
                )
            side, bound = bound_of(line)
            horizon = horizon_of(gate, line)
            try:
                pairs = contrast(point, gate["baseline"], gate["candidate"], measure, bound, horizon)
            except ValueError as error:
                raise BadInput(f"{key}: {error}") from None
            found.append(Line(role, measure, side, bound, horizon, pairs, point))
    return found


def spreads(results: Results, gate: Mapping[str, Any]) -> list[tuple[float, float, int]]:
    """Return (sd over seeds, distance of a candidate without effect from the limit, pairs) of every line of a gate.

    The grid point with the widest spread counts. The distance is negative if such a candidate is on the bad
    side, and NaN for a bound that is a plain number. Raises BadInput if the results do not fit the gate.
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


@dataclass(frozen=True)
class Contrast:
    """The paired values of one line at one grid point, in the order in which the study ran its seeds."""

    seeds: NDArray[np.int64]
    """(n,) seeds that have a value on every side that the bound needs."""
    values: NDArray[np.float64]
    """(n,) candidate − factor · baseline; the line compares their mean with the bound's offset."""
    candidate: NDArray[np.float64]
    """(n,) mean over the horizon."""
    baseline: NDArray[np.float64]
    """(n,) mean over the horizon; NaN if the bound is a plain number and the baseline has no value."""
    missing: tuple[int, ...]
    """Seeds of the study without such a value."""
    one_sided: tuple[int, ...] = ()
    """Those of `missing` in which only one arm has values, or the two have none in the same rounds."""
    uneven: tuple[int, ...] = ()
    """Those of `seeds` in which some round of the horizon has a value in only one arm."""
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(n,) position of each of `seeds` among all seeds of the study, from 0: the order of the interim looks."""

    def margins(self, bound: Bound, side: str) -> NDArray[np.float64]:
        """Return (n,) how far each seed lies on the good side of the bound; negative on the bad side."""
        off = self.values - bound.offset
        return off if side == "at_least" else -off


def contrast(
    point: Point, baseline: str, candidate: str, measure: str, bound: Bound, horizon: Horizon
) -> Contrast:
    """Average a measure over the horizon, run by run, and pair the two arms by seed.

    Both arms are averaged over the same rounds of a seed: those in which both have a value (NaN: undefined, or
    not evaluated). For a bound that is a plain number each arm is averaged over its own rounds. Differences
    within rounding error count as zero. Raises ValueError if the runs are shorter than the horizon.
    """
    seeds = point.runs["seed"].drop_duplicates().to_numpy(np.int64)
    new, old = _by_round(point.rounds, (candidate, baseline), measure, horizon, seeds)
    some_new, some_old = np.isfinite(new), np.isfinite(old)
    counted = some_new & some_old
    # A round that only the baseline has counts; for a difference, so does one that only the candidate has.
    alone = some_old & ~some_new if bound.factor == 0 else some_new != some_old
    here = _mean(new, counted if bound.factor else some_new)
    there = _mean(old, counted if bound.factor else some_old)
    with np.errstate(invalid="ignore"):
        values = here - bound.factor * there if bound.factor else here
        # Rounding must not move a pair that lies exactly at the bound off it.
        room = rounding_error(here, bound.factor * there) if bound.factor else rounding_error(here)
        near = np.abs(values - bound.offset) <= room
    values = np.where(near, bound.offset, values)
    paired = np.isfinite(values)
    return Contrast(
        seeds=seeds[paired],
        values=values[paired],
        candidate=here[paired],
        baseline=there[paired],
        missing=tuple(int(seed) for seed in seeds[~paired]),
        one_sided=tuple(int(seed) for seed in seeds[~paired & alone.any(axis=1)]),
        uneven=tuple(int(seed) for seed in seeds[paired & alone.any(axis=1)]),
        places=np.flatnonzero(paired).astype(np.int64),
    )


def _by_round(
    rounds: pd.DataFrame, arms: tuple[str, str], measure: str, horizon: Horizon, seeds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a measure of two arms in the rounds of the horizon, (2, seeds, rounds); NaN without a run or value."""
    ran = rounds["round"][rounds["arm"].isin(arms) & rounds["seed"].isin(seeds)]
    if not len(ran):
        return np.full((2, len(seeds), 1), np.nan)
    # Both arms get the same rounds, even if runs of one of them end early.
    first, last = horizon.window(int(ran.max()) + 1)
    [cube] = cubes(rounds, [measure], arms, seeds, last - first + 1, first=first)
    return np.ascontiguousarray(cube.transpose(0, 2, 1))


def _mean(values: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (seeds,) the mean over the counted rounds; NaN without any."""
    n = counted.sum(axis=1)
    return np.where(counted, values, 0.0).sum(axis=1) / np.where(n > 0, n, np.nan)
