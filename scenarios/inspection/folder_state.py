"""The state of a results folder, read without locking it: finished or not, planned runs, and existing runs."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import TEMPORARY
from ...errors import BadInput, StorageError
from ...wording import counted
from ..storage.folder import MANIFEST, RUNS, Folder
from ..storage.ledger import plan_table, read_plan, refuse_newer, stored_facts
from ..storage.lock import describe_lock_holder

if TYPE_CHECKING:
    import pyarrow as pa


def open_results(path: Path) -> Folder:
    """Return a results folder, finished or not; raises BadInput or StorageError if there are no results to read."""
    try:
        if not path.exists():
            raise BadInput(f"{path}: there is no such folder")
        if not path.is_dir():
            raise BadInput(f"{path} is a file; name the folder of a study's results")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    if not (path / MANIFEST).exists() and not (path / RUNS / "study.toml").exists():
        raise StorageError(f"{path} holds no results of echodrift (neither {MANIFEST} nor {RUNS}/study.toml)")
    refuse_newer(path, stored_facts(path))
    return Folder(path)


def finished_manifest(folder: Folder) -> dict[str, Any] | None:
    """Return the manifest of a finished study; None while the study, or a longer version of it, is unfinished.

    Raises StorageError for a manifest that cannot be read.
    """
    if not (folder.path / MANIFEST).exists():
        return None
    manifest = folder.manifest()
    requested, published = (
        _tables(path) for path in (folder.path / RUNS / "study.toml", folder.path / "study.toml")
    )
    if requested is None or published is None or requested == published:
        return manifest
    stopping = manifest.get("stopping")
    if isinstance(stopping, dict) and stopping.get("stopped"):
        # More seeds were allowed than were needed to decide.
        most, seeds = requested.pop("seeds", 0), published.pop("seeds", 0)
        if requested == published and stopping.get("most") == _number(most) >= _number(seeds):
            return manifest
    return None


def _number(seeds: Any) -> int:
    return len(seeds) if isinstance(seeds, list) else seeds


def _tables(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def unfinished_note(path: Path) -> str:
    """Return a note that the tables in a folder belong to an unfinished study; "" if it is finished.

    path: a folder with tables. Raises StorageError for a manifest that cannot be read.
    """
    process = describe_lock_holder(path)
    if not process and finished_manifest(Folder(path)) is not None:
        return ""
    tables = f"tables that were there before, of {counted(Folder(path).manifest()['runs'], 'run')}"
    if process:
        return f"the study in {path} is not finished: {process} works in it. This is of the {tables}"
    return f"the study in {path} was run on and is not finished. This is of the {tables}; to go on, {Folder(path).repair_advice}"


def planned_runs(folder: Folder) -> pa.Table:
    """Return the planned runs of the study, as in `ledger.plan_table`."""
    found = read_plan(folder.path)
    if found is not None:
        return found
    # Written by a version of echodrift that did not store its plan.
    from ..design.load import load_study
    from ..design.plan import expand

    requested = folder.path / RUNS / "study.toml"
    facts = stored_facts(folder.path)
    study = load_study(requested if requested.exists() else folder.path / "study.toml")
    return plan_table(expand(study, facts.digests, facts.code) if facts else expand(study))


def run_folders(folder: Folder) -> set[str]:
    """Return the names of the folders of runs."""
    try:
        with os.scandir(folder.store.folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith((TEMPORARY, "."))}
    except (FileNotFoundError, NotADirectoryError):
        return set()
