"""Layout of a figure in inches: title, legend, rows of panels, footnote."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .fonts import width_of
from .style import INK, MUTED, ArmStyle, clean, wrap

WIDTH = 5.4
"""Inches. On a 390-pixel phone 8-point text is then still about 8 pixels high."""

_LEFT, _RIGHT, _LINE, _BETWEEN = 0.56, 0.24, 0.145, 0.27
_CHARACTERS = 15.5
"""Characters per inch of 8-point text, with room to spare."""


_OF_INTERVALS: ContextVar[str] = ContextVar("of_intervals", default="")


@contextmanager
def of_intervals(text: str) -> Iterator[None]:
    """Add `text` to the footnote of every figure with t intervals over seeds that is drawn in this context."""
    before = _OF_INTERVALS.set(text)
    try:
        yield
    finally:
        _OF_INTERVALS.reset(before)


@dataclass(frozen=True)
class Sheet:
    """A figure with its panels: one list of axes per row."""

    figure: Figure
    rows: list[list[Axes]]


def sheet(
    title: str,
    subtitle: str,
    rows: Sequence[int],
    *,
    arms: Mapping[str, ArmStyle] | None = None,
    height: float = 1.45,
    heading: float = 0.34,
    left: float = _LEFT,
    gap: float | None = None,
    right: float = _RIGHT,
    below: float = 0.42,
    note: str = "",
    intervals: bool = False,
) -> Sheet:
    """Lay out a figure: `rows` holds the number of panels per row, each `height` inches high.

    `heading` is the space above a row for panel titles, `left` the space for tick labels, `gap` the
    space between panels of a row (default: as left of the first, for tick labels of their own), `right`
    what is kept free beside the last. With `arms` there is a legend under the title. `intervals`: the
    figure has t intervals over seeds, so a text set by `of_intervals` is added to its footnote.
    """
    note = f"{note} {_OF_INTERVALS.get()}".strip() if intervals else note
    titles = wrap(clean(title, 400), 54) or [""]
    subtitles = wrap(clean(subtitle, 600), 82)
    notes = wrap(clean(note, 900), 84)
    legend = _legend_rows(arms or {})
    top = 0.12 + 0.19 * len(titles) + _LINE * len(subtitles) + 0.06 + 0.17 * len(legend)
    bottom = below + (0.04 + _LINE * len(notes) if notes else 0)
    total = top + len(rows) * (heading + height) + _BETWEEN * max(len(rows) - 1, 0) + bottom
    figure = Figure(figsize=(WIDTH, total), facecolor="white")

    y = total - 0.1
    for line in titles:
        figure.text(0.1 / WIDTH, y / total, line, size=10, weight="bold", va="top")
        y -= 0.19
    for line in subtitles:
        figure.text(0.1 / WIDTH, y / total, line, size=8, color=MUTED, va="top")
        y -= _LINE
    y -= 0.1
    for entries in legend:
        _draw_legend_row(figure, entries, y, total)
        y -= 0.17
    for i, line in enumerate(notes):
        figure.text(
            0.1 / WIDTH,
            (0.06 + _LINE * (len(notes) - 1 - i)) / total,
            line,
            size=7.5,
            color=MUTED,
            va="bottom",
        )

    panels, edge = [], total - top
    for count in rows:
        edge -= heading + height
        space = left if gap is None else gap
        width = (WIDTH - left - right - (count - 1) * (space + _RIGHT)) / count
        panels.append(
            [
                figure.add_axes(
                    (
                        (left + i * (width + space + _RIGHT)) / WIDTH,
                        edge / total,
                        width / WIDTH,
                        height / total,
                    )
                )
                for i in range(count)
            ]
        )
        edge -= _BETWEEN
    return Sheet(figure, panels)


def _legend_rows(arms: Mapping[str, ArmStyle]) -> list[list[tuple[ArmStyle, str, float]]]:
    """Entries (style, text, x in inches) in as many columns as the longest name allows."""
    if not arms:
        return []
    styles = list(arms.values())
    texts = [f"{style.letter}  {clean(style.name, 66)}" for style in styles]
    room = max(width_of(text) for text in texts) / _CHARACTERS + 0.62
    columns = max(1, min(len(styles), int((WIDTH - 0.2) / room)))
    lines = -(-len(styles) // columns)
    step = (WIDTH - 0.2) / columns if columns > 1 else 0
    return [
        [(styles[i], texts[i], 0.1 + step * (i // lines)) for i in range(line, len(styles), lines)]
        for line in range(lines)
    ]


def _draw_legend_row(
    figure: Figure, entries: list[tuple[ArmStyle, str, float]], y: float, total: float
) -> None:
    for style, text, x in entries:
        sample = Line2D(
            [x / WIDTH, (x + 0.2) / WIDTH, (x + 0.4) / WIDTH],
            [y / total] * 3,
            color=style.color,
            linestyle=style.dash,
            marker=style.marker,
            markevery=[1],
            transform=figure.transFigure,
        )
        figure.add_artist(sample)
        figure.text((x + 0.48) / WIDTH, y / total, text, size=8, color=INK, va="center_baseline")


def head(ax: Axes, text: str, characters: int = 34) -> None:
    """Panel title in at most two lines, flush with the panel's left edge."""
    lines = wrap(clean(text, 2 * characters), characters)[:2]
    ax.set_title("\n".join(lines), loc="left", size=8.5, pad=4, y=1.0, linespacing=1.1)


