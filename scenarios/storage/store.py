"""Finished runs on disk: each in its own folder, which is written atomically."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import (
    TEMPORARY,
    bytes_digest,
    cannot_write,
    file_digest,
    json_digest,
    read_file,
    sync_folder,
    temporary_for,
    write_synced,
)
from ...errors import StorageError, describe
from ...wording import clean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


TRACEBACK_CHARACTERS = 20_000
"""Longest traceback that is kept."""
MOST_NOTES = 20
"""Most notes of a run that are kept."""


@dataclass
class Record:
    """Metadata of a finished or failed run: everything except its tables."""

    key: str
    label: str
    status: str
    """ "ok" or "failed"."""
    error: str = ""
    """Type and message of the error; empty if there is none."""
    traceback: str = ""
    seconds: float = 0.0
    summaries: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Table → SHA-256."""
    versions: dict[str, str] = field(default_factory=dict)
    """Version of Python and of each numeric library that it ran with; empty in records of early versions."""
    phases: dict[str, float] = field(default_factory=dict)
    """Phase → wall seconds over all rounds, if requested; "build" is world, warm-up and recorder."""

    def fail(self, error: BaseException) -> None:
        """Record that the run ended in an error, whose text may be anything."""
        self.status, self.error = "failed", describe(error)
        if isinstance(error, ValueError) and "read-only" in self.error:
            self.error += ". What a policy is given is shared and read-only: change a copy (array.copy())"
        try:
            text = "".join(traceback.format_exception(error))
        except BaseException as second:  # noqa: BLE001  A user's __str__ or __cause__ may do anything.
            text = f"(the traceback cannot be shown: {type(second).__name__})"
        self.traceback = clean(text, TRACEBACK_CHARACTERS)

    def add_notes(self, notes: Iterable[object]) -> None:
        """Add notes of the run, whose text may be anything; at most `MOST_NOTES`, the rest are counted."""
        texts = [clean(str(note)) for note in notes]
        self.notes += texts[:MOST_NOTES]
        if len(texts) > MOST_NOTES:
            self.notes.append(f"{len(texts) - MOST_NOTES:,} more notes were left out")


class RunStore:
    """The folder of finished runs. Safe for several processes that write different runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> Record | None:
        """Return the record of a run, or None if there is none that is intact.

        Intact: the record is readable, belongs to this key, and every table matches its hash in the record. A
        failed run has a record and no tables.
        """
        return self.inspect(key)[0]

    def inspect(self, key: str) -> tuple[Record | None, str]:
        """Return the record of a run (None: there is none that is intact) and the name of the damaged file.

        The name is empty if nothing is damaged or the run does not exist.
        """
        place, at = self.folder / key, "run.json"
        try:
            record = self.peek(key)
            if record is None:
                return None, at
            for at, digest in record.files.items():
                if file_digest(place / at) != digest:
                    return None, at
        except OSError:
            return None, at if place.is_dir() else ""
        return record, ""

    def peek(self, key: str) -> Record | None:
        """Return the record of a run without checking its tables; None if it is damaged.

        Raises OSError if there is none.
        """
        text = read_file(self.folder / key / "run.json")
        try:
            outer = json.loads(text)
            inner = outer["record"]
            if outer["sha256"] != json_digest(inner) or inner["key"] != key:
                return None
            return record_from_json(inner)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def table(self, record: Record, file: str) -> pa.Table:
        """Return a table of a finished run, for example "rounds.parquet".

        Raises StorageError if it is not the one that the run wrote.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / record.key / file
        try:
            data = read_file(path)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be read ({error.strerror or error}): it was changed while the study ran."
            ) from None
        if bytes_digest(data) != record.files[file]:
            raise StorageError(f"{path} was changed while the study ran.")
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)

    def write(self, record: Record, tables: Mapping[str, pd.DataFrame | bytes]) -> None:
        """Write a run atomically: into a temporary folder that is then renamed.

        tables: name → table, or the bytes of its Parquet file. Raises StorageError with the name of the file
        that could not be written; no files are left behind then.
        """
        temporary = temporary_for(self.folder / record.key)
        content = {
            f"{name}.parquet": table if isinstance(table, bytes) else parquet(table)
            for name, table in tables.items()
        }
        record.files = {name: bytes_digest(data) for name, data in content.items()}
        inner = record_to_json(record)
        outer = {"sha256": json_digest(inner), "record": inner}
        content["run.json"] = json.dumps(outer, indent=1).encode()
        at = temporary
        try:
            temporary.mkdir(parents=True)
            for name, data in content.items():
                at = temporary / name
                write_synced(at, data)
            at = self.folder / record.key
            self._move_folder_in(temporary, at)
            sync_folder(self.folder)
        except OSError as error:
            raise cannot_write(
                self.folder / record.key / at.name if at.parent == temporary else at, error
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _move_folder_in(self, temporary: Path, place: Path) -> None:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            # A link, pipe or file in its place; removing a pipe as a folder would wait for a writer.
            place.unlink(missing_ok=True)
        try:
            os.replace(temporary, place)
        except OSError:
            # A worker whose parent was killed may have finished the same run at the same moment.
            if self.read(place.name) is None:
                raise

    def discard(self, key: str) -> None:
        """Remove a run. Only while the folder is locked and no worker writes this run."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def names(self) -> set[str]:
        """Return the names of what lies beside the runs and of their folders, without hidden and temporary ones."""
        try:
            return {name for name in os.listdir(self.folder) if not name.startswith((TEMPORARY, "."))}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def clear_unfinished(self) -> None:
        """Remove temporary files of killed writers. Only while no other process writes here."""
        for leftover in self.folder.glob(f"{TEMPORARY}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def parquet(table: pd.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file; the same table gives the same bytes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as plain data for JSON; NaN and infinity, which JSON lacks, become text."""
    finite = {
        name: float(value) if math.isfinite(value) else repr(float(value))
        for name, value in record.summaries.items()
    }
    plain = {**asdict(record), "summaries": finite}
    if not record.phases:
        # So that an older echodrift can still read runs that were not timed.
        del plain["phases"]
    return plain


def record_from_json(inner: Mapping[str, Any]) -> Record:
    """Return the record of `record_to_json` data; raises KeyError, TypeError or ValueError for anything else."""
    return Record(
        **{**inner, "summaries": {name: float(value) for name, value in inner["summaries"].items()}}
    )
