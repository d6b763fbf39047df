"""Where a results folder stands, looked at from outside: finished or not, which runs were planned, which are there."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import TEMPORARY
from ...errors import BadInput, StorageError
from ...wording import counted
from ..storage.folder import MANIFEST, RUNS, Folder
from ..storage.ledger import held_facts, plan_table, read_plan, refuse_newer
from ..storage.lock import worked_in

if TYPE_CHECKING:
    import pyarrow as pa


def opened(path: Path) -> Folder:
    """Return a results folder, finished or not; raises BadInput or StorageError where there is none to read."""
    try:
        if not path.exists():
            raise BadInput(f"{path}: there is no such folder")
        if not path.is_dir():
            raise BadInput(f"{path} is a file; name the folder of a study's results")
    except OSError as error:
        raise BadInput(f"{path}: cannot be looked into: {error.strerror or error}") from None
    if not (path / MANIFEST).exists() and not (path / RUNS / "study.toml").exists():
        raise StorageError(f"{path} holds no results of echodrift (neither {MANIFEST} nor {RUNS}/study.toml)")
    refuse_newer(path, held_facts(path))
    return Folder(path)


def finished(folder: Folder) -> dict[str, Any] | None:
    """Return the manifest of a finished study; None while it is under way, a longer one included.

    Raises StorageError for a manifest that cannot be read.
    """
    if not (folder.path / MANIFEST).exists():
        return None
    manifest = folder.manifest()
    asked, there = (_tables(path) for path in (folder.path / RUNS / "study.toml", folder.path / "study.toml"))
    if asked is None or there is None or asked == there:
        return manifest
    stopping = manifest.get("stopping")
    if isinstance(stopping, dict) and stopping.get("stopped"):
        # It was asked for more seeds than it took to decide.
        most, seeds = asked.pop("seeds", 0), there.pop("seeds", 0)
        if asked == there and stopping.get("most") == _number(most) >= _number(seeds):
            return manifest
    return None


def _number(seeds: Any) -> int:
    return len(seeds) if isinstance(seeds, list) else seeds


def _tables(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def under_way(path: Path) -> str:
    """Return what to know about tables that stand in a folder: a study goes on there; "" where none does.

    path: a folder with tables. Raises StorageError for a manifest that cannot be read.
    """
    process = worked_in(path)
    if not process and finished(Folder(path)) is not None:
        return ""
    told = f"tables that were there before, of {counted(Folder(path).manifest()['runs'], 'run')}"
    if process:
        return f"the study in {path} is not finished: {process} works in it. This is of the {told}"
    return f"the study in {path} was run on and is not finished. This is of the {told}; to go on, {Folder(path).again}"


def planned(folder: Folder) -> pa.Table:
    """Return the runs of the study that was asked for, as in `ledger.plan_table`."""
    found = read_plan(folder.path)
    if found is not None:
        return found
    # A folder of an echodrift that did not write its plan down.
    from ..design.load import load_study
    from ..design.plan import expand

    asked = folder.path / RUNS / "study.toml"
    facts = held_facts(folder.path)
    study = load_study(asked if asked.exists() else folder.path / "study.toml")
    return plan_table(expand(study, facts.digests if facts else None))


def present(folder: Folder) -> set[str]:
    """Return the names of the runs' folders."""
    try:
        with os.scandir(folder.store.folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith((TEMPORARY, "."))}
    except (FileNotFoundError, NotADirectoryError):
        return set()
