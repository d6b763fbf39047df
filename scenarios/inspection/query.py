"""SQL queries of the results of a study, finished or not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BadInput, did_you_mean
from ..storage.folder import TABLES
from .folder_state import open_results
from .views import FinishedTables, UnfinishedTables, database_of, tables_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Query:
    """SQL queries (in DuckDB's dialect) of a results folder."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; raises BadInput or StorageError if there are no results."""
        self._source: FinishedTables | UnfinishedTables = tables_of(open_results(folder))

    @property
    def note(self) -> str:
        """A note on missing runs; empty for a finished study."""
        return self._source.note

    @property
    def names(self) -> list[str]:
        """Names of the views."""
        return list(self._source.names)

    def views(self) -> dict[str, dict[str, str]]:
        """Return view → column → type."""
        database = database_of(self._source, self.names)
        return {
            name: {row[0]: row[1] for row in database.execute(f'DESCRIBE "{name}"').fetchall()}
            for name in self.names
        }

    def table(self, sql: str) -> pa.Table:
        """Return the result of a SELECT. Raises BadInput with a short message for any other or invalid statement."""
        import duckdb

        # Only views that the query names: every view that is created has its files verified first.
        named = [name for name in self.names if re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE)]
        names = named or self.names
        database = database_of(self._source, names)
        try:
            kinds = [statement.type for statement in database.extract_statements(sql)]
            if kinds != [duckdb.StatementType.SELECT]:
                raise BadInput(
                    "a query is one SELECT (or DESCRIBE, SUMMARIZE, WITH … SELECT): results are read-only"
                    + ("; ask one at a time" if len(kinds) > 1 else "")
                )
            return database.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise BadInput(self._explained(database, str(error), names)) from None

    def _explained(self, database: duckdb.DuckDBPyConnection, error: str, names: list[str]) -> str:
        column = re.search(r'Referenced column "([^"]+)" not found|column named "([^"]+)"', error)
        if column:
            wanted = column[1] or column[2]
            available = {
                name: [row[0] for row in database.execute(f'DESCRIBE "{name}"').fetchall()] for name in names
            }
            close = did_you_mean(wanted, [each for columns in available.values() for each in columns])
            lines = [f"{name}: {', '.join(map(_quoted, columns))}" for name, columns in available.items()]
            return "\n".join([f'SQL: there is no column "{wanted}".{close}', *lines])
        table = re.search(r"Table with name (.+?) does not exist", error)
        if table:
            wanted = table[1]
            if wanted in TABLES:
                return f'SQL: this folder has no table "{wanted}": an echodrift without it wrote the results'
            close = did_you_mean(wanted, self.names)
            return f'SQL: there is no table "{wanted}".{close}\nTables: {", ".join(self.names)}'
        if "file system operations are disabled" in error:
            return f"SQL: a query reads the tables of the study and no other file\nTables: {', '.join(self.names)}"
        lines = [line.strip() for line in error.splitlines() if line.strip()]
        what = lines[0].partition(": ")[2] or lines[0]
        at = next((line.partition(": ")[2] for line in lines if line.startswith("LINE ")), "")
        return f"SQL: {what}" + (f"\nin: {at[:100]}" if at else "")


def _quoted(column: str) -> str:
    """Return a column name, quoted for SQL if necessary."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column) else f'"{column}"'
