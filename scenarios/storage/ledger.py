"""Provenance files in `runs/`: store.json (versions and data files) and plan.parquet (the planned runs)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import write_atomically
from ...errors import StorageError
from ..code.identity import Parts
from ..design.labels import labels
from ..model_version import MODEL_VERSION, version

if TYPE_CHECKING:
    import pyarrow as pa

    from ..design.run import PlannedRun

FORMAT = 2
"""Increase it when older versions can no longer read the files of a results folder."""
FACTS = "store.json"
PLAN = "plan.parquet"
KEYS = ("key", "course", "rounds", "draw")
"""Columns of the plan beside arm, grid columns and seed."""


@dataclass(frozen=True)
class Facts:
    """Versions and data files that the results in a folder were made with."""

    format: int = FORMAT
    model: int = MODEL_VERSION
    """Model version; runs of other versions have other results."""
    echodrift: str = ""
    """Version of echodrift."""
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Data files: dotted key → {"path", "sha256"}."""
    code: dict[str, Parts | None] | None = None
    """Code outside echodrift: as named in the study → what identifies it (see `scenarios.code.identity`). None in
    folders of format 1, whose keys do not cover code."""

    @property
    def digests(self) -> dict[str, str]:
        """Path → SHA-256 of the data files when they were read."""
        return {file["path"]: file["sha256"] for file in self.inputs.values()}


def facts_of(plan: Sequence[PlannedRun]) -> Facts:
    """Return the facts for results of these runs with the current versions and data files."""
    from ...disk import input_digest
    from ..specs.data_files import input_files

    inputs: dict[str, dict[str, str]] = {}
    seen: dict[str, str] = {}
    for run in plan:
        for key, path in input_files(run.study).items():
            if path not in seen:
                seen[path] = input_digest(Path(path))
                inputs[key if key not in inputs else f"{key} ({path})"] = {"path": path, "sha256": seen[path]}
    code = {name: parts for run in plan for name, parts in run.code.items()}
    return Facts(echodrift=version(), inputs=inputs, code=code)


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """Return facts as plain data for JSON."""
    return asdict(facts)


def read_facts(text: str | bytes) -> Facts | None:
    """Return facts from JSON; None if it contains none, as in folders of early versions.

    Of a newer format, the readable part is returned: every format has format, model and version.
    """
    try:
        found = json.loads(text)
        kept = {name: found[name] for name in ("format", "model", "echodrift") if name in found}
        inputs = found.get("inputs")
        if not isinstance(kept["format"], int) or not isinstance(kept["model"], int):
            return None
        known = isinstance(inputs, dict) and all(
            isinstance(file, dict)
            and isinstance(file.get("path"), str)
            and isinstance(file.get("sha256"), str)
            for file in inputs.values()
        )
        code = found.get("code")
        return Facts(**kept, inputs=inputs if known else {}, code=code if isinstance(code, dict) else None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def stored_facts(folder: Path) -> Facts | None:
    """Return the facts of a results folder, from its runs or else from its manifest."""
    try:
        return read_facts((folder / "runs" / FACTS).read_bytes())
    except OSError:
        pass
    try:
        return read_facts(json.dumps(json.loads((folder / "manifest.json").read_bytes())["store"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def refuse_newer(folder: Path, facts: Facts | None) -> None:
    """Raise StorageError for a folder that a newer echodrift wrote."""
    if facts is None or (facts.format <= FORMAT and facts.model <= MODEL_VERSION):
        return
    raise StorageError(
        f"{folder} was written by a newer echodrift: {_versions(facts)}; this is {_versions(Facts(echodrift=version()))}\n"
        f"pip install --upgrade echodrift, or choose another folder with --out"
    )


def refuse_older(folder: Path, facts: Facts | None) -> None:
    """Raise StorageError for a folder with runs of an older model: new runs would not be comparable."""
    if facts is None or facts.model >= MODEL_VERSION:
        return
    raise StorageError(
        f"{folder} holds runs of an older model: {_versions(facts)}; this is {_versions(Facts(echodrift=version()))}. "
        f"The same study gives other results now\n"
        f"choose another folder with --out to run it anew, or go on with pip install echodrift=={facts.echodrift}"
    )


def _versions(facts: Facts) -> str:
    return f"echodrift {facts.echodrift or 'unknown'} (model {facts.model}, folder format {facts.format})"


def begin(runs: Path, plan: Sequence[PlannedRun]) -> None:
    """Write the facts and the plan into `runs/`. Only while the folder is locked."""
    import pyarrow.parquet as pq

    write_atomically(runs / FACTS, json.dumps(facts_to_json(facts_of(plan)), indent=1).encode())
    buffer = io.BytesIO()
    pq.write_table(plan_table(plan), buffer)
    write_atomically(runs / PLAN, buffer.getvalue())


def plan_table(plan: Sequence[PlannedRun]) -> pa.Table:
    """Return the plan as a table: arm, grid columns, seed, key, course, rounds, draw (JSON); one row per run."""
    import pyarrow as pa

    rows: list[Mapping[str, Any]] = [
        {
            **label,
            "key": run.key,
            "course": run.prefix_key,
            "rounds": run.study.rounds,
            "draw": json.dumps(run.draw, ensure_ascii=False) if run.draw else None,
        }
        for run, label in zip(plan, labels(plan), strict=True)
    ]
    return pa.Table.from_pylist(rows) if rows else pa.table({name: [] for name in ("arm", "seed", *KEYS)})


def read_plan(folder: Path) -> pa.Table | None:
    """Return the plan of a results folder; None if it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = (folder / "runs" / PLAN).read_bytes()
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (OSError, ValueError):
        return None
