"""Sensitivity of a study's measure to its priors, per arm and for its difference from the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BadInput, did_you_mean
from ..saltelli import is_saltelli
from .given_data import indices
from .pairs import sobol_indices
from .priors import joint_keys

if TYPE_CHECKING:
    import pandas as pd

    from ..results import Results

COLUMNS = (
    "arm", "reference", "measure", "key", "index", "low", "high", "p", "p_holm",
    "total", "total_low", "total_high", "noise", "n", "method", "note",
)  # fmt: skip


def sensitivity(
    results: Results, measure: str, *, arm: str | None = None, reference: str | None = None
) -> pd.DataFrame:
    """Return sensitivity indices of a measure's mean over the last 20 rounds: one row per key.

    arm: one arm; all if omitted. reference: the arm that is subtracted, paired by seed; the study's own if
    omitted. Columns: grid columns, arm, reference ("" in the rows of the arm's own mean), measure,
    key ("(rest)": what no key explains alone, differences from run to run included), index (first order),
    low, high, p and p_holm (given data only), total, total_low, total_high and noise (Saltelli's design
    only), n (runs), method, note. See `indices` and `sobol_indices`.

    Raises BadInput for a study without [uncertainty], an unknown measure or arm.
    """
    import pandas as pd

    runs, draws = results.every_run, results.draws
    uncertainty = results.study.get("uncertainty")
    if uncertainty is None or draws is None:
        raise BadInput(
            "this study has no [uncertainty]: every seed has the same settings, so there is nothing to be sensitive to"
        )
    names = {"arm", *results.grid, "seed", "status", "error", "seconds", "notes"}
    known = [name for name in runs.select_dtypes("number") if name not in names]
    if measure not in known:
        raise BadInput(f'no measure "{measure}" in these results.{did_you_mean(measure, known)}')
    reference = reference or results.reference
    for name in (reference, arm):
        if name is not None and name not in results.arms:
            raise BadInput(
                f'no arm is named "{name}" (arms: {", ".join(results.arms)}).{did_you_mean(name, results.arms)}'
            )
    parts = []
    for values, rows in _points(runs, results.grid):
        by_arm = rows.pivot(index="seed", columns="arm", values=measure)
        for name in results.arms if arm is None else [arm]:
            if name not in by_arm:
                continue
            for other in ["", *([reference] if name != reference and reference in by_arm else [])]:
                values_by_seed = by_arm[name] - by_arm[other] if other else by_arm[name]
                part = _indices(uncertainty, draws, values_by_seed)
                labels = {**values, "arm": name, "reference": other, "measure": measure}
                parts.append(part.assign(**labels))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.reindex(columns=[*results.grid, *COLUMNS])


def _points(runs: pd.DataFrame, keys: list[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    if not keys:
        return [({}, runs)]
    return [(dict(zip(keys, values, strict=True)), rows) for values, rows in runs.groupby(keys, sort=False)]


def _indices(uncertainty: dict[str, Any], draws: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Return the indices of values (indexed by seed)."""
    if is_saltelli(uncertainty):
        return sobol_indices(uncertainty, values.index.to_numpy(), values.to_numpy(float))
    drawn = draws.set_index("seed").reindex(values.index)
    return indices(drawn, np.asarray(values, np.float64), joint=joint_keys(uncertainty))
