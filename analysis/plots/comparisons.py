"""Figures that compare arms: paired differences, niche half-lives, and means across a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..measures.base import Column
from ..measures.columns import describe, is_share
from ..statistics import Survival, median_survival, t_interval
from .curves import NICE, finish
from .sheet import head, label_ends, say, sheet
from .style import MUTED, RULE, ArmStyle, clean, look, styles_for, wrap

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NAMES = 1.45
"""Inches for arm names left of the panels."""


def differences(
    table: pd.DataFrame,
    measures: Sequence[str | Column],
    reference: str,
    arms: Mapping[str, ArmStyle] | None = None,
) -> Figure:
    """Forest plot: each arm minus the reference, paired by seed, with its 95 % interval; a panel per measure.

    `table` is what `statistics.compare` returns for one grid point.
    """
    with look():
        styles = styles_for(table, arms)
        columns = [c if isinstance(c, Column) else describe(c) for c in measures]
        columns = [c for c in columns if (table["measure"] == c.name).any()]
        shown = [style for name, style in styles.items() if (table["arm"] == name).any()]
        rows = [columns[i : i + 2] for i in range(0, len(columns), 2)] or [[]]
        page = sheet(
            f"Differences from {clean(reference, 60)}",
            "Points: mean difference, paired by seed; bars: 95 % interval. A bar that crosses the line at "
            "zero leaves the sign open.",
            [2] * len(rows),
            height=max(0.5, 0.235 * len(shown) + 0.1),
            heading=0.5,
            left=_NAMES,
            gap=0.02,
        )
        if not columns or not shown:
            for ax in page.rows[0]:
                ax.set_axis_off()
            say(page.rows[0][0], "There is nothing to compare.")
        for axes, row in zip(page.rows, rows, strict=True):
            for ax, column in zip(axes, row, strict=False):
                part = table[table["measure"] == column.name].set_index("arm")
                _forest(ax, column, part, shown, names=ax is axes[0])
            for ax in axes[len(row) :]:
                ax.set_axis_off()
        return page.figure


def _forest(ax: Axes, column: Column, part: pd.DataFrame, shown: Sequence[ArmStyle], *, names: bool) -> None:
    head(ax, column.title, 26)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    places = np.arange(len(shown))[::-1]
    factor = 100.0 if is_share(column) else 1.0
    for y, style in zip(places, shown, strict=True):
        row = part.loc[style.name]
        if np.isfinite(row["difference"]):
            ax.plot(factor * row["difference"], y, marker=style.marker, color=style.color, markersize=4.5)
            if np.isfinite(row["low"]):
                ax.plot(
                    factor * np.array([row["low"], row["high"]]), [y, y], color=style.color, linewidth=1.4
                )
        else:
            ax.text(
                0.5, y, "no pair", color=MUTED, size=7.5, ha="center", va="center",
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip
        ax.axhline(y, color=RULE, linewidth=0.4, zorder=0)
    _arm_axis(ax, shown, places, names=names)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -0.04 * (high - low)), max(high, 0.04 * (high - low)))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=NICE))
    ax.set_xlabel("percentage points" if is_share(column) else column.unit, labelpad=2)
    ax.spines["left"].set_visible(False)


def _arm_axis(ax: Axes, shown: Sequence[ArmStyle], places: np.ndarray, *, names: bool) -> None:
    """Arms as rows, top to bottom, with letter and name in place of a scale where `names`."""
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_yticks([])
    for y, style in zip(places, shown, strict=True):
        if names:
            lines = wrap(f"{style.letter}  {clean(style.name, 42)}", 24)[:2]
            ax.text(
                -0.03, y, "\n".join(lines), ha="right", va="center", size=7.5 if len(lines) == 1 else 6.8,
                linespacing=0.95, transform=ax.get_yaxis_transform(),
            )  # fmt: skip
    ax.tick_params(length=2.5, pad=2)
    ax.grid(axis="x", color=RULE, linewidth=0.4)
    ax.set_axisbelow(True)


def half_life(runs: pd.DataFrame, arms: Mapping[str, ArmStyle] | None = None) -> Figure:
    """Rounds until niche exposure was half of the organic arm's, per arm: one dot per seed, the median as a bar.

    `runs` is the table of one grid point, with `niche_half_life` and `niche_half_life_censored`.
    Where some seeds never halved there is an open triangle at the last round.
    """
    with look():
        styles = styles_for(runs, arms)
        found = half_lives(runs)
        page = sheet(
            "How many rounds until niche exposure was half of the organic arm's",
            "One dot per seed; the bar is the median over seeds, in brackets how many of them halved. Open "
            "triangle: not halved when the run ended. A falling niche share is not harm by itself: see what "
            "was wanted and taken.",
            [1],
            height=max(0.6, 0.26 * len(styles) + 0.1),
            heading=0.06,
            left=_NAMES,
            right=1.5,
        )
        ax = page.rows[0][0]
        if not any(len(times) for times, _, _ in found.values()):
            say(ax, "Niche half-life needs an organic arm, which this study does not have.")
            return page.figure
        right = max(float(times.max()) for times, _, _ in found.values() if len(times)) or 1.0
        places = np.arange(len(styles))[::-1]
        for y, style in zip(places, styles.values(), strict=True):
            times, censored, survival = found.get(style.name, (np.empty(0), np.empty(0, bool), None))
            # Spread by place, not by chance, so that equal times stay visible and the figure reproducible.
            spread = y + 0.28 * (np.arange(len(times)) / max(len(times) - 1, 1) - 0.5)
            ax.plot(
                times[~censored], spread[~censored], "o", color=style.color, markersize=3, alpha=0.55, mew=0
            )
            if censored.any():
                ax.plot(
                    times[censored].max(), y, ">", color=style.color, mfc="white", markersize=5, mew=1,
                    clip_on=False,
                )  # fmt: skip
            if survival is not None and np.isfinite(survival.median):
                ax.plot([survival.median] * 2, [y - 0.32, y + 0.32], color=style.color, linewidth=2)
            text = _in_words(survival) if survival is not None else "no run finished"
            ax.text(1.03, y, text, size=7.5, color=MUTED, va="center", transform=ax.get_yaxis_transform())
            ax.axhline(y, color=RULE, linewidth=0.4, zorder=0)
        _arm_axis(ax, list(styles.values()), places, names=True)
        ax.set_xlim(0, right * 1.02)
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=NICE, integer=True))
        ax.set_xlabel("rounds", labelpad=2)
        return page.figure


def half_lives(runs: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray, Survival]]:
    """Per arm: times (n,), whether censored (n,), and the Kaplan–Meier median over seeds.

    A run without a time had no organic run to compare with and is left out.
    """
    if not {"niche_half_life", "niche_half_life_censored"} <= set(runs.columns):
        return {}
    found = {}
    for arm, part in runs.groupby("arm", sort=False):
        censored = part["niche_half_life_censored"].eq(True).to_numpy(bool)
        times = part["niche_half_life"].to_numpy(np.float64, na_value=np.nan)
        known = np.isfinite(times)
        found[str(arm)] = times[known], censored[known], median_survival(times, censored)
    return found


def _in_words(survival: Survival) -> str:
    if survival.n == 0:
        return "undefined"
    reached = np.isfinite(survival.median)
    time = f"{survival.median:.0f}" if reached else f"> {survival.horizon:.0f}"
    return f"{time} rounds ({survival.events} of {survival.n})"


def across_grid(
    points: Sequence[str],
    runs: Sequence[pd.DataFrame],
    measures: Sequence[str | Column],
    arms: Mapping[str, ArmStyle],
    *,
    axis: str = "grid point",
) -> Figure:
    """Means at the end of the run by grid point, one panel per measure, one line per arm.

    `points` are short labels, `runs` the run tables of the same points, in the order of the grid.
    """
    with look():
        columns = [c if isinstance(c, Column) else describe(c) for c in measures]
        columns = [c for c in columns if any(c.name in part and part[c.name].notna().any() for part in runs)]
        rows = [columns[i : i + 2] for i in range(0, len(columns), 2)] or [[]]
        page = sheet(
            "The grid at a glance",
            "Means of the last rounds of each run, over seeds; bars: 95 % t interval.",
            [2] * len(rows),
            arms=arms,
            heading=0.4,
            intervals=True,
        )
        for axes, row in zip(page.rows, rows, strict=True):
            for ax, column in zip(axes, row, strict=False):
                _grid_panel(ax, column, points, runs, arms)
                ax.set_xlabel(clean(axis, 40) if axes is page.rows[-1] else "", labelpad=2)
            for ax in axes[len(row) :]:
                ax.set_axis_off()
        return page.figure


def _grid_panel(
    ax: Axes,
    column: Column,
    points: Sequence[str],
    runs: Sequence[pd.DataFrame],
    arms: Mapping[str, ArmStyle],
) -> None:
    labels, at = [], np.arange(len(points))
    for place, (name, style) in enumerate(arms.items()):
        values = [part.loc[part["arm"] == name, column.name].to_numpy(float) for part in runs]
        summary = [t_interval(v)[:2] if len(v) else (np.nan, np.nan) for v in values]
        mean, half = (np.array([float(s[i]) for s in summary]) for i in (0, 1))
        if not np.isfinite(mean).any():
            continue
        shift = 0.03 * (place - (len(arms) - 1) / 2)
        ax.errorbar(
            at + shift, mean, yerr=np.nan_to_num(half), color=style.color, linestyle=style.dash,
            marker=style.marker, markersize=3.6, linewidth=1.2, elinewidth=0.8,
        )  # fmt: skip
        labels.append((style, float(mean[np.isfinite(mean)][-1])))
    finish(ax, column)
    ax.margins(y=0.12)
    shown = at[:: max(1, -(-len(at) // 8))]
    ax.set_xticks(shown)

    def label(x: float, _: int) -> str:
        return clean(points[round(x)], 10) if 0 <= round(x) < len(points) else ""

    ax.xaxis.set_major_formatter(FuncFormatter(label))
    label_ends(ax, labels)
