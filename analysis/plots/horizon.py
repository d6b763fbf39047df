"""Curves of measures over rounds, each with its paired difference from a reference arm below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..measures.base import Column
from ..measures.columns import describe
from .curves import finding, long_horizon
from .selection import difference, minus
from .style import ArmStyle, clean, styles_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

GAP = "minus:"
"""Start of the names of columns that hold differences."""


def with_differences(
    rounds: pd.DataFrame,
    measures: Sequence[str],
    reference: str,
    arms: Mapping[str, ArmStyle] | None = None,
    *,
    marks: Sequence[int] = (),
) -> Figure:
    """Curves over rounds; below each, every arm minus `reference`, paired by seed and round.

    `rounds` is the tidy table of one grid point, `reference` among its arms. A dotted line stands at each
    of the rounds in `marks` (where an arm is switched).
    """
    import pandas as pd

    styles = styles_for(rounds, arms, reference)
    gaps = minus(rounds, reference, measures, ["seed", "round"])
    gaps = gaps.rename(columns={name: GAP + name for name in measures})
    table = pd.concat([rounds[["arm", "seed", "round", *measures]], gaps], ignore_index=True)
    rows = []
    for pair in (measures[i : i + 2] for i in range(0, len(measures), 2)):
        rows += [[describe(name) for name in pair], [_gap(name, reference) for name in pair]]
    name = clean(reference, 40)
    return long_horizon(
        table,
        rows,
        styles,
        title=f"What happened, and the difference from {name}",
        subtitle=finding(rounds, describe(measures[0]), styles) if measures else "",
        share_y=False,
        zero=[GAP + measure for measure in measures],
        marks=marks,
        note=f"Differences: every arm minus {name}, paired by seed and round."
        + (" Dotted: the rounds of a switch." if marks else ""),
        wide=len(measures) == 1,
    )


def _gap(name: str, reference: str) -> Column:
    return replace(difference(name, reference), name=GAP + name)
