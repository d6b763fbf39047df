"""Why a line of a gate is undecided, and what would decide it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .statistics import Interval, seeds_needed, sequential_seeds_needed
from .statistics.resampling import fewest
from .statistics.sequential import sequence_width

POWER = 0.8
"""Chance of a decision that the numbers of seeds are for."""
SEQUENCE = "confidence sequence"
MOST_NAMED = 20
"""Seeds that a reason names."""


def undecided(
    values: NDArray[np.float64],
    interval: Interval,
    limit: float,
    side: str,
    *,
    margin: bool,
    method: str,
    level: float,
    lines: int,
    barred: str = "",
) -> tuple[int | None, str]:
    """Return how many seeds would decide a line, if any number would, and why it is undecided, in words.

    values (n,): per seed; margin: whether the bound leaves one; level: of the interval; lines: of the
    gate, for Holm's first step, which a FAIL needs; barred: what keeps it from passing, whatever
    more seeds say. The numbers of seeds take the mean and the spread seen for the true ones and decide with
    probability 0.8; for bootstrap intervals they are those of t intervals, and it is said.
    """
    n = len(values)
    if n < 2:
        why = "no seed has a value in both arms" if n == 0 else "one pair of runs gives no interval"
        return None, f"{why}; it takes at least 2 seeds"
    sd = float(values.std(ddof=1))
    to_the_good = interval.mean - limit if side == "at_least" else limit - interval.mean
    strict = 1 - (1 - level) / lines
    needed = count(sd, abs(to_the_good), level if to_the_good >= 0 else strict, method)
    known = math.isfinite(interval.low)
    end = interval.high if side == "at_least" else interval.low
    if not known:
        why = interval.reason or "there is no interval"
    elif end < limit if side == "at_least" else end > limit:
        why = f"on the bad side at {100 * level:g} %, but not after Holm's adjustment for {lines} lines"
    else:
        why = "the interval holds the limit"
    if barred:
        return None, f"{why}; {barred}"
    if needed is None:
        why += "; the mean lies on the limit or next to it, where no number of seeds decides"
    else:
        least = fewest(level if to_the_good >= 0 else strict) if method == "bootstrap" else 0
        needed = max(needed, n + 1, least)
        why += f"; at the difference and spread seen, about {needed:,} seeds decide it"
        why += " (reckoned for t intervals)" if method == "bootstrap" else ""
    if not margin:
        smallest = decidable_margin(sd, n, level, method)
        if math.isfinite(smallest):
            why += f". Without any effect no number of seeds decides a margin of 0; {n} decide one of {smallest:.2g}"
    return needed, why


def no_pass(one_sided: Sequence[int], uneven: Sequence[int]) -> str:
    """Return why a line cannot pass; nothing where it can.

    one_sided: seeds in which one arm alone has a value; uneven: those in which that is so in some rounds.
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


def count(sd: float, distance: float, level: float, method: str) -> int | None:
    """Seeds that decide with probability 0.8, `distance` from the limit; None where no number does."""
    how = sequential_seeds_needed if method == SEQUENCE else seeds_needed
    return how(sd, distance, level, POWER)


def decidable_margin(sd: float, n: int, level: float, method: str) -> float:
    """Margin that n seeds pass with probability 0.8 where the change has no effect; infinite where none is."""
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
