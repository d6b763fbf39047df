"""Tables that fit a width: in several parts where they are too wide, with numbers for names that are too long."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

Columns = dict[str, list[str]]
"""Heading → cells; the first column names the rows."""


def short_names(names: Sequence[str], columns: Columns, width: int) -> list[str]:
    """Return the names, or "1", "2", … where the table is too wide with them and numbers make it better."""
    numbers = [str(place) for place in range(1, len(names) + 1)]
    named = parts({"policy": list(names)} | columns, width)
    numbered = parts({"policy": numbers} | columns, width)
    better = len(numbered) < len(named) or any(_width(part) > width for part in named)
    return numbers if better else list(names)


def legend(names: Sequence[str], short: Sequence[str], width: int) -> list[str]:
    """Return lines that say what the short names stand for; none where they are the names."""
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
    """Return the columns in parts that fit the width, each with the first column."""
    (first, names), *others = columns.items()
    found: list[Columns] = [{first: names}]
    for heading, cells in others:
        if len(found[-1]) > 1 and _width(found[-1] | {heading: cells}) > width:
            found.append({first: names})
        found[-1][heading] = cells
    return found


def _width(columns: Columns) -> int:
    """Return how wide `table` gets: three blanks between columns, one at either end."""
    return -1 + sum(3 + max(map(len, [heading, *cells]), default=0) for heading, cells in columns.items())


def table(columns: Columns) -> Table:
    """Return the columns as a table, the first one at the left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(columns):
        made.add_column(Text(heading), justify="right" if place else "left", no_wrap=bool(place))
    for row in zip(*columns.values(), strict=True):
        made.add_row(*(Text(cell) for cell in row))
    return made
