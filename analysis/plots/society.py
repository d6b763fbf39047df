"""The social network at round 0 and at the end: people colored by dominant taste, ties between communities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from ..recording.network import END, START
from .sheet import WIDTH, head, say, sheet
from .style import INK, MUTED, ArmStyle, clean, foreground, look, styles_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TASTE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe & Ito (2008); tastes of more topics than these are gray."""
OTHER = "#bdbdbd"
MOST_ARMS = 5
"""Arms whose end is drawn; of more, the reference and those with most and fewest ties between like people."""
SEED = 0
"""Of the layout."""


def network(
    users: pd.DataFrame,
    ties: pd.DataFrame,
    arms: Mapping[str, ArmStyle] | None = None,
    *,
    by: str = "community",
) -> Figure:
    """Draw the network at round 0, the same for all arms, and at the end of each arm, of one seed.

    `users` and `ties` are the tables `network_users` and `network_ties` of one grid point. A disc is a
    community, its area in proportion to its people; every dot is a person, colored by the main topic of
    the taste that is largest then; of more than 1,000 people 1,000 are drawn. The wider a line, the more
    ties run between two communities (over everybody). Discs stand where networkx's spring layout
    (Fruchterman & Reingold, 1991) puts communities that are tied as they are at round 0, from a fixed
    seed, so that panels can be compared. `by` = "taste" makes discs of dominant tastes; so does a world of one
    community.
    """
    with look():
        styles = styles_for(users, arms)
        known = [name for name in styles if (users["arm"] == name).any()]
        seed = {name: users.loc[users["arm"] == name, "seed"].iloc[0] for name in known}
        users = _one_seed(users, seed)
        ties = _one_seed(ties, seed)
        if by == "community" and len(users) and users["community"].nunique() < 2:
            by = "taste"
        alike = {(name, when): _alike(ties, name, when) for name in known for when in (START, END)}
        shown = known
        if len(known) > MOST_ARMS:
            order = foreground(
                {name: np.nan_to_num(alike[name, END][1]) for name in known}, _many(known, styles)
            )
            shown = [name for name in known if name in order][: MOST_ARMS + 2]
        panels = [("", START), *((name, END) for name in shown)] if shown else []
        per_row = 2 if len(panels) in (2, 4) else 3
        rows = max(-(-len(panels) // per_row), 1)
        side = (WIDTH - 0.2 - (per_row - 1) * 0.3) / per_row
        colors, entries = _palette(users)
        page = sheet(
            "The social network, by dominant taste",
            _subtitle(by, users),
            [per_row] * rows,
            height=side,
            heading=0.32,
            left=0.12,
            gap=0.06,
            right=0.12,
            below=0.62,
            note=_note(users, shown, known),
        )
        axes = [ax for row in page.rows for ax in row]
        if not panels:
            for ax in axes:
                ax.set_axis_off()
            say(axes[0], "These results hold no network.")
            return page.figure
        start = users[(users["arm"] == shown[0]) & (users["when"] == START)]
        places, sizes = _layout(start, ties[(ties["arm"] == shown[0]) & (ties["when"] == START)], by)
        for ax, (name, when) in zip(axes, panels, strict=False):
            arm = name or shown[0]
            people = users[(users["arm"] == arm) & (users["when"] == when)]
            tied = ties[(ties["arm"] == arm) & (ties["when"] == when) & (ties["by"] == by)]
            _panel(ax, people, tied, places, sizes, by, colors)
            title = (
                f"End: {styles[name].letter} {clean(name, 44 if per_row == 2 else 28)}"
                if name
                else "Round 0, all arms"
            )
            head(ax, title, 30 if per_row == 2 else 22)
            ax.text(0.5, -0.02, _shares(*alike[arm, when]), transform=ax.transAxes, size=7, color=MUTED, ha="center",
                    va="top", linespacing=1.05)  # fmt: skip
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        _legend(page.figure, entries)
        return page.figure


def _one_seed(table: pd.DataFrame, seed: Mapping[str, int]) -> pd.DataFrame:
    return table[table["seed"] == table["arm"].map(seed)] if len(table) else table


def _many(known: Sequence[str], styles: Mapping[str, ArmStyle]) -> dict[str, ArmStyle]:
    """Styles that `foreground` takes for too many, however many there are."""
    return {**{name: styles[name] for name in known}, **{f"\0{i}": styles[known[0]] for i in range(10)}}


def _alike(ties: pd.DataFrame, arm: str, when: str) -> tuple[float, float]:
    """Share of ties inside a community, and between people of one dominant taste; NaN without ties."""
    part = ties[(ties["arm"] == arm) & (ties["when"] == when)] if len(ties) else ties
    found = []
    for by in ("community", "taste"):
        some = part[part["by"] == by] if len(part) else part
        total = some["ties"].sum() if len(some) else 0
        found.append(
            float(some.loc[some["one"] == some["other"], "ties"].sum() / total) if total else float("nan")
        )
    return found[0], found[1]


def _shares(inside: float, alike: float) -> str:
    if np.isnan(inside):
        return "no ties"
    return f"ties within a community {100 * inside:.0f} %,\nwithin a dominant taste {100 * alike:.0f} %"


def _layout(people: pd.DataFrame, ties: pd.DataFrame, by: str) -> tuple[dict[int, NDArray], dict[int, float]]:
    """Centers and radii of the discs, in a square of side 1."""
    import networkx as nx

    counts = people[by].value_counts().sort_index()
    names = [int(name) for name in counts.index]
    graph = nx.Graph()
    graph.add_nodes_from(names)
    between = ties[(ties["by"] == by) & (ties["one"] != ties["other"])]
    for one, other, number in between[["one", "other", "ties"]].itertuples(index=False):
        if one in graph and other in graph:
            # Weights are per possible pair of people; otherwise a large community would be near all others.
            graph.add_edge(int(one), int(other), weight=float(number / np.sqrt(counts[one] * counts[other])))
    places = nx.spring_layout(graph, seed=SEED, weight="weight", iterations=200) if len(names) > 1 else {
        name: np.zeros(2) for name in names
    }  # fmt: skip
    # The discs cover a fixed share of the square.
    radii = {name: float(np.sqrt(0.34 / np.pi * counts[name] / counts.sum())) for name in names}
    return _apart({name: np.asarray(place, float) for name, place in places.items()}, radii), radii


def _apart(places: dict[int, NDArray], radii: dict[int, float]) -> dict[int, NDArray]:
    """Scale the layout into the unit square and push discs off each other, in order of name."""
    names = list(places)
    at = np.array([places[name] for name in names]).reshape(-1, 2)
    size = np.array([radii[name] for name in names])
    spread = np.ptp(at, axis=0)
    at = 0.12 + 0.76 * (at - at.min(axis=0)) / np.where(spread > 1e-9, spread, 1)
    if len(names) == 1:
        at[:] = 0.5
    for _ in range(400):
        moved = False
        for i in range(len(names)):
            for j in range(i):
                gap = at[i] - at[j]
                distance = float(np.hypot(*gap))
                missing = size[i] + size[j] + 0.02 - distance
                if missing > 1e-6:
                    way = gap / distance if distance > 1e-9 else np.array([1.0, 0.0])
                    at[i], at[j] = at[i] + way * missing / 2, at[j] - way * missing / 2
                    moved = True
        at = np.clip(at, size[:, None] + 0.01, 0.99 - size[:, None])
        if not moved:
            break
    return {name: at[i] for i, name in enumerate(names)}


def _panel(
    ax: Axes,
    people: pd.DataFrame,
    ties: pd.DataFrame,
    places: Mapping[int, NDArray],
    sizes: Mapping[int, float],
    by: str,
    colors: Mapping[int, str],
) -> None:
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    between = ties[(ties["one"] != ties["other"]) & ties["one"].isin(places) & ties["other"].isin(places)]
    if len(between):
        most = float(between["ties"].max())
        lines = [
            [places[int(a)], places[int(b)]] for a, b in between[["one", "other"]].itertuples(index=False)
        ]
        widths = 6.0 * between["ties"].to_numpy(float) / most
        ax.add_collection(LineCollection(lines, linewidths=widths, colors="#dddddd", zorder=1))
    inches = ax.get_position().width * WIDTH
    for name, center in places.items():
        part = people[people[by] == name].sort_values(["taste", "user"])
        ax.add_patch(_disc(center, sizes[name]))
        spots = center + sizes[name] * 0.93 * sunflower(len(part))
        dot = min(1.35 * sizes[name] * inches * 72 / max(np.sqrt(len(part)), 1), 6.0)
        ax.scatter(
            *spots.T,
            s=dot**2,
            c=[colors.get(int(taste), OTHER) for taste in part["taste"]],
            linewidths=0,
            zorder=3,
        )


def _disc(center: NDArray, radius: float):
    from matplotlib.patches import Circle

    return Circle(tuple(center), radius, facecolor="white", edgecolor="#8a8a8a", linewidth=0.6, zorder=2)


def sunflower(n: int) -> NDArray[np.float64]:
    """Return (n, 2) places in the unit disc, evenly dense (Vogel 1979), in order of their angle."""
    k = np.arange(n)
    radius = np.sqrt((k + 0.5) / max(n, 1))
    angle = (k * np.pi * (3 - np.sqrt(5))) % (2 * np.pi)
    order = np.argsort(angle, kind="stable")
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[order]


def _palette(users: pd.DataFrame) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Colors of the most frequent dominant tastes at round 0, and the entries of the legend."""
    if not len(users):
        return {}, []
    start = users[users["when"] == START]["taste"].value_counts()
    ranked = sorted(start.index, key=lambda taste: (-start[taste], taste))
    colors = {int(taste): color for taste, color in zip(ranked, TASTE_COLORS, strict=False)}
    entries = [(f"topic {taste}", colors[taste]) for taste in sorted(colors)]
    if len(set(users["taste"])) > len(colors):
        entries.append(("other topics", OTHER))
    return colors, entries


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    height = figure.get_figheight()
    lines = sum(1 for text in figure.texts if text.get_verticalalignment() == "bottom")
    y = 0.14 + 0.145 * lines
    step = (WIDTH - 0.2) / max(len(entries), 1)
    for place, (text, color) in enumerate(entries):
        x = 0.14 + min(step, 0.75) * place
        figure.add_artist(_dot(x / WIDTH, y / height, color, figure))
        figure.text((x + 0.07) / WIDTH, y / height, text, size=7, color=INK, va="center_baseline")


def _dot(x: float, y: float, color: str, figure: Figure):
    from matplotlib.lines import Line2D

    return Line2D(
        [x], [y], color=color, marker="o", markersize=5, mew=0, linestyle="", transform=figure.transFigure
    )


def _subtitle(by: str, users: pd.DataFrame) -> str:
    what = "a community" if by == "community" else "the people of one dominant taste"
    return f"A disc is {what}, a dot a person, colored by the topic they want most then. Lines: ties between discs."


def _note(users: pd.DataFrame, shown: Sequence[str], known: Sequence[str]) -> str:
    parts = []
    if len(users):
        seeds = sorted({int(seed) for seed in users["seed"]})
        parts.append(f"Seed {', '.join(map(str, seeds))}. A line's width counts ties of all users.")
    if len(shown) < len(known):
        parts.append(
            f"{len(shown)} of {len(known)} arms: the reference, and those with most and fewest ties within a taste."
        )
    return " ".join(parts)
