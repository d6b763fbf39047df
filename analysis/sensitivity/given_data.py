"""First-order sensitivity indices from given data: draws of the keys, one value per draw.

The index of a key is the share of a value's variance explained by that key alone, Var(E[Y | X]) / Var(Y). The
remainder (interactions of keys, and run-to-run variation) has a row of its own. Of keys that are drawn together the
index is the same quantity (the correlation ratio of Pearson), but counts what goes with the others, too: such indices
overlap, so that there is no remainder.

Keys with many values: RBD-FAST in the form for arbitrary draws (Plischke, "An effective algorithm for computing
global sensitivity indices (EASI)", Reliability Engineering & System Safety, 2010), with the bias correction of
Tissot & Prieur ("Bias correction for the estimation of sensitivity indices based on random balance designs", same
journal, 2012); from SALib. Its four harmonics capture up to two rises and two falls over the range of a key. It is
preferred to density-based indices (delta, PAWN), which need several times as many draws to show that a key is
irrelevant, and ask whether anything about the distribution changes, not by how much the value does.

Keys with few values (choices, small whole numbers): the correlation ratio over its levels with the correction of
Kelley ("An unbiased correlation ratio measure", PNAS, 1935).

Intervals: bootstrap with half of the draws, as in SALib, so they err on the wide side. p: permutation test of no
effect on the mean; `p_holm` is adjusted by Holm over the keys.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .columns import MAX_LEVELS, codes

if TYPE_CHECKING:
    import pandas as pd

HARMONICS = 4
"""Harmonics of RBD-FAST: few, since each costs precision (SALib's default is 10)."""
MIN_DRAWS = 32
"""With fewer draws no index is given: it would be ± 0.4."""
ENOUGH_DRAWS = 64
"""Draws that distinguish an index of 0.3 from zero; its interval is about ± 0.2 (at 256: ± 0.1)."""
REST = "(rest)"
"""Key of the row for what no key explains alone: interactions and run-to-run variation."""
REST_LABEL = "everything else"
"""Label of that row in reports and figures."""
JOINT_NOTE = (
    "settings of joint rows are drawn together: the index of one counts what goes with the others, too, so these indices "
    "overlap and leave no remainder"
)
RESAMPLES = 200
PERMUTATIONS = 999
SEED = 20260
"""Seed of the bootstrap and the permutations: the same tables give the same indices."""

Array = NDArray[np.float64]


def indices(
    draws: pd.DataFrame, values: ArrayLike, level: float = 0.95, joint: Collection[str] = ()
) -> pd.DataFrame:
    """Return the first-order index of every key with its interval: one row per key, then one for the rest.

    draws: one column per key, a row per draw (a column "seed" is ignored). values: (draws,), NaN left out. joint: keys
    that are drawn together, which a note says; the rest then has no index.
    Columns: key, index, low, high, p, p_holm, n, method, note. An index can come out slightly below 0. It is
    NaN, with the reason in `note`, if there are fewer than 32 draws or nothing varies.
    """
    import pandas as pd

    from ..statistics import holm

    draws = draws.drop(columns="seed", errors="ignore")
    values = np.asarray(values, np.float64)
    fine = np.isfinite(values)
    y, x = values[fine], draws[fine]
    reason = _why_not(y)
    rng = np.random.default_rng(SEED)
    columns = {key: codes(x[key]) for key in x.columns}
    rows = [_row(key, y.size, reason or _why_fixed(column)) for key, column in columns.items()]
    varying = [at for at, row in enumerate(rows) if not row["note"]]
    rest = _row(REST, y.size, reason)
    if not reason:
        used = [columns[str(rows[at]["key"])] for at in varying]
        found = np.array([first_order_index(column, y[None])[0] for column in used])
        half = _half_widths(used, y, rng, level)
        shuffled = rng.permuted(np.broadcast_to(y, (PERMUTATIONS, y.size)), axis=1)
        # The order of shuffled values does not matter, so all keys with harmonics share one null distribution.
        harmonics_null = _rbd_fast(shuffled)
        note = (
            ""
            if y.size >= ENOUGH_DRAWS
            else f"rough: {y.size} draws ({ENOUGH_DRAWS} or more tell small indices from none)"
        )
        for at, column, index, width in zip(varying, used, found, half[:-1], strict=True):
            null = _by_levels(column, shuffled) if has_levels(column) else harmonics_null
            p = (1 + np.count_nonzero(null >= index - 1e-12)) / (PERMUTATIONS + 1)
            method = "levels" if has_levels(column) else "rbd_fast"
            rows[at] |= {
                "index": index,
                "low": index - width,
                "high": index + width,
                "p": p,
                "method": method,
            }
            rows[at]["note"] = "; ".join(filter(None, [note, JOINT_NOTE if rows[at]["key"] in joint else ""]))
        if joint:
            rest["note"] = JOINT_NOTE
        else:
            left = 1 - found.sum()
            rest |= {"index": left, "low": left - half[-1], "high": left + half[-1], "note": note}
    table = pd.DataFrame([*rows, rest])
    table.insert(5, "p_holm", holm(table["p"].to_numpy(float)))
    return table


def _row(key: str, n: int, note: str) -> dict[str, float | str]:
    blank = dict.fromkeys(("index", "low", "high", "p"), float("nan"))
    return {"key": key, **blank, "n": n, "method": "", "note": note}


def _why_not(y: Array) -> str:
    if y.size < MIN_DRAWS:
        return f"{y.size} draws with a value: at least {MIN_DRAWS} are needed"
    if np.ptp(y) <= 1e-12 * np.abs(y).max(initial=0.0):
        return "the value is the same in every draw"
    return ""


def _why_fixed(column: Array) -> str:
    return "" if np.ptp(column) > 0 else "has one value in all draws"


def has_levels(column: Array) -> bool:
    """Whether a column has so few distinct values that each is treated as a level."""
    return np.unique(column).size <= MAX_LEVELS


def first_order_index(column: Array, y: Array) -> Array:
    """Return the first-order index of a column (draws,) for several values at once, y (m, draws) → (m,)."""
    return _by_levels(column, y) if has_levels(column) else _by_harmonics(column, y)


def _by_harmonics(column: Array, y: Array) -> Array:
    from SALib.analyze.rbd_fast import permute_outputs

    return _rbd_fast(permute_outputs(column, y.T).T)


def _rbd_fast(y: Array) -> Array:
    """Return the indices of values already in RBD-FAST's order, (m, draws): SALib's formulas for many rows at once."""
    from SALib.analyze.rbd_fast import unskew_S1
    from scipy.signal import periodogram

    power = periodogram(y, axis=-1)[1][:, 1:]
    return unskew_S1(power[:, :HARMONICS].sum(axis=1) / power.sum(axis=1), HARMONICS, y.shape[1])


def _by_levels(column: Array, y: Array) -> Array:
    """Return 1 − variance within levels / variance, both unbiased."""
    _, level = np.unique(column, return_inverse=True)
    counts = np.bincount(level)
    if y.shape[1] <= counts.size:
        return np.zeros(len(y))
    off = y - y.mean(axis=1, keepdims=True)
    sums = off @ (level[:, None] == np.arange(counts.size))
    total = (off**2).sum(axis=1)
    within = total - (sums**2 / counts).sum(axis=1)
    n = y.shape[1]
    return 1 - (within / (n - counts.size)) / (total / (n - 1))


def _half_widths(columns: list[Array], y: Array, rng: np.random.Generator, level: float) -> Array:
    """Return half widths of the intervals of all columns and of the remainder, from bootstraps of half the draws."""
    from SALib.analyze.rbd_fast import permute_outputs
    from scipy.stats import norm

    some = rng.choice(y.size, (RESAMPLES, y.size // 2), replace=True)
    some = some[np.ptp(y[some], axis=1) > 0]
    found = np.empty((len(some), len(columns) + 1))
    for place, column in enumerate(columns):
        if has_levels(column):
            found[:, place] = [_by_levels(column[each], y[None, each])[0] for each in some]
        else:
            found[:, place] = _rbd_fast(np.array([permute_outputs(column[each], y[each]) for each in some]))
    found[:, -1] = 1 - found[:, :-1].sum(axis=1)
    return norm.ppf(0.5 + level / 2) * found.std(axis=0, ddof=1)
