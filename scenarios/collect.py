"""The tables of a study from its runs, in the order of the plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .plan import PlannedRun
from .store import Record, RunStore

if TYPE_CHECKING:
    import pandas as pd


def collect(
    plan: Sequence[PlannedRun], records: dict[str, Record], store: RunStore
) -> dict[str, pd.DataFrame]:
    """Return the tables "rounds", "runs" and "lorenz".

    Rows: arm as in the study, grid point, seed, round. `rounds` and `lorenz` leave failed runs out;
    `runs` has them with their error. Wall time stands in `runs` only, so the other two depend on the
    study alone.
    """
    import pandas as pd

    labels = _labels(plan)
    parts: dict[str, list[pd.DataFrame]] = {"rounds": [], "lorenz": []}
    rows = []
    for run, label in zip(plan, labels, strict=True):
        record = records[run.key]
        rows.append(
            {
                **label,
                "status": record.status,
                "error": record.error,
                "seconds": record.seconds,
                **record.summaries,
                "notes": "\n".join(record.notes),
            }
        )
        if record.status != "ok":
            continue
        for name, tables in parts.items():
            table = store.table(run.key, name)
            for place, (column, value) in enumerate(label.items()):
                table.insert(place, column, value)
            tables.append(table)
    empty = pd.DataFrame(columns=list(labels[0]) if labels else [])
    tables = {
        name: pd.concat(found, ignore_index=True) if found else empty.copy() for name, found in parts.items()
    }
    runs = pd.DataFrame(rows)
    runs["notes"] = runs.pop("notes")
    if "niche_half_life_censored" in runs:
        known = runs["niche_half_life_censored"]
        runs["niche_half_life_censored"] = (
            known.astype(object).where(known.isna(), known == 1).where(known.notna(), None)
        )
    return {"rounds": tables["rounds"], "runs": runs, "lorenz": tables["lorenz"]}


def _labels(plan: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """Return arm, grid columns and seed of every run; a grid column has one type."""
    keys = list(plan[0].grid) if plan else []
    columns = {key: _one_type([run.grid[key] for run in plan]) for key in keys}
    return [
        {"arm": run.arm.name, **{key: columns[key][place] for key in keys}, "seed": run.seed}
        for place, run in enumerate(plan)
    ]


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return [float(value) for value in values]
    if len(kinds) == 1 and kinds <= {int, float, bool, str}:
        return values
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
