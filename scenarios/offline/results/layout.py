"""Fit tables into the terminal: several parts if they are too wide, numbers instead of long names."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

Columns = dict[str, list[str]]
"""Heading → cells; the first column names the rows."""


def short_names(names: Sequence[str], columns: Columns, width: int) -> list[str]:
    """Return the names, or "1", "2", … if the table is too wide with names and numbers help."""
    numbers = [str(place) for place in range(1, len(names) + 1)]
    named = parts({"policy": list(names)} | columns, width)
    numbered = parts({"policy": numbers} | columns, width)
    better = len(numbered) < len(named) or any(_width(part) > width for part in named)
    return numbers if better else list(names)


def legend(names: Sequence[str], short: Sequence[str], width: int) -> list[str]:
    """Return lines that explain the short names; none if they equal the names."""
    if list(names) == list(short):
        return []
    lines = []
    for number, name in zip(short, names, strict=True):
        head = f"{number:>{len(short[-1])}}  "
        lines += textwrap.wrap(
            name,
            max(width, 40),
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def parts(columns: Columns, width: int) -> list[Columns]:
    """Return the columns in parts that fit the width; each has the first column."""
    (first, names), *others = columns.items()
    found: list[Columns] = [{first: names}]
    for heading, cells in others:
        if len(found[-1]) > 1 and _width(found[-1] | {heading: cells}) > width:
            found.append({first: names})
        found[-1][heading] = cells
    return found


def _width(columns: Columns) -> int:
    """Return the width of `table`: three spaces between columns, one at either end."""
    return -1 + sum(3 + max(map(len, [heading, *cells]), default=0) for heading, cells in columns.items())


def table(columns: Columns) -> Table:
    """Return the columns as a table; the first one is left-aligned."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(columns):
        result.add_column(Text(heading), justify="right" if place else "left", no_wrap=bool(place))
    for row in zip(*columns.values(), strict=True):
        result.add_row(*(Text(cell) for cell in row))
    return result
