"""Copies of the tables of many finished runs in one file each, so that a query opens tens of files, not thousands.

The folders of the runs stay authoritative: a missing or damaged bundle only costs time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...disk import TEMPORARY, file_digest, move_in, write_atomically, write_new
from .stacking import Piece, stack
from .store import Record, RunStore, record_from_json, record_to_json

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "bundles"
RECORDS = "records.jsonl"
RUNS = 250
"""Runs in a bundle."""
BYTES = 128 * 2**20
"""A bundle is also complete when the files of its runs reach this size."""


@dataclass(frozen=True)
class Bundle:
    """Tables of a set of finished runs; the first column of each is `key`."""

    folder: Path
    keys: frozenset[str]
    """Keys of its runs."""
    files: dict[str, str]
    """File → SHA-256."""

    def file(self, table: str) -> Path | None:
        """Return the file of a table; None if it has none, or if its content does not match its hash."""
        return self._verified(f"{table}.parquet")

    def has(self, table: str) -> bool:
        """Return whether its runs have this table."""
        return self._named(f"{table}.parquet") is not None

    def records(self) -> dict[str, Record]:
        """Return key → record of its runs; empty if the records are missing or damaged."""
        path = self._verified(RECORDS)
        try:
            lines = [] if path is None else path.read_bytes().splitlines()
            found = [record_from_json(json.loads(line)) for line in lines]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return {record.key: record for record in found}

    def _named(self, end: str) -> str | None:
        return next((name for name in self.files if name.partition("-")[2] == end), None)

    def _verified(self, end: str) -> Path | None:
        name = self._named(end)
        try:
            same = name is not None and file_digest(self.folder / name) == self.files[name]
        except OSError:
            return None
        return self.folder / name if name and same else None


def bundles(runs: Path) -> Iterator[Bundle]:
    """Yield the bundles of a folder of runs, oldest first; no run is in two of them."""
    seen: set[str] = set()
    for index in sorted((runs / FOLDER).glob("[0-9]*.json")):
        try:
            found = json.loads(index.read_bytes())
            bundle = Bundle(index.parent, frozenset(found["keys"]), dict(found["files"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if not bundle.keys & seen:
            seen |= bundle.keys
            yield bundle


@dataclass
class Bundler:
    """Writes finished runs into bundles as they arrive. Only while the folder is locked."""

    store: RunStore
    waiting: list[Record] = field(default_factory=list)
    bytes: int = 0

    def __post_init__(self) -> None:
        self.folder = self.store.folder / FOLDER
        self.known = {key for bundle in bundles(self.store.folder) for key in bundle.keys}
        for leftover in self.folder.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)

    def add(self, record: Record) -> None:
        """Add a run that is in the store; raises StorageError if a bundle cannot be written."""
        if record.status != "ok" or record.key in self.known:
            return
        self.known.add(record.key)
        self.waiting.append(record)
        self.bytes += sum((self.store.folder / record.key / name).stat().st_size for name in record.files)
        if len(self.waiting) >= RUNS or self.bytes >= BYTES:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        records, self.waiting, self.bytes = self.waiting, [], 0
        self.folder.mkdir(exist_ok=True)
        numbers = [int(path.name[:6]) for path in self.folder.glob("[0-9]*") if path.name[:6].isdigit()]
        number = f"{max(numbers, default=0) + 1:06d}"
        key = pa.schema([("key", pa.string())])
        hashes = {}
        for table in dict.fromkeys(name for record in records for name in record.files):
            pieces = [
                # All have one kind: if their columns differ, `stack` collects the columns of all pieces first.
                Piece({"key": record.key}, 0, partial(self._load, record.key, table))
                for record in records
                if table in record.files
            ]
            name, path = f"{number}-{table}", self.folder / f"{TEMPORARY}{number}-{table}"
            path.unlink(missing_ok=True)
            stack(path, pieces, key)
            hashes[name] = file_digest(path)
            move_in(path, self.folder / name)
        name, path = f"{number}-{RECORDS}", self.folder / f"{TEMPORARY}{number}-{RECORDS}"
        path.unlink(missing_ok=True)
        write_new(path, "".join(json.dumps(record_to_json(record)) + "\n" for record in records).encode())
        hashes[name] = file_digest(path)
        move_in(path, self.folder / name)
        index = {"keys": [record.key for record in records], "files": hashes}
        write_atomically(self.folder / f"{number}.json", json.dumps(index).encode())

    def _load(self, key: str, file: str) -> pa.Table:
        return self.store.table(key, file.removesuffix(".parquet"))
