"""Joint rows of settings from a file (`uncertainty.sample`), written into the priors of a study when it is loaded."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...disk import read_file
from ...errors import BadInput, Mistake, did_you_mean
from ...wording import short
from ..specs.data_files import with_absolute_paths
from ..specs.uncertainty import is_number
from ..specs.validation import Placed, traced

WEIGHT = "weight"
"""Column of the weights of the rows."""
MOST_ROWS = 100_000
"""Most rows of a file."""
SEPARATORS = {".csv": ",", ".tsv": "\t"}
SAMPLE = ("uncertainty", "sample")
PRIORS = ("uncertainty", "priors")


@dataclass(frozen=True)
class _Table:
    columns: dict[str, list[Any]]
    """Name → values."""
    places: Sequence[str]
    """Where each row is in the file: "row 3" or "line 4"."""


def fill_joint_rows(data: dict[str, Any], label: str, placed: Placed = ()) -> None:
    """Write the rows of `uncertainty.sample` into the priors of a raw study, in place.

    Rows are sorted by content and columns by name, so a draw does not depend on their order in the file. A study whose
    priors hold rows already, as every stored one does, is left as it is unless an option names a file. An option that
    sets the prior of a key replaces the column of that key. Paths of data in a column are relative to the file of the rows. Raises BadInput with
    file, row and column.
    """
    uncertainty = data.get("uncertainty")
    path = uncertainty.get("sample") if isinstance(uncertainty, dict) else None
    if not isinstance(uncertainty, dict) or not isinstance(path, str):
        return
    priors = uncertainty.setdefault("priors", {})
    if not isinstance(priors, dict):
        return
    options = [to for to, _ in placed]
    filled = [key for key, prior in priors.items() if isinstance(prior, dict) and "sample" in prior]
    if filled and SAMPLE not in options:
        return
    for key in filled:
        del priors[key]
    try:
        columns = dict(_read(Path(path)).columns)
        for to in options:
            if to[:2] == PRIORS and len(to) > 2:
                columns.pop(str(to[2]), None)
        both = sorted(set(columns) & set(priors))
        if both:
            raise _wrong(
                path, f'column "{both[0]}" has a prior under [uncertainty.priors], too; remove one of them'
            )
    except BadInput as error:
        raise traced(error, label, placed) from None
    priors.update(_as_priors(columns))
    # All other paths are absolute already.
    with_absolute_paths(data, Path(path).parent)


def _as_priors(columns: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Return dotted key → prior, with the rows in the order of their content."""
    weights = columns.get(WEIGHT)
    keys = sorted(name for name in columns if name != WEIGHT)
    by = [columns[name] for name in [*keys, *([WEIGHT] if weights else [])]]
    # Numbers come before text.
    rows = [[(isinstance(value, str), value) for value in row] for row in zip(*by, strict=True)]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    shared = {"weights": [weights[row] for row in order]} if weights and len(set(weights)) > 1 else {}
    return {key: {"sample": [columns[key][row] for row in order], **shared} for key in keys}


def place_of(path: str | None, key: str, value: Any) -> str:
    """Return the place of the first row of a file with this value, as 'row 3, column "behavior.search"'; without a row if
    the file has changed since."""
    column = f'column "{key}"'
    try:
        table = _read(Path(path or ""))
        return f"{table.places[table.columns[key].index(value)]}, {column}"
    except (BadInput, KeyError, ValueError):
        return column


def _read(path: Path) -> _Table:
    """Return the columns of a file; raises BadInput with file, row and column."""
    if path.suffix.lower() not in (".parquet", *SEPARATORS):
        raise _wrong(path, "joint rows come from a file that ends in .parquet, .csv or .tsv")
    try:
        content = read_file(path)
        separator = SEPARATORS.get(path.suffix.lower())
        table = _read_text(path, content, separator) if separator else _read_parquet(content)
    except FileNotFoundError:
        near = [each.name for each in path.parent.glob("*")] if path.parent.is_dir() else []
        raise _wrong(path, f"there is no such file.{did_you_mean(path.name, near)}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise _wrong(path, f"cannot be read ({short(str(error).splitlines()[0])})") from None
    count = len(table.places)
    if not 1 <= count <= MOST_ROWS:
        raise _wrong(path, f"has {count:,} rows; 1 to {MOST_ROWS:,} are possible")
    if not set(table.columns) - {WEIGHT}:
        raise _wrong(path, 'has no settings: its columns are keys of a study, such as "behavior.search"')
    for name, values in table.columns.items():
        for place, value in zip(table.places, values, strict=True):
            problem = _problem(name, value)
            if problem:
                raise _wrong(path, f'{place}, column "{name}": {problem}')
    return _Table({name: _one_kind(values) for name, values in table.columns.items()}, table.places)


def _read_parquet(content: bytes) -> _Table:
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(content))
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return _Table(columns, [f"row {row}" for row in range(1, len(frame) + 1)])


def _read_text(path: Path, content: bytes, separator: str) -> _Table:
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator)
    lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    names = [cell.strip() for cell in lines[0][1]] if lines else []
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _wrong(path, f'two columns are named "{twice}"')
    for line, row in lines[1:]:
        if len(row) != len(names):
            raise _wrong(path, f"line {line} has {len(row)} fields, but the header has {len(names)}")
    columns = {name: [_value(row[at]) for _, row in lines[1:]] for at, name in enumerate(names)}
    return _Table(columns, [f"line {line}" for line, _ in lines[1:]])


def _value(cell: str) -> Any:
    """Return a cell as what it looks like: nothing, a truth value, a number, or text."""
    cell = cell.strip()
    if cell.lower() in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[cell.lower()]
    try:
        number = float(cell)
    except ValueError:
        return cell
    return int(cell) if cell.lstrip("+-").isdecimal() and abs(number) < 2**63 else number


def _problem(name: str, value: Any) -> str:
    """Return what is wrong with a value; empty if nothing is."""
    if not isinstance(value, str | int | float):
        import pandas as pd

        missing = value is None or value is pd.NA or value is pd.NaT
        return "is missing" if missing else f"{short(repr(value))} is neither a number nor text"
    if isinstance(value, float) and not math.isfinite(value):
        return "is missing or not a finite number"
    if name == WEIGHT and (isinstance(value, str | bool) or value <= 0):
        return f"{short(repr(value))} must be a number above 0"
    return ""


def _one_kind(values: list[Any]) -> list[Any]:
    """Return whole numbers as such, whatever type the file stores; in any other column of numbers all are floats."""
    if not all(map(is_number, values)):
        return values
    whole = all(isinstance(value, int) or value.is_integer() and abs(value) < 2**53 for value in values)
    return [int(value) if whole else float(value) for value in values]


def _wrong(path: Path | str, text: str) -> BadInput:
    return BadInput(Mistake(f"{path}: {text}", SAMPLE, (SAMPLE,)))
