"""Any table a person may have as a file: read into columns of text, with a line number for every row."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
"""Tried in this order; the first that splits the opening lines evenly is taken."""

_SAMPLE = 50


@dataclass(frozen=True)
class Setting:
    """A setting of a log that was given, or that is missing."""

    field: str
    """Its name in the world of a study."""
    name: str
    """What messages call it."""

    def __str__(self) -> str:
        return self.name

    def wrong(self, text: str) -> BadInput:
        """Return the error for something that is wrong about it."""
        return BadInput(text, about=[("world", self.field)])


Naming = Callable[[str], Setting]
"""From the name of a field to the setting, with the name that it has where the log is read for."""


def of_world(field: str) -> Setting:
    """Return the setting of a study's world."""
    return Setting(field, f"world.{field}")


@dataclass(frozen=True)
class Table:
    """Columns of one file. Without a header the columns are called "1", "2", …"""

    path: Path
    key: Setting
    """What named the file."""
    frame: pd.DataFrame
    header: bool
    lines: NDArray[np.int64] | None
    """(rows,) 1-based line in the file; None for Parquet, which has rows only."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        return list(self.frame.columns)

    def where(self, row: int) -> str:
        """Return "file, line 17" for a row of the frame."""
        if self.lines is None:
            return f"{self.path}, row {row + 1}"
        return f"{self.path}, line {self.lines[row]}"

    def find(
        self, aliases: Iterable[str], position: int, named: str | None = None, key: Setting | None = None
    ) -> str | None:
        """Return the column that `named` names, else the first alias in the header, else the position.

        position: 1-based column where there is no header, 0 for none. Raises BadInput when `named` is not there.
        """
        if named is not None:
            if named in self.names:
                return named
            key = key or self.key
            raise key.wrong(
                f'{key} = "{named}": {self.path} has no such column.{did_you_mean(named, self.names)} '
                f"Its columns are: {', '.join(self.names)}."
            )
        if not self.header:
            return str(position) if 1 <= position <= len(self.names) else None
        plain = {simplify(name): name for name in reversed(self.names)}
        return next((plain[alias] for alias in aliases if alias in plain), None)

    def missing(self, what: str, key: Setting | None, example: str) -> NoReturn:
        """Raise BadInput for a column that is needed and was not recognized."""
        hint = f'Name it with {key} = "…"' if key else f'Give it a header such as "{example}"'
        raise self.key.wrong(
            f"{self.path} ({self.key}): no column of {what} is recognized. "
            f"Its columns are: {', '.join(self.names)}. {hint}."
        )

    def ids(self, column: str, what: str) -> pd.Series:
        """Return a column of ids as text: whole numbers without padding or decimals, the rest stripped."""
        import pandas as pd

        values = self.frame[column]
        text = values.astype(str).str.strip()
        empty = (values.isna() | text.str.lower().isin(["", "nan", "none", "<na>"])).to_numpy()
        if empty.any():
            raise BadInput(f"{self.where(int(empty.argmax()))}: the {what} id is missing.")
        numbers = pd.to_numeric(text, errors="coerce")
        whole = (numbers.notna() & (numbers.abs() < 2**53) & (numbers == numbers.round())).to_numpy()
        if not whole.any():
            return text
        plain = numbers.where(whole, 0).astype(np.int64).astype(str)
        return plain if whole.all() else plain.where(whole, text)

    def numbers(self, column: str, what: str) -> NDArray[np.float64]:
        """Return a column as finite float64; anything else is a BadInput with its line."""
        import pandas as pd

        values = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(bad.argmax())
            cell = str(self.frame[column].iloc[row]).strip()
            if cell.lower() in ("", "nan", "none", "<na>"):
                raise BadInput(f'{self.where(row)}: the {what} is missing or NaN (column "{column}").')
            raise BadInput(
                f'{self.where(row)}: the {what} "{cell}" is not a finite number (column "{column}").'
            )
        return values


def simplify(name: str) -> str:
    """Return a header cell in lower case, letters and digits only, so userId, user_id and USER ID agree."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def read_table(
    path: str | Path, key: Setting, known: Iterable[str], named: Iterable[str | None] = ()
) -> Table:
    """Read CSV, TSV, `::`, pipe or blank separated text, or Parquet.

    known: simplified header names by which a header is recognized; named: column names given by the
    user. A first row counts as a header when no cell of it is a number and either one is known or
    named, or the second row has a number. Lines that open the file with # or % are comments.
    Raises BadInput with file and line for anything that is not an even table.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise key.wrong(f'{key} = "{path}": there is no such file.') from None
    except OSError as error:
        raise key.wrong(f'{key} = "{path}" cannot be read: {error.strerror or error}.') from None
    if not raw.strip():
        raise key.wrong(f'{key} = "{path}": the file is empty.')
    if raw[:4] == b"PAR1":
        return _parquet(path, key)
    if raw[:2] == b"\x1f\x8b" or raw[:4] == b"PK\x03\x04":
        raise key.wrong(f'{key} = "{path}" is compressed; unpack it first.')
    return _text(path, key, _decode(raw, path, key), set(known), [name for name in named if name])


def _decode(raw: bytes, path: Path, key: Setting) -> str:
    if b"\0" in raw:
        raise key.wrong(f'{key} = "{path}" is not a text table (CSV, TSV, .dat) and not Parquet.')
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parquet(path: Path, key: Setting) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        frame = pyarrow.parquet.read_table(path).to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise key.wrong(f'{key} = "{path}" is not a readable Parquet file: {error}.') from None
    if not len(frame):
        raise key.wrong(f'{key} = "{path}": the file has no rows.')
    frame.columns = [str(name) for name in frame.columns]
    return Table(path, key, frame.reset_index(drop=True), True, None)


def _text(path: Path, key: Setting, text: str, known: set[str], named: list[str]) -> Table:
    import pandas as pd

    lines = text.split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first][0] in "#%"):
        first += 1
    numbers = np.array([n for n in range(first, len(lines)) if lines[n].strip()], np.int64)
    if not numbers.size:
        raise key.wrong(f'{key} = "{path}": the file has only comments.')
    separator = _separator([lines[n] for n in numbers[:_SAMPLE]])
    if separator is None:
        raise key.wrong(
            f'{key} = "{path}": only one column is found; separate fields by comma, tab, `::`, ; or |.'
        )
    if separator in ",;" and '"' in text:
        rows, starts = _quoted(lines, first, separator)
        widths = np.array([len(row) for row in rows])
        _even(path, widths, starts)
        frame = pd.DataFrame(rows, dtype=str)
    else:
        kept = lines if numbers.size == len(lines) else [lines[n] for n in numbers]
        _even(path, np.array([line.count(separator) + 1 for line in kept]), numbers + 1)
        body = "\n".join(kept)
        if len(separator) > 1:
            body, separator = body.replace(separator, "\x1f"), "\x1f"
        frame = pd.read_csv(
            io.StringIO(body), sep=separator, header=None, dtype=str, na_filter=False, quoting=csv.QUOTE_NONE
        )
        starts = numbers + 1
        if '"' in text:
            for column in frame.columns:
                frame[column] = frame[column].str.replace(r'^"(.*)"$', r"\1", regex=True)
    header = _has_header(frame.iloc[:2].to_numpy(), known, named)
    if header:
        names = [str(cell).strip() for cell in frame.iloc[0]]
        frame, starts = frame.iloc[1:].reset_index(drop=True), starts[1:]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f'{path}, line {first + 1}: two columns are named "{twice}".')
        if not len(frame):
            raise key.wrong(f'{key} = "{path}": the file has a header and no rows.')
    else:
        names = [str(position) for position in range(1, frame.shape[1] + 1)]
    frame.columns = names
    return Table(path, key, frame, header, starts)


def _separator(sample: list[str]) -> str | None:
    """Return the separator that splits most opening lines alike; ties go to the earlier in the list."""
    best, agreement = None, 0.0
    for separator in SEPARATORS:
        if separator in ",;":
            widths = [len(row) for row in csv.reader(sample, delimiter=separator)]
        else:
            widths = [line.count(separator) + 1 for line in sample]
        width, count = Counter(widths).most_common(1)[0]
        share = count / len(widths)
        if width > 1 and share > agreement + 1e-9:
            best, agreement = separator, share
    return best


def _quoted(lines: list[str], first: int, separator: str) -> tuple[list[list[str]], NDArray[np.int64]]:
    """Return the rows of a table with quotes, where a field may span lines, and the line each row starts on."""
    rows, starts, start = [], [], first + 1
    reader = csv.reader((line + "\n" for line in lines[first:]), delimiter=separator)
    for row in reader:
        if row and any(cell.strip() for cell in row):
            rows.append([cell.rstrip("\n") for cell in row])
            starts.append(start)
        start = first + reader.line_num + 1
    return rows, np.array(starts, np.int64)


def _even(path: Path, widths: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
    odd = widths != widths[0]
    if odd.any():
        row = int(odd.argmax())
        raise BadInput(
            f"{path}, line {starts[row]}: {widths[row]} fields, but line {starts[0]} has {widths[0]}."
        )


def _has_header(rows: NDArray[np.object_], known: set[str], named: list[str]) -> bool:
    cells = [str(cell).strip() for cell in rows[0]]
    if any(_is_number(cell) for cell in cells):
        return False
    if any(simplify(cell) in known for cell in cells) or any(name in cells for name in named):
        return True
    return len(rows) > 1 and any(_is_number(str(cell)) for cell in rows[1])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower() not in ("nan", "inf", "infinity")
