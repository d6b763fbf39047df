"""Sobol' sensitivity indices from a Saltelli design: first order, and total including all interactions of a key.

Estimators of Saltelli et al. ("Variance based sensitivity analysis of model output. Design and estimator for the
total sensitivity index", Computer Physics Communications, 2010), with bootstrap intervals over the pairs; from SALib.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..saltelli import locate_seeds, rows_per_pair
from .given_data import REST, SEED

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 500
FEWEST_PAIRS = 16
"""With fewer pairs of draws no index is given."""
MAX_NOISE = 0.2
"""Share of variance due to noise between replicates above which a note warns."""

Array = NDArray[np.float64]


def sobol_indices(
    uncertainty: Mapping[str, Any], seeds: ArrayLike, values: ArrayLike, level: float = 0.95
) -> pd.DataFrame:
    """Return first-order and total indices with intervals: one row per key, then one for the rest.

    uncertainty: `[uncertainty]` of the study as run. seeds, values: (runs,). Replicates are averaged;
    pairs that lack a value in any row are left out. Columns: key, index (first order), low, high, total,
    total_low, total_high, noise, n (runs), method, note. noise: share of the variance of the averaged values
    that comes from interaction of rows and replicates, NaN with one replicate; it is part of every total index
    and lowers every first-order index. The rest is 1 − the sum of first-order indices: interactions and noise.
    """
    import pandas as pd

    names = list(uncertainty["priors"])
    cube = _cube(uncertainty, np.asarray(seeds), np.asarray(values, np.float64))
    whole = np.isfinite(cube).all(axis=(1, 2))
    cube = cube[whole]
    blank = dict.fromkeys(("index", "low", "high", "total", "total_low", "total_high", "noise"), float("nan"))
    n = int(cube.size)
    note = (
        f"{len(cube)} complete pairs: at least {FEWEST_PAIRS} are needed" if len(cube) < FEWEST_PAIRS else ""
    )
    means = cube.mean(axis=2)
    if not note and np.ptp(means) <= 1e-12 * np.abs(means).max():
        note = "the value is the same in every row"
    if note:
        rows = [{"key": key, **blank, "n": n, "method": "sobol", "note": note} for key in [*names, REST]]
        return pd.DataFrame(rows)
    noise = noise_share(cube)
    notes = (
        [] if whole.all() else [f"{int((~whole).sum())} of {whole.size} pairs lack a value and are left out"]
    )
    if noise > MAX_NOISE:
        notes.append(f"{100 * noise:.0f} % of the variance is noise between replicates: more replicates")
    note = "; ".join(notes)
    found, left = _analyzed(means, bool(uncertainty["second_order"]), level)
    rows = []
    for at, key in enumerate(names):
        first, total = found["S1"][at], found["ST"][at]
        wide, wide_total = found["S1_conf"][at], found["ST_conf"][at]
        limits = {"index": first, "low": first - wide, "high": first + wide, "total": total}
        limits |= {"total_low": total - wide_total, "total_high": total + wide_total, "noise": noise}
        rows.append({"key": key, **limits, "n": n, "method": "sobol", "note": note})
    rest = {**blank, "index": left[0], "low": left[0] - left[1], "high": left[0] + left[1], "noise": noise}
    rows.append({"key": REST, **rest, "n": n, "method": "", "note": note})
    return pd.DataFrame(rows)


def _cube(uncertainty: Mapping[str, Any], seeds: NDArray[Any], values: Array) -> Array:
    """Return values as (pairs, rows of a pair, replicates), NaN where missing."""
    pair, kind, replicate = locate_seeds(uncertainty, seeds)
    shape = (int(uncertainty["base"]), rows_per_pair(uncertainty), int(uncertainty["replicates"]))
    cube = np.full(shape, np.nan)
    cube[pair, kind, replicate] = values
    return cube


def noise_share(cube: Array) -> float:
    """Return the residual share of the variance of row means in a two-way layout, rows × replicates.

    cube: (pairs, rows, replicates). It is the residual mean square divided by the number of replicates and by the
    variance of the means of the independent rows.
    """
    replicates = cube.shape[2]
    if replicates < 2:
        return float("nan")
    flat = cube.reshape(-1, replicates)
    residual = flat - flat.mean(axis=1, keepdims=True) - flat.mean(axis=0) + flat.mean()
    mean_square = (residual**2).sum() / ((len(flat) - 1) * (replicates - 1))
    variance = cube[:, [0, -1]].mean(axis=2).var()
    return float(min(mean_square / replicates / variance, 1.0)) if variance > 0 else float("nan")


def _analyzed(means: Array, second_order: bool, level: float) -> tuple[dict[str, Any], tuple[float, float]]:
    """Return SALib's result, and 1 − the sum of first-order indices with its half width."""
    from SALib.analyze import sobol
    from scipy.stats import norm

    keys = (means.shape[1] - 2) // (2 if second_order else 1)
    problem = {"num_vars": keys, "names": [str(at) for at in range(keys)], "bounds": [[0, 1]] * keys}
    found = sobol.analyze(
        problem,
        means.reshape(-1),
        calc_second_order=second_order,
        num_resamples=RESAMPLES,
        conf_level=level,
        keep_resamples=True,
        seed=SEED,
    )
    spread = np.asarray(found["S1_conf_all"]).sum(axis=1).std(ddof=1)
    return found, (1 - float(np.sum(found["S1"])), float(norm.ppf(0.5 + level / 2) * spread))
