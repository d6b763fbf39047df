"""Tables for the screen: a row per policy, a column per metric; in several parts where they are too wide."""

from __future__ import annotations

import io
import math
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .result import Evaluation

_ANY = 100_000
"""Width where there is no terminal: nothing is cut off."""


def show(result: Evaluation) -> None:
    """Print the tables to stdout."""
    from rich.console import Console

    if sys.stdout.isatty():
        _print(result, Console())
    else:
        print(as_text(result))


def as_text(result: Evaluation) -> str:
    """Return the tables as plain text."""
    from rich.console import Console

    text = io.StringIO()
    _print(result, Console(file=text, width=_ANY))
    return "\n".join(line.rstrip() for line in text.getvalue().strip("\n").splitlines()).strip("\n")


def _print(result: Evaluation, console: Console) -> None:
    from rich.text import Text

    cells = _cells(result)
    for columns in _parts(cells, console.width):
        console.print(_table(columns))
    caption = f"split {result.split}; mean {result.interval}; seconds of one fit and one ranking on one core"
    console.print(Text(caption), soft_wrap=True)
    if len(result.seeds) > 1 and len(result.policies) > 1:
        console.print(
            Text(f'\nMinus "{result.policies[0]}", paired by seed, 95 % t interval:'), soft_wrap=True
        )
        for columns in _parts(_differences(result), console.width):
            console.print(_table(columns))


def _cells(result: Evaluation) -> dict[str, list[str]]:
    """Return column → cells, the first column being the policies."""
    summary = result.summary
    cells: dict[str, list[str]] = {"policy": result.policies}
    for metric in result.metric_names:
        part = summary[summary["metric"] == metric].set_index("policy")
        cells[metric] = [_number(part.loc[name, "mean"], part.loc[name, "half"]) for name in result.policies]
    times = summary.groupby("policy", sort=False)[["fit_seconds", "rank_seconds"]].first()
    for column, name in (("fit_seconds", "fit s"), ("rank_seconds", "rank s")):
        cells[name] = [_seconds(times.loc[policy, column]) for policy in result.policies]
    return cells


def _differences(result: Evaluation) -> dict[str, list[str]]:
    table = result.compare()
    cells: dict[str, list[str]] = {"policy": result.policies[1:]}
    for metric in result.metric_names:
        part = table[table["metric"] == metric].set_index("policy")
        cells[metric] = [
            _number(part.loc[name, "difference"], part.loc[name, "high"] - part.loc[name, "difference"], "+")
            for name in result.policies[1:]
        ]
    return cells


def _number(mean: float, half: float, sign: str = "") -> str:
    if not math.isfinite(mean):
        return "–"
    digits = 4 if abs(mean) < 10 else 2 if abs(mean) < 1000 else 0
    text = f"{mean:{sign}.{digits}f}"
    return f"{text} ± {half:.{digits}f}" if math.isfinite(half) else text


def _seconds(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _parts(cells: dict[str, list[str]], width: int) -> list[dict[str, list[str]]]:
    """Return the columns in parts that fit the width, each with the column of policies."""
    (first, names), *others = cells.items()
    used = own = max(map(len, [first, *names]), default=0) + 4
    parts: list[dict[str, list[str]]] = [{first: names}]
    for column, values in others:
        wide = max(map(len, [column, *values]), default=0) + 3
        if used + wide > width and len(parts[-1]) > 1:
            parts.append({first: names})
            used = own
        parts[-1][column] = values
        used += wide
    return parts


def _table(columns: dict[str, list[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=bool(place))
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table
