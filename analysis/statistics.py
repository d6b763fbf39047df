"""What a study's numbers say: intervals over seeds, differences paired by seed, times that may be censored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadInput, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Difference",
    "Interval",
    "Survival",
    "compare",
    "holm",
    "mean_interval",
    "median_survival",
    "paired_differences",
    "t_interval",
]

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its t interval; `low` and `high` are NaN where there is none, and `reason` says why."""

    mean: float
    low: float
    high: float
    n: int
    """Values it rests on (finite ones)."""
    reason: str = ""


@dataclass(frozen=True)
class Difference(Interval):
    """Arm minus reference, paired by seed."""

    arm: str = ""
    reference: str = ""
    measure: str = ""
    p: float = float("nan")
    """Two-sided p-value of the paired t test; NaN where the test is undefined."""
    missing: tuple[int, ...] = field(default=())
    """Seeds of the study that lack a value in the arm or in the reference."""


@dataclass(frozen=True)
class Survival:
    """Kaplan–Meier median of a time that may lie beyond the end of observation."""

    median: float
    """NaN where fewer than half got there within `horizon`."""
    n: int
    events: int
    """How many were seen to get there."""
    horizon: float
    """Longest time observed."""

    def __str__(self) -> str:
        if self.n == 0:
            return "undefined"
        return (
            f"not within {self.horizon:.0f} rounds" if np.isnan(self.median) else f"{self.median:.0f} rounds"
        )


