"""Planted results for the gate: the differences of every pair of runs are written down beforehand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.results import Results


@pytest.fixture(scope="session")
def planted() -> Callable[..., Results]:
    return _planted


def _planted(
    pairs: Any,
    lines: list[dict[str, Any]],
    *,
    rounds: int = 1,
    baseline: float | Any = 0.5,
    failed: tuple[tuple[str, int], ...] = (),
    grid: dict[str, list[Any]] | None = None,
    stopping: Any = None,
    **gate: Any,
) -> Results:
    """Results in which measure m0, m1, … has baseline + pairs[point, line, seed] in the candidate's every round."""
    pairs = np.asarray(pairs, float)
    while pairs.ndim < 3:
        pairs = pairs[None]
    key = next(iter(grid)) if grid else None
    tables, runs = [], []
    for arm in ("old", "new"):
        for place, at_point in enumerate(pairs):
            for seed in range(pairs.shape[2]):
                label = {"arm": arm, **({key: grid[key][place]} if grid else {}), "seed": seed}
                broken = (arm, seed) in failed
                runs.append(
                    {**label, "status": "failed" if broken else "ok", "error": "it broke" if broken else ""}
                )
                if broken:
                    continue
                start = np.broadcast_to(baseline, pairs.shape[2])[seed]
                values = {f"m{i}": start + (arm == "new") * row[seed] for i, row in enumerate(at_point)}
                tables += [{**label, "round": at, **values} for at in range(rounds)]
    whole = {"baseline": "old", "candidate": "new", "horizon": "all rounds", **gate}
    whole["guardrail"] = [{"measure": f"m{i}", **line} for i, line in enumerate(lines)]
    study = {"name": "planted", "arms": [{"name": "old"}, {"name": "new"}], "grid": grid or {}, "gate": whole}
    manifest = {"stopping": stopping} if stopping else {}
    columns = ["arm", *([key] if key else []), "seed", "round", *(f"m{i}" for i in range(len(lines)))]
    frame = pd.DataFrame(tables, columns=columns)
    lorenz = pd.DataFrame(columns=["arm", *([key] if key else []), "seed"])
    return Results(Path("nowhere"), study, manifest, frame, pd.DataFrame(runs), lorenz)
