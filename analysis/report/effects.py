"""Effects of a switch in mid-run: what an A/B test would report beside the true effect, and how much of the loss the switch recovered."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import Interval, mean_interval, ratio_interval, verdict
from ..statistics.conclusions import HIGHER, TOO_FEW
from ..switches import Switched

if TYPE_CHECKING:
    import pandas as pd

BEFORE = 20
"""Rounds before a switch over which the loss is averaged."""
SMOOTH = 5
"""Width in rounds of the running mean that determines the time of recovery."""


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
    """Rounds from the switch until half of the final gain is reached (running mean of 5 rounds, mean over seeds);
    NaN if nothing is clearly regained."""
    cost: Interval
    """Welfare given up per percentage point regained; NaN if nothing is clearly regained."""


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
    found = verdict(mean_interval(regained))
    clear = found == HIGHER
    cost = Interval(np.nan, np.nan, np.nan, 0, found if found == TOO_FEW else "nothing is clearly regained")
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
    reached = np.flatnonzero(smooth >= end / 2)
    return float(reached[0] + width - 1) if reached.size else float("nan")
