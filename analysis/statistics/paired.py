"""Compare arms with a reference arm, paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput, did_you_mean
from .conclusions import LOW_RANK, verdict
from .intervals import LEVEL, Interval, holm, subtract, t_interval
from .resampling import bca, sign_flip_interval

if TYPE_CHECKING:
    import pandas as pd

Method = Callable[[NDArray[np.float64], float], tuple[Interval, float]]
"""Maps paired differences (one per seed, ascending, NaN if there is none) and a level to an interval and a p-value."""
METHODS: dict[str, Method | None] = {"t": None, "bca": bca, "permutation": sign_flip_interval}
"""Methods for intervals and p-values of differences; None: t intervals, computed for all measures at once."""


@dataclass(frozen=True)
class Difference(Interval):
    """Arm minus reference, paired by seed."""

    arm: str = ""
    reference: str = ""
    measure: str = ""
    p: float = float("nan")
    """Two-sided p-value (of the paired t test unless another method was chosen); NaN if the test is undefined."""
    missing: tuple[int, ...] = field(default=())
    """Seeds of the study that lack a value in the arm or in the reference."""


def paired_differences(
    runs: pd.DataFrame, arm: str, reference: str, measure: str, level: float = LEVEL, method: str = "t"
) -> Difference:
    """Return the mean of arm − reference over the seeds that have both, with its interval (`method` as in `compare`).

    `runs` has one row per run of one grid point: columns `arm`, `seed` and the measure. Seeds without a finite value
    in either arm (a failed run, an undefined measure) are left out and listed. With fewer than two pairs the interval
    is NaN and `reason` says why. If every seed gives the same difference, the interval has no width, and p is 1 for a
    difference of zero and undefined otherwise.
    """
    table = compare(runs, reference, [measure], arms=[arm], level=level, method=method).iloc[0]
    return Difference(
        mean=float(table["difference"]),
        low=float(table["low"]),
        high=float(table["high"]),
        n=int(table["n"]),
        reason=str(table["reason"]),
        arm=arm,
        reference=reference,
        measure=measure,
        p=float(table["p"]),
        missing=tuple(table["missing"]),
    )


def compare(
    runs: pd.DataFrame,
    reference: str,
    measures: Sequence[str],
    *,
    primary: Sequence[str] = (),
    arms: Sequence[str] | None = None,
    level: float = LEVEL,
    method: str | Method = "t",
) -> pd.DataFrame:
    """Compare every arm with the reference on every measure, paired by seed: one row per (arm, measure).

    Columns: arm, measure, primary, mean_arm and mean_reference (over the pairs), difference, low,
    high, n, missing (tuple of seeds), p, p_holm, verdict (`conclusions.verdict`), reason. Primary measures are named
    in advance and not adjusted (p_holm is NaN): a difference is clear if the interval excludes zero. The others are
    adjusted by Holm within each arm, split measures (`name:group=…`) as a family of their own; a difference is clear
    if the adjusted p is below 1 − level. Two arms with an `effective_rank` in `runs` below `LOW_RANK`,
    both on average, are never said not to differ: the verdict is `COLLAPSED`.

    method: "t" for paired t intervals and tests; "bca" for bootstrap intervals and the p-values they imply;
    "permutation" for the sign-flip test and the interval that inverts it; or a function that returns both.
    Below the number of seeds that bca and permutation need, `reason` says so (`resampling`, docs/statistics.md).
    """
    import pandas as pd
    from scipy.stats import t

    if isinstance(method, str) and method not in METHODS:
        raise BadInput(
            f'no method is named "{method}" (methods: {", ".join(METHODS)}).{did_you_mean(method, METHODS)}'
        )
    interval_of = METHODS[method] if isinstance(method, str) else method
    known = list(dict.fromkeys(runs["arm"]))
    arms = [name for name in known if name != reference] if arms is None else list(arms)
    for name in [reference, *arms]:
        if name not in known:
            raise BadInput(f'no arm is named "{name}" (arms: {", ".join(known)}).{did_you_mean(name, known)}')
    for name in measures:
        if name not in runs.columns:
            raise BadInput(f'no measure "{name}" in these results.{did_you_mean(name, runs.columns)}')
    if runs.duplicated(["arm", "seed"]).any():
        raise BadInput("an arm has several runs with the same seed: compare one grid point at a time")

    measures, seeds = list(measures), sorted(runs["seed"].unique())
    by_run = runs.set_index(["arm", "seed"])[measures].astype(np.float64)
    cube = {
        name: by_run.reindex(pd.MultiIndex.from_product([[name], seeds])).to_numpy().T
        for name in dict.fromkeys([reference, *arms])
    }
    rows = []
    for arm in arms:
        here, there = cube[arm], cube[reference]
        pairs = subtract(here, there)
        both = np.isfinite(pairs)
        mean, half, error, n = t_interval(pairs, level)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = 2 * t.sf(np.abs(mean) / error, np.maximum(n - 1, 1))
            p = np.where(error == 0, np.where(mean == 0, 1.0, np.nan), np.where(n > 1, p, np.nan))
            mean_arm, mean_reference = (
                np.where(both, side, 0).sum(axis=1) / np.where(n > 0, n, np.nan) for side in (here, there)
            )
        low, high, reasons = mean - half, mean + half, [""] * len(measures)
        if interval_of is not None:
            for i, values in enumerate(pairs):
                interval, p[i] = interval_of(values, level)
                low[i], high[i], reasons[i] = interval.low, interval.high, interval.reason
        for i, measure in enumerate(measures):
            rows.append(
                {
                    "arm": arm,
                    "measure": measure,
                    "primary": measure in primary,
                    "mean_arm": mean_arm[i],
                    "mean_reference": mean_reference[i],
                    "difference": mean[i],
                    "low": low[i],
                    "high": high[i],
                    "n": int(n[i]),
                    "missing": tuple(
                        int(seed) for seed, fine in zip(seeds, both[i], strict=True) if not fine
                    ),
                    "p": p[i],
                    "reason": reasons[i],
                }
            )
    columns = ["arm", "measure", "primary", "mean_arm", "mean_reference", "difference", "low", "high", "n"]
    table = pd.DataFrame(rows, columns=[*columns, "missing", "p", "reason"])
    reasons = [_reason(row) for row in table.itertuples()]
    collapsed = _collapsed(runs)
    table["p_holm"] = np.nan
    others = ~table["primary"].astype(bool)
    split = table["measure"].str.contains(":", regex=False)
    for _, part in table[others].groupby(["arm", split], sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy())
    low = table["arm"].isin(collapsed) & (reference in collapsed)
    table["verdict"] = [_verdict(row, level, each) for row, each in zip(table.itertuples(), low, strict=True)]
    table["reason"] = reasons
    return table[[*columns, "missing", "p", "p_holm", "verdict", "reason"]]


def _collapsed(runs: pd.DataFrame) -> set[str]:
    """Return the arms whose effective rank is below `LOW_RANK` on average."""
    if "effective_rank" not in runs:
        return set()
    ranks = runs.groupby("arm", sort=False)["effective_rank"].mean()
    return set(ranks.index[ranks < LOW_RANK])


def _verdict(row, level: float, collapsed: bool) -> str:
    interval = Interval(row.difference, row.low, row.high, row.n)
    clear = None if row.primary else row.p_holm < 1 - level or row.low == row.high
    return verdict(interval, clear=clear, collapsed=collapsed)


def _reason(row) -> str:
    if row.n == 0:
        return "no seed has a value in both arms"
    if row.n == 1:
        return "one pair gives no interval"
    return "the same difference in every seed" if row.low == row.high else row.reason
