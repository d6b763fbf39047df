"""Read a table file of nearly any form into columns of text, with a line number for every row.

It may be CSV, TSV, separated by `::`, pipes or blanks, or Parquet, with or without a header. Errors name file and line.
"""

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

from ...disk import read_file
from ...errors import BadInput, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
"""In order of preference among those that split the first lines equally well."""

_SAMPLE_LINES = 50
"""Lines that decide on the separator."""


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
    """The columns of one file. Without a header they are called "1", "2", …"""

    path: Path
    key: Setting
    """What named the file, for messages."""
    frame: pd.DataFrame
    header: bool
    lines: NDArray[np.int64] | None
    """(rows,) 1-based line in the file; None for Parquet, which has no lines."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        return list(self.frame.columns)

    def location(self, row: int) -> str:
        """Return "file, line 17" for a row of the frame."""
        if self.lines is None:
            return f"{self.path}, row {row + 1}"
        return f"{self.path}, line {self.lines[row]}"

    def find(
        self, aliases: Iterable[str], position: int, configured: str | None = None, key: Setting | None = None
    ) -> str | None:
        """Return the configured column, else the first alias in the header, else the column at the position.

        position: 1-based, used where there is no header; 0 for none. key: the configuration key of
        `configured`, for the message. Raises BadInput when the configured column does not exist.
        """
        if configured is not None:
            if configured in self.names:
                return configured
            key = key or self.key
            raise key.wrong(
                f'{key} = "{configured}": {self.path} has no such column.{did_you_mean(configured, self.names)} '
                f"Its columns are: {', '.join(self.names)}."
            )
        if not self.header:
            return str(position) if 1 <= position <= len(self.names) else None
        columns = {normalize_name(name): name for name in reversed(self.names)}
        return next((columns[alias] for alias in aliases if alias in columns), None)

    def raise_missing(self, what: str, key: Setting | None, example: str) -> NoReturn:
        """Raise BadInput for a required column that was not recognized."""
        hint = f'Name it with {key} = "…"' if key else f'Give it a header such as "{example}"'
        raise self.key.wrong(
            f"{self.path} ({self.key}): no column of {what} was recognized. "
            f"Its columns are: {', '.join(self.names)}. {hint}."
        )

    def ids(self, column: str, what: str) -> pd.Series:
        """Return a column of ids as text: whole numbers without padding or decimals, others stripped of blanks."""
        import pandas as pd

        values = self.frame[column]
        text = values.astype(str).str.strip()
        empty = (values.isna() | text.str.lower().isin(["", "nan", "none", "<na>"])).to_numpy()
        if empty.any():
            raise BadInput(f"{self.location(int(empty.argmax()))}: the {what} id is missing.")
        numbers = pd.to_numeric(text, errors="coerce")
        integer = (numbers.notna() & (numbers.abs() < 2**53) & (numbers == numbers.round())).to_numpy()
        if not integer.any():
            return text
        plain = numbers.where(integer, 0).astype(np.int64).astype(str)
        return plain if integer.all() else plain.where(integer, text)

    def numbers(self, column: str, what: str) -> NDArray[np.float64]:
        """Return a column as finite float64; raises BadInput with the line of anything else."""
        import pandas as pd

        values = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(bad.argmax())
            cell = str(self.frame[column].iloc[row]).strip()
            if cell.lower() in ("", "nan", "none", "<na>"):
                raise BadInput(f'{self.location(row)}: the {what} is missing or NaN (column "{column}").')
            raise BadInput(
                f'{self.location(row)}: the {what} "{cell}" is not a finite number (column "{column}").'
            )
        return values


def normalize_name(name: str) -> str:
    """Return a column name in lower case, letters and digits only, so that userId, user_id and USER ID agree."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def read_table(
    path: str | Path, key: Setting, known: Iterable[str], configured: Iterable[str | None] = ()
) -> Table:
    """Read text separated by commas, tabs, `::`, semicolons, pipes or blanks, or Parquet.

    known: normalized column names that mark a header; configured: column names from the configuration.
    The first row counts as a header when none of its cells is a number and either one of them is known
    or configured, or the second row has a number. Lines with # or % at the top of the file are comments.
    Raises BadInput for a file that cannot be used; where rows differ in width, with the line.
    """
    path = Path(path)
    try:
        raw = read_file(path)
    except FileNotFoundError:
        raise key.wrong(f'{key} = "{path}": there is no such file.') from None
    except OSError as error:
        raise key.wrong(f'{key} = "{path}" cannot be read: {error.strerror or error}.') from None
    if not raw.strip():
        raise key.wrong(f'{key} = "{path}": the file is empty.')
    if raw[:4] == b"PAR1":
        return _read_parquet(path, key)
    if raw[:2] == b"\x1f\x8b" or raw[:4] == b"PK\x03\x04":
        raise key.wrong(f'{key} = "{path}" is compressed; unpack it first.')
    return _read_text(path, key, _decode(raw, path, key), set(known), [name for name in configured if name])


