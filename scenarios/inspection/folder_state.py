"""The state of a results folder, read without locking it: finished or not, planned runs, and existing runs."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

from ...errors import BadInput, StorageError
from ...wording import counted
from ..storage.folder import MANIFEST, RUNS, Folder, is_run_name
from ..storage.ledger import PLAN, refuse_newer, stored_facts
from ..storage.lock import describe_lock_holder


def open_results(path: Path) -> Folder:
    """Return a results folder, finished or not; raises BadInput or StorageError if there are no results to read."""
    try:
        if not path.exists():
            raise BadInput(f"{path}: there is no such folder")
        if not path.is_dir():
            raise BadInput(f"{path} is a file; name the folder of a study's results")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    folder = Folder(path)
    if not (path / MANIFEST).exists() and folder.requested_study() is None:
        if any(map(is_run_name, folder.store.names())):
            raise StorageError(
                f"{path} holds runs of a study that is lost: neither {RUNS}/{PLAN} nor {RUNS}/study.toml can be read\n"
                f"type: echodrift run STUDY --out {shlex.quote(str(path))} with the study that they belong to (they are "
                "taken over)"
            )
        raise StorageError(f"{path} holds no results of echodrift (neither {MANIFEST} nor {RUNS}/study.toml)")
    refuse_newer(path, stored_facts(path))
    return folder


def finished_manifest(folder: Folder) -> dict[str, Any] | None:
    """Return the manifest of a finished study; None while the study, or a longer version of it, is unfinished.

    Raises StorageError for a manifest that cannot be read.
    """
    if not (folder.path / MANIFEST).exists():
        return None
    manifest = folder.manifest()
    requested = _tables(folder.requested_study())
    if requested is None:
        return manifest
    # Only an intact file says whether the tables are of the requested study.
    folder.verify_file("study.toml", manifest)
    published = _tables((folder.path / "study.toml").read_text("utf-8"))
    if published is None or requested == published:
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


def _tables(text: str | None) -> dict[str, Any] | None:
    try:
        return None if text is None else tomllib.loads(text)
    except (ValueError, RecursionError):
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