def t_interval(
    values: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean, half width of its t interval, standard error and count over the last axis.

    Values that are not finite are left out. Shapes: (..., n) → four arrays (...). Half width and
    standard error are NaN where n < 2. A spread that is only rounding counts as none (0).
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    n = finite.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, values, 0.0).sum(axis=-1) / np.where(n > 0, n, np.nan)
        off = np.where(finite, values - mean[..., None], 0.0)
        sd = np.sqrt((off**2).sum(axis=-1) / np.where(n > 1, n - 1, np.nan))
        size = np.abs(np.where(finite, values, 0.0)).max(axis=-1, initial=0.0)
        sd = np.where(sd <= 16 * np.finfo(np.float64).eps * size, 0.0 * sd, sd)
        error = sd / np.sqrt(n)
        half = t.ppf(0.5 + level / 2, np.maximum(n - 1, 1)) * error
    return mean, half, error, n


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean of independent values (one per seed) and its t interval; values (n,)."""
    means, halves, _, counts = t_interval(np.ravel(np.asarray(values, float)), level)
    mean, half, n = float(means), float(halves), int(counts)
    return Interval(mean, mean - half, mean + half, n, _why_no_interval(n))


def _why_no_interval(n: int) -> str:
    return {0: "no values", 1: "one seed gives no interval"}.get(n, "")


def paired_differences(
    runs: pd.DataFrame, arm: str, reference: str, measure: str, level: float = LEVEL
) -> Difference:
    """Mean of arm − reference over the seeds that have both, with its t interval.

    `runs` has one row per run of one grid point: columns `arm`, `seed` and the measure. Seeds without
    a finite value on either side (a failed run, an undefined measure) are left out and listed. With
    fewer than two pairs the interval is NaN and `reason` says why; where every seed gives the same
    difference the interval has no width, p is 1 for a difference of zero and undefined otherwise.
    """
    table = compare(runs, reference, [measure], arms=[arm], level=level).iloc[0]
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
) -> pd.DataFrame:
    """Every arm against the reference on every measure, paired by seed: one row per (arm, measure).

    Columns: arm, measure, primary, mean_arm and mean_reference (over the pairs), difference, low,
    high, n, missing (tuple of seeds), p, p_holm, verdict, reason. Primary measures are named
    beforehand and stand unadjusted (p_holm is NaN): their verdict is whether the interval leaves out
    zero. The others are adjusted by Holm within each arm, split measures (`name:group=…`) as a
    family of their own; their verdict is whether the adjusted p is below 1 − level.
    """
    import pandas as pd
    from scipy.stats import t

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
        with np.errstate(invalid="ignore"):
            pairs = here - there
        # Rounding of two large numbers is no difference.
        scale = np.fmax(np.abs(here), np.abs(there))
        pairs = np.where(np.abs(pairs) <= 16 * np.finfo(np.float64).eps * scale, 0.0 * pairs, pairs)
        both = np.isfinite(pairs)
        mean, half, error, n = t_interval(pairs, level)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = 2 * t.sf(np.abs(mean) / error, np.maximum(n - 1, 1))
            p = np.where(error == 0, np.where(mean == 0, 1.0, np.nan), np.where(n > 1, p, np.nan))
            mean_arm, mean_reference = (
                np.where(both, side, 0).sum(axis=1) / np.where(n > 0, n, np.nan) for side in (here, there)
            )
        for i, measure in enumerate(measures):
            rows.append(
                {
                    "arm": arm,
                    "measure": measure,
                    "primary": measure in primary,
                    "mean_arm": mean_arm[i],
                    "mean_reference": mean_reference[i],
                    "difference": mean[i],
                    "low": mean[i] - half[i],
                    "high": mean[i] + half[i],
                    "n": int(n[i]),
                    "missing": tuple(
                        int(seed) for seed, fine in zip(seeds, both[i], strict=True) if not fine
                    ),
                    "p": p[i],
                }
            )
    columns = ["arm", "measure", "primary", "mean_arm", "mean_reference", "difference", "low", "high", "n"]
    table = pd.DataFrame(rows, columns=[*columns, "missing", "p"])
    table["p_holm"] = np.nan
    others = ~table["primary"].astype(bool)
    split = table["measure"].str.contains(":", regex=False)
    for _, part in table[others].groupby(["arm", split], sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy())
    table["verdict"] = [_verdict(row, level) for row in table.itertuples()]
    table["reason"] = [_reason(row) for row in table.itertuples()]
    return table


def _verdict(row, level: float) -> str:
    """Plain words for a row of `compare`."""
    if row.n < 2:
        return "cannot say"
    if row.low == row.high:
        return "the same" if row.difference == 0 else ("higher" if row.difference > 0 else "lower")
    clear = (row.low > 0 or row.high < 0) if row.primary else row.p_holm < 1 - level
    if not clear:
        return "no clear difference"
    return "higher" if row.difference > 0 else "lower"


def _reason(row) -> str:
    if row.n == 0:
        return "no seed has a value in both arms"
    if row.n == 1:
        return "one pair gives no interval"
    return "the same difference in every seed" if row.low == row.high else ""


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values (Holm 1979); p (m,), NaN is left out of the family and stays NaN."""
    p = np.asarray(p, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(factor * p[order]), 1.0) if len(order) else []
    return adjusted


def median_survival(times: ArrayLike, censored: ArrayLike) -> Survival:
    """Kaplan–Meier median: the first time by which at least half got there; times (n,), censored (n,) bool.

    A censored time says "not yet by then". NaN times are left out. At a tie events come before
    censorings (Kaplan & Meier 1958).
    """
    times = np.asarray(times, dtype=np.float64)
    seen = np.isfinite(times)
    times, event = times[seen], ~np.asarray(censored, dtype=bool)[seen]
    moments, place = np.unique(times, return_inverse=True)
    happened = np.bincount(place, weights=event, minlength=len(moments))
    left = np.bincount(place, minlength=len(moments))
    at_risk = left[::-1].cumsum()[::-1]
    surviving = np.cumprod(1 - happened / np.maximum(at_risk, 1))
    reached = moments[surviving <= 0.5 + 1e-12]
    return Survival(
        median=float(reached[0]) if len(reached) else float("nan"),
        n=len(times),
        events=int(event.sum()),
        horizon=float(times.max()) if len(times) else float("nan"),
    )
