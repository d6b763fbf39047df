"""The short table of differences between arms that `run` and `compare` print."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from ..analysis.measures.columns import describe, write_difference

if TYPE_CHECKING:
    import pandas as pd

    from ..scenarios.result import Result

HEADS = ("arm", "difference", "interval", "seeds", "verdict")
WIDEST = 28
"""Most characters of an arm's name; longer ones are cut in the middle."""


def lines(result: Result, table: pd.DataFrame, reference: str, most: int | None = None) -> list[str]:
    """Return a comparison (`Result.compare`) as lines: a block per grid point and measure, a row per arm.

    most: number of rows; of more, the last line says how to see the others. Empty if there is nothing to compare.
    """
    from ..analysis.gate.looks import looks_of

    keys = list(table.columns[: list(table.columns).index("arm")])
    left = len(table) if most is None else most
    blocks: list[tuple[str, list[tuple[str, ...]]]] = []
    for _, block in table.groupby([*keys, "measure"], sort=False):
        rows = block.head(left).to_dict("records")
        left -= len(rows)
        if rows:
            blocks.append((_title(rows[0], keys), [_row(row) for row in rows]))
    if not blocks:
        return []
    everything = [HEADS, *(row for _, rows in blocks for row in rows)]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    intervals = "t intervals" if looks_of(result.manifest) is None else "confidence sequences"
    out = [f'Each arm minus "{reference}", paired by seed; 95 % {intervals}:', _joined(HEADS, widths)]
    for title, rows in blocks:
        out += [title, *(_joined(row, widths) for row in rows)]
    hidden = len(table) - len(everything) + 1
    if hidden:
        out.append(
            f"{hidden:,} more of {len(table):,} rows: echodrift compare {shlex.quote(str(result.folder))} --all-rows"
        )
    return out


def _title(row: dict[str, Any], keys: list[str]) -> str:
    at = ", ".join(f"{key} = {row[key]}" for key in keys)
    return f"{row['measure']} at {at}" if at else row["measure"]


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    column, name = describe(row["measure"]), " ".join(str(row["arm"]).split())
    if len(name) > WIDEST:
        name = f"{name[: WIDEST // 2]}…{name[WIDEST // 2 + 1 - WIDEST :]}"
    low, high = (write_difference(column, row[end]) for end in ("low", "high"))
    if " " in low and " " in high:
        low = low.rsplit(" ", 1)[0]  # One unit for both ends.
    interval = f"{low} to {high}" if row["low"] == row["low"] else "–"
    return name, write_difference(column, row["difference"]), interval, str(row["n"]), row["verdict"]


def _joined(cells: tuple[str, ...], widths: list[int]) -> str:
    last = len(widths) - 1
    padded = [
        cell.rjust(width) if 0 < place < last else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"  {'  '.join(padded)}".rstrip()
