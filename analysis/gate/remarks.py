"""Explanations beside a gate's numbers: why a line is undecided, how many seeds would decide it, and caveats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sensitivity.priors import joint_keys
from ..statistics import Interval, seeds_needed, sequential_seeds_needed
from ..statistics.conclusions import FEWEST, TOO_FEW
from ..statistics.resampling import FEW_BCA, fewest_values
from ..statistics.sequential import first_look, sequence_width
from .lines import Line
from .verdicts import Judgement

POWER = 0.8
"""Power: probability of a decision at the numbers of seeds given here."""
SEQUENCE = "confidence sequence"
ENOUGH = 20
"""Number of seeds to type where there are too few for a verdict."""
MOST_NAMED = 20
"""Most seeds that a reason lists."""


def explain_undecided(
    values: NDArray[np.float64],
    interval: Interval,
    limit: float,
    side: str,
    *,
    margin: bool,
    method: str,
    level: float,
    lines: int,
    blocked: str = "",
) -> tuple[int | None, str]:
    """Return how many seeds would decide a line (None if no number would), and why it is undecided.

    values (n,): one per seed; margin: whether the bound has a margin; level: of the interval; lines: number of
    lines of the gate, for Holm's first step, which a FAIL needs; blocked: what keeps the line from passing
    whatever further seeds show. The number of seeds assumes that the observed mean and spread are the true ones,
    with power 0.8; too few seeds give no such number. For bootstrap intervals it is that of t intervals, and the
    reason says so.
    """
    n = len(values)
    if n < FEWEST:
        more = "--max-seeds 200" if method == SEQUENCE else f"--seeds {ENOUGH}"
        have = {0: "none has a value", 1: "1 has a value"}.get(n, f"{n} have a value")
        why = f"{TOO_FEW}: {have} in both arms, a verdict takes {FEWEST}; type {more}, or more"
        return None, f"{why}; {blocked}" if blocked else why
    sd = float(values.std(ddof=1))
    distance = interval.mean - limit if side == "at_least" else limit - interval.mean
    strict = 1 - (1 - level) / lines
    needed = seeds_to_decide(sd, abs(distance), level if distance >= 0 else strict, method)
    known = math.isfinite(interval.low)
    end = interval.high if side == "at_least" else interval.low
    if not known:
        why = f"{TOO_FEW} ({interval.reason})"
    elif end < limit if side == "at_least" else end > limit:
        why = f"on the bad side at {100 * level:g} %, but not after Holm's adjustment for {lines} lines"
    else:
        why = "the interval contains the limit"
    if blocked:
        return None, f"{why}; {blocked}"
    if needed is None:
        why += "; the mean lies on the limit or next to it, where no number of seeds decides"
    else:
        needed = max(needed, n + 1, fewest_seeds(method, level if distance >= 0 else strict))
        why += f"; at the difference and spread seen, about {needed:,} seeds decide it"
        why += " (computed for t intervals)" if method == "bootstrap" else ""
    if not margin:
        smallest = decidable_margin(sd, n, level, method)
        if math.isfinite(smallest):
            why += f". Without any effect no number of seeds decides a margin of 0; {n} decide one of {smallest:.2g}"
    return needed, why


def why_no_pass(one_sided: Sequence[int], uneven: Sequence[int]) -> str:
    """Return why a line cannot pass; empty if it can.

    one_sided: seeds in which only one arm has a value; uneven: seeds with rounds in which only one arm has one.
    """
    found = []
    if one_sided:
        found.append(
            f"only one of the two arms has a value for seed {_named(one_sided)}; what is shown of the other seeds is no "
            "PASS"
        )
    if uneven:
        found.append(
            f"only one of the two arms has a value in some rounds of seed {_named(uneven)}, which count for neither; what "
            "is shown of the other rounds is no PASS"
        )
    return "; ".join(found)


def _named(seeds: Sequence[int]) -> str:
    more = f" and {len(seeds) - MOST_NAMED} more" if len(seeds) > MOST_NAMED else ""
    return ", ".join(map(str, seeds[:MOST_NAMED])) + more


def fewest_seeds(method: str, level: float) -> int:
    """Return the fewest seeds with which intervals of this method can decide a line."""
    own = {"bootstrap": fewest_values, SEQUENCE: first_look}.get(method)
    return max(FEWEST, own(level)) if own else FEWEST


def seeds_to_decide(sd: float, distance: float, level: float, method: str) -> int | None:
    """Return the seeds that decide with power 0.8 at `distance` from the limit; None if no number does."""
    how = sequential_seeds_needed if method == SEQUENCE else seeds_needed
    return how(sd, distance, level, POWER)


def decidable_margin(sd: float, n: int, level: float, method: str) -> float:
    """Return the margin that n seeds pass with power 0.8 if the change has no effect; infinite if none does."""
    from scipy.optimize import brentq
    from scipy.stats import nct, norm, t

    if n < 2:
        return math.inf
    if method == SEQUENCE:
        return sd * float(sequence_width(n, level) + norm.ppf(POWER) / math.sqrt(n))
    edge = float(t.ppf(0.5 + level / 2, n - 1))

    def lacking(shift: float) -> float:
        return float(nct.sf(edge, n - 1, shift)) - POWER

    high = 2 * edge + 2
    while lacking(high) < 0:
        high *= 2
    return sd * float(brentq(lacking, 0.0, high)) / math.sqrt(n)


SKEWNESS_P = 0.05
"""Skewness with a p-value below this is reported."""
OVER_BEHAVIORS = (
    "Intervals are about the average over the plausible behaviors of [uncertainty]; the shares say under how many of "
    "them a line holds."
)
JOINT = (
    "The settings of joint rows are drawn together, and none of them moves alone: what a line turns on is looked for among "
    "the other assumptions only."
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

    lines, judged: the lines and their judgements; failed: the failed runs of both arms; method: of the intervals;
    seeds: how many have a run, failed or not.
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
        found += _line_notes(judgement, line.pairs.values, lost)
    fewest = min((line.interval.n for line in judged), default=0)
    if method == "bootstrap" and FEWEST <= fewest < FEW_BCA:
        found.append(
            f"{fewest} pairs of runs: BCa intervals are too narrow below about {FEW_BCA}, so that PASS and FAIL are wrong "
            'more often than the level says; take more seeds, or method = "t".'
        )
    found.append(ONE_GUESS if study.get("uncertainty") is None else OVER_BEHAVIORS)
    if joint_keys(study.get("uncertainty")):
        found.append(JOINT)
    return found


def _line_notes(line: Judgement, values: NDArray[np.float64], lost: set[int]) -> Iterator[str]:
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
    """Warn if the values are skewed toward the bad side, whose tail a PASS may have missed.

    D'Agostino's test (Biometrika 57, 1970), which takes 8 values.
    """
    from scipy.stats import skew, skewtest

    if len(values) < 8 or line.outcome != "PASS":
        return
    off = (values - values.mean()) / np.abs(values - values.mean()).max()
    if float(skewtest(off).pvalue) < SKEWNESS_P and (float(skew(off)) < 0) == (line.side == "at_least"):
        yield (
            f"{line.measure}: a few seeds lie far out on the bad side, where intervals over {len(values)} seeds cover the "
            "truth less often than their level says; this PASS is less certain than others (docs/gate.md)"
        )
