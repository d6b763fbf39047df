"""Provenance files in `runs/`: plan.parquet (the planned runs) and store.json (versions and data files).

The plan also contains the requested study and the content of store.json, and the hash of all of it, so that a lost or
changed study.toml or store.json beside it is noticed and can be restored.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import (
    CHANGED,
    bytes_digest,
    describe_unreadable,
    read_file,
    sealed,
    unsealed,
    write_atomically,
)
from ...errors import StorageError
from ..code.identity import Parts
from ..design.labels import labels
from ..model_version import MODEL_VERSION, version

if TYPE_CHECKING:
    import pyarrow as pa

    from ..design.run import PlannedRun

FORMAT = 2
"""Increase it when older versions can no longer read the files of a results folder."""
HASHED = 2
"""First format with hashes of the plan, the facts and the bundles."""
FACTS = "store.json"
PLAN = "plan.parquet"
STUDY = "study.toml"
KEYS = ("key", "course", "rounds", "draw")
"""Columns of the plan beside arm, grid columns and seed."""
_NO_HASH = b"-" * 64
"""In the place of the plan's hash while it is computed."""
_HASH = re.compile(rb"echodrift\.sha256..([0-9a-f]{64})", re.DOTALL)


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
    """Return facts from JSON; None if it contains none, as in folders of early versions, or was changed.

    Of a newer format, the readable part is returned: every format has format, model and version.
    """
    try:
        found = unsealed(text if isinstance(text, bytes) else text.encode())
        kept = {name: found[name] for name in ("format", "model", "echodrift") if name in found}
        inputs: Any = found.get("inputs")
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
    """Return the facts of a results folder: from its runs, its plan or its manifest, the first that is intact."""
    try:
        found = read_facts(read_file(folder / "runs" / FACTS))
    except OSError:
        found = None
    if found is None and (plan := read_plan(folder)) is not None:
        found = plan.facts
    if found is None:
        try:
            found = read_facts(json.dumps(unsealed(read_file(folder / "manifest.json"))["store"]))
        except (OSError, ValueError, KeyError):
            pass
    return found


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


def begin(runs: Path, plan: Sequence[PlannedRun], study: str, most_seeds: int | None = None) -> None:
    """Write the plan, the facts and the study into `runs/`. Only while the folder is locked.

    study: the requested study as TOML. most_seeds: of a study that stops when it is decided.
    """
    import pyarrow.parquet as pq

    facts = facts_of(plan)
    about = {
        "study": study,
        "facts": json.dumps(facts_to_json(facts)),
        "most_seeds": "" if most_seeds is None else str(most_seeds),
        "echodrift.sha256": _NO_HASH,
    }
    buffer = io.BytesIO()
    pq.write_table(plan_table(plan).replace_schema_metadata(about), buffer)
    data = buffer.getvalue()
    before, _, after = data.rpartition(_NO_HASH)
    write_atomically(runs / PLAN, before + bytes_digest(data).encode() + after)
    write_copies(runs, study, facts)


def write_copies(runs: Path, study: str, facts: Facts) -> None:
    """Write the files beside the plan that repeat its content: store.json and the study."""
    write_atomically(runs / FACTS, json.dumps(sealed(facts_to_json(facts)), indent=1).encode())
    write_atomically(runs / STUDY, study.encode())


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


@dataclass(frozen=True)
class StoredPlan:
    """The content of plan.parquet."""

    table: pa.Table
    """As from `plan_table`."""
    study: str
    """The requested study as TOML."""
    facts: Facts
    most_seeds: int | None
    """Of a study that stops when it is decided: the most seeds that may be run."""


def read_plan(folder: Path) -> StoredPlan | None:
    """Return the plan of a results folder; None if it is missing, does not match its hash or has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = read_file(folder / "runs" / PLAN)
        # Before it is parsed: libraries may do anything with a file that was changed.
        *_, digest = _HASH.finditer(data)
        if bytes_digest(data[: digest.start(1)] + _NO_HASH + data[digest.end(1) :]) != digest[1].decode():
            return None
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        about = table.schema.metadata
        facts, most = read_facts(about[b"facts"]), about[b"most_seeds"].decode()
        if facts is None:
            return None
        return StoredPlan(
            table.replace_schema_metadata(None), about[b"study"].decode(), facts, int(most) if most else None
        )
    except (OSError, ValueError, KeyError):
        return None


def damaged_copies(folder: Path) -> dict[str, str]:
    """Return file of `write_copies` → what is wrong with it, as a predicate; empty if there is no plan."""
    plan = read_plan(folder)
    if plan is None:
        return {}
    found: dict[str, str] = {}
    for name in (STUDY, FACTS):
        try:
            data = read_file(folder / "runs" / name)
        except OSError as error:
            found[name] = describe_unreadable(error)
            continue
        if read_facts(data) != plan.facts if name == FACTS else data != plan.study.encode():
            found[name] = CHANGED
    return found
