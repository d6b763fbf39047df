"""The figures of a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from ...analysis.plots.sheet import head, sheet
from ...analysis.plots.style import INK, MUTED, RULE, look
from .calibration import Calibration
from .search import RANKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOG, WORLD, MISS = "#000000", "#0072B2", "#B04D00"
FARTHEST = 2.6
"""Tolerances at which the axis of differences ends."""


def draw_matches(result: Calibration) -> Figure:
    """How far the preset is from the log in each statistic that is judged, in tolerances."""
    judged = [match for match in result.matches if match.statistic.tolerance is not None]
    with look():
        page = sheet(
            "Where the preset is like the log",
            "Each statistic of the preset's first log minus that of the log, in units of its tolerance. Inside the gray "
            f"band it matches. Dots: mean of {len(result.curves) - 1} simulated logs; lines: one standard deviation between them.",
            [1],
            height=0.24 * len(judged) + 0.2,
            left=2.6,
            heading=0.08,
        )
        [[ax]] = page.rows
        ax.axvspan(-1, 1, color="#e6e6e6", zorder=0)
        ax.axvline(0, color=MUTED, linewidth=0.7, zorder=1)
        for row, match in enumerate(judged):
            statistic = match.statistic
            unit = (statistic.tolerance or 1.0) * (match.log if statistic.relative else 1.0)
            at, spread = (match.world - match.log) / unit, match.spread / unit
            color = MISS if match.verdict == "miss" else WORLD
            shown = float(np.clip(at, -FARTHEST + 0.1, FARTHEST - 0.1))
            ax.plot([shown - spread, shown + spread], [row, row], color=color, linewidth=1.2)
            ax.plot([shown], [row], marker="o" if shown == at else ("<" if at < 0 else ">"), color=color)
        ax.set_yticks(
            range(len(judged)),
            [f"{match.statistic.label}\n{match.log:.3g} → {match.world:.3g}" for match in judged],
            linespacing=1.0,
            size=7.5,
        )
        ax.set_ylim(len(judged) - 0.4, -0.6)
        ax.set_xlim(-FARTHEST, FARTHEST)
        ax.set_xlabel("difference from the log, in tolerances")
        return page.figure


def draw_logs(result: Calibration) -> Figure:
    """Counts by rank and singular values, of the log and of the simulated logs."""
    with look():
        page = sheet(
            "The log and the simulated logs",
            "Black: the log. Blue: simulated logs of the preset.",
            [2, 1],
            height=1.6,
        )
        (items, users), (spectrum,) = page.rows
        _counts(
            items, [each["items"] for each in result.curves], result.size.items, "Users of an item", "item"
        )
        _counts(
            users, [each["users"] for each in result.curves], result.size.users, "Items of a user", "user"
        )
        for number, values in reversed(list(enumerate(each["spectrum"] for each in result.curves))):
            spectrum.plot(range(2, len(values) + 2), values, **_style(number))
        head(spectrum, "Singular values of the log, without the first", 60)
        spectrum.set_xlabel("number of the singular value")
        spectrum.set_ylim(bottom=0)
        return page.figure


def _counts(ax: Axes, curves: Sequence[Sequence[float]], size: int, title: str, what: str) -> None:
    for number, values in reversed(list(enumerate(curves))):
        ax.plot(np.geomspace(1, size, RANKS), np.maximum(values, 0.5), **_style(number))
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    ax.grid(color=RULE, linewidth=0.4)
    ax.set_xlabel(
        f"rank of the {what}, most active first" if what == "user" else "rank of the item, most popular first"
    )
    head(ax, title)


def _style(number: int) -> dict:
    """Return the look of a line: the log is number 0."""
    if number == 0:
        return {"color": LOG, "linewidth": 1.8, "zorder": 3}
    return {"color": WORLD, "linewidth": 0.8, "alpha": 0.55, "zorder": 2}


def draw_settings(result: Calibration) -> Figure:
    """The 90 % set of each quantity inside its prior, and the value of the preset."""
    table = result.settings
    quantities = {each.name: each for each in result.size.quantities}
    logs = ", ".join(name for name, each in quantities.items() if each.log)
    with look():
        page = sheet(
            "What the log says of each setting",
            "Light: what was thought possible beforehand. Dark: the 90 % of it that is not ruled out, if all other settings "
            f"may vary. Dot: the preset. Settings in gray are not identified: other values do as well. On a log scale: {logs}.",
            [1],
            height=0.2 * len(table) + 0.1,
            left=2.05,
            right=0.9,
            heading=0.08,
            below=0.2,
        )
        [[ax]] = page.rows
        for row, each in enumerate(table.to_dict("records")):
            quantity = quantities[each["quantity"]]
            ends = [quantity.place(each[name]) for name in ("set_low", "set_high")]
            color = WORLD if each["identified"] else "#9a9a9a"
            ax.plot([0, 1], [row, row], color="#e6e6e6", linewidth=6, solid_capstyle="butt", zorder=1)
            ax.plot(ends, [row, row], color=color, linewidth=6, solid_capstyle="butt", zorder=2)
            # Also on the edge, where half of a marker would be cut off.
            chosen = quantity.place(each["preset"])
            ax.plot([chosen], [row], marker="o", color=INK, zorder=3, clip_on=False)
            ax.text(-0.02, row, f"{each['low']:g}", ha="right", va="center", size=7, color=MUTED)
            ax.text(1.02, row, f"{each['high']:.3g}", ha="left", va="center", size=7, color=MUTED)
            preset = f"{each['preset']:.3g}"
            ax.text(1.14, row, preset, ha="left", va="center", size=7.5, color=INK, weight="bold")
            ax.text(-0.1, row, each["quantity"], ha="right", va="center", size=7.5, color=INK)
        ax.set_ylim(len(table) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        ax.set_axis_off()
        return page.figure
