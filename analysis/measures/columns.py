"""How a measure column is called and how its values are written, in figures and tables alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from . import MEASURES, catalog, declared
from .base import Column

_TWINS = {"niche_exposure": ("niche_consumed", "niche_demand")}


def describe(name: str) -> Column:
    """Return the column's metadata, its title as a heading; a split (`welfare:group=niche`) names the part.

    A column that no measure declares is described by its own name, without a unit.
    """
    base, _, part = name.partition(":")
    if base in MEASURES:
        column = declared(base)
    else:
        title = base.replace("_", " ").capitalize()
        column = Column(base, title, "", -math.inf, math.inf, "neither", "welfare")
    title = column.title[:1].upper() + column.title[1:]
    if part:
        title = f"{title}, {part.replace('=', ' ')}"
    return replace(column, name=name, title=title)


@cache
def known() -> Mapping[str, Column]:
    """Columns that measures declare, by name."""
    return {column.name: column for column in catalog()}


def twins(name: str) -> tuple[str, ...]:
    """Columns that an exposure column must stand beside: what was taken (and wanted) of the same."""
    return _TWINS.get(name, (f"{name}_consumed",))


def is_share(column: Column) -> bool:
    """Whether values read best in percent."""
    return column.unit in {"share", "probability"} and column.low >= -1 and column.high <= 1


def write_value(column: Column, value: float) -> str:
    """A value with its unit's sign: 12.3 %, 0.412, 1,250."""
    if not math.isfinite(value):
        return "–"
    if is_share(column):
        return f"{100 * value:.1f} %".replace("-", "−")
    return _plain(value).replace("-", "−")


def write_difference(column: Column, value: float) -> str:
    """A signed difference; of shares in percentage points."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * value:+.1f} pp" if is_share(column) else _plain(value, sign="+")
    if float(text.split()[0].replace(",", "")) == 0 and value != 0:
        text = f"{100 * value:+.1g} pp" if is_share(column) else f"{value:+.1g}"
    return text.replace("-", "−")


def _plain(value: float, sign: str = "") -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:{sign},.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:{sign}.{min(digits, 4)}f}" if abs(value) >= 1e-4 else f"{value:{sign}.2g}"
