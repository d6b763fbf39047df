"""Trade-off frontier: welfare against niche exposure, miscalibration as color, and each arm's path over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from ..measures.columns import describe, is_share
from ..statistics import t_interval
from .curves import NICE, percent
from .series import ENDS
from .sheet import WIDTH, place_letters, say, sheet
from .style import MUTED, RULE, ArmStyle, clean, look, styles_for, wrap

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

AXES = ("niche_exposure", "welfare", "miscalibration")
"""Across, up, and color. Of the last, less is better; of the others more."""
STEPS = 5
"""Points of an arm's path from start to end."""


def frontier(
    rounds: pd.DataFrame,
    arms: Mapping[str, ArmStyle] | None = None,
    *,
    measures: Sequence[str] = AXES,
    better: Sequence[int] = (1, 1, -1),
    span: int = ENDS,
) -> Figure:
    """Where every arm ends in two measures, with its way there; a third is the color of its end point.

    `rounds` is the tidy table of one grid point. The way runs through means over seeds of `STEPS` equal
    parts of the rounds, first and last replaced by the first and last `span` rounds; bars at the end
    are 95 % t intervals over seeds. A ring marks the arms that are Pareto-optimal at the end: no other
    arm is at least as good in all measures and better in one (`better`: 1 = more, −1 = less is better).
    Third measure without values: the color and that part of the comparison are left out.
    """
    with look():
        styles = styles_for(rounds, arms)
        names = [name for name in measures if name in rounds.columns and rounds[name].notna().any()]
        columns = [describe(name) for name in measures]
        page = sheet(
            f"{columns[1].title} against {columns[0].title[:1].lower()}{columns[0].title[1:]}",
            _subtitle(rounds, [describe(name).title for name in names], better, span),
            [1],
            arms=styles,
            height=3.1,
            heading=0.1,
            right=0.85,
            note="Bars: 95 % t interval over seeds, cut off where it leaves the panel. Thin lines: the way from the start, arrow at the end. "
            "More niche exposure is not good by itself; here it is what welfare is traded for.",
            intervals=True,
        )
        ax = page.rows[0][0]
        if len(names) < 2 or names[:2] != list(measures[:2]):
            say(ax, f"{columns[0].title} or {columns[1].title} has no value.")
            return page.figure
        ways = {name: _way(rounds[rounds["arm"] == name], names, span) for name in styles}
        ways = {name: way for name, way in ways.items() if np.isfinite(way[0][-1, :2]).all()}
        if not ways:
            say(ax, "No arm has a value of both.")
            return page.figure
        best = pareto(np.array([way[-1] for way, _ in ways.values()]), list(better)[: len(names)])
        optimal = {name for name, fine in zip(ways, best, strict=True) if fine}
        mesh = _draw(ax, ways, styles, optimal, colored=len(names) > 2)
        _finish(ax, columns[:2])
        _limits(ax, ways, columns)
        if mesh is not None:
            _bar(page.figure, ax, mesh, columns[2])
        ends = [(styles[name], float(way[-1, 0]), float(way[-1, 1])) for name, (way, _) in ways.items()]
        place_letters(ax, ends, first=optimal)
        return page.figure


def pareto(values: NDArray[np.float64], better: Sequence[int]) -> NDArray[np.bool_]:
    """Return (n,) which rows of values (n, m) no other row dominates; NaN in a column leaves a row out.

    A row dominates another that it is at least as good as in every column and better than in one.
    """
    signed = values * np.asarray(better, float)
    known = np.asarray(np.isfinite(signed).all(axis=1))
    at_least = (signed[:, None, :] >= signed[None, :, :]).all(axis=2)
    beyond = (signed[:, None, :] > signed[None, :, :]).any(axis=2)
    beaten = (at_least & beyond & known[:, None]).any(axis=0)
    return known & ~beaten


def _way(part: pd.DataFrame, names: Sequence[str], span: int) -> tuple[NDArray, NDArray]:
    """Points (steps, m) from start to end, and the half widths (m,) at the end."""
    if not len(part):
        return np.full((1, len(names)), np.nan), np.full(len(names), np.nan)
    last = int(part["round"].max())
    bounds = np.linspace(0, last + 1, STEPS + 1)
    parts = [part[(part["round"] >= a) & (part["round"] < b)] for a, b in pairwise(bounds)]
    parts[0], parts[-1] = part[part["round"] < span], part[part["round"] > last - span]
    if last + 1 < 2 * span:
        parts = parts[-1:]
    means = [each.groupby("seed")[list(names)].mean() for each in parts if len(each)]
    way = np.array([each.mean().to_numpy(float) for each in means])
    half = t_interval(means[-1].to_numpy(float).T)[1]
    return way, half