def _decode(raw: bytes, path: Path, key: Setting) -> str:
    if b"\0" in raw:
        raise key.wrong(f'{key} = "{path}" is neither a text table (CSV, TSV, .dat) nor Parquet.')
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_parquet(path: Path, key: Setting) -> Table:
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


def _read_text(path: Path, key: Setting, text: str, known: set[str], configured: list[str]) -> Table:
    import pandas as pd

    lines = text.split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first][0] in "#%"):
        first += 1
    numbers = np.array([n for n in range(first, len(lines)) if lines[n].strip()], np.int64)
    if not numbers.size:
        raise key.wrong(f'{key} = "{path}": the file has nothing but comments.')
    separator = _find_separator([lines[n] for n in numbers[:_SAMPLE_LINES]])
    if separator is None:
        raise key.wrong(
            f'{key} = "{path}": only one column was found; separate fields with a comma, a tab, `::`, ; or |.'
        )
    if separator in ",;" and '"' in text:
        rows, starts = _read_quoted(lines, first, separator)
        widths = np.array([len(row) for row in rows])
        _check_widths(path, widths, starts)
        frame = pd.DataFrame(rows, dtype=str)
    else:
        kept = lines if numbers.size == len(lines) else [lines[n] for n in numbers]
        _check_widths(path, np.array([line.count(separator) + 1 for line in kept]), numbers + 1)
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
    header = _has_header(frame.iloc[:2].to_numpy(), known, configured)
    if header:
        names = [str(cell).strip() for cell in frame.iloc[0]]
        frame, starts = frame.iloc[1:].reset_index(drop=True), starts[1:]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f'{path}, line {first + 1}: two columns are named "{twice}".')
        if not len(frame):
            raise key.wrong(f'{key} = "{path}": the file has a header but no rows.')
    else:
        names = [str(position) for position in range(1, frame.shape[1] + 1)]
    frame.columns = names
    return Table(path, key, frame, header, starts)


def _find_separator(sample: list[str]) -> str | None:
    """Return the separator that splits the most lines into equally many fields; ties go to the earlier one."""
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


def _read_quoted(lines: list[str], first: int, separator: str) -> tuple[list[list[str]], NDArray[np.int64]]:
    """Return the rows of a table whose quoted fields may span lines, and the line on which each row starts."""
    rows, starts, start = [], [], first + 1
    reader = csv.reader((line + "\n" for line in lines[first:]), delimiter=separator)
    for row in reader:
        if row and any(cell.strip() for cell in row):
            rows.append([cell.rstrip("\n") for cell in row])
            starts.append(start)
        start = first + reader.line_num + 1
    return rows, np.array(starts, np.int64)


def _check_widths(path: Path, widths: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
    odd = widths != widths[0]
    if odd.any():
        row = int(odd.argmax())
        raise BadInput(
            f"{path}, line {starts[row]}: {widths[row]} fields, but line {starts[0]} has {widths[0]}."
        )


def _has_header(rows: NDArray[np.object_], known: set[str], configured: list[str]) -> bool:
    cells = [str(cell).strip() for cell in rows[0]]
    if any(_is_number(cell) for cell in cells):
        return False
    if any(normalize_name(cell) in known for cell in cells) or any(name in cells for name in configured):
        return True
    return len(rows) > 1 and any(_is_number(str(cell)) for cell in rows[1])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower() not in ("nan", "inf", "infinity")
