"""Stack many small tables into one Parquet file, a part at a time, with label columns in front."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import cannot_write

if TYPE_CHECKING:
    import pyarrow as pa

PART = 32 * 2**20
"""Bytes of rows that are buffered before they are written."""


@dataclass(frozen=True)
class Piece:
    """One of the tables to stack."""

    labels: Mapping[str, Any]
    """Column → value in all its rows; in front of its own columns."""
    kind: Any
    """Pieces of one kind are assumed to have the same columns; a wrong assumption only costs time."""
    load: Callable[[], pa.Table]


def stack(path: Path, pieces: Sequence[Piece], labels: pa.Schema) -> None:
    """Write a new Parquet file with the rows of all pieces in their order.

    Columns: the labels, then all columns of any piece in order of appearance, null where a piece lacks
    one; a label hides a column of its name. A column is floating-point unless every piece has it as integers. The bytes depend only on the
    pieces and their order; about `PART` bytes are in memory at a time. labels: types of the label columns,
    also for a file without rows. Raises StorageError if it cannot be written.
    """
    first = {piece.kind: piece for piece in reversed(pieces)}
    # In the order of the pieces, so that the order of columns is the same as when all pieces are read.
    firsts = [piece for piece in pieces if first[piece.kind] is piece]
    try:
        try:
            _write(path, pieces, labels, _common(piece.load().schema for piece in firsts))
        except _OtherColumns:
            path.unlink(missing_ok=True)
            _write(path, pieces, labels, _common(piece.load().schema for piece in pieces))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class _OtherColumns(Exception):
    """A piece does not match the assumed columns."""


def _write(path: Path, pieces: Sequence[Piece], labels: pa.Schema, columns: pa.Schema) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.schema([field for field in columns if field.name not in labels.names])
    schema = pa.schema([*labels, *columns])
    with path.open("xb") as file:
        with pq.ParquetWriter(file, schema) as writer:
            waiting: list[pa.Table] = []
            size = 0
            for piece in pieces:
                table = piece.load()
                table = table.drop_columns([name for name in labels.names if name in table.column_names])
                table = _with_columns(table, columns)
                front = [
                    pa.repeat(pa.scalar(piece.labels[field.name], field.type), len(table)) for field in labels
                ]
                waiting.append(pa.table([*front, *table.columns], schema=schema))
                size += waiting[-1].nbytes
                if size >= PART:
                    _flush(writer, waiting)
                    size = 0
            _flush(writer, waiting)
        file.flush()
        os.fsync(file.fileno())


def _flush(writer: Any, waiting: list[pa.Table]) -> None:
    import pyarrow as pa

    if waiting:
        whole = pa.concat_tables(waiting)
        waiting.clear()
        writer.write_table(whole, row_group_size=max(len(whole), 1))


def _with_columns(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Return a table with these columns; raises _OtherColumns if it does not match."""
    import pyarrow as pa

    if table.schema.equals(columns):
        return table.replace_schema_metadata(None)
    if set(table.column_names) - set(columns.names):
        raise _OtherColumns
    found = []
    for field in columns:
        if field.name not in table.column_names:
            if pa.types.is_integer(field.type):
                raise _OtherColumns
            found.append(pa.nulls(len(table), field.type))
            continue
        column = table[field.name]
        if _wider(column.type, field.type) != field.type:
            raise _OtherColumns
        found.append(column.cast(field.type))
    return pa.table(found, schema=columns)


def _common(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return columns that can store the rows of all tables."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    counts: dict[str, int] = {}
    tables = 0
    for schema in schemas:
        tables += 1
        for field in schema:
            known = types.get(field.name)
            types[field.name] = field.type if known is None else _wider(known, field.type)
            counts[field.name] = counts.get(field.name, 0) + 1
    for name, kind in types.items():
        if counts[name] < tables and pa.types.is_integer(kind):
            types[name] = pa.float64()
    return pa.schema(types.items())


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if all(any(is_number(kind) for is_number in numbers) for kind in (one, other)):
        return pa.float64()
    return pa.string()
