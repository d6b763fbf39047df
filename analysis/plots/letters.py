"""Letters beside points, without one lying over another."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.axes import Axes

from .style import ArmStyle

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