def _draw(
    ax: Axes, ways: Mapping[str, tuple], styles: Mapping[str, ArmStyle], optimal: set[str], *, colored: bool
):
    thirds = np.array([way[-1, 2] for way, _ in ways.values()]) if colored else np.empty(0)
    known = thirds[np.isfinite(thirds)]
    norm = None
    if len(known):
        low, high = float(known.min()), float(known.max())
        norm = Normalize(low, high if high > low else low + (abs(low) or 1.0) * 0.01)
    many = len(ways) > 12
    for name, (way, half) in ways.items():
        color, x, y = styles[name].color, way[-1, 0], way[-1, 1]
        if len(way) > 1:
            ax.plot(
                way[:, 0],
                way[:, 1],
                color=color,
                linewidth=0.7 if many else 1.0,
                alpha=0.45 if many else 0.8,
                zorder=2,
            )
            ax.annotate(
                "", xy=(x, y), xytext=(way[-2, 0], way[-2, 1]), zorder=2,
                arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 0, "shrinkB": 3.5, "mutation_scale": 7,
                            "alpha": 0.8},
            )  # fmt: skip
        width = np.nan_to_num(half)
        ax.errorbar(
            x,
            y,
            xerr=width[0],
            yerr=width[1],
            color="#d0d0d0" if many else "#8a8a8a",
            linewidth=0.7,
            zorder=1,
            fmt="none",
        )
        if name in optimal:
            ax.plot(x, y, "o", markersize=9.5, mfc="none", mec="#111111", mew=1.0, zorder=3)
    points = np.array([way[-1, :2] for way, _ in ways.values()])
    if norm is None:
        ax.scatter(*points.T, s=26, c=[styles[name].color for name in ways], zorder=4, linewidths=0)
        return None
    return ax.scatter(
        *points.T, s=30, c=np.where(np.isfinite(thirds), thirds, np.nan), norm=norm, cmap="cividis_r", zorder=4,
        edgecolors="#333333", linewidths=0.5, plotnonfinite=False,
    )  # fmt: skip


def _limits(ax: Axes, ways: Mapping[str, tuple], columns: Sequence) -> None:
    """Room for every way; intervals of few seeds are cut off rather than press all points into one."""
    points = np.concatenate([way[:, :2] for way, _ in ways.values()])
    points = points[np.isfinite(points).all(axis=1)]
    halves = np.nan_to_num(np.array([half[:2] for _, half in ways.values()]))
    ends = np.array([way[-1, :2] for way, _ in ways.values()])
    for place, limit in enumerate((ax.set_xlim, ax.set_ylim)):
        low, high = float(points[:, place].min()), float(points[:, place].max())
        bottom, top = float((ends - halves)[:, place].min()), float((ends + halves)[:, place].max())
        room = 0.35 * (high - low) or 0.5 * (top - bottom)
        least, most = columns[place].low, columns[place].high
        low, high = max(min(bottom, low), low - room, least), min(max(top, high), high + room, most)
        pad = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
        limit(max(low - pad, least - 0.02 * (high - low)), min(high + pad, most + 0.02 * (high - low)))


def _finish(ax: Axes, columns: Sequence) -> None:
    for axis, column in zip((ax.xaxis, ax.yaxis), columns, strict=True):
        axis.set_major_locator(MaxNLocator(5, steps=NICE))
        if is_share(column):
            axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
        title = column.title + (f" ({column.unit})" if column.unit and not is_share(column) else "")
        axis.set_label_text(title)
    ax.grid(color=RULE, linewidth=0.4)
    ax.set_axisbelow(True)
    ax.tick_params(length=2.5, pad=2)


def _bar(figure: Figure, ax: Axes, mesh, column) -> None:
    place = ax.get_position()
    box = figure.add_axes((1 - 0.72 / WIDTH, place.y0, 0.1 / WIDTH, place.height * 0.8))
    bar = figure.colorbar(mesh, cax=box, ticks=MaxNLocator(4, steps=NICE))
    if is_share(column):
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=2, pad=2, labelsize=7)
    lines = wrap(clean(column.title), 14)[:3]
    bar.ax.set_title("\n".join(lines), size=7, color=MUTED, loc="left", pad=3)


def _subtitle(rounds: pd.DataFrame, titles: Sequence[str], better: Sequence[int], span: int) -> str:
    ran = int(rounds["round"].max()) + 1 if len(rounds) else 0
    ends = f"the last {span} rounds" if ran > span else "all rounds"
    words = [
        f"{'more' if sign > 0 else 'less'} “{title}”" for title, sign in zip(titles, better, strict=False)
    ]
    return f"Means of {ends}. Ring: Pareto-optimal, where {', '.join(words)} count as better."
