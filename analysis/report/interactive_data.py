"""Data of the interactive page: curves and paired differences, thinned, rounded and packed as int16."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..measures.columns import describe, is_share, twins
from ..results import Results, cubes
from ..statistics import t_interval
from ..statistics.intervals import subtract
from ..switches import change_rounds

BINS = 300
"""Most points per curve; with more rounds each point averages several, first within each run."""
FEWEST_BINS = 60
"""A page that would be too large drops pairs and measures before its curves get fewer points than this."""
BUDGET = 2_000_000
"""Most numbers in a page, at 2.7 bytes each."""
FULL_POINTS = 6
"""As in the report: a larger grid may be limited to the primary measures and their twins."""
MISSING = -32768
"""Code for a missing value; other values are −32767 … 32767 steps."""


@dataclass(frozen=True)
class Contents:
    """What a page contains, given its size limit."""

    measures: list[str]
    pairs: list[tuple[int, int]]
    """Index pairs of arms, the first minus the second."""
    bins: int
    left_out: str
    """Text on what was left out for lack of room; usually empty."""


def contents(results: Results) -> Contents:
    """Choose measures, pairs of arms and points per curve so that the page stays below `BUDGET` numbers."""
    rounds = int(results.rounds["round"].max()) + 1 if len(results.rounds) else 1
    most = min(BINS, rounds)
    measures = [name for name in results.measures if results.rounds[name].notna().any()]
    named = [name for name in measures if any(name in _group(own, measures) for own in results.primary)]
    arms = len(results.arms)
    every = list(combinations(range(arms), 2))
    reference = results.arms.index(results.reference)
    own = [(other, reference) for other in range(arms) if other != reference]

    def fitting(chosen: Sequence[str], pairs: Sequence[Any]) -> int:
        return BUDGET // (2 * max(len(results.points) * len(chosen) * (arms + len(pairs)), 1))

    only_reference = f"differences from arms other than {results.reference}"
    tried = [(measures, every, "")]
    if len(own) < len(every):
        tried.append((measures, own, only_reference))
    if named and len(results.points) > FULL_POINTS:
        tried.append((named, every, "all but the primary measures and their twins"))
        tried.append((named, own, f"all but the primary measures and their twins, and {only_reference}"))
    for chosen, pairs, missing in tried:
        if fitting(chosen, pairs) >= min(FEWEST_BINS, most):
            return Contents(chosen, pairs, min(most, fitting(chosen, pairs)), missing)
    chosen, pairs, missing = tried[-1]
    return Contents(chosen, pairs, min(most, FEWEST_BINS), missing)


def page_data(results: Results) -> dict[str, Any]:
    """Return everything that the page draws, ready for JSON: names, measures, points, and packed curves.

    `curves` and `differences` are packed int16 numbers [point][measure][arm or pair][mean, half width
    of the 95 % t interval][bin]; a number times its `steps` plus its `offsets` is the value. All
    differences are paired by seed.
    """
    inside = contents(results)
    rounds = int(results.rounds["round"].max()) + 1 if len(results.rounds) else 1
    width = -(-rounds // inside.bins)
    bins = -(-rounds // width)
    curves, differences = [], []
    for point in results.points:
        seeds = np.sort(point.rounds["seed"].unique())
        for cube in cubes(point.rounds, inside.measures, results.arms, seeds, bins, width=width):
            mean, half, _, _ = t_interval(cube)
            curves.append(_packed(mean, half, around=True))
            there, here = (cube[[pair[side] for pair in inside.pairs]] for side in (1, 0))
            gap, half, _, _ = t_interval(subtract(here, there))
            differences.append(_packed(gap, half, around=False))
    return {
        "arms": list(results.arms),
        "reference": results.arms.index(results.reference),
        "seeds": int(results.runs["seed"].nunique()),
        "rounds": rounds,
        "width": width,
        "bins": bins,
        "points": [point.label for point in results.points],
        "measures": [_measure(name, inside.measures, results.primary) for name in inside.measures],
        "pairs": [list(pair) for pair in inside.pairs],
        "marks": [change_rounds(results, results.arms, point.values) for point in results.points],
        "left_out": inside.left_out,
        "curves": _joined(curves),
        "differences": _joined(differences),
    }


def _packed(mean: NDArray[Any], half: NDArray[Any], around: bool) -> tuple[NDArray[np.int16], list[float]]:
    """Pack means and half widths (n, bins) as steps (n, 2, bins), with [offset, step of means, step of halves].

    `around` sets the offset to the middle of the means; otherwise it is 0, so that zero stays exactly zero.
    """
    finite = mean[np.isfinite(mean)]
    offset = float((finite.min() + finite.max()) / 2) if around and len(finite) else 0.0
    packed, steps = [], []
    for values, off in ((mean, offset), (half, 0.0)):
        seen = np.isfinite(values)
        largest = np.abs(values[seen] - off).max(initial=0.0)
        step = float(largest / 32767) or 1.0
        steps.append(step)
        whole = np.full(values.shape, MISSING, np.int16)
        whole[seen] = np.clip(np.rint((values[seen] - off) / step), -32767, 32767)
        packed.append(whole)
    return np.stack(packed, axis=1), [offset, *steps]


def _joined(parts: Sequence[tuple[NDArray[np.int16], list[float]]]) -> dict[str, Any]:
    numbers = np.concatenate([part.ravel() for part, _ in parts]) if parts else np.empty(0, np.int16)
    return {
        "numbers": base64.b64encode(numbers.astype("<i2").tobytes()).decode("ascii"),
        "scales": [[float(f"{number:.10g}") for number in scale] for _, scale in parts],
    }


def _measure(name: str, measures: Sequence[str], primary: Sequence[str]) -> dict[str, Any]:
    column = describe(name)
    group = [measures.index(other) for other in _group(name, measures)]
    return {
        "name": name,
        "title": column.title,
        "unit": column.unit,
        "share": is_share(column),
        "family": "groups" if ":" in name else column.family,
        "low": column.low if math.isfinite(column.low) else None,
        "high": column.high if math.isfinite(column.high) else None,
        "primary": name in primary,
        "group": group,
    }


def _group(name: str, measures: Sequence[str]) -> list[str]:
    """Return a measure with those it must be read beside: shown, taken and wanted; a share and its neutral shadow."""
    base, colon, part = name.partition(":")
    families = [[base, *twins(base), f"{base}_neutral"]]
    families += [[own, *twins(own)] for own in (base.removesuffix("_consumed"), "niche_exposure")]
    families += [[base.removesuffix("_neutral"), base]] if base.endswith("_neutral") else []
    found = [
        [column for own in family if (column := f"{own}{colon}{part}") in measures]
        for family in families
        if base in family
    ]
    return max(found, key=len)
