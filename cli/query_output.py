"""The result of a query as text, CSV, JSON or Parquet."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..scenarios.storage.folder import MANIFEST, RUNS, TABLES

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = {".csv": "csv", ".json": "json", ".parquet": "parquet"}


def output_format(csv: bool, as_json: bool, parquet: Path | None, out: Path | None) -> str:
    """Return "csv", "json", "parquet" or "text", from the options or else from the file name."""
    chosen = [name for name, wanted in (("csv", csv), ("json", as_json), ("parquet", parquet)) if wanted]
    if len(chosen) > 1:
        raise BadInput(f"--{chosen[0]} and --{chosen[1]}: choose one of them")
    if parquet is not None and out is not None:
        raise BadInput("--parquet and --out both name a file: choose one of them")
    if chosen:
        return chosen[0]
    return FORMATS.get(out.suffix.lower(), "text") if out is not None else "text"


def refuse_result_file(folder: Path, target: Path) -> None:
    """Raise BadInput for a file that belongs to the results, and for a path where no file can be written."""
    own = {f"{name}.parquet" for name in (*TABLES, "draws")} | {MANIFEST, "study.toml"}
    place, inside = Path(os.path.realpath(folder)), Path(os.path.realpath(target))
    if (inside.parent == place and inside.name in own) or place / RUNS in inside.parents:
        raise BadInput(f"{target} belongs to the results of the study; choose another file")
    if target.is_dir():
        raise BadInput(f"{target} is a folder; name a file in it")
    if not inside.parent.is_dir():
        raise BadInput(f"{target}: there is no folder {inside.parent}; make it first")


def as_bytes(table: pa.Table, form: str) -> bytes:
    """Return a table as the content of a file: "csv", "json", "parquet" or "text".

    CSV: an empty field is a missing value. JSON: a list of objects; missing and undefined numbers are
    null, infinite ones the texts "inf" and "-inf".
    """
    if form == "parquet":
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        return buffer.getvalue()
    if form == "json":
        rows = [{name: _jsonable(value) for name, value in row.items()} for row in _rows(table)]
        return (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode()
    if form == "csv":
        return _csv(table).encode()
    return (text_of(table) + "\n").encode()


def _rows(table: pa.Table) -> Iterable[dict[str, Any]]:
    """Return rows; of two columns with the same name the later gets a number."""
    return table.rename_columns(_unique(table.column_names)).to_pylist()


def _unique(names: list[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        other, number = name, 1
        while other in found:
            other, number = f"{name}_{number}", number + 1
        found.append(other)
    return found


def _csv(table: pa.Table) -> str:
    import csv

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow("" if value is None else _plain(value) for value in row.values())
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict | list):
        return json.dumps(_jsonable(value), ensure_ascii=False)
    return value


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _jsonable(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inside) for inside in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def text_of(table: pa.Table) -> str:
    """Return a table as aligned text with values in full."""
    rows = [[_full_text(value) for value in row.values()] for row in _rows(table)]
    heads = table.column_names
    numbers = [
        str(field.type).startswith(("int", "uint", "float", "double", "decimal")) for field in table.schema
    ]
    widths = [max(len(text) for text in column) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in [heads, *rows]
    )


def _full_text(value: Any) -> str:
    return "" if value is None else " ".join(str(_plain(value)).splitlines())


def short(value: Any) -> str:
    """Return a value for a terminal, numbers with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else _full_text(value)
