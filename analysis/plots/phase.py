"""Phase diagram: a measure over two design axes, with the line at which a limit is crossed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ..measures.base import Column
from ..measures.columns import describe, is_share
from ..statistics import FEWEST, t_interval
from .selection import is_numeric, short, values_of, written
from .sheet import WIDTH, head, say, sheet
from .style import INK, MUTED, ArmStyle, clean, look, styles_for, wrap

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEAST_CELL = 0.06
"""Narrowest cell, as a part of its axis, that is drawn to scale."""
MOST_WRITTEN = 48
"""Cells of a panel in which the value is written."""


@dataclass(frozen=True)
class Axis:
    """One design key as an axis of cells."""

    key: str
    values: list[Any]
    centers: NDArray[np.float64]
    edges: NDArray[np.floating[Any]]
    scale: str
    """ "to scale", "log" or "even": cells of one size, where values are names or too uneven to draw to scale."""


def axis(key: str, values: Sequence[Any]) -> Axis:
    """Return where the cells of a key's values lie: edges halfway between neighbors.

    Numbers are drawn to scale, or on a log scale where one cell would vanish otherwise; where that does
    not help, and for names, cells are of one size.
    """
    for scale in ("to scale", "log") if is_numeric(values) and len(values) > 1 else ():
        if scale == "log" and min(values) <= 0:
            continue
        at = np.log10(np.asarray(values, float)) if scale == "log" else np.asarray(values, float)
        inner = (at[1:] + at[:-1]) / 2
        edges = np.concatenate([[2 * at[0] - inner[0]], inner, [2 * at[-1] - inner[-1]]])
        if np.diff(edges).min() >= LEAST_CELL * (edges[-1] - edges[0]):
            return Axis(key, list(values), at, edges, scale)
    at = np.arange(len(values), dtype=float)
    return Axis(key, list(values), at, np.arange(len(values) + 1) - 0.5, "even")


def phase(
    runs: pd.DataFrame,
    measure: str | Column,
    keys: tuple[str, str],
    arms: Mapping[str, ArmStyle] | None = None,
    *,
    limit: float | None = None,
    zero: bool = False,
    title: str = "",
    note: str = "",
) -> Figure:
    """Heat map of a measure's mean over seeds, `keys[0]` across and `keys[1]` up; one panel per arm.

    `runs` has one row per run: arm, the two keys, seed, the measure (a value, or a paired difference).
    The line runs where the mean crosses `limit`: interpolated between cells where both axes are
    numbers, along the edges of cells otherwise. A dot marks cells whose 95 % t interval over seeds
    holds the limit (or zero, for differences without one), or that have fewer than 5 seeds: there the side is
    open. `zero` centers the colors at zero.
    """
    with look():
        column = measure if isinstance(measure, Column) else describe(measure)
        across, up = (axis(key, values_of(runs, key)) for key in keys)
        styles = styles_for(runs, arms)
        names = [name for name in styles if (runs["arm"] == name).any()]
        grids = [_grid(runs[runs["arm"] == name], column.name, across, up) for name in names]
        finite = np.concatenate([mean[np.isfinite(mean)] for mean, _ in grids] or [np.empty(0)])
        per_row = (
            1 if len(names) == 1 else 2 if len(up.values) * len(across.values) > 12 or len(names) < 5 else 3
        )
        longest = max((len(written(value)) for value in up.values), default=1)
        page = sheet(
            title or f"{column.title} over {short(keys[0])} and {short(keys[1])}",
            _subtitle(limit, zero, column),
            [per_row] * max(-(-len(names) // per_row), 1),
            height=max(1.5, min(0.27 * len(up.values) + 0.3, 3.2)),
            heading=0.3,
            left=min(0.42 + 0.066 * longest, 2.0),
            gap=0.02,
            right=0.75,
            below=0.5
            if not _slanted(across, per_row)
            else 0.55 + 0.04 * max(len(written(v)) for v in across.values),
            note=" ".join(filter(None, [note, _uneven(across, up)])),
            intervals=limit is not None or zero,
        )
        axes = [ax for row in page.rows for ax in row]
        if not len(finite):
            for ax in axes:
                ax.set_axis_off()
            say(axes[0], "This measure has no value.")
            return page.figure
        norm, colors = _colors(finite, zero)
        level = limit if limit is not None else 0.0 if zero else None
        mesh = None
        for place, ax in enumerate(axes):
            if place >= len(names):
                ax.set_axis_off()
                continue
            mean, half = grids[place]
            mesh = ax.pcolormesh(
                across.edges, up.edges, np.ma.masked_invalid(mean), norm=norm, cmap=colors, edgecolors="white",
                linewidth=0.4,
            )  # fmt: skip
            ax.set_facecolor("#eeeeee")
            _write(ax, across, up, mean, half, level, norm, colors, column, per_row)
            if limit is not None:
                _limit_line(ax, across, up, mean, limit)
            title = f"{styles[names[place]].letter} {names[place]}"
            head(ax, title, {1: 44, 2: 19, 3: 14}[per_row])
            lowest = place + per_row >= len(names)
            _ticks(ax, across, up, names=place % per_row == 0, lowest=lowest, slant=_slanted(across, per_row))
        assert mesh is not None
        _bar(page.figure, axes, mesh, column)
        return page.figure


def _grid(part: pd.DataFrame, name: str, across: Axis, up: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Means and half widths of intervals (up, across); no width with too few seeds for a verdict."""
    mean = np.full((len(up.values), len(across.values)), np.nan)
    half = mean.copy()
    for (x, y), cell in part.groupby([across.key, up.key], sort=False):
        values = cell[name].to_numpy(float)
        at = up.values.index(y), across.values.index(x)
        center, width, _, n = t_interval(values)
        mean[at] = float(center) if n else np.nan
        half[at] = float(width) if n >= FEWEST else np.nan
    return mean, half