def say(ax: Axes, text: str) -> None:
    """Fill an empty panel with a sentence instead of an empty frame."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, "\n".join(wrap(clean(text), 26)), ha="center", va="center", color=MUTED, size=8)


def label_ends(ax: Axes, ends: Sequence[tuple[ArmStyle, float]], size: float = 7.5) -> None:
    """Write each arm's letter at its line's end (data y), right of the panel, without two overlapping."""
    from scipy.optimize import isotonic_regression

    if not ends:
        return
    low, high = ax.get_ylim()
    panel = ax.bbox.height * WIDTH / ax.figure.bbox.width
    # The margin beside a full-width panel is no wider than that beside a half-width one.
    near = min(1.0, 1.95 / (ax.bbox.width * WIDTH / ax.figure.bbox.width))
    ordered = sorted(ends, key=lambda end: (end[1], end[0].letter))
    at = np.array([(y - low) / (high - low) * panel if high > low else panel / 2 for _, y in ordered])
    gap = min(0.105, panel / max(len(at) - 1, 1))
    # Nearest ordered positions that keep the gap: isotonic regression once the gaps are taken off.
    steps = gap * np.arange(len(at))
    placed = np.clip(isotonic_regression(at - steps).x, 0, panel - steps[-1]) + steps
    for (style, _), y0, y1 in zip(ordered, at / panel, placed / panel, strict=True):
        ax.plot(
            [1 + 0.01 * near, 1 + 0.045 * near],
            [y0, y1],
            color=style.color,
            linewidth=0.6,
            transform=ax.transAxes,
            clip_on=False,
            scalex=False,
            scaley=False,
        )
        ax.text(
            1 + 0.06 * near,
            y1,
            style.letter,
            color=style.ink,
            size=size,
            weight="bold",
            va="center_baseline",
            transform=ax.transAxes,
        )


_LETTER = (0.11, 0.11)
"""Room of a letter, inches."""


def place_letters(
    ax: Axes, points: Sequence[tuple[ArmStyle, float, float]], first: Collection[str] = (), size: float = 7.5
) -> None:
    """Write each arm's letter near its point (data x, y), at the nearest free place; those in `first` choose first.

    A letter for which there is no place near its point is left out.
    """
    dpi = ax.figure.dpi
    at = ax.transData.transform([(x, y) for _, x, y in points]) / dpi if points else np.empty((0, 2))
    low, high = ax.transAxes.transform([(0, 0), (1, 1)]) / dpi
    taken = [(x - 0.07, y - 0.07, x + 0.07, y + 0.07) for x, y in at]
    order = sorted(range(len(points)), key=lambda i: (points[i][0].name not in first, i))
    for i in order:
        style = points[i][0]
        x, y = at[i]
        width = _LETTER[0] * len(style.letter)
        for radius in (0.14, 0.2, 0.28, 0.38):
            found = None
            for angle in np.deg2rad([0, 45, -45, 90, -90, 135, -135, 180]):
                cx, cy = x + radius * np.cos(angle), y + radius * np.sin(angle)
                box = (cx - width / 2, cy - _LETTER[1] / 2, cx + width / 2, cy + _LETTER[1] / 2)
                inside = box[0] > low[0] and box[2] < high[0] and box[1] > low[1] and box[3] < high[1]
                if inside and not any(_over(box, other) for other in taken):
                    found = cx, cy, box
                    break
            if found is not None:
                cx, cy, box = found
                taken.append(box)
                spot = ax.transData.inverted().transform((cx * dpi, cy * dpi))
                if radius > 0.2:
                    ax.plot(
                        [points[i][1], spot[0]], [points[i][2], spot[1]], color=style.ink, linewidth=0.4, zorder=1,
                        scalex=False, scaley=False,
                    )  # fmt: skip
                ax.text(
                    spot[0], spot[1], style.letter, color=style.ink, size=size, weight="bold", ha="center",
                    va="center_baseline", zorder=5,
                )  # fmt: skip
                break


def _over(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
