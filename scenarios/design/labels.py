"""The first columns of every table: which arm, grid point and seed a row belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..specs.plain import one_type

if TYPE_CHECKING:
    from .run import PlannedRun


def labels(plan: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """Return arm, grid columns and seed of every run; a grid column has one type."""
    keys = list(plan[0].grid) if plan else []
    columns = {key: one_type([run.grid[key] for run in plan]) for key in keys}
    return [
        {"arm": run.arm.name, **{key: columns[key][place] for key in keys}, "seed": run.seed}
        for place, run in enumerate(plan)
    ]
