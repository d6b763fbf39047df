"""The tables of a results folder as read-only views of an in-memory database, which can read nothing else."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from ...errors import StorageError
from ...wording import counted
from ..storage.bundles import Bundle, bundles
from ..storage.collect import MAX_NETWORK_RUNS, NETWORK_TABLES, runs_table
from ..storage.folder import TABLES, Folder
from ..storage.ledger import KEYS
from ..storage.requested import planned_runs
from ..storage.store import Record
from .folder_state import finished_manifest

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class FinishedTables:
    """The tables of a finished study, from its Parquet files."""

    note = ""

    def __init__(self, folder: Folder, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        files = [name for name in manifest["hashes"] if name.endswith(".parquet")]
        self.names = [name.removesuffix(".parquet") for name in files]

    def add(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create the view; raises StorageError if its file was changed."""
        self.folder.verify_file(f"{name}.parquet", self.manifest)
        path = self.folder.path / f"{name}.parquet"
        _allow(database, [path])
        database.execute(f"CREATE VIEW {_name(name)} AS SELECT * FROM read_parquet({_files([path])})")


class UnfinishedTables:
    """The tables of an unfinished study, from its finished runs, with the same columns."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.plan = planned_runs(folder.path)
        self.names = [*TABLES, *(["draws"] if self._has_draws else [])]

    @cached_property
    def _has_draws(self) -> bool:
        return "draw" in self.plan.column_names and self.plan["draw"].null_count < len(self.plan)

    @cached_property
    def note(self) -> str:
        """A note on how many runs are missing."""
        planned_keys = set(self.plan["key"].to_pylist())
        damaged = (
            f"; {counted(len(self._damaged), 'run')} among the others cannot be read" if self._damaged else ""
        )
        return (
            f"this study is not finished: {len(self._done):,} of {len(planned_keys):,} runs are done, and the tables hold "
            f"those{damaged}"
        )

    @cached_property
    def _records(self) -> dict[str, Record | None]:
        """Records of the planned runs on disk; None for one that cannot be read."""
        found: dict[str, Record | None] = {}
        present = self.folder.store.names()
        for key in dict.fromkeys(self.plan["key"].to_pylist()):
            if key in present:
                try:
                    found[key] = self.folder.store.peek(key)
                except OSError:
                    found[key] = None
        return found

    @cached_property
    def _bundled(self) -> list[tuple[Bundle, list[str]]]:
        """The bundles, each with the finished runs of the plan that it counts for."""
        done = [record for record in self._records.values() if record is not None and record.status == "ok"]
        return [
            (bundle, [record.key for record in done if bundle.counts_for(record)])
            for bundle in bundles(self.folder.store.folder)
        ]

    @cached_property
    def _single(self) -> dict[str, Record]:
        """Finished runs that are in no bundle, with intact tables."""
        bundled = {key for _, keys in self._bundled for key in keys}
        found = {}
        for key, record in self._records.items():
            if record is not None and record.status == "ok" and key not in bundled:
                record = self.folder.store.read(key)
                if record is not None:
                    found[key] = record
        return found

    @cached_property
    def _done(self) -> set[str]:
        """Keys of the finished runs."""
        return {key for _, keys in self._bundled for key in keys} | set(self._single)

    @cached_property
    def _damaged(self) -> set[str]:
        """Keys of the runs that are not counted because a file of theirs is damaged."""
        return {
            key
            for key, record in self._records.items()
            if key not in self._done and (record is None or record.status == "ok")
        }

    def add(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create the view."""
        if name in ("runs", "draws"):
            database.register(name, self._runs() if name == "runs" else self._draws())
            return
        labels = [column for column in self.plan.column_names if column not in KEYS]
        plan = self.plan.select([*labels, "key"])
        if name in NETWORK_TABLES:
            plan = self._network_rows(plan, labels)
        database.register(f"plan of {name}", plan)
        parts, files = self._parts(database, name)
        _allow(database, files)
        front = ", ".join(f"p.{_name(column)}" for column in labels)
        if parts:
            rows = f"SELECT {front}, t.* EXCLUDE (key) FROM {_name(f'plan of {name}')} p JOIN ({parts}) t USING (key)"
        else:
            rows = f"SELECT {front} FROM {_name(f'plan of {name}')} p WHERE false"
        database.execute(f"CREATE VIEW {_name(name)} AS {rows}")

    def _parts(self, database: duckdb.DuckDBPyConnection, name: str) -> tuple[str, list[Path]]:
        """Return SQL for a table of all finished runs with their keys, and the files that it reads."""
        import pyarrow as pa

        store = self.folder.store
        file = f"{name}.parquet"
        singles = {key for key, record in self._single.items() if file in record.files}
        bundled: list[Path] = []
        copied: list[str] = []
        for bundle, keys in self._bundled:
            path = bundle.file(name)
            if path is not None:
                bundled.append(path)
                copied += keys
            else:
                # It has no such table, or is damaged; its runs also exist one by one.
                wanted = [key for key in keys if (record := self._records[key]) and file in record.files]
                singles |= {self._intact(key).key for key in wanted}
        single = [store.folder / key / file for key in sorted(singles)]
        parts = []
        if bundled:
            database.register(f"runs of {name}", pa.table({"key": pa.array(copied, pa.string())}))
            parts.append(
                f"SELECT * FROM read_parquet({_files(bundled)}, union_by_name = true) "
                f"SEMI JOIN {_name(f'runs of {name}')} USING (key)"
            )
        if single:
            parts.append(
                r"SELECT regexp_extract(filename, '([^/\\]+)[/\\][^/\\]+$', 1) AS key, * EXCLUDE (filename) "
                f"FROM read_parquet({_files(single)}, union_by_name = true, filename = true)"
            )
        return " UNION ALL BY NAME ".join(parts), [*bundled, *single]

    def _intact(self, key: str) -> Record:
        """Return the record of a finished run; raises StorageError if its tables are damaged."""
        record, damaged = self.folder.store.inspect(key)
        if record is None:
            raise StorageError(
                f"{self.folder.store.folder / key / damaged} is not what the run wrote: it was cut off or changed\n"
                f"{self.folder.repair_advice}"
            )
        return record

    def _network_rows(self, plan: pa.Table, labels: Sequence[str]) -> pa.Table:
        """Return the rows of the plan whose networks are shown: the first finished run of each arm and design point."""
        cells: dict[tuple[Any, ...], int] = {}
        for index, row in enumerate(plan.to_pylist()):
            cell = tuple(row[name] for name in labels if name != "seed")
            if row["key"] in self._done and cell not in cells and len(cells) < MAX_NETWORK_RUNS:
                cells[cell] = index
        return plan.take(list(cells.values()))

    def _runs(self) -> pa.Table:
        """Return the table `runs` of all finished and failed runs."""
        import pyarrow as pa

        labels = [column for column in self.plan.column_names if column not in KEYS]
        front, records = [], []
        for row in self.plan.to_pylist():
            record = self._records.get(row["key"])
            if record is not None and (record.status == "failed" or row["key"] in self._done):
                front.append({name: row[name] for name in labels})
                records.append(record)
        return pa.Table.from_pandas(runs_table(front, records), preserve_index=False)

    def _draws(self) -> pa.Table:
        import pyarrow as pa

        rows: dict[Any, dict[str, Any]] = {}
        for seed, draw in zip(self.plan["seed"].to_pylist(), self.plan["draw"].to_pylist(), strict=True):
            rows.setdefault(seed, {"seed": seed, **(json.loads(draw) if draw else {})})
        return pa.Table.from_pylist(list(rows.values()))


