"""Check every file of a results folder against the hashes that were stored when it was written."""

from __future__ import annotations

import os
import shlex
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...analysis.report.pages import HASHES
from ...disk import CHANGED, damage, describe_unreadable, file_digest, read_file, unsealed
from ...errors import StorageError
from ...wording import counted, short
from ..storage import bundles, checkpoint_files, ledger
from ..storage.folder import MANIFEST, RUNS, TABLES, is_run_name
from ..storage.lock import LOCK, lock_holder
from ..storage.requested import planned_runs
from ..storage.store import Record
from .folder_state import finished_manifest, open_results


@dataclass(frozen=True)
class DamagedFile:
    """A file that is not what echodrift wrote."""

    file: str
    """Path in the folder."""
    what: str
    """What is wrong with it, as a predicate: "is missing", "was changed or cut off"."""


@dataclass
class Verification:
    """What a check of a results folder found. Field names are the keys of `verify --json`."""

    folder: str
    study: str
    """Name of the study; empty if it cannot be read."""
    state: str = ""
    """ "running", "finished", "interrupted", or "damaged": which of these cannot be told."""
    checked: int = 0
    """Files whose content was compared with a hash."""
    runs: int = 0
    """Runs of the study, each counted once."""
    intact: int = 0
    """Among `runs`: finished or failed, and as they were written."""
    damaged: list[DamagedFile] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    """Files that have no hash: those of other programs, and leftovers of a killed process."""
    notes: list[str] = field(default_factory=list)
    repair: str = ""
    """What to type; empty if nothing is damaged."""

    @property
    def ok(self) -> bool:
        """Whether no file is damaged."""
        return not self.damaged

    def as_plain(self) -> dict[str, Any]:
        """Return the findings as plain data for JSON."""
        return {**asdict(self), "ok": self.ok}


def verify(path: Path | str) -> Verification:
    """Check every file of a results folder, finished or not. It writes nothing and takes no lock.

    Raises BadInput or StorageError if there are no results, or if a newer echodrift wrote them.
    """
    return _Check(Path(path)).run()


def mend(path: Path | str) -> list[str]:
    """Write lost or changed copies of what the plan contains again; return their paths in the folder.

    These are runs/study.toml and runs/store.json. Raises StorageError if another process works in the folder, or if the
    plan itself is lost.
    """
    folder = open_results(Path(path))
    with folder.locked():
        plan = ledger.read_plan(folder.path)
        if plan is None:
            raise StorageError(
                f"{folder.path / RUNS / ledger.PLAN} cannot be read, so nothing can be written again from it\n"
                f"{folder.repair_advice}"
            )
        names = list(ledger.damaged_copies(folder.path))
        if names:
            ledger.write_copies(folder.store.folder, plan.study, plan.facts)
    return [f"{RUNS}/{name}" for name in names]


