"""What is written in a figure, and whether it can be read."""

from __future__ import annotations

import itertools
from typing import Any

import matplotlib.text
import pytest
from echodrift.analysis import plots
from matplotlib.backends.backend_agg import FigureCanvasAgg


def _drawn_texts(figure: Any) -> list[tuple[str, Any]]:
    """Return (text, box in pixels) of everything written, after drawing."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found, unseen = [], set()
    for ax in figure.axes:
        for one in (ax.xaxis, ax.yaxis):
            drawn = {id(tick) for tick in one._update_ticks()} if ax.axison else set()
            for tick in one.majorTicks:
                # matplotlib keeps ticks beyond the limits and does not draw them; a color bar writes on the right
                unseen |= set() if id(tick) in drawn else {id(tick.label1), id(tick.label2)}
            unseen |= set() if ax.axison else {id(one.label)}
    for text in figure.findobj(matplotlib.text.Text):
        if id(text) in unseen or text.get_rotation() % 90:
            # the box of slanted text is not where its letters are
            continue
        box = text.get_window_extent(canvas.get_renderer())
        if text.get_visible() and text.get_text().strip() and box.width > 0:
            found.append((text.get_text(), box))
    return found


def _assert_legible(figure: Any) -> None:
    """Nothing that is written leaves the page or lies over something else."""
    with plots.style.look():
        texts = _drawn_texts(figure)
    page = figure.bbox
    for text, box in texts:
        assert box.x0 >= -1 and box.x1 <= page.x1 + 1, f"{text!r} is cut off"
        assert box.y0 >= -1 and box.y1 <= page.y1 + 1, f"{text!r} is cut off"
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 2 or high <= 2, f"{one!r} lies over {other!r}"


@pytest.fixture(scope="session")
def drawn_texts():
    return _drawn_texts


@pytest.fixture(scope="session")
def said():
    """Return a reader of all that is written in a figure, as one line: said(figure)."""
    return lambda figure: " ".join(" ".join(text for text, _ in _drawn_texts(figure)).split())


@pytest.fixture(scope="session")
def assert_legible():
    return _assert_legible
