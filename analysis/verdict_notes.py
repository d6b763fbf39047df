"""What else a reader must know before believing a verdict of the gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .statistics.resampling import FEW_BCA
from .verdict_lines import Line
from .verdict_reasons import SEQUENCE
from .verdict_types import Judgement

FEW = 5
"""Below this many pairs the notes say how much rests on the normal distribution."""
LOPSIDED = 0.05
"""p-value of a test for skewness below which it is told."""
OVER_BEHAVIORS = (
    "Intervals are about the average over the plausible behaviors of [uncertainty]; the shares say under how many of "
    "them a line holds."
)
ONE_GUESS = "This holds for one guess of how people behave. [uncertainty] in the study states it over a range of them."


def notes_of(
    study: Mapping[str, Any],
    lines: Sequence[Line],
    judged: Sequence[Judgement],
    failed: Sequence[Mapping[str, Any]],
    method: str,
    seeds: int,
) -> list[str]:
    """Return the notes of one grid point.

    lines with their judgements; failed: the failed runs of both arms; method: how intervals were made; seeds:
    how many have a run, failed or not.
    """
    found = [
        f'The run of arm "{run["arm"]}" with seed {run["seed"]} failed: {run.get("error") or "no message"}'
        for run in failed
    ]
    lost = {int(run["seed"]) for run in failed}
    planned = study.get("seeds")
    planned = len(planned) if isinstance(planned, list) else int(planned or 0)
    if seeds < planned:
        found.append(
            f"{seeds} of the {planned} seeds of the study are there: a look at an unfinished study, which "
            + ("this method holds for." if method == SEQUENCE else "its intervals take no account of.")
        )
    for line, judgement in zip(lines, judged, strict=True):
        found += _of_line(judgement, line.pairs.values, lost)
    fewest = min((line.interval.n for line in judged), default=0)
    if method == "bootstrap" and 2 <= fewest < FEW_BCA:
        found.append(
            f"{fewest} pairs of runs: BCa intervals are too narrow below about {FEW_BCA}, so that PASS and FAIL are wrong "
            'more often than the level says; take more seeds, or method = "t".'
        )
    elif method != "bootstrap" and 2 <= fewest < FEW:
        found.append(f"{fewest} pairs of runs: the intervals rest on the normal distribution alone.")
    found.append(ONE_GUESS if study.get("uncertainty") is None else OVER_BEHAVIORS)
    return found


def _of_line(line: Judgement, values: NDArray[np.float64], lost: set[int]) -> Iterator[str]:
    without = [seed for seed in line.missing if seed not in lost]
    if without:
        seeds = ", ".join(map(str, without))
        over = f"the {line.horizon}" if line.horizon.startswith("last") else line.horizon
        yield f"{line.measure}: no value in both arms over {over} for seed {seeds}; left out"
    if line.estimate.count("·") and line.baseline < 0:
        yield (
            f"{line.measure}: the baseline is negative ({line.baseline:.3g}), so multiplying it by less than 1 "
            'moves the bound up; write "baseline - …" instead'
        )
    if line.interval.low == line.interval.high:
        yield (
            f"{line.measure}: {line.estimate} is the same in all {line.interval.n} pairs of runs, so the interval has no "
            "width; worlds in which it differs may be too rare to be among them"
        )
    else:
        yield from _skewed(line, values)


def _skewed(line: Judgement, values: NDArray[np.float64]) -> Iterator[str]:
    """Whether seeds lie far out on the bad side more than on the good one, which a PASS may not have seen.

    D'Agostino's test (Biometrika 57, 1970), which takes 8 values.
    """
    from scipy.stats import skew, skewtest

    if len(values) < 8 or line.outcome != "PASS":
        return
    off = (values - values.mean()) / np.abs(values - values.mean()).max()
    if float(skewtest(off).pvalue) < LOPSIDED and (float(skew(off)) < 0) == (line.side == "at_least"):
        yield (
            f"{line.measure}: a few seeds lie far out on the bad side, where intervals over {len(values)} seeds hold less "
            "often than their level says; this PASS is less sure than others (docs/gate.md)"
        )
