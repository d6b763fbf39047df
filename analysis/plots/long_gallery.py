"""The figures that a report shows of the long run and across the grid, with reading guides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..gate.bounds import written_lines
from ..measures.columns import describe
from ..results import rows_at
from .curves import finding
from .draw import draw
from .frontier import AXES, frontier
from .gallery import Plate
from .ridge import ridge
from .selection import short
from .society import network
from .style import ArmStyle
from .survival import survival

if TYPE_CHECKING:
    from ..results import Point, Results

MOST_MULTIPLES = 24
"""Most grid points for which the report draws small multiples; phase diagrams take more."""
MOST_PHASES = 3
"""Most measures with a phase diagram in the report."""
MOST_ARMS = 6
"""Most arms in a phase diagram."""

RIDGE_GUIDE = (
    "Every band is a tenth of the catalog of round 0, darker = more popular then; gray items were born later. "
    "Compare with the strip at the right, demand: a top band much wider than its demand means that slates are fuller of old "
    "hits than people want, and bands that thin out over the rounds are items fading from view."
)
SURVIVAL_GUIDE = (
    "Shares wander even where every taste is served alike, so some tastes are lost in the neutral shadow, too: "
    "only the distance between left and right is the doing of what was shown."
)
NETWORK_GUIDE = (
    "Wedges of a color that grow are tastes that took over in a community; lines that thin out are ties between "
    "communities that were given up. Ties move only where behavior.rewiring is on. One seed: an illustration, no evidence."
)
FRONTIER_GUIDE = (
    "Arms at the upper right give people more of both. A ring says that no other arm is at least as good in all "
    "three; with bars as wide as the distance between two arms, that order is not known."
)
MULTIPLES_GUIDE = (
    "One panel per grid point on one scale: look for panels in which the order of the arms changes."
)
PHASE_GUIDE = (
    "Orange: higher than in {reference}, purple: lower. Where a dot stands, the interval over seeds holds the limit, so "
    "the sign is open there."
)


def plates(results: Results, point: Point, styles: Mapping[str, ArmStyle]) -> Iterator[Plate]:
    """Yield the figures of one grid point that need more than its rounds; those without any value are left out."""
    deciles, tastes = (rows_at(table, point.values) for table in (results.deciles, results.tastes))
    if len(deciles):
        title = "Exposure by popularity"
        yield Plate(
            "ridge", "exposure", title, ridge(deciles, styles),
            "Stacked areas over rounds: share of all slots by popularity decile, one panel per arm, demand beside it.",
            RIDGE_GUIDE,
        )  # fmt: skip
    if len(tastes):
        yield Plate(
            "survival", "tastes", "How long tastes last", survival(tastes, styles),
            "Curves over rounds: share of people in whom a taste never fell below half, by rank of taste, beside the "
            "neutral shadow.",
            SURVIVAL_GUIDE,
        )  # fmt: skip
    users, ties = (rows_at(table, point.values) for table in (results.network_users, results.network_ties))
    if len(users):
        yield Plate(
            "network", "echo", "The social network", network(users, ties, styles),
            "Communities as discs of people colored by dominant taste, at round 0 and at the end of each arm, with "
            "the ties between them.",
            NETWORK_GUIDE,
        )  # fmt: skip
    if all(name in point.rounds and point.rounds[name].notna().any() for name in AXES[:2]):
        yield Plate(
            "frontier", "welfare", "What is traded for what", frontier(point.rounds, styles, span=results.span),
            f"Points: welfare against niche exposure per arm at the end. {finding(point.rounds, describe(AXES[1]), styles)}",
            FRONTIER_GUIDE,
        )  # fmt: skip


def grid_plates(results: Results, styles: Mapping[str, ArmStyle]) -> Iterator[Plate]:
    """Yield the figures across the grid: small multiples, and phase diagrams where two keys vary."""
    measures = [name for name in results.primary if name in results.measures]
    if len(results.points) < 2 or not measures or not len(results.rounds):
        return
    keys = results.grid[:2]
    if len(results.points) <= MOST_MULTIPLES:
        yield Plate(
            "multiples", "answer", "The grid, panel by panel", draw(results, measures[0], kind="multiples"),
            f"{describe(measures[0]).title} over rounds, a panel per grid point.", MULTIPLES_GUIDE,
        )  # fmt: skip
    ran = [name for name in results.arms if (results.rounds["arm"] == name).any()]
    if len(results.grid) < 2 or any(results.rounds[key].nunique() < 2 for key in keys):
        return
    vs = results.reference if results.reference in ran and len(ran) > 1 else None
    others = [name for name in ran if name != vs][:MOST_ARMS]
    gate = results.study.get("gate") or {}
    guarded = [line["measure"] for line in written_lines(gate)]
    for name in dict.fromkeys([*guarded, *measures][:MOST_PHASES]):
        if name not in results.measures or not results.rounds[name].notna().any():
            continue
        by_gate = name in guarded and {gate["candidate"], gate["baseline"]} <= set(ran)
        figure = (
            draw(results, name, kind="phase")
            if by_gate
            else draw(results, name, kind="phase", vs=vs, arms=others)
        )
        yield Plate(
            f"phase-{name}".replace(":", "-").replace("=", "-"), "answer",
            f"{describe(name).title} over {short(keys[0])} and {short(keys[1])}", figure,
            f"Heat maps of {describe(name).title} over {keys[0]} and {keys[1]}, one per arm.",
            PHASE_GUIDE.format(reference=gate["baseline"] if by_gate else vs) if by_gate or vs else "",
        )  # fmt: skip