def tables_of(folder: Folder) -> FinishedTables | UnfinishedTables:
    """Return the tables of a folder."""
    manifest = finished_manifest(folder)
    return UnfinishedTables(folder) if manifest is None else FinishedTables(folder, manifest)


def database_of(source: FinishedTables | UnfinishedTables, names: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """Return an in-memory database with these views. It can read nothing else, write nothing and change no setting."""
    import duckdb

    database = duckdb.connect(":memory:")
    # With one thread, sums of floating-point numbers are always the same.
    database.execute("SET threads = 1; SET python_enable_replacements = false")
    database.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    database.execute(f"SET temp_directory = {_text(str(Path(gettempdir()) / f'echodrift-{os.getpid()}'))}")
    try:
        for name in names:
            source.add(database, name)
        database.execute("SET enable_external_access = false; SET lock_configuration = true")
    except duckdb.Error as error:
        raise StorageError(
            f"{source.folder.path}: its tables cannot be read: {str(error).splitlines()[0]}\n{source.folder.repair_advice}"
        ) from None
    return database


def _allow(database: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Allow a view to read its files when all other access is disabled."""
    allowed = database.execute("SELECT current_setting('allowed_paths')").fetchone()
    both = [*(allowed[0] if allowed else []), *(str(path) for path in files), *map(_pattern, files)]
    database.execute(f"SET allowed_paths = [{', '.join(map(_text, both))}]")


def _pattern(path: Path) -> str:
    """Return a path as a glob pattern that matches only this path."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))


def _files(paths: Iterable[Path]) -> str:
    return f"[{', '.join(_text(_pattern(path)) for path in paths)}]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
