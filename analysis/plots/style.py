"""One look for every figure: an arm keeps its letter, color, dash and marker everywhere."""

from __future__ import annotations

import io
import itertools
import logging
import re
import string
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from .fonts import families, width_of, without_boxes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1a1a1a", "#5c5c5c", "#d9d9d9"
BACKGROUND = "#c9c9c9"
"""Lines of arms that a crowded panel shows without telling them apart."""
MANY = 10
"""Most arms whose curves can be told apart in one panel."""
EXTREMES = 3
"""Of more than that, so many from the top and from the bottom of a panel are in color."""
_BLACK = "#000000"
DPI = 200

# Okabe & Ito (2008) without its yellow, which is lost on white; black is the reference arm's.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F5AA8", "#8C6239")
_INKS = ("#005A8C", "#B04D00", "#00714F", "#A34D7C", "#1F7CB4", "#9A6A00", "#63428A", "#6E4A28")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.2)), (0, (6, 1.5, 1.4, 1.5)))
_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_MARKERS = ("s", "^", "D", "v", "P", "X", "o", "<", ">", "h", "*")

_SETTINGS: dict[Any, Any] = {
    "font.size": 8.0,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.0,
    "svg.hashsalt": "echodrift",
    "svg.fonttype": "path",
    "path.simplify": True,
}


@dataclass(frozen=True)
class ArmStyle:
    """How one arm looks."""

    name: str
    letter: str
    """Label at line ends and in tables."""
    color: str
    ink: str
    """The color, dark enough for text on white."""
    dash: Any
    marker: str


def arm_styles(arms: Sequence[str], reference: str | None = None) -> dict[str, ArmStyle]:
    """Give every arm of a study its look, in the study's order; the reference (default: first) is black."""
    reference = reference if reference in arms else next(iter(arms), None)
    styles, place = {}, 0
    for i, name in enumerate(arms):
        letter = _LETTERS[i % len(_LETTERS)] * (i // len(_LETTERS) + 1)
        if name == reference:
            styles[name] = ArmStyle(name, letter, _BLACK, _BLACK, "-", "o")
            continue
        hue = place % len(_COLORS)
        # Another dash with each turn of the colors, so that no two of the first 32 arms share both.
        dash = _DASHES[(place + place // len(_COLORS)) % len(_DASHES)]
        marker = _MARKERS[place % len(_MARKERS)]
        styles[name] = ArmStyle(name, letter, _COLORS[hue], _INKS[hue], dash, marker)
        place += 1
    return styles


def styles_for(
    frame: Any, styles: Mapping[str, ArmStyle] | None, reference: str | None = None
) -> Mapping[str, ArmStyle]:
    """Return the given styles, or new ones for the arms of a frame in order of appearance."""
    return arm_styles(list(dict.fromkeys(frame["arm"])), reference) if styles is None else styles


def foreground(ends: Mapping[str, float], styles: Mapping[str, ArmStyle]) -> set[str]:
    """Return the arms that a panel of curves draws in color: all of them, unless there are too many to tell apart.

    Of more than MANY arms these are the reference and those that end highest and lowest (`ends`: arm → value).
    """
    if len(styles) <= MANY:
        return set(ends)
    order = sorted(ends, key=lambda name: (ends[name], styles[name].letter))
    reference = {name for name in ends if styles[name].ink == _BLACK}
    return {*order[:EXTREMES], *order[-EXTREMES:], *reference}


@contextmanager
def look() -> Iterator[None]:
    """Settings under which figures are made and saved."""
    # It tells which fonts lack a bold face, on every run.
    finder = logging.getLogger("matplotlib.font_manager")
    level = finder.level
    finder.setLevel(logging.ERROR)
    try:
        with mpl.rc_context({**_SETTINGS, "font.family": list(families())}):
            yield
    finally:
        finder.setLevel(level)


def clean(text: str, longest: int = 200) -> str:
    """Return one line that the fonts can draw; if it is too long the middle is left out, so that endings tell names apart.

    longest: in Latin letters.
    """
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(text).split()))
    text = without_boxes(text)
    if width_of(text) <= longest:
        return text
    tail = longest // 3
    end = _start(text[::-1], tail)[::-1].lstrip()
    return f"{_start(text, longest - tail - 1).rstrip()}…{end}"


def _start(text: str, width: int) -> str:
    """Return as much of a text as fits into a width."""
    widths = itertools.accumulate(map(width_of, text))
    return text[: sum(each <= width for each in widths)]


def wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text; between Chinese, Japanese and Korean letters a line can end anywhere."""
    if width_of(text) == len(text):
        return textwrap.wrap(text, width)
    lines = [""]
    for part in re.findall(r"\s+|[\u2e80-\U0003ffff]|[^\s\u2e80-\U0003ffff]+", text):
        for piece in textwrap.wrap(part, width, drop_whitespace=False):
            if width_of(lines[-1] + piece) > width:
                lines.append("")
            lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines if line.strip()]


def render(figure: Figure, kind: str, dpi: int = DPI) -> bytes:
    """Return a figure as a PNG, SVG or PDF file ("png" | "svg" | "pdf"); the same figure gives the same bytes.

    dpi: pixels per inch of a PNG.
    """
    file = io.BytesIO()
    with look():
        if kind == "svg":
            figure.savefig(file, format="svg", metadata={"Date": None})
        elif kind == "pdf":
            figure.savefig(file, format="pdf", metadata={"CreationDate": None})
        else:
            _png(figure, file, dpi)
    return file.getvalue()


def _png(figure: Figure, file: io.BytesIO, dpi: int) -> None:
    """Write with a palette of 256 colors: a quarter of the size, and no difference that an eye sees."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    own = figure.dpi
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    figure.set_dpi(own)
    few = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # The palette is a hair off: white must stay white.
    few.putpalette([255 if level >= 252 else level for level in few.getpalette() or []])
    few.save(file, "png", dpi=(dpi, dpi))


def resize(figure: Figure, width: float | None = None, height: float | None = None) -> None:
    """Give a figure another size in inches; with one of the two the other follows in proportion.

    A larger figure has more room between texts of the same size; in a smaller one everything shrinks.
    """
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    own_width, own_height = (float(size) for size in figure.get_size_inches())
    if width is None and height is None:
        return
    width = width if width is not None else own_width * (height or own_height) / own_height
    height = height if height is not None else own_height * width / own_width
    figure.set_size_inches(width, height)
    factor = min(width / own_width, height / own_height)
    if factor >= 1:
        return
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            for tick in axis.get_major_ticks():
                size = float(tick.label1.get_fontsize()) * factor
                axis.set_tick_params(labelsize=size, length=2.5 * factor, pad=2 * factor)
                break
    ticks = {
        id(t)
        for ax in figure.axes
        for a in (ax.xaxis, ax.yaxis)
        for k in a.get_major_ticks()
        for t in (k.label1, k.label2)
    }
    for text in figure.findobj(Text):
        if id(text) not in ticks:
            text.set_fontsize(float(text.get_fontsize()) * factor)
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * factor)
        line.set_markersize(line.get_markersize() * factor)
    collections: list[Any] = figure.findobj(Collection)
    for collection in collections:
        collection.set_linewidths([each * factor for each in np.atleast_1d(collection.get_linewidths())])
        if hasattr(collection, "set_sizes"):
            collection.set_sizes(np.asarray(collection.get_sizes()) * factor**2)
