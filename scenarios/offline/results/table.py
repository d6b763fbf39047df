"""Print an evaluation: a row per policy, a column per metric, and the sample size."""

from __future__ import annotations

import io
import math
import shutil
import sys
from typing import TYPE_CHECKING, Protocol

from .layout import Columns, legend, parts, short_names, table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


class Shown(Protocol):
    """The attributes of an evaluation that are printed."""

    policies: list[str]
    seeds: list[int]
    metric_names: list[str]
    split: str

    @property
    def sample_size(self) -> str: ...
    @property
    def interval(self) -> str: ...
    @property
    def summary(self) -> pd.DataFrame: ...
    def compare(self) -> pd.DataFrame: ...


def show(result: Shown) -> None:
    """Print the tables to stdout."""
    from rich.console import Console

    if sys.stdout.isatty():
        _print(result, Console())
    else:
        print(as_text(result))


def as_text(result: Shown, width: int | None = None) -> str:
    """Return the tables as plain text, as wide as the terminal (80 columns without one)."""
    from rich.console import Console

    text = io.StringIO()
    _print(result, Console(file=text, width=width or shutil.get_terminal_size().columns))
    return "\n".join(line.rstrip() for line in text.getvalue().strip("\n").splitlines()).strip("\n")


def _print(result: Shown, console: Console) -> None:
    from rich.text import Text

    cells, width = _cells(result), console.width
    short = short_names(result.policies, cells, width)
    for line in legend(result.policies, short, width):
        console.print(Text(line), soft_wrap=True)
    for part in parts({"policy": short} | cells, width):
        console.print(table(part))
    for line in _caption(result):
        console.print(Text(line))
    if len(result.seeds) > 1 and len(result.policies) > 1:
        console.print(Text(f'\nMinus "{result.policies[0]}", paired by seed, 95 % t interval:'))
        for part in parts({"policy": short[1:]} | _differences(result), width):
            console.print(table(part))


def _caption(result: Shown) -> list[str]:
    return [
        f"split {result.split}; {result.sample_size}",
        f"mean {result.interval}",
        "seconds of one fit and one ranking on one core",
    ]


def _cells(result: Shown) -> Columns:
    """Return a column per metric, and seconds."""
    summary = result.summary
    cells: Columns = {}
    for metric in result.metric_names:
        part = summary[summary["metric"] == metric].set_index("policy")
        cells[metric] = [_number(part.loc[name, "mean"], part.loc[name, "half"]) for name in result.policies]
    times = summary.groupby("policy", sort=False)[["fit_seconds", "rank_seconds"]].first()
    for column, name in (("fit_seconds", "fit s"), ("rank_seconds", "rank s")):
        cells[name] = [_seconds(times.loc[policy, column]) for policy in result.policies]
    return cells


def _differences(result: Shown) -> Columns:
    compared = result.compare()
    cells: Columns = {}
    for metric in result.metric_names:
        part = compared[compared["metric"] == metric].set_index("policy")
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