def _colors(finite: np.ndarray, zero: bool) -> tuple[Normalize, str]:
    low, high = float(finite.min()), float(finite.max())
    if zero:
        reach = max(abs(low), abs(high)) or 1.0
        return TwoSlopeNorm(0.0, -reach, reach), "PuOr_r"
    if low == high:
        low, high = low - (abs(low) or 1.0) * 0.01, high + (abs(high) or 1.0) * 0.01
    return Normalize(low, high), "cividis"


def _write(
    ax, across: Axis, up: Axis, mean, half, level, norm, colors: str, column: Column, per_row: int
) -> None:
    """Values into cells that have room for them, and a dot where no interval leaves out the level."""
    import matplotlib as mpl

    panel = ax.bbox.width / ax.figure.dpi, ax.bbox.height / ax.figure.dpi
    wide = np.diff(across.edges) / (across.edges[-1] - across.edges[0]) * panel[0]
    high = np.diff(up.edges) / (up.edges[-1] - up.edges[0]) * panel[1]
    palette = mpl.colormaps[colors]
    for i, j in np.ndindex(mean.shape):
        if not math.isfinite(mean[i, j]):
            continue
        color = palette(norm(mean[i, j]))
        ink = "white" if np.dot(color[:3], [0.299, 0.587, 0.114]) < 0.55 else INK
        text = _number(column, mean[i, j])
        x = (across.edges[j] + across.edges[j + 1]) / 2
        y = (up.edges[i] + up.edges[i + 1]) / 2
        fits = mean.size <= MOST_WRITTEN and wide[j] > 0.062 * len(text) + 0.06 and high[i] > 0.16
        if fits:
            # The text is in front of the line, with a rim in the color of the cell.
            rim = [withStroke(linewidth=2.2, foreground=color)]
            ax.text(
                x, y, text, size=7, color=ink, ha="center", va="center_baseline", zorder=5, path_effects=rim
            )
        # With too few seeds the side of the limit is undecided, too.
        if level is not None and not abs(mean[i, j] - level) > half[i, j]:
            # The dot goes above the number, or beside it if the cell is low.
            above = 0.1 if fits and high[i] > 0.3 else 0.0
            beside = 0.03 + 0.031 * len(text) if fits and not above else 0.0
            x += beside / wide[j] * (across.edges[j + 1] - across.edges[j])
            y += above / high[i] * (up.edges[i + 1] - up.edges[i])
            ax.plot(x, y, "o", color=ink, markersize=2.2, mew=0)