class _Check:
    def __init__(self, path: Path) -> None:
        self.folder = open_results(path)
        self.seen: set[str] = set()
        self.records: dict[str, Record] = {}
        self.found = Verification(str(path), self.folder.study_name())

    def run(self) -> Verification:
        found = self.found
        is_locked, process, _ = lock_holder(self.folder.path)
        if is_locked:
            by = f" (process {process})" if process is not None else ""
            found.notes.append(
                f"a study runs in it{by}: files that it writes at this moment may look damaged"
            )
        self._places()
        early = self._plan()
        self._results(early)
        self._state(is_locked)
        self._runs()
        self._bundles()
        self._checkpoints()
        self._report()
        found.unchecked = sorted(_files(self.folder.path) - self.seen - {LOCK})
        found.damaged.sort(key=lambda each: each.file)
        if any(not each.file.startswith(f"{checkpoint_files.FOLDER}/") for each in found.damaged):
            found.repair = self.folder.repair_advice
        elif found.damaged:
            found.repair = (
                "remove the damaged checkpoints: their runs start from an earlier one, or from round 0"
            )
        return found

    def _damaged(self, file: str, what: str) -> None:
        if what:
            self.found.damaged.append(DamagedFile(file, what))

    def _compare(self, file: str, digest: str) -> bool:
        """Check a file against its hash."""
        self.seen.add(file)
        self.found.checked += 1
        what = damage(self.folder.path / file, digest)
        self._damaged(file, what)
        return not what

    def _places(self) -> None:
        """Check that the folders are folders, and the lock is a file."""
        for place in (RUNS, f"{RUNS}/{bundles.FOLDER}", checkpoint_files.FOLDER, "figures"):
            path = self.folder.path / place
            if (path.is_symlink() or path.exists()) and not path.is_dir():
                self.seen.add(place)
                self._damaged(place, "is not a folder")
        lock = self.folder.path / LOCK
        if lock.is_symlink() or lock.exists() and not lock.is_file():
            self._damaged(LOCK, "is not a file; remove it")

    def _results(self, early: bool) -> None:
        """Check the manifest and the tables of a finished study. early: they may have no hashes."""
        path = self.folder.path
        self.seen.add(MANIFEST)
        if not (path / MANIFEST).exists():
            if any((path / f"{name}.parquet").exists() for name in TABLES):
                self._damaged(MANIFEST, "is missing, so the tables beside it cannot be checked")
            return
        self.found.checked += 1
        try:
            hashes = dict(unsealed(read_file(path / MANIFEST), always=not early)["hashes"])
        except OSError as error:
            self._damaged(MANIFEST, describe_unreadable(error))
        except (ValueError, KeyError, TypeError):
            self._damaged(MANIFEST, f"{CHANGED}, so the tables cannot be checked")
        else:
            for name, digest in hashes.items():
                self._compare(str(name), str(digest))
            for file in path.glob("*.parquet"):
                if file.name not in hashes and file.stem in TABLES:
                    self._damaged(file.name, f"is not in {MANIFEST}")

    def _state(self, is_locked: bool) -> None:
        found = self.found
        if is_locked:
            found.state = "running"
            return
        try:
            found.state = "interrupted" if finished_manifest(self.folder) is None else "finished"
        except StorageError as error:
            found.state = "damaged"
            if not found.damaged:
                self._damaged(MANIFEST, str(error).splitlines()[0])

    def _plan(self) -> bool:
        """Check the plan, and the study and the facts beside it; return whether an early echodrift wrote them."""
        runs = self.folder.store.folder
        facts = ledger.stored_facts(self.folder.path)
        names = [ledger.PLAN, ledger.STUDY, ledger.FACTS]
        self.seen |= {f"{RUNS}/{name}" for name in names}
        if not runs.exists():
            return facts is not None and facts.format < ledger.HASHED
        if facts is not None and facts.format < ledger.HASHED:
            self.found.notes.append(
                f"an early echodrift wrote it, without hashes of {RUNS}/{ledger.PLAN}, {RUNS}/{ledger.FACTS} and the bundles"
            )
            return True
        self.found.checked += len(names)
        if ledger.read_plan(self.folder.path) is None:
            self._damaged(f"{RUNS}/{ledger.PLAN}", _what(runs / ledger.PLAN))
            for name, is_whole in ((ledger.STUDY, _is_toml), (ledger.FACTS, ledger.read_facts)):
                try:
                    what = "" if is_whole(read_file(runs / name)) else CHANGED
                except OSError as error:
                    what = describe_unreadable(error)
                self._damaged(f"{RUNS}/{name}", what)
        for name, what in ledger.damaged_copies(self.folder.path).items():
            self._damaged(f"{RUNS}/{name}", what)
        return False

    def _runs(self) -> None:
        """Check the runs, also those that the study does not have; of a finished study, all must be there."""
        store, found = self.folder.store, self.found
        try:
            planned = list(dict.fromkeys(planned_runs(self.folder.path)["key"].to_pylist()))
        except StorageError:
            planned = []
        found.runs = len(planned)
        here = {name for name in store.names() if is_run_name(name)}
        unused: list[str] = []
        for key in sorted(here):
            record, at = store.inspect(key)
            files = ["run.json", *(record.files if record else ())]
            if record is None:
                if planned and key not in planned:
                    unused.append(key)
                elif not (store.folder / key).is_dir():
                    self._damaged(f"{RUNS}/{key}", "is not a folder; remove it")
                else:
                    self._damaged(
                        f"{RUNS}/{key}/{at or 'run.json'}", _what(store.folder / key / (at or "run.json"))
                    )
                files = list(_files(store.folder / key))
                self.seen.add(f"{RUNS}/{key}")
            else:
                self.records[key] = record
            self.seen |= {f"{RUNS}/{key}/{name}" for name in files}
            found.checked += len(files)
        found.intact = len(self.records.keys() & set(planned))
        if unused:
            found.notes.append(
                f"damaged, but not of this study, so that they are not used and may be removed: {short(', '.join(unused))}"
            )
        other = len(here - set(planned) - set(unused))
        if other and planned:
            found.notes.append(
                f"{counted(other, 'run')} of other seeds, rounds or code than the study has now"
            )
        if found.state != "finished":
            return
        if not here:
            found.notes.append("its runs were deleted: the tables are all that there is")
            return
        for key in planned:
            if key not in here:
                self._damaged(f"{RUNS}/{key}", "is missing")

    def _bundles(self) -> None:
        gone = 0
        for index in bundles.index_files(self.folder.store.folder):
            name = f"{RUNS}/{bundles.FOLDER}/{index.name}"
            self.seen.add(name)
            self.found.checked += 1
            bundle = bundles.read_bundle(index)
            if bundle is None:
                self._damaged(name, _what(index))
                continue
            for file, digest in bundle.files.items():
                self._compare(f"{RUNS}/{bundles.FOLDER}/{file}", digest)
            for key in bundle.runs:
                record = self.records.get(key)
                gone += record is None or not bundle.counts_for(record)
        if gone:
            self.found.notes.append(
                f"{RUNS}/{bundles.FOLDER} has copies of {counted(gone, 'run')} that {'is' if gone == 1 else 'are'} not "
                "there, or not as they were: they are not used"
            )
        for file in self._below(f"{RUNS}/{bundles.FOLDER}"):
            if file not in self.seen and bundles.is_bundle_file(Path(file).name):
                self.seen.add(file)
                self._damaged(file, "belongs to no bundle that can be read")

    def _checkpoints(self) -> None:
        for file in self._below(checkpoint_files.FOLDER):
            path = self.folder.path / file
            what = checkpoint_files.what_is_wrong(path)
            if what is not None:
                self.seen.add(file)
                self.found.checked += 1
                self._damaged(file, what)

    def _report(self) -> None:
        file = self.folder.path / HASHES
        if not file.exists():
            if any((self.folder.path / name).exists() for name in ("report.html", "figures")):
                self._damaged(HASHES, "is missing, so the report and its figures cannot be checked")
            return
        self.seen.add(HASHES)
        self.found.checked += 1
        try:
            hashes = unsealed(read_file(file))["files"]
            for name, of in hashes.items():
                self._compare(name, of["sha256"])
            manifest = _digest(self.folder.path / MANIFEST)
            old = [name for name, of in hashes.items() if of["manifest"] != manifest]
            if old:
                self.found.notes.append(
                    f"made of other tables than those that are there: {short(', '.join(old))}. To make the report again, "
                    f"type: echodrift report {shlex.quote(str(self.folder.path))}"
                )
        except OSError as error:
            self._damaged(HASHES, describe_unreadable(error))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._damaged(HASHES, "was changed or cut off")

    def _below(self, place: str) -> list[str]:
        return sorted(f"{place}/{file}" for file in _files(self.folder.path / place))


def _what(path: Path) -> str:
    """Return what is wrong with a file whose content does not match its hash."""
    try:
        read_file(path)
    except OSError as error:
        return describe_unreadable(error)
    return CHANGED


def _is_toml(data: bytes) -> bool:
    try:
        return bool(tomllib.loads(data.decode()))
    except (ValueError, RecursionError):
        return False


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return ""


def _files(place: Path) -> set[str]:
    """Return the paths of all files below a folder, relative to it."""
    found = set[str]()
    for folder, _, names in os.walk(place):
        found |= {(Path(folder) / name).relative_to(place).as_posix() for name in names}
    return found
