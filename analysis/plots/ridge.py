"""Shares of exposure by popularity decile over rounds, as stacked areas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from ..recording.deciles import DECILES, NEWBORN
from .curves import NICE
from .sheet import WIDTH, head, say, sheet
from .style import INK, ArmStyle, foreground, look, styles_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_PANELS = 12
"""Arms in one figure; of more, the reference and those at both ends of what the top decile gets."""
NEW = "#d9d9d9"


def flows(frame: pd.DataFrame, what: str) -> dict[str, tuple[NDArray, NDArray]]:
    """Return arm → rounds (n,) and the mean over seeds of every class's share (n, 11), newborn items first.

    `frame` is the table `deciles` of one grid point; `what` is "exposure", "consumption" or "demand".
    Rows in which nothing was shown (taken) are left out.
    """
    found = {}
    for arm, part in frame.groupby("arm", sort=False):
        wide = part.pivot_table(index=["seed", "round"], columns="decile", values=what, aggfunc="sum")
        wide = wide.reindex(columns=range(DECILES + 1), fill_value=0).astype(float)
        total = wide.sum(axis=1)
        shares = wide[total > 0].div(total[total > 0], axis=0).groupby("round").mean()
        if len(shares):
            found[str(arm)] = shares.index.to_numpy(float), shares.to_numpy()
    return found


def ridge(
    frame: pd.DataFrame, arms: Mapping[str, ArmStyle] | None = None, *, what: str = "exposure"
) -> Figure:
    """Stacked shares of all slots (or takes) by decile of round-0 popularity over rounds; a panel per arm.

    Right of each panel stand the shares of true demand at the end: what people would take if every
    item were equally visible. `frame` is the table `deciles` of one grid point.
    """
    with look():
        styles = styles_for(frame, arms)
        found = flows(frame, what)
        shown = [name for name in styles if name in found]
        if len(shown) > MOST_PANELS:
            kept = foreground({name: float(found[name][1][-1, -1]) for name in shown}, styles)
            shown = [name for name in shown if name in kept]
        demand = flows(frame[frame["arm"].isin(shown)], "demand")
        per_row = 1 if len(shown) == 1 else 2 if len(shown) in (2, 4) else 3
        rows = max(-(-len(shown) // per_row), 1)
        verb = {"exposure": "shown", "consumption": "taken"}.get(what, what)
        page = sheet(
            f"What is {verb}, by popularity at the start",
            "Share of all that is "
            + verb
            + ". Every band is a tenth of the round-0 catalog by popularity; the bar at "
            "the right is true demand.",
            [per_row] * rows,
            height=1.55 if per_row < 3 else 1.25,
            heading=0.3,
            gap=0.3,
            right=0.34,
            below=0.85,
            note=_note(frame, len(shown), len([name for name in styles if name in found])),
        )
        axes = [ax for row in page.rows for ax in row]
        for place, ax in enumerate(axes):
            if place >= len(shown):
                if place or shown:
                    ax.set_axis_off()
                else:
                    say(ax, f"Nothing was {verb}.")
                continue
            name = shown[place]
            _panel(ax, *found[name], demand[name][1][-1] if name in demand else None)
            style = styles[name]
            head(ax, f"{style.letter}  {name}", {1: 60, 2: 30, 3: 19}[per_row])
            ax.set_xlabel("round" if place + per_row >= len(shown) else "", labelpad=2)
            if place % per_row:
                ax.tick_params(labelleft=False)
        _legend(page.figure, any((found[name][1][:, NEWBORN] > 0).any() for name in shown))
        return page.figure


def colors() -> list:
    """Return the color of every class: newborn items gray, then deciles from least to most popular."""
    return [NEW, *(mpl.colormaps["cividis_r"](0.04 + 0.96 * i / (DECILES - 1)) for i in range(DECILES))]


def _panel(ax: Axes, rounds: NDArray, shares: NDArray, demand: NDArray | None) -> None:
    if len(rounds) == 1:
        rounds, shares = np.array([rounds[0] - 0.5, rounds[0] + 0.5]), np.repeat(shares, 2, axis=0)
    ax.stackplot(rounds, shares.T, colors=colors(), linewidth=0.25, edgecolor="white")
    ax.set(xlim=(rounds[0], rounds[-1]), ylim=(0, 1))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    ax.yaxis.set_ticks([0, 0.5, 1])
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=NICE, integer=True, min_n_ticks=1))
    ax.tick_params(length=2.5, pad=2)
    if demand is not None:
        inches = ax.get_position().width * WIDTH
        for share, bottom, color in zip(demand, np.cumsum(demand) - demand, colors(), strict=True):
            strip = Rectangle((1 + 0.04 / inches, bottom), 0.1 / inches, share, facecolor=color)
            strip.set(transform=ax.transAxes, clip_on=False, edgecolor="white", linewidth=0.25)
            ax.add_artist(strip)


def _legend(figure: Figure, newborn: bool) -> None:
    """The classes as a strip of colors under the panels."""
    height = figure.get_figheight()
    lines = sum(1 for text in figure.texts if text.get_verticalalignment() == "bottom")
    y = 0.12 + 0.145 * lines + (0.06 if lines else 0)
    x = 0.56

    def write(text: str, x: float) -> None:
        figure.text(x / WIDTH, (y + 0.045) / height, text, size=7.5, color=INK, va="center_baseline")

    if newborn:
        figure.add_artist(
            Rectangle(
                (x / WIDTH, y / height), 0.14 / WIDTH, 0.1 / height, color=NEW, transform=figure.transFigure
            )
        )
        write("born later", x + 0.2)
        x += 1.0
    write("least popular tenth", x)
    x += 1.12
    for place, color in enumerate(colors()[1:]):
        figure.add_artist(
            Rectangle(((x + 0.14 * place) / WIDTH, y / height), 0.14 / WIDTH, 0.1 / height, color=color, lw=0,
                      transform=figure.transFigure)
        )  # fmt: skip
    write("most popular tenth", x + 0.14 * DECILES + 0.06)


def _note(frame: pd.DataFrame, shown: int, all_of_them: int) -> str:
    seeds = frame["seed"].nunique() if len(frame) else 0
    parts = [f"Mean of {seeds} seeds." if seeds > 1 else "One seed."]
    # Not from the column `rounds`, which is that of the grid where it varies them.
    covered = int(np.diff(np.unique(frame["round"])).max(initial=1))
    if covered > 1:
        parts.append(f"Each point sums {covered} rounds.")
    if shown < all_of_them:
        parts.append(
            f"{shown} of {all_of_them} arms: the reference, and those with most and least in the top tenth."
        )
    return " ".join(parts)
