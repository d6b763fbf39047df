"""Combine the tables of all runs into the tables of a study, in the order of the plan."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...analysis.measures.summaries import niche_half_life
from ...disk import TEMPORARY, write_new
from ..design.labels import labels
from .folder import TABLES
from .stacking import Piece, stack
from .store import Record, RunStore, parquet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..design.run import PlannedRun

NETWORK_TABLES = ("network_users", "network_ties")
"""Tables that show one run and are not averaged over seeds: from the first seed of an arm at a grid point."""
MAX_NETWORK_RUNS = 200
"""Most runs in these tables, in the order of the plan."""


def collect(
    plan: Sequence[PlannedRun], records: Mapping[str, Record], store: RunStore, place: Path
) -> dict[str, Path]:
    """Write the tables of `folder.TABLES` into temporary files in the folder `place`; return name → file.

    Rows are ordered by arm as in the study, grid point, seed and round. Failed runs appear in `runs` with their
    error, and nowhere else. Only `runs` has wall times, so the bytes of the other tables depend on the study
    alone. A run of an older version has no rows in tables that it lacks. Only a part of one table is in memory at
    a time. Raises StorageError if a file cannot be written; no files are left behind then.
    """
    front = labels(plan)
    pieces = _pieces(plan, front, records, store)
    files: dict[str, Path] = {}
    try:
        for name in TABLES:
            path = place / f"{TEMPORARY}{name}.parquet-{os.getpid()}"
            path.unlink(missing_ok=True)
            if name == "runs":
                times = half_lives(plan, front, records, files["rounds"])
                write_new(path, parquet(runs_table(front, [records[run.key] for run in plan], times)))
            else:
                stack(path, pieces[name], label_types(front, list(plan[0].grid) if plan else []))
            files[name] = path
    except BaseException:
        for path in files.values():
            path.unlink(missing_ok=True)
        raise
    return files


def _pieces(
    plan: Sequence[PlannedRun],
    front: Sequence[dict[str, Any]],
    records: Mapping[str, Record],
    store: RunStore,
) -> dict[str, list[Piece]]:
    """Return the pieces of every table except `runs`."""
    parts: dict[str, list[Piece]] = {name: [] for name in TABLES if name != "runs"}
    shown: set[tuple[Any, ...]] = set()
    for run, label in zip(plan, front, strict=True):
        record = records[run.key]
        if record.status != "ok":
            continue
        cell = (label["arm"], *(label[key] for key in run.grid))
        first = cell not in shown and len(shown) < MAX_NETWORK_RUNS
        shown |= {cell} if first else set()
        for name, pieces in parts.items():
            if f"{name}.parquet" not in record.files or name in NETWORK_TABLES and not first:
                continue
            pieces.append(Piece(label, cell, partial(store.table, record, f"{name}.parquet")))
    return parts


def half_lives(
    plan: Sequence[PlannedRun],
    front: Sequence[Mapping[str, Any]],
    records: Mapping[str, Record],
    rounds: Path,
) -> list[tuple[float, bool | None]] | None:
    """Return the niche half-life of every run and whether it is censored, against the organic arm of its point and seed.

    rounds: the table of all rounds. (NaN, None) for runs of the organic arm itself, failed ones, and those without a
    finished run of that arm beside them; None if the study has no column `niche_exposure`.
    """
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.ParquetFile(rounds)
    if "niche_exposure" not in table.schema_arrow.names:
        return None
    found = table.read(["round", "niche_exposure"], use_threads=False)
    columns = [found[name].to_numpy() for name in ("round", "niche_exposure")]
    reference = next(
        (run.arm.name for run in plan if run.arm.policy["kind"] == "organic" and not run.arm.switch), ""
    )
    # Rows are in the order of the plan; a run has one per round.
    done = [records[run.key].status == "ok" for run in plan]
    ends = np.cumsum([run.study.rounds if ok else 0 for run, ok in zip(plan, done, strict=True)])
    parts = [
        [column[end - run.study.rounds : end] for column in columns] if ok else None
        for run, ok, end in zip(plan, done, ends.tolist(), strict=True)
    ]
    organic = {
        _place(label): part
        for run, label, part in zip(plan, front, parts, strict=True)
        if run.arm.name == reference
    }
    times: list[tuple[float, bool | None]] = []
    for run, label, part in zip(plan, front, parts, strict=True):
        beside = organic.get(_place(label))
        if part is None or beside is None or run.arm.name == reference:
            times.append((np.nan, None))
        else:
            times.append(niche_half_life(part[0], part[1], beside[1]))
    return times


def _place(label: Mapping[str, Any]) -> str:
    return json.dumps([value for name, value in label.items() if name != "arm"])


def runs_table(
    front: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    half_lives: Sequence[tuple[float, bool | None]] | None = None,
) -> pd.DataFrame:
    """Return the table `runs`: labels, status, error, seconds, summaries, half-life, notes; one row per record."""
    import pandas as pd

    rows = [
        {
            **label,
            "status": record.status,
            "error": record.error,
            "seconds": record.seconds,
            **record.summaries,
            "notes": "\n".join(record.notes),
        }
        for label, record in zip(front, records, strict=True)
    ]
    runs = pd.DataFrame(rows, columns=None if rows else ["status", "error", "seconds", "notes"])
    if "niche_exposure" in runs:
        known = half_lives or [(math.nan, None)] * len(rows)
        runs["niche_half_life"] = [time for time, _ in known]
        runs["niche_half_life_censored"] = pd.Series([censored for _, censored in known], dtype=object)
    runs["notes"] = runs.pop("notes")
    return runs


def label_types(front: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> pa.Schema:
    """Return the types of arm, grid columns and seed, also if there are no runs."""
    import pyarrow as pa

    empty = pa.schema([("arm", pa.string()), *((key, pa.string()) for key in keys), ("seed", pa.int64())])
    return pa.Table.from_pylist([dict(label) for label in front]).schema if front else empty
