"""Progress of the study in a folder, read by another process: it writes nothing and takes no lock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..storage.folder import Folder, is_run_name
from ..storage.lock import LOCK, lock_holder
from ..storage.requested import planned_runs
from ..storage.store import Record
from .folder_state import finished_manifest, open_results


@dataclass
class ArmStatus:
    """The runs of one arm."""

    name: str
    finished: int = 0
    failed: int = 0
    to_come: int = 0
    seconds: float = 0.0
    """Mean wall time of its finished runs; 0 if there are none."""


@dataclass
class ErrorGroup:
    """Runs that failed with the same error."""

    error: str
    runs: int
    arm: str
    """Arm of the first of these runs in the order of the study."""
    seed: int


@dataclass
class StartedRun:
    """An unfinished run with a checkpoint."""

    key: str
    arm: str
    seed: int
    round: int
    """Rounds at the checkpoint."""
    rounds: int


@dataclass
class Status:
    """The status of the study in a folder. Field names are the keys of `status --json`."""

    folder: str
    study: str
    state: str
    """ "running", "finished", or "interrupted"."""
    process: int | None
    """Id of the process that works in the folder."""
    host: str
    """Machine of that process, if known."""
    since: float | None
    """Start time of that process, seconds since 1970."""
    runs: int
    """Runs of the study, each counted once."""
    finished: int = 0
    failed: int = 0
    to_come: int = 0
    damaged: int = 0
    """Among `to_come`: runs on disk that cannot be read; they are run again."""
    rate: float | None = None
    """Finished runs per minute since the process started."""
    left: float | None = None
    """Estimated seconds until the end, from the rounds done so far; None before a worker had time for two runs."""
    size: int = 0
    """Bytes on disk."""
    other: int = 0
    """Runs in the folder that the study does not have (other seeds, fewer rounds)."""
    arms: list[ArmStatus] = field(default_factory=list)
    errors: list[ErrorGroup] = field(default_factory=list)
    begun: list[StartedRun] = field(default_factory=list)

    def as_plain(self) -> dict[str, Any]:
        """Return the status as plain data for JSON."""
        return asdict(self)


def status(path: Path, clock: Callable[[], float] = time.time) -> Status:
    """Return the status of the study in a folder. Raises BadInput or StorageError if there is none.

    Of the tables of runs, only those that are missing or empty are noticed; `verify` reads them.
    """
    folder = open_results(path)
    is_locked, process, host = lock_holder(path)
    done = None if is_locked else finished_manifest(folder)
    plan = planned_runs(folder.path).to_pylist()
    here = folder.store.names()
    keys = list(dict.fromkeys(row["key"] for row in plan))
    found = Status(
        folder=str(path),
        study=folder.study_name(),
        state="running" if is_locked else "finished" if done else "interrupted",
        process=process,
        host=host,
        since=_modified(path / LOCK) if is_locked else None,
        runs=len(keys),
        size=size_of(path),
    )
    records = _records(folder, (key for key in keys if key in here))
    if done and not here:
        # The runs were deleted; only the tables remain.
        found.finished, found.failed = done["runs"] - done["failed"], done["failed"]
        return found
    found.other = len([name for name in here if is_run_name(name)]) - sum(key in here for key in keys)
    _count(found, plan, records, here)
    found.begun = _begun(path, [row for row in plan if records.get(row["key"]) is None])
    if is_locked and found.since is not None:
        _pace(found, plan, records, folder, clock())
    return found


def _records(folder: Folder, keys: Iterable[str]) -> dict[str, Record | None]:
    """Return the records on disk; None for one that cannot be read, or whose tables are missing or empty."""
    found: dict[str, Record | None] = {}
    for key in keys:
        try:
            found[key] = folder.store.peek(key)
            for name in record.files if (record := found[key]) is not None else ():
                if not (folder.store.folder / key / name).stat().st_size:
                    found[key] = None
        except OSError:
            # The run is being replaced at this moment, or is damaged.
            found[key] = None
    return found


def _count(
    found: Status, plan: list[dict[str, Any]], records: dict[str, Record | None], here: set[str]
) -> None:
    arms: dict[str, ArmStatus] = {}
    errors: dict[str, ErrorGroup] = {}
    counted: set[tuple[str, str]] = set()
    seen: set[str] = set()
    for row in plan:
        key, name = row["key"], row["arm"]
        if (name, key) in counted:
            continue
        counted.add((name, key))
        arm = arms.setdefault(name, ArmStatus(name))
        record = records.get(key)
        first = key not in seen
        seen.add(key)
        if record is None:
            arm.to_come += 1
            found.to_come += first
            found.damaged += first and key in here
        elif record.status == "ok":
            arm.finished += 1
            arm.seconds += record.seconds
            found.finished += first
        else:
            arm.failed += 1
            found.failed += first
            if first:
                known = errors.setdefault(record.error, ErrorGroup(record.error, 0, name, row["seed"]))
                known.runs += 1
    for arm in arms.values():
        arm.seconds = round(arm.seconds / arm.finished, 3) if arm.finished else 0.0
    found.arms = list(arms.values())
    found.errors = sorted(errors.values(), key=lambda error: -error.runs)


def _begun(path: Path, rows: list[dict[str, Any]]) -> list[StartedRun]:
    """Return the unfinished runs that have a checkpoint, in the order of the study."""
    found: dict[str, StartedRun] = {}
    try:
        folders = set(os.listdir(path / "checkpoints"))
    except OSError:
        return []
    from ..storage.checkpoint_files import FOLDER, CheckpointFolder

    for row in rows:
        if row["key"] in found or row["course"] not in folders:
            continue
        kept = CheckpointFolder(path / FOLDER / row["course"]).candidates(row["rounds"])
        if kept:
            found[row["key"]] = StartedRun(row["key"], row["arm"], row["seed"], kept[0].round, row["rounds"])
    return list(found.values())


def _pace(
    found: Status, plan: list[dict[str, Any]], records: dict[str, Record | None], folder: Folder, now: float
) -> None:
    """Set the rate and the time left, from the runs that were written since the process started."""
    since = found.since or now
    rounds = {row["key"]: row["rounds"] for row in plan}
    fresh = [key for key, record in records.items() if record is not None and _since(folder, key, since)]
    elapsed = now - since
    worked = sum(rounds[key] for key in fresh)
    if not worked or elapsed <= 0:
        return
    failed = {key for key, record in records.items() if record is not None and record.status == "failed"}
    failed -= set(fresh)
    pending = sum(rounds[key] for key in rounds if records.get(key) is None or key in failed)
    found.rate = round(60 * len(fresh) / elapsed, 3)
    mean = sum(record.seconds for key in fresh if (record := records[key]) is not None) / len(fresh)
    # Before that, most of the work is in unfinished runs.
    if elapsed >= 2 * mean:
        found.left = round(elapsed * pending / worked, 1)


def _since(folder: Folder, key: str, since: float) -> bool:
    return (_modified(folder.store.folder / key / "run.json") or 0.0) >= since


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def size_of(path: Path) -> int:
    """Return the bytes of all files below a folder; files that disappear meanwhile do not count."""
    total, folders = 0, [str(path)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
