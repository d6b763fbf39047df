"""What a change in mid-run did: the effect an A/B test would report beside the true one, and what was repaired."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .statistics import Interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

    from .results import Results

NOBODY, EVERYBODY = " · 0 %", " · 100 %"
"""Endings of the names of the worlds that a study adds to a switched arm."""
BEFORE = 20
"""Rounds before a switch over which what was lost is averaged."""
SMOOTH = 5
"""Rounds of the running mean in which a recovery is looked for."""


@dataclass(frozen=True)
class Switched:
    """An arm with switches and the worlds that it is compared with."""

    arm: str
    nobody: str
    """The world in which nothing is switched."""
    everybody: str | None
    """The world in which all users are; None where the arm itself is that."""
    round: int
    """First round of the first switch."""
    marks: tuple[int, ...]
    """Rounds in which something changes."""
    stable_from: int
    """First round in which nothing changes any more."""


@dataclass(frozen=True)
class Effect:
    """What a switch for some of the users did to a measure, in units of the measure; n = seeds."""

    measure: str
    naive: Interval
    """Switched users minus the others, in the same world: what an A/B test on the platform reports."""
    true: Interval
    """All users, everybody switched minus nobody switched: what deploying it does."""
    bias: Interval
    """naive − true."""


@dataclass(frozen=True)
class Recovery:
    """What a switch brought back of a measure that the arm had lost to the reference by then; paired by seed."""

    measure: str
    lost: Interval
    """Reference minus the unswitched world, in the rounds before the switch."""
    regained: Interval
    """Switched minus unswitched world, at the end of the run."""
    share: Interval
    """regained / lost: 1 = all of it; ratio of means, interval by jackknife over seeds."""
    rounds: float
    """Rounds from the switch until half of what is regained at the end is there (running mean of 5 rounds,
    mean over seeds); NaN where nothing is clearly regained."""
    cost: Interval
    """Welfare given up per percentage point regained; NaN where nothing is clearly regained."""


def switched(arms: Sequence[Mapping[str, Any]]) -> list[Switched]:
    """Return the arms with switches, from the arms of a study as run."""
    found = []
    for arm in arms:
        name, switches = arm["name"], arm.get("switch") or []
        if not switches or name.endswith((NOBODY, EVERYBODY)):
            continue
        nobody = _named(arms, name + NOBODY, {**arm, "switch": []})
        everyone = [_for_all(switch) for switch in switches]
        everybody = None
        if everyone != switches:
            everybody = _named(arms, name + EVERYBODY, {**arm, "switch": everyone})
        if nobody is None:
            continue
        rounds = [each["round"] + each.get("ramp", 0) for each in switches]
        ends = [each["until"] for each in switches if each.get("until") is not None]
        marks = sorted({each["round"] for each in switches} | set(ends))
        found.append(Switched(name, nobody, everybody, marks[0], tuple(marks), max(rounds + ends)))
    return found


def change_rounds(results: Results, arms: Sequence[str], values: Mapping[str, Any]) -> list[int]:
    """Return the rounds in which something changes in these arms, at all grid points with these values.

    None where a prior draws the time of a switch: it is another in every seed.
    """
    if has_drawn_times(results.study) or not any(arm.get("switch") for arm in results.study["arms"]):
        return []
    found = set()
    for point in results.points:
        if all(point.values[key] == value for key, value in values.items()):
            found |= {
                switch[end]
                for arm in results.arms_at(point.values)
                for switch in arm.get("switch") or ()
                for end in ("round", "until")
                if arm["name"] in arms and switch.get(end) is not None
            }
    return sorted(found)


def has_drawn_times(study: Mapping[str, Any]) -> bool:
    """Whether a prior draws when something is switched, so that no round of a switch holds for all seeds."""
    priors = (study.get("uncertainty") or {}).get("priors") or {}
    return any(".switch[" in key and key.endswith((".round", ".until", ".ramp")) for key in priors)


def _for_all(switch: Mapping[str, Any]) -> dict[str, Any]:
    users = switch.get("users", 1.0)
    return {**switch, "users": users if isinstance(users, str) else 1.0}


def _named(arms: Sequence[Mapping[str, Any]], name: str, like: Mapping[str, Any]) -> str | None:
    """Return `name` where an arm has it, else the name of an arm that is like one but for its name."""
    settings = _without_name(like)
    alike = [arm["name"] for arm in arms if arm["name"] == name]
    return next(iter(alike + [arm["name"] for arm in arms if _without_name(arm) == settings]), None)


def _without_name(arm: Mapping[str, Any]) -> dict[str, Any]:
    """What an arm is apart from its name."""
    return {key: value for key, value in arm.items() if key != "name" and value}


def interference(runs: pd.DataFrame, which: Switched, measures: Sequence[str]) -> list[Effect]:
    """Return naive and true effect of a switch for some users, for measures that are means over users.

    runs: one row per run of one grid point, measures averaged over the last rounds, with the columns
    `measure:treated=yes` and `measure:treated=no`. The naive difference compares people who live in one
    world; whatever the switched do to the shared model, to popularity and to their friends reaches the
    others too and falls out of it. Empty where everybody is switched.
    """
    if which.everybody is None:
        return []
    found = []
    for measure in measures:
        yes, no = f"{measure}:treated=yes", f"{measure}:treated=no"
        if measure not in runs or yes not in runs or no not in runs:
            continue
        table = runs.pivot(index="seed", columns="arm", values=measure)
        own = runs[runs["arm"] == which.arm].set_index("seed")
        naive = (own[yes] - own[no]).to_numpy(float)
        true = (table[which.everybody] - table[which.nobody]).reindex(own.index).to_numpy(float)
        both = np.isfinite(naive) & np.isfinite(true)
        if not both.any():
            continue
        naive, true = naive[both], true[both]
        found.append(Effect(measure, mean_interval(naive), mean_interval(true), mean_interval(naive - true)))
    return found


def recovery(
    rounds: pd.DataFrame, which: Switched, reference: str, measure: str = "niche_exposure", last: int = 20
) -> Recovery | None:
    """Return what the switch brought back of a measure, on all users; None without the arms it takes.

    rounds: the tidy table of one grid point. With a world in which everybody is switched, that one is
    looked at, since what is lost is counted over all users.
    """
    arm = which.everybody or which.arm
    curves = {name: _curve(rounds, name, measure) for name in (arm, which.nobody, reference)}
    if len(curves) < 3 or any(curve is None for curve in curves.values()) or which.round == 0:
        return None
    after, without, organic = (curves[name].align(curves[which.nobody], "inner")[0] for name in curves)
    before = slice(max(which.round - BEFORE, 0), which.round)
    gain = (after - without).to_numpy(float)
    last = max(min(last, gain.shape[1] - which.stable_from), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a seed without any value is NaN, and left out
        lost = np.nanmean((organic - without).to_numpy(float)[:, before], axis=1)
        regained = np.nanmean(gain[:, -last:], axis=1)
        course = np.nanmean(gain[:, which.round :], axis=0)
    clear = mean_interval(regained).low > 0
    cost = Interval(np.nan, np.nan, np.nan, 0, "nothing is clearly regained")
    if clear and "welfare" in rounds:
        welfare = _curve(rounds, arm, "welfare") - _curve(rounds, which.nobody, "welfare")
        given_up = -welfare.reindex(without.index).to_numpy(float)[:, -last:].mean(axis=1)
        cost = ratio_interval(given_up, 100 * regained)
    return Recovery(
        measure,
        mean_interval(lost),
        mean_interval(regained),
        ratio_interval(regained, lost),
        _half_way(course, mean_interval(regained).mean) if clear else float("nan"),
        cost,
    )


def _curve(rounds: pd.DataFrame, arm: str, measure: str) -> Any:
    """Seeds × rounds of one arm; None without values."""
    part = rounds[rounds["arm"] == arm]
    if part.empty or measure not in part or not part[measure].notna().any():
        return None
    return part.pivot(index="seed", columns="round", values=measure)


def _half_way(gain: NDArray[np.float64], end: float) -> float:
    """Return the first round of a curve whose running mean reaches half of its end."""
    width = min(SMOOTH, gain.size)
    smooth = np.convolve(gain, np.ones(width) / width, mode="valid")
    there = np.flatnonzero(smooth >= end / 2)
    return float(there[0] + width - 1) if there.size else float("nan")


def ratio_interval(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval:
    """Return mean(above) / mean(below) of paired values with the t interval of its jackknife.

    A ratio of means, not the mean of ratios: a seed with little below would rule that one. NaN where
    fewer than two pairs are finite or the sign of the denominator is not clear (95 %).
    """
    from scipy.stats import t

    some = np.isfinite(above) & np.isfinite(below)
    above, below, n = above[some], below[some], int(some.sum())
    if n < 2:
        return Interval(np.nan, np.nan, np.nan, n, "takes at least two seeds")
    base = mean_interval(below)
    if base.low <= 0 <= base.high:
        return Interval(np.nan, np.nan, np.nan, n, "the sign of the denominator is not clear")
    ratio = above.sum() / below.sum()
    without = (above.sum() - above) / (below.sum() - below)
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    half = float(t.ppf(0.975, n - 1) * error)
    return Interval(float(ratio), float(ratio) - half, float(ratio) + half, n)
