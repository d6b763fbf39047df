"""Copies of the tables of many finished runs in one file each, so that a query opens tens of files, not thousands.

The folders of the runs stay authoritative: a missing or damaged bundle only costs time, and a bundle counts only for runs
that are there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...disk import (
    TEMPORARY,
    cannot_write,
    damage,
    file_digest,
    json_digest,
    move_in,
    read_file,
    sealed,
    unsealed,
    write_atomically,
)
from .stacking import Piece, stack
from .store import Record, RunStore

FOLDER = "bundles"
RUNS = 250
"""Runs in a bundle."""
BYTES = 128 * 2**20
"""A bundle is also complete when the files of its runs reach this size."""


@dataclass(frozen=True)
class Bundle:
    """Tables of a set of finished runs; the first column of each is `key`."""

    index: Path
    """The file that describes it."""
    runs: dict[str, str]
    """Key of each of its runs → hash of the hashes of the tables that were copied."""
    files: dict[str, str]
    """File → SHA-256."""

    def counts_for(self, record: Record) -> bool:
        """Return whether it has a copy of the tables of this run as its folder has them now."""
        return self.runs.get(record.key) == json_digest(record.files)

    def file(self, table: str) -> Path | None:
        """Return the file of a table; None if it has none, or if its content does not match its hash."""
        name = next((name for name in self.files if name.partition("-")[2] == f"{table}.parquet"), None)
        return self.index.parent / name if name and not self.damage(name) else None

    def damage(self, name: str) -> str:
        """Return what is wrong with one of its files; empty if it matches its hash."""
        return damage(self.index.parent / name, self.files[name])


def read_bundle(index: Path) -> Bundle | None:
    """Return the bundle that an index describes; None if the index is damaged, or of an older kind."""
    try:
        found = unsealed(read_file(index), always=True)
        return Bundle(index, dict(found["runs"]), dict(found["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def index_files(runs: Path) -> list[Path]:
    """Return the indices of the bundles in a folder of runs, oldest first."""
    return sorted((runs / FOLDER).glob("[0-9]*.json"))


def is_bundle_file(name: str) -> bool:
    """Return whether a file in the folder of bundles is, by its name, a table of a bundle."""
    return name[:6].isdigit() and name[6:7] == "-"


def bundles(runs: Path) -> Iterator[Bundle]:
    """Yield the bundles of a folder of runs, oldest first; no run is in two of them."""
    seen: set[str] = set()
    for bundle in filter(None, map(read_bundle, index_files(runs))):
        if not bundle.runs.keys() & seen:
            seen |= bundle.runs.keys()
            yield bundle


@dataclass
class Bundler:
    """Writes finished runs into bundles as they arrive. Only while the folder is locked."""

    store: RunStore
    waiting: list[Record] = field(default_factory=list)
    bytes: int = 0

    def __post_init__(self) -> None:
        self.folder = self.store.folder / FOLDER
        self.known = clear_damaged(self.store.folder)

    def add(self, record: Record) -> None:
        """Add a run that is in the store; raises StorageError if a bundle cannot be written."""
        if record.status != "ok" or record.key in self.known:
            return
        self.known.add(record.key)
        self.waiting.append(record)
        try:
            self.bytes += sum((self.store.folder / record.key / name).stat().st_size for name in record.files)
        except OSError:
            pass  # It is reported where the table is read.
        if len(self.waiting) >= RUNS or self.bytes >= BYTES:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        records, self.waiting, self.bytes = self.waiting, [], 0
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        numbers = [int(path.name[:6]) for path in self.folder.glob("[0-9]*") if path.name[:6].isdigit()]
        number = f"{max(numbers, default=0) + 1:06d}"
        key = pa.schema([("key", pa.string())])
        hashes = {}
        for table in dict.fromkeys(name for record in records for name in record.files):
            pieces = [
                # All have one kind: if their columns differ, `stack` collects the columns of all pieces first.
                Piece({"key": record.key}, 0, partial(self.store.table, record, table))
                for record in records
                if table in record.files
            ]
            name, path = f"{number}-{table}", self.folder / f"{TEMPORARY}{number}-{table}"
            path.unlink(missing_ok=True)
            stack(path, pieces, key)
            hashes[name] = file_digest(path)
            move_in(path, self.folder / name)
        index = {"runs": {record.key: json_digest(record.files) for record in records}, "files": hashes}
        write_atomically(self.folder / f"{number}.json", json.dumps(sealed(index)).encode())


def clear_damaged(runs: Path) -> set[str]:
    """Remove bundles that are not whole, and leftovers of killed processes; return the keys in the others.

    Only while the folder is locked. Raises StorageError.
    """
    whole = [bundle for bundle in bundles(runs) if not any(map(bundle.damage, bundle.files))]
    kept = {name for bundle in whole for name in (bundle.index.name, *bundle.files)}
    try:
        for path in (runs / FOLDER).iterdir() if (runs / FOLDER).is_dir() else ():
            if path.name not in kept and path.name.startswith((TEMPORARY, *"0123456789")):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise cannot_write(runs / FOLDER, error) from error
    return {key for bundle in whole for key in bundle.runs}
