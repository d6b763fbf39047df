"""Bar charts of sensitivity indices with intervals: which assumption drives a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from ..sensitivity import REST, REST_LABEL
from .curves import NICE
from .sheet import head, say, sheet
from .style import MUTED, RULE, clean, look, wrap

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_BARS = 16
"""Keys per panel, largest first."""
_BAR, _LINE = "#56B4E9", "#1a1a1a"


def panels(indices: pd.DataFrame, first: str, total: str) -> pd.DataFrame:
    """Return indices in the layout of `sensitivity`: a panel for first-order indices, and one for totals if there are any."""
    import pandas as pd

    named = indices.assign(key=indices["key"].replace(REST, REST_LABEL))
    totals = named.assign(
        index=named["total"], low=named["total_low"], high=named["total_high"], method=total
    )
    totals, firsts = totals[totals["index"].notna()], named.assign(method=first)
    return pd.concat([firsts, totals], ignore_index=True) if len(totals) else firsts


def sensitivity(table: pd.DataFrame, what: str, *, note: str = "") -> Figure:
    """Bars of sensitivity indices, largest first, with their intervals; a panel per method.

    `table` is what `panels` returns: columns key, index, low, high, method.
    `what` describes the quantity that the indices are of.
    """
    with look():
        methods = list(dict.fromkeys(table["method"])) if len(table) else []
        parts = {}
        for method in methods:
            part = table[table["method"] == method].assign(index=lambda t: t["index"].astype(float))
            parts[method] = part[np.isfinite(part["index"])].sort_values(
                "index", ascending=False, kind="stable"
            )
        longest = max((len(part.head(MOST_BARS)) for part in parts.values()), default=1)
        page = sheet(
            "Which assumption drives the answer",
            f"Sensitivity of {clean(what, 160)} to every key whose value is drawn. Bars: index; lines: its interval.",
            [1] * max(len(methods), 1),
            height=max(0.45, 0.21 * longest + 0.08),
            heading=0.32,
            left=2.05,
            note=" ".join(filter(None, [note, _left_out(parts)])),
            intervals=True,
        )
        axes = [row[0] for row in page.rows]
        if not any(len(part) for part in parts.values()):
            for ax in axes:
                ax.set_axis_off()
            say(axes[0], "There is no index to show.")
            return page.figure
        for ax, (method, part) in zip(axes, parts.items(), strict=True):
            part = part.head(MOST_BARS)
            head(ax, method, 60)
            if not len(part):
                say(ax, "There is no index to show.")
                continue
            places = np.arange(len(part))[::-1]
            values = part["index"].to_numpy()
            low, high = (part[name].to_numpy(float) for name in ("low", "high"))
            ax.barh(places, values, height=0.62, color=_BAR, linewidth=0)
            known = np.isfinite(low) & np.isfinite(high)
            ax.hlines(places[known], low[known], high[known], color=_LINE, linewidth=1.1)
            for y, key in zip(places, part["key"], strict=True):
                lines = wrap(clean(key, 60), 32)[:2]
                ax.text(-0.02, y, "\n".join(lines), ha="right", va="center", size=7.5 if len(lines) == 1 else 6.5,
                        linespacing=0.95, transform=ax.get_yaxis_transform())  # fmt: skip
            ax.set_yticks([])
            ax.set_ylim(-0.6, longest - 0.4 if len(part) == longest else len(part) - 0.4)
            ax.axvline(0, color=MUTED, linewidth=0.8)
            ax.spines["left"].set_visible(False)
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=NICE))
            ax.grid(axis="x", color=RULE, linewidth=0.4)
            ax.set_axisbelow(True)
            ax.tick_params(length=2.5, pad=2)
        axes[-1].set_xlabel("index (share of the variance)", labelpad=2)
        return page.figure


def _left_out(parts: dict[str, pd.DataFrame]) -> str:
    most = max((len(part) for part in parts.values()), default=0)
    return f"The {MOST_BARS} largest of {most} keys." if most > MOST_BARS else ""