def _number(column: Column, value: float) -> str:
    if is_share(column):
        text = f"{100 * value:.3g} %"
    elif column.unit == "percentage points":
        text = f"{value:+.2f}" if abs(value) < 10 else f"{value:+.0f}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", "−")


def _limit_line(ax: Axes, across: Axis, up: Axis, mean: np.ndarray, limit: float) -> None:
    """Draw the line between the cells below the limit and the others."""
    style: dict[str, Any] = {"colors": "#111111", "linewidths": 1.8, "linestyles": "solid"}
    smooth = all(is_numeric(each.values) for each in (across, up)) and min(mean.shape) > 1
    if smooth and np.isfinite(mean).all():
        if mean.min() < limit <= mean.max():
            # The line extends to the borders of the panel, with the values of the outer cells.
            x, y = (np.concatenate([each.edges[:1], each.centers, each.edges[-1:]]) for each in (across, up))
            ax.contour(x, y, np.pad(mean, 1, mode="edge"), levels=[limit], **style)
        return
    below = mean < limit
    known = np.isfinite(mean)
    for i, j in np.ndindex(mean.shape):
        if j + 1 < mean.shape[1] and known[i, j] and known[i, j + 1] and below[i, j] != below[i, j + 1]:
            ax.plot([across.edges[j + 1]] * 2, up.edges[i : i + 2], color="#111111", linewidth=1.8)
        if i + 1 < mean.shape[0] and known[i, j] and known[i + 1, j] and below[i, j] != below[i + 1, j]:
            ax.plot(across.edges[j : j + 2], [up.edges[i + 1]] * 2, color="#111111", linewidth=1.8)


def _slanted(across: Axis, per_row: int) -> bool:
    width = (WIDTH - 1.6) / per_row
    return sum(len(written(value)) + 2 for value in across.values) * 0.075 > width


def _ticks(ax: Axes, across: Axis, up: Axis, *, names: bool, lowest: bool, slant: bool) -> None:
    """Every value at its cell, as far as they fit."""
    step = max(1, -(-len(across.values) // 12))
    ax.set_xticks(
        across.centers[::step],
        [written(value) for value in across.values[::step]] if lowest else [],
        rotation=40 if slant else 0,
        ha="right" if slant else "center",
        rotation_mode="anchor" if slant else "default",
        size=7.5,
    )
    ax.set_yticks(up.centers, [written(value) for value in up.values] if names else [], size=7.5)
    ax.set_xlabel(short(across.key) if lowest else "", labelpad=2)
    ax.set_ylabel(short(up.key) if names else "", labelpad=2)
    ax.tick_params(length=2, pad=2)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _bar(figure: Figure, axes: Sequence[Axes], mesh: Any, column: Column) -> None:
    """A color bar right of the first row of panels."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    from .curves import NICE, percent

    first = axes[0].get_position()
    box = figure.add_axes((1 - 0.66 / WIDTH, first.y0, 0.1 / WIDTH, first.height))
    bar = figure.colorbar(mesh, cax=box, ticks=MaxNLocator(4, steps=NICE))
    if is_share(column):
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    elif column.unit:
        unit = {"percentage points": "pp"}.get(column.unit, column.unit)
        bar.ax.set_title("\n".join(wrap(clean(unit), 10)), size=7, color=MUTED, loc="left", pad=3)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=2, pad=2, labelsize=7)


def _subtitle(limit: float | None, zero: bool, column: Column) -> str:
    parts = ["Means over seeds at the end of the runs."]
    if limit is not None:
        parts.append(f"Line: where the mean crosses {_number(column, limit)}.")
        parts.append(f"Dot: the 95 % t interval holds that limit, or there are fewer than {FEWEST} seeds.")
    elif zero:
        parts.append(f"Dot: the 95 % t interval holds zero, or there are fewer than {FEWEST} seeds.")
    return " ".join(parts)


def _uneven(across: Axis, up: Axis) -> str:
    found = [
        f"{short(each.key)}: {'log scale' if each.scale == 'log' else 'cells of one size, not to scale'}."
        for each in (across, up)
        if is_numeric(each.values) and each.scale != "to scale" and len(each.values) > 1
    ]
    return " ".join(found)
