"""How far a study in a folder is, seen from another process: it writes nothing and keeps nobody waiting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..storage.folder import Folder
from ..storage.lock import LOCK, held_by
from ..storage.store import Record
from .survey import finished, opened, planned, present


@dataclass
class Arm:
    """The runs of one arm."""

    name: str
    finished: int = 0
    failed: int = 0
    to_come: int = 0
    seconds: float = 0.0
    """Mean wall time of its finished runs; 0 where there is none."""


@dataclass
class Error:
    """Runs that ended in the same error."""

    error: str
    runs: int
    arm: str
    """Arm of the first of them in the order of the study."""
    seed: int


@dataclass
class Begun:
    """A run that is not finished but whose state was kept on the way."""

    key: str
    arm: str
    seed: int
    round: int
    """Rounds it has behind it."""
    rounds: int


@dataclass
class Status:
    """A study in a folder, as it was found."""

    folder: str
    study: str
    state: str
    """ "running", "finished", or "interrupted"."""
    process: int | None
    """Number of the process that works in the folder."""
    host: str
    """Its machine, where that is known."""
    since: float | None
    """When it began, seconds since 1970."""
    runs: int
    """Of the study, each counted once."""
    finished: int = 0
    failed: int = 0
    to_come: int = 0
    damaged: int = 0
    """Of those to come: runs that are there but cannot be read; they are run again."""
    rate: float | None = None
    """Finished runs per minute since the process began."""
    left: float | None = None
    """Seconds until it is done, by the rounds it did so far; None before a worker had time for two runs."""
    size: int = 0
    """Bytes on disk."""
    other: int = 0
    """Runs in the folder that the study does not have (other seeds, fewer rounds)."""
    arms: list[Arm] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)

    def as_plain(self) -> dict[str, Any]:
        """Return it as it stands in JSON."""
        return asdict(self)


def status(path: Path, clock: Callable[[], float] = time.time) -> Status:
    """Return how far the study in a folder is. Raises BadInput or StorageError where there is none.

    Tables of runs are not looked through; damage there is found by the next `echodrift run`.
    """
    folder = opened(path)
    is_held, process, host = held_by(path)
    done = None if is_held else finished(folder)
    plan = planned(folder).to_pylist()
    here = present(folder)
    keys = list(dict.fromkeys(row["key"] for row in plan))
    found = Status(
        folder=str(path),
        study=_name(folder),
        state="running" if is_held else "finished" if done else "interrupted",
        process=process,
        host=host,
        since=_modified(path / LOCK) if is_held else None,
        runs=len(keys),
        size=size_of(path),
    )
    records = _records(folder, (key for key in keys if key in here))
    if done and not here:
        # Somebody removed the runs; the tables are what there is.
        found.finished, found.failed = done["runs"] - done["failed"], done["failed"]
        return found
    found.other = len([name for name in here if "-seed" in name]) - sum(key in here for key in keys)
    _count(found, plan, records, here)
    found.begun = _begun(path, [row for row in plan if records.get(row["key"]) is None])
    if is_held and found.since is not None:
        _pace(found, plan, records, folder, clock())
    return found


def _records(folder: Folder, keys: Iterable[str]) -> dict[str, Record | None]:
    """Return the records that are there; None for one that cannot be read."""
    found: dict[str, Record | None] = {}
    for key in keys:
        try:
            found[key] = folder.store.peek(key)
        except OSError:
            # Being replaced at this moment, or without a record.
            found[key] = None
    return found


def _count(
    found: Status, plan: list[dict[str, Any]], records: dict[str, Record | None], here: set[str]
) -> None:
    arms: dict[str, Arm] = {}
    errors: dict[str, Error] = {}
    counted: set[tuple[str, str]] = set()
    seen: set[str] = set()
    for row in plan:
        key, name = row["key"], row["arm"]
        if (name, key) in counted:
            continue
        counted.add((name, key))
        arm = arms.setdefault(name, Arm(name))
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
                known = errors.setdefault(record.error, Error(record.error, 0, name, row["seed"]))
                known.runs += 1
    for arm in arms.values():
        arm.seconds = round(arm.seconds / arm.finished, 3) if arm.finished else 0.0
    found.arms = list(arms.values())
    found.errors = sorted(errors.values(), key=lambda error: -error.runs)


def _begun(path: Path, rows: list[dict[str, Any]]) -> list[Begun]:
    """Return the runs to come that have a checkpoint, in the order of the study."""
    found: dict[str, Begun] = {}
    try:
        there = set(os.listdir(path / "checkpoints"))
    except OSError:
        return []
    from ..storage.checkpoint_files import FOLDER, Keeping

    for row in rows:
        if row["key"] in found or row["course"] not in there:
            continue
        kept = Keeping(path / FOLDER / row["course"]).found(row["rounds"])
        if kept:
            found[row["key"]] = Begun(row["key"], row["arm"], row["seed"], kept[0].round, row["rounds"])
    return list(found.values())


def _pace(
    found: Status, plan: list[dict[str, Any]], records: dict[str, Record | None], folder: Folder, now: float
) -> None:
    """Fill in the rate and the time left: runs that were written since the process began count."""
    since = found.since or now
    rounds = {row["key"]: row["rounds"] for row in plan}
    fresh = [key for key, record in records.items() if record is not None and _since(folder, key, since)]
    elapsed = now - since
    worked = sum(rounds[key] for key in fresh)
    if not worked or elapsed <= 0:
        return
    again = {key for key, record in records.items() if record is not None and record.status == "failed"}
    again -= set(fresh)
    ahead = sum(rounds[key] for key in rounds if records.get(key) is None or key in again)
    found.rate = round(60 * len(fresh) / elapsed, 3)
    mean = sum(record.seconds for key in fresh if (record := records[key]) is not None) / len(fresh)
    # Before that, most of what was done is in runs that are under way.
    if elapsed >= 2 * mean:
        found.left = round(elapsed * ahead / worked, 1)


def _since(folder: Folder, key: str, since: float) -> bool:
    return (_modified(folder.store.folder / key / "run.json") or 0.0) >= since


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _name(folder: Folder) -> str:
    import tomllib

    for path in (folder.store.folder / "study.toml", folder.path / "study.toml"):
        try:
            return str(tomllib.loads(path.read_text("utf-8"))["name"])
        except (OSError, ValueError, KeyError):
            continue
    return ""


def size_of(path: Path) -> int:
    """Return the bytes of all files below a folder; those that vanish meanwhile count nothing."""
    total, ways = 0, [str(path)]
    while ways:
        try:
            with os.scandir(ways.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ways.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
