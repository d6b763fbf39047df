"""Lorenz curves: how unevenly exposure, consumption and demand are spread over the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from .curves import crowded
from .series import ENDS
from .sheet import head, say, sheet
from .style import BACKGROUND, MUTED, RULE, ArmStyle, foreground, look, styles_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WHAT = {"exposure": "Shown", "consumption": "Taken"}


def lorenz(frame: pd.DataFrame, arms: Mapping[str, ArmStyle] | None = None, *, span: int = ENDS) -> Figure:
    """Lorenz curves of exposure and of consumption, at the start and at the end, with demand behind them.

    `frame` is the table of one grid point: arm, seed, when ("start" | "end"), what ("exposure" |
    "consumption" | "demand"), x (share of items, least first), y (their share of the total). Lines
    are means over seeds; the gray area spans the demand curves of the arms. `span` is how many rounds
    make up the start and the end: fewer in a study that has fewer.
    """
    with look():
        styles = styles_for(frame, arms)
        rounds = "round" if span == 1 else f"{span} rounds"
        spans = {"start": f"first {rounds}", "end": f"last {rounds}"}
        mean = frame.groupby(["what", "when", "arm", "x"])["y"].mean()
        page = sheet(
            "How evenly the catalog is shown and taken",
            "The closer a curve is to the diagonal, the more evenly items share. The gray area is what "
            "people would take if everything were equally visible (true demand).",
            [2, 2],
            arms=styles,
            height=1.95,
            note=f"Lines: mean of {frame['seed'].nunique()} seeds. Items are sorted anew for each curve, least first. "
            + crowded(styles),
        )
        for axes, (what, verb) in zip(page.rows, _WHAT.items(), strict=True):
            for ax, (when, words) in zip(axes, spans.items(), strict=True):
                drawn = _panel(ax, mean, what, when, styles)
                if drawn:
                    _finish(ax, f"{verb}, {words}", verb, last_row=axes is page.rows[-1], first=ax is axes[0])
                else:
                    say(ax, f"{verb}, {words}: no value in this study")
        return page.figure


def _panel(ax: Axes, mean: pd.Series, what: str, when: str, styles: Mapping[str, ArmStyle]) -> bool:
    """Draw one panel; return whether there was anything to draw."""
    if not len(mean) or (what, when) not in mean.index.droplevel(["arm", "x"]).unique():
        return False
    table = mean.loc[(what, when)].unstack("arm")
    if ("demand", when) in mean.index.droplevel(["arm", "x"]).unique():
        demand = mean.loc[("demand", when)].unstack("arm")
        ax.fill_between(
            demand.index, demand.min(axis=1), demand.max(axis=1), color="#bdbdbd", linewidth=2.2, zorder=1
        )
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    # Arms are ranked by how far their curve lies below the diagonal.
    shown = foreground({name: float(table[name].mean()) for name in table if name in styles}, styles)
    for place, (name, style) in enumerate(styles.items()):
        if name in table and name not in shown:
            ax.plot(table.index, table[name], color=BACKGROUND, linewidth=0.6, zorder=1)
        elif name in table:
            # Markers where curves part: far right, where unequal shares rise.
            every = [min(60 + 3 * place, len(table) - 1), min(84 + place, len(table) - 1)]
            ax.plot(
                table.index,
                table[name],
                color=style.color,
                linestyle=style.dash,
                marker=style.marker,
                markevery=every,
                linewidth=1.3,
                markersize=3.4,
                zorder=2,
            )
    return True


def _finish(ax: Axes, title: str, verb: str, *, last_row: bool, first: bool) -> None:
    head(ax, title)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.set_xlabel("share of items" if last_row else "", labelpad=2)
    ax.set_ylabel(f"share of all that is {verb.lower()}" if first else "", labelpad=2)
    ax.grid(color=RULE, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(length=2.5, pad=2)
