"""Effects of a switch in mid-run: what an A/B test would report beside the true effect, and how much was recovered."""

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
"""Suffixes of the arms that a study adds to a switched arm: the same world with no user or all users switched."""
BEFORE = 20
"""Rounds before a switch over which the loss is averaged."""
SMOOTH = 5
"""Width in rounds of the running mean that determines the time of recovery."""


@dataclass(frozen=True)
class Switched:
    """An arm with switches and the worlds that it is compared with."""

    arm: str
    nobody: str
    """Name of the arm in which nothing is switched."""
    everybody: str | None
    """Name of the arm in which all users are switched; None if the arm itself is that."""
    round: int
    """First round of the first switch."""
    marks: tuple[int, ...]
    """Rounds in which something changes."""
    stable_from: int
    """First round from which on nothing changes any more."""


@dataclass(frozen=True)
class Effect:
    """Effect of switching some of the users on a measure, in its units; n = seeds."""

    measure: str
    naive: Interval
    """Switched users minus the others, in the same world: what an A/B test on the platform reports."""
    true: Interval
    """All users, everybody switched minus nobody switched: what deploying it does."""
    bias: Interval
    """naive − true."""


@dataclass(frozen=True)
class Recovery:
    """How much of a measure's loss against the reference a switch recovered; paired by seed."""

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
    """Return the rounds in which something changes in these arms, over all grid points with these values.

    Empty if a prior draws the time of a switch, which then differs between seeds.
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
    """Whether a prior draws the time of a switch, so that it differs between seeds."""
    priors = (study.get("uncertainty") or {}).get("priors") or {}
    return any(".switch[" in key and key.endswith((".round", ".until", ".ramp")) for key in priors)


def _for_all(switch: Mapping[str, Any]) -> dict[str, Any]:
    users = switch.get("users", 1.0)
    return {**switch, "users": users if isinstance(users, str) else 1.0}


def _named(arms: Sequence[Mapping[str, Any]], name: str, like: Mapping[str, Any]) -> str | None:
    """Return `name` if an arm has it, else the name of an arm with the same settings as `like`; None if there is none."""
    settings = _without_name(like)
    alike = [arm["name"] for arm in arms if arm["name"] == name]
    return next(iter(alike + [arm["name"] for arm in arms if _without_name(arm) == settings]), None)


def _without_name(arm: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an arm without its name."""
    return {key: value for key, value in arm.items() if key != "name" and value}


def interference(runs: pd.DataFrame, which: Switched, measures: Sequence[str]) -> list[Effect]:
    """Return naive and true effects of switching some users, for measures that are means over users.

    runs: one row per run of one grid point, measures averaged over the last rounds, with the columns
    `measure:treated=yes` and `measure:treated=no`. The naive difference compares users within one world: effects of
    the switched users on the shared model, on popularity and on their friends also reach the others, and cancel
    out (interference). Empty if everybody is switched.
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
    """Return how much of a measure the switch recovered, over all users; None without the arms it needs.

    rounds: the tidy table of one grid point. If there is an arm in which everybody is switched, it is used, since
    the loss is measured over all users.
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
        warnings.simplefilter("ignore", RuntimeWarning)  # A seed without any value is NaN.
        lost = np.nanmean((organic - without).to_numpy(float)[:, before], axis=1)
        regained = np.nanmean(gain[:, -last:], axis=1)
        gain_by_round = np.nanmean(gain[:, which.round :], axis=0)
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
        _half_way(gain_by_round, mean_interval(regained).mean) if clear else float("nan"),
        cost,
    )


def _curve(rounds: pd.DataFrame, arm: str, measure: str) -> Any:
    """Return seeds × rounds of one arm; None without values."""
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

    It is a ratio of means, not a mean of ratios, which a seed with a small denominator would dominate. NaN if
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
