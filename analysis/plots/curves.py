"""Figures of curves over rounds, each exposure measure beside the same measure of consumption and of demand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..measures.base import Column
from ..measures.columns import describe, is_share, write_value
from .series import ENDS, Curve, bin_width, curves, ends
from .sheet import Sheet, head, label_ends, say, sheet
from .style import BACKGROUND, EXTREMES, MANY, RULE, ArmStyle, clean, foreground, look, styles_for, wrap

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NICE = (1, 2, 2.5, 5, 10)

Panel = str | Column
"""A column by name, or described."""


def long_horizon(
    rounds: pd.DataFrame,
    columns: Sequence[Panel | Sequence[Panel]],
    arms: Mapping[str, ArmStyle] | None = None,
    *,
    title: str = "",
    subtitle: str | None = None,
    share_y: bool = True,
    zero: Sequence[str] = (),
    marks: Sequence[int] = (),
    note: str = "",
    wide: bool = False,
) -> Figure:
    """Curves over rounds, mean and 95 % t band over seeds per arm; one panel per column.

    `columns` lists rows of panels: a sequence puts its columns side by side (an exposure curve and
    its twins) on one scale when `share_y` and their units agree; a single column takes half a row. A
    column without any value leaves a note in its place beside a twin, and a footnote otherwise.
    `subtitle` defaults to what the first column did, in numbers. `zero` names the columns (differences) that get a line at zero; a dotted
    line stands at each of the rounds in `marks`. `note` is added to the footnote.
    `wide` gives every single column a row of its own.
    `rounds` is the tidy table of one grid point: arm, seed, round, then measures.
    """
    with look():
        styles = styles_for(rounds, arms)
        grid, twinned = _rows(columns)
        found = curves(rounds, [column.name for row in grid for column in row])
        kept = [
            (row, pair) for row, pair in zip(grid, twinned, strict=True) if any(found[c.name] for c in row)
        ]
        kept = kept if wide else _fill(kept)
        absent = [c.title for row in grid for c in row if not found[c.name]]
        if subtitle is None:
            subtitle = finding(rounds, kept[0][0][0], styles) if kept else ""
        page = sheet(
            title or "What happened round by round",
            subtitle,
            [len(row) if wide else max(len(row), 2) for row, _ in kept] or [1],
            arms=styles,
            heading=0.4,
            gap=0.12
            if kept and all(_on_one_scale(row, share_y) and len(row) > 2 for row, _ in kept)
            else None,
            note=_note(rounds, absent, f"{note} {crowded(styles)}".strip()),
            intervals=True,
        )
        if not kept:
            say(page.rows[0][0], "None of these measures has a value.")
        _draw_rows(page, kept, found, styles, rounds, share_y, zero)
        for axes in page.rows[: len(kept)]:
            for ax in axes:
                for mark in marks if ax.axison else ():
                    ax.axvline(mark, color="#8a8a8a", linewidth=0.8, linestyle=":", zorder=0)
        return page.figure


def _rows(columns: Sequence[Panel | Sequence[Panel]]) -> tuple[list[list[Column]], list[bool]]:
    """Described rows, and whether each is a row of twins."""
    rows, twinned = [], []
    for entry in columns:
        group = [entry] if isinstance(entry, str | Column) else list(entry)
        rows.append([c if isinstance(c, Column) else describe(c) for c in group])
        twinned.append(len(group) > 1)
    return rows, twinned


def _fill(rows: list[tuple[list[Column], bool]]) -> list[tuple[list[Column], bool]]:
    """Let single panels share rows, two by two, in order of appearance."""
    full, half = [], None
    for row, twinned in rows:
        if twinned:
            full.append((row, True))
        elif half is None:
            half = [row[0]]
            full.append((half, False))
        else:
            half.append(row[0])
            half = None
    return full


def _draw_rows(page: Sheet, rows, found, styles, rounds, share_y: bool, zero: Sequence[str]) -> None:
    last = float(rounds["round"].max()) if len(rounds) else 0.0
    # Bands of few seeds or many arms lie over each other: lighter, so that the lines stay in sight.
    shade = 0.16 if rounds["seed"].nunique() >= 5 and len(styles) <= 8 else 0.08
    for axes, (row, twinned) in zip(page.rows, rows, strict=False):
        shared = twinned and _on_one_scale(row, share_y)
        spans = [span_of(found[c.name], c, c.name in zero) for c in row]
        if shared:
            joint = [s for s in spans if s is not None]
            spans = [(min(s[0] for s in joint), max(s[1] for s in joint))] * len(row)
        for ax, column, span in zip(axes, row, spans, strict=False):
            if span is not None and found[column.name]:
                curve_panel(ax, column, found[column.name], styles, span, last, len(row) > 2, shade)
                if column.name in zero:
                    ax.axhline(0, color="#8a8a8a", linewidth=0.7, zorder=0)
            else:
                say(ax, f"{column.title}: no value in this study")
        if shared and len(row) > 2:
            for ax in axes[1:]:
                ax.tick_params(labelleft=False)
        for ax in axes[len(row) :]:
            ax.set_axis_off()
        bottom = axes is page.rows[-1]
        for ax in axes[: len(row)]:
            ax.set_xlabel("round" if bottom else "", labelpad=2)


def _on_one_scale(row: Sequence[Column], share_y: bool) -> bool:
    return share_y and len({column.unit for column in row}) == 1


def curve_panel(
    ax: Axes,
    column: Column,
    found: Mapping[str, Curve],
    styles: Mapping[str, ArmStyle],
    span: tuple[float, float],
    last: float,
    narrow: bool,
    shade: float,
) -> None:
    """One panel of curves with bands and letters at their ends."""
    labels = []
    shown = foreground(
        {name: float(curve.mean[-1]) for name, curve in found.items() if name in styles}, styles
    )
    for place, (name, style) in enumerate(styles.items()):
        curve = found.get(name)
        if curve is None:
            continue
        if name not in shown:
            ax.plot(curve.rounds, curve.mean, color=BACKGROUND, linewidth=0.6, zorder=1)
            continue
        if len(curve.rounds) == 1:
            half = np.nan_to_num(curve.half)
            ax.errorbar(
                curve.rounds, curve.mean, yerr=half, color=style.color, marker=style.marker, capsize=2
            )
        else:
            band = np.isfinite(curve.half)
            ax.fill_between(
                curve.rounds,
                curve.mean - curve.half,
                curve.mean + curve.half,
                where=band,
                color=style.color,
                alpha=shade,
                linewidth=0,
            )
            every = max(len(curve.rounds) // 4, 1)
            start = min(place * max(every // max(len(styles), 1), 1), len(curve.rounds) - 1)
            ax.plot(
                curve.rounds,
                curve.mean,
                color=style.color,
                linestyle=style.dash,
                marker=style.marker,
                markevery=(start, every),
                markersize=3.4,
                linewidth=1.3,
            )
        labels.append((style, float(curve.mean[-1])))
    ax.set_ylim(*span)
    ax.set_xlim(*((-0.5, last + 0.5) if last < 2 else (0, last + 1)))
    finish(ax, column, 20 if narrow else 34)
    label_ends(ax, labels)


def finish(ax: Axes, column: Column, characters: int = 34) -> None:
    """Title, unit, ticks and light horizontal rules of a panel of values over rounds."""
    head(ax, column.title, characters)
    if is_share(column):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    elif column.unit:
        lines = wrap(clean(column.unit), 22)
        ax.set_ylabel("\n".join(lines), labelpad=2, size=8 if len(lines) == 1 else 7, linespacing=1.0)
    ax.yaxis.set_major_locator(MaxNLocator(4, steps=NICE))
    ax.xaxis.set_major_locator(
        MaxNLocator(3 if characters < 30 else 4, steps=NICE, integer=True, min_n_ticks=1)
    )
    ax.grid(axis="y", color=RULE, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(length=2.5, pad=2)


def percent(share: float) -> str:
    """A share as an axis writes it, without trailing zeros."""
    return f"{100 * share:.4g} %".replace("-", "−")


def span_of(found: Mapping[str, Curve], column: Column, zero: bool) -> tuple[float, float] | None:
    """Limits that hold all lines and their bands, within the column's own range; None without curves.

    Where few seeds make bands much wider than the lines are apart, the panel cuts bands off rather
    than let them press the lines into one.
    """
    if not found:
        return None
    low, high, bottom, top = math.inf, -math.inf, math.inf, -math.inf
    for curve in found.values():
        half = np.nan_to_num(curve.half)
        low, high = min(low, curve.mean.min()), max(high, curve.mean.max())
        bottom, top = min(bottom, (curve.mean - half).min()), max(top, (curve.mean + half).max())
    bottom, top = max(bottom, column.low), min(top, column.high)
    room = max(0.6 * (high - low), 0.2 * (top - bottom))
    low, high = max(bottom, low - room), min(top, high + room)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    # A lower limit near zero becomes zero, so that heights can be compared by eye.
    floor = 0.0 if 0 <= low < 0.4 * high else low - pad
    ceiling = high + pad
    if ceiling > column.high:
        # This leaves room for the line, without a tick beyond the possible range.
        ceiling = column.high + 0.02 * (column.high - max(floor, column.low))
    return max(floor, column.low), ceiling


def finding(rounds: pd.DataFrame, column: Column, styles: Mapping[str, ArmStyle]) -> str:
    """One neutral sentence: the mean at the start, and the range over arms at the end."""
    table = ends(rounds, column.name).dropna()
    table = table[table.index.isin(list(styles))]
    if table.empty:
        return ""
    start = _range(table["start"], column, styles)
    end = _range(table["end"], column, styles)
    span = int(rounds["round"].max()) + 1
    if span <= ENDS:
        return f"{column.title}: {end} (mean over {'the only round' if span == 1 else f'all {span} rounds'})."
    return f"{column.title}: {start} at the start, {end} at the end (means of {ENDS} rounds)."


def _range(values: pd.Series, column: Column, styles: Mapping[str, ArmStyle]) -> str:
    low, high = write_value(column, values.min()), write_value(column, values.max())
    if low == high:
        return low
    return f"{low} ({styles[values.idxmin()].letter}) to {high} ({styles[values.idxmax()].letter})"


def crowded(styles: Mapping[str, ArmStyle]) -> str:
    """Return what a footnote says about arms that are drawn in gray; nothing where all have their color."""
    if len(styles) <= MANY:
        return ""
    return (
        f"Of {len(styles)} arms each panel colors the reference and the {EXTREMES} that end highest and lowest; "
        "the others are gray. The differences and the tables have them all."
    )


def _note(rounds: pd.DataFrame, absent: Sequence[str], more: str) -> str:
    seeds = rounds["seed"].nunique() if len(rounds) else 0
    parts = [
        f"Lines: mean of {seeds} seeds; bands: 95 % t interval, cut off where it leaves the panel."
        if seeds > 1
        else "One seed: no bands."
    ]
    if (width := bin_width(rounds)) > 1:
        parts.append(f"Each point averages {width} rounds.")
    if more:
        parts.append(more)
    if absent:
        parts.append(f"No value in this study: {'; '.join(absent)}.")
    return " ".join(parts)


def tastes(rounds: pd.DataFrame, arms: Mapping[str, ArmStyle] | None = None) -> Figure:
    """What happened to dominant and minority tastes: how often each is served, how much of each is left.

    The share left to the minority taste is set against the neutral shadow (the same run had every
    taste been served equally well): only the difference is the doing of service.
    """
    lost = Column(
        "minority_share_lost",
        "Minority share minus its neutral shadow",
        "percentage points",
        -100.0,
        100.0,
        "higher",
        "tastes",
    )
    if {"minority_share", "minority_share_neutral"} <= set(rounds.columns):
        rounds = rounds.assign(
            **{lost.name: 100 * (rounds["minority_share"] - rounds["minority_share_neutral"])}
        )
    rows = [
        ("dominant_hit_rate", "minority_hit_rate"),
        ("minority_share", "minority_share_neutral"),
        (lost,),
        ("dominant_share",),
    ]
    return long_horizon(
        rounds,
        [row if len(row) > 1 else row[0] for row in rows],
        arms,
        title="Dominant and minority tastes: how often they are served, how much of them is left",
        subtitle=finding(rounds, describe("minority_hit_rate"), styles_for(rounds, arms)),
        zero=[lost.name],
    )
