"""Sample-size planning: how many seeds a decision takes, for fixed and sequential designs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from .intervals import LEVEL
from .sequential import first_look, sequence_width

MAX_SEEDS = 1_000_000
"""Plans never exceed this many seeds."""
STUDIES = 2_000
"""Simulated studies behind a sequential plan."""
SEED = 20_261_122


def seeds_needed(sd: float, margin: float, level: float = LEVEL, power: float = 0.8) -> int | None:
    """Return the number of seeds at which a t interval excludes a limit with probability `power`.

    sd: standard deviation of the paired differences over seeds; margin: distance of the true mean from
    the limit, in the same unit. With probability `power` the two-sided interval at `level` then excludes the limit
    on the correct side (noncentral t). None if no number of seeds up to a million suffices: a true mean on the
    limit itself (margin 0) cannot be distinguished from it.
    """
    from scipy.stats import nct, t

    effect = _effect(sd, margin, power)
    if not np.isfinite(effect):
        return 2
    if effect <= 0:
        return None

    def chance(n: int) -> float:
        return float(nct.sf(t.ppf(0.5 + level / 2, n - 1), n - 1, effect * np.sqrt(n)))

    return _smallest(lambda n: chance(n) >= power, _lower_guess(effect, level, power))


def sequential_seeds_needed(sd: float, margin: float, level: float = LEVEL, power: float = 0.5) -> int | None:
    """Return the number of seeds by which the confidence sequence excludes a limit with probability `power`.

    As `seeds_needed`, for a study with a look after every seed that stops when it is decided; the default power
    gives the median. By simulation (2,000 normal studies, fixed seed). None if no number of seeds up to a million
    suffices.
    """
    from scipy.stats import norm

    effect = _effect(sd, margin, power)
    if not np.isfinite(effect):
        return first_look(level)
    if effect <= 0:
        return None
    # This is the answer for a single look with the true sd. The simulation also looks earlier, so it decides no later.
    z = float(norm.ppf(max(power, 0.5)))
    last = _smallest(lambda n: effect - float(sequence_width(n, level)) >= z / np.sqrt(n), 2)
    if last is None:
        return None
    stop = np.quantile(_stops(effect, level, int(1.2 * last) + 10), power, method="higher")
    return int(stop) if np.isfinite(stop) else last


def _stops(effect: float, level: float, last: int) -> NDArray[np.float64]:
    """Return the number of seeds at which each simulated study is decided; ∞ if not by `last`.

    It looks at every n up to 200 and in steps of a percent from there. Sum and sum of squares of the values between
    two looks are drawn from their joint distribution: a normal and a chi-square.
    """
    rng = np.random.default_rng(SEED)
    looks = np.arange(1, min(200, last) + 1)
    if last > 200:
        steps = np.geomspace(200, last, int(np.log(last / 200) / 0.01) + 2).astype(int)
        looks = np.unique(np.concatenate([looks, steps]))
    total, squares, stops, before = np.zeros(STUDIES), np.zeros(STUDIES), np.full(STUDIES, np.inf), 0
    for n, width in zip(looks, sequence_width(looks, level), strict=True):
        more = n - before
        part = rng.normal(more * effect, np.sqrt(more), STUDIES)
        within = rng.chisquare(more - 1, STUDIES) if more > 1 else 0.0
        total, squares, before = total + part, squares + part**2 / more + within, n
        if np.isfinite(width):
            sd = np.sqrt(np.maximum(squares - total**2 / n, 0) / (n - 1))
            stops[np.isinf(stops) & (total / n > width * sd)] = n
            if np.isfinite(stops).all():
                break
    return stops


def _effect(sd: float, margin: float, power: float) -> float:
    """Return the margin in standard deviations; infinite if nothing varies."""
    if not (np.isfinite(sd) and sd >= 0 and np.isfinite(margin) and 0 < power < 1):
        raise BadInput(
            f"seeds needed: sd must be a number from 0 up, margin a number and power between 0 and 1 "
            f"(here {sd:g}, {margin:g} and {power:g})"
        )
    if margin <= 0:
        return 0.0
    # Beyond a hundred standard deviations two seeds suffice, and the noncentral t overflows.
    return min(margin / sd, 100.0) if sd > 0 else np.inf


def _lower_guess(effect: float, level: float, power: float) -> int:
    """Return a number of seeds that is slightly too small: the normal approximation minus 2."""
    from scipy.stats import norm

    return max(2, int(((norm.ppf(0.5 + level / 2) + norm.ppf(power)) / effect) ** 2) - 2)


def _smallest(enough, start: int) -> int | None:
    """Return the smallest n ≥ 2 that is enough, by doubling and bisection; None beyond MAX_SEEDS."""
    high = max(2, start)
    while high <= MAX_SEEDS and not enough(high):
        high *= 2
    if high > 2 * MAX_SEEDS or not enough(high):
        return None
    low = 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high if high <= MAX_SEEDS else None
