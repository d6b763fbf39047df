"""Figures of how long tastes last, by rank at round 0, beside the run's neutral shadow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..measures.base import Column
from .curves import long_horizon
from .style import ArmStyle, styles_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WHAT = {
    "survived": "never below half so far",
    "kept": "at least half of it left",
}


def survival(
    frame: pd.DataFrame, arms: Mapping[str, ArmStyle] | None = None, *, what: str = "survived"
) -> Figure:
    """Share of people in whom a taste lasts, over rounds; a row per rank of taste, the neutral shadow at the right.

    `frame` is the table `tastes` of one grid point. `what`: "survived" (its share never fell below half
    of what it was at round 0: a survival curve), or "kept" (it is at least half now; can rise again).
    """
    styles = styles_for(frame, arms)
    ranks = sorted({int(rank) for rank in frame["taste"]}) if len(frame) else []
    rows: list[list[Column]] = []
    table = frame[["arm", "seed", "round"]].drop_duplicates() if len(frame) else frame.assign(round=[])
    keys = ["arm", "seed", "round"]
    for rank in ranks:
        part = frame[frame["taste"] == rank]
        pair = []
        for name, words in ((what, ""), (f"{what}_neutral", ", neutral shadow")):
            title = f"{taste_name(rank, ranks)} {WHAT[what]}{words}"
            pair.append(Column(f"{name}:{rank}", title, "share", 0, 1, "neither", "tastes"))
            table = table.merge(part[[*keys, name]].rename(columns={name: f"{name}:{rank}"}), "left", keys)
        rows.append(pair)
    return long_horizon(
        table,
        rows,
        styles,
        title="How long tastes last",
        subtitle=_medians(frame, styles, ranks) if what == "survived" else "",
        zero=[],
        note="Share of people with several tastes. Neutral shadow: the same people had every taste been "
        "served equally well.",
    )


def taste_name(rank: int, ranks: list[int]) -> str:
    """A rank of taste in words."""
    if rank == 1:
        return "Dominant taste:"
    if rank == max(ranks):
        return "Minority taste:" if len(ranks) < 3 or rank == 3 else f"Taste {rank} (smallest):"
    return {2: "Second taste:", 3: "Third taste:"}.get(rank, f"Taste {rank}:")


def median_times(frame: pd.DataFrame, rank: int, what: str = "survived") -> dict[str, tuple[float, int]]:
    """Return arm → (first round by which half of the people had lost a taste, last round); NaN if not by then.

    Everybody is followed to the end of the run, so the Kaplan–Meier curve is the share that survived, and
    its median the first round at which that is at most a half; seeds are weighted by their people.
    Rounds between the table's rows are not known: the time is that of the first row.
    """
    found = {}
    for arm, part in frame[frame["taste"] == rank].groupby("arm", sort=False):
        alive = (part[what] * part["users"]).groupby(part["round"]).sum()
        share = alive / part["users"].groupby(part["round"]).sum()
        reached = share.index[share.to_numpy() <= 0.5 + 1e-12]
        found[str(arm)] = (float(reached[0]) if len(reached) else float("nan"), int(share.index.max()))
    return found


def _medians(frame: pd.DataFrame, styles: Mapping[str, ArmStyle], ranks: list[int]) -> str:
    """When half of the people had lost their smallest taste."""
    if len(ranks) < 2:
        return ""
    times = median_times(frame, ranks[-1])
    lost = {name: time for name, (time, _) in times.items() if np.isfinite(time) and name in styles}
    last = max((last for _, last in times.values()), default=0)
    if not lost:
        return f"Nowhere had half of the people lost half of their smallest taste by round {last}."
    soonest, latest = min(lost, key=lambda name: lost[name]), max(lost, key=lambda name: lost[name])
    first = f"round {lost[soonest]:.0f} ({styles[soonest].letter})"
    rest = "" if soonest == latest else f" to round {lost[latest]:.0f} ({styles[latest].letter})"
    others = len(times) - len(lost)
    more = f"; in {others} of {len(times)} arms not by round {last}" if others else ""
    return f"Half of the people had lost half of their smallest taste by {first}{rest}{more}."
