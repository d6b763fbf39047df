"""Small multiples: a panel of curves for every grid point, all on one scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..measures.base import Column
from ..measures.columns import describe
from ..results import rows_at
from .curves import crowded, curve_panel, span_of
from .selection import short, values_of, written
from .series import curves
from .sheet import head, say, sheet
from .style import ArmStyle, clean, look, styles_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_ACROSS, MOST_DOWN = 5, 12
"""Panels per row, and rows, of one figure."""


def multiples(
    rounds: pd.DataFrame,
    measure: str | Column,
    keys: Sequence[str],
    arms: Mapping[str, ArmStyle] | None = None,
    *,
    zero: bool = False,
    marks: Callable[[Mapping[str, Any]], Sequence[int]] = lambda values: (),
    note: str = "",
) -> Figure:
    """Curves of one measure over rounds, a panel per value of one design key or per pair of values of two.

    `rounds` is the tidy table of these grid points: arm, the keys, seed, round, measure. With two keys
    the second runs across, the first down. Of more values than fit, evenly spaced ones are shown and
    the footnote says so. `zero` draws a line at zero (differences). `marks` says, from a panel's
    values of the keys, at which rounds a dotted line stands.
    """
    with look():
        styles = styles_for(rounds, arms)
        column = measure if isinstance(measure, Column) else describe(measure)
        cells, across, left_out = _cells(rounds, keys)
        found = [[curves(part, [column.name])[column.name] for *_, part in row] for row in cells]
        spans = [span_of(each, column, zero) for row in found for each in row]
        known = [span for span in spans if span is not None]
        span = (min(low for low, _ in known), max(high for _, high in known)) if known else (0.0, 1.0)
        last = float(rounds["round"].max()) if len(rounds) else 0.0
        few = across <= 3
        page = sheet(
            f"{column.title} over the grid",
            _subtitle(keys, column if zero else None),
            [across] * len(cells),
            arms=styles,
            height=1.2 if few else 0.85,
            heading=(0.3 if few else 0.26) if len(keys) < 2 else 0.18,
            gap=0.06,
            note=" ".join(
                filter(None, [_note(rounds, [column.name], keys), left_out, note, crowded(styles)])
            ),
            intervals=True,
        )
        for axes, row, line in zip(page.rows, cells, found, strict=True):
            for place, ax in enumerate(axes):
                if place >= len(row):
                    ax.set_axis_off()
                    continue
                title, side, part = row[place]
                if line[place]:
                    curve_panel(ax, column, line[place], styles, span, last, True, 0.1)
                    ax.tick_params(labelleft=not place)
                else:
                    say(ax, "no value")
                head(ax, title, 26 if few else 13)
                ax.set_ylabel("" if place else side, labelpad=2)
                if not line[place]:
                    continue
                if zero:
                    ax.axhline(0, color="#8a8a8a", linewidth=0.7, zorder=0)
                for mark in marks({key: part[key].iloc[0] for key in keys}):
                    ax.axvline(mark, color="#8a8a8a", linewidth=0.8, linestyle=":", zorder=0)
                ax.set_xlabel("round" if axes is page.rows[-1] else "", labelpad=2)
        return page.figure


def _cells(
    rounds: pd.DataFrame, keys: Sequence[str]
) -> tuple[list[list[tuple[str, str, pd.DataFrame]]], int, str]:
    """Rows of (title, label of the row, table) and their width, and what is left out in words."""
    left_out = []

    def shown(key: str, most: int) -> list[Any]:
        values = values_of(rounds, key)
        if len(values) <= most:
            return values
        left_out.append(f"{most} of the {len(values)} values of {short(key)} are shown.")
        return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]

    if not keys:
        return [[("", "", rounds)]], 1, ""
    if len(keys) == 1:
        values = shown(keys[0], MOST_ACROSS * MOST_DOWN)
        # Rows are filled evenly: five panels become 3 and 2, not 4 and 1.
        across = min(next((n for n in (3, 4) if len(values) <= n * n), MOST_ACROSS), len(values))
        across = max(across, 2)
        parts = [
            (
                clean(f"{short(keys[0])} = {written(v)}", 52 if across < 4 else 26),
                "",
                rows_at(rounds, {keys[0]: v}),
            )
            for v in values
        ]
        return [parts[i : i + across] for i in range(0, len(parts), across)], across, " ".join(left_out)
    down, over = keys[:2]
    columns, lines = shown(over, MOST_ACROSS), shown(down, MOST_DOWN)
    rows = [
        [
            (
                clean(written(value), 13) if line is lines[0] else "",
                clean(written(line), 14),
                rows_at(rounds, {down: line, over: value}),
            )
            for value in columns
        ]
        for line in lines
    ]
    return rows, max(len(columns), 2), " ".join(left_out)


def _subtitle(keys: Sequence[str], gap: Column | None) -> str:
    unit = f" In {gap.unit}." if gap is not None and gap.unit else ""
    if len(keys) >= 2:
        return f"Down: {keys[0]}; across: {keys[1]}. All panels have one scale.{unit}"
    return f"Every panel is one point of the grid. All panels have one scale.{unit}"


def _note(rounds: pd.DataFrame, measures: Sequence[str], keys: Sequence[str]) -> str:
    """How many seeds the lines are means of, from the panel and arm with the fewest to that with the most."""
    known = rounds[rounds[list(measures)].notna().any(axis=1)]
    counts = known.groupby(["arm", *keys], sort=False)["seed"].nunique() if len(known) else None
    if counts is None or counts.max() < 2:
        return "One seed: no bands."
    least, most = int(counts.min()), int(counts.max())
    seeds = f"{most}" if least == most else f"{least} to {most}"
    return f"Lines: mean of {seeds} seeds; bands: 95 % t interval."
