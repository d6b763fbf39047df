"""Select data for figures from a study's tables: values of keys, windows of rounds, paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..measures.base import Column
from ..measures.columns import describe, is_share
from .style import clean

if TYPE_CHECKING:
    import pandas as pd


def short(key: str) -> str:
    """The last part of a dotted key, for headings: behavior.reinforcement → reinforcement."""
    return clean(key.rsplit(".", 1)[-1].replace("_", " "), 28)


def written(value: Any) -> str:
    """A value of a design key, as a heading writes it."""
    if isinstance(value, float):
        return f"{value:g}".replace("-", "−")
    text = str(value)
    if text.startswith(('{"kind": "', "{'kind': '")):
        text = text[len('{"kind": "') :]
    return clean(text.translate(str.maketrans("", "", "\"'{}[]")), 24)


def values_of(table: pd.DataFrame, key: str) -> list[Any]:
    """Values of a design key: numbers ascending, others in the order of the study."""
    found = list(dict.fromkeys(table[key].tolist()))
    return sorted(found) if all(_is_number(value) for value in found) else found


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether the values of a key are numbers."""
    return bool(values) and all(_is_number(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def within(table: pd.DataFrame, first: int | None, last: int | None) -> pd.DataFrame:
    """Rows of the rounds first … last (inclusive; None = open)."""
    if first is not None:
        table = table[table["round"] >= first]
    return table if last is None else table[table["round"] <= last]


def minus(table: pd.DataFrame, reference: str, measures: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Every other arm minus the reference, paired by `keys` (seed, round, design keys); NaN without a pair.

    Shares come out in percentage points (see `difference`).
    """
    by, columns = list(keys), list(measures)
    there = table[table["arm"] == reference].set_index(by)[columns].astype(float)
    others = table[table["arm"] != reference]
    here = others.set_index(by)[columns].astype(float)
    found = others[["arm", *by]].reset_index(drop=True)
    gaps = here.to_numpy() - there.reindex(here.index).to_numpy()
    for place, name in enumerate(columns):
        found[name] = gaps[:, place] * (100.0 if is_share(describe(name)) else 1.0)
    return found


def difference(name: str, reference: str) -> Column:
    """The column of a paired difference: its title names the reference, shares are in percentage points."""
    column = describe(name)
    unit = "percentage points" if is_share(column) else column.unit
    title = f"{column.title}, minus {clean(reference, 24)}"
    return replace(column, title=title, unit=unit, low=-math.inf, high=math.inf)
