"""The label columns in front of every table: arm, grid point and seed of a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import PlannedRun


def labels(plan: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """Return arm, grid columns and seed of every run; all values of a grid column have one type."""
    keys = list(plan[0].grid) if plan else []
    columns = {key: one_type([run.grid[key] for run in plan]) for key in keys}
    return [
        {"arm": run.arm.name, **{key: columns[key][place] for key in keys}, "seed": run.seed}
        for place, run in enumerate(plan)
    ]


def one_type(values: list[Any]) -> list[Any]:
    """Return values of one type, as a column needs; values that are neither text nor numbers become JSON."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return [float(value) for value in values]
    if len(kinds) == 1 and kinds <= {int, float, bool, str}:
        return values
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
