"""The figures that a report shows for each grid point, with alt texts and reading guides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ..measures.columns import describe, known, twins
from .comparisons import differences, half_life
from .curves import finding, long_horizon, tastes
from .inequality import lorenz
from .series import ENDS
from .style import ArmStyle

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..results import Point

Section = Literal["answer", "switches", "exposure", "tastes", "echo", "welfare", "groups"]

Row = str | tuple[str, ...]


@dataclass(frozen=True)
class Plate:
    """A figure with its place on the page."""

    name: str
    """File name without ending."""
    section: Section
    title: str
    figure: Figure
    alt: str
    """What the figure shows, for those who cannot see it."""
    guide: str
    """How to read it, in two lines."""


@dataclass(frozen=True)
class _Curves:
    name: str
    section: Section
    title: str
    rows: tuple[Row, ...]
    guide: str


NICHE = _Curves(
    "niche",
    "exposure",
    "Niche items: what is shown, what is taken, what is wanted",
    (("niche_exposure", "niche_consumed", "niche_demand"),),
    "Read the three together. Niche exposure alone is not harm: even an ideal slate gives niche items less "
    "than their share of demand, since people take only a few items. Look where consumption falls away "
    "while demand stays. Organic visits are not counted, except in an arm without a recommender.",
)
CURVES = (
    _Curves(
        "concentration",
        "exposure",
        "How concentrated exposure and consumption are",
        (
            ("exposure_gini", "exposure_gini_consumed"),
            ("coverage", "coverage_consumed"),
            ("provider_exposure_gini", "provider_exposure_gini_consumed"),
        ),
        "Left: what is shown; right: what is taken. A Gini index of 0 means that all items (or providers) share "
        "alike, 1 that one gets everything. Coverage counts items seen at all.",
    ),
    _Curves(
        "creators",
        "exposure",
        "Creators: who stays, and what they make",
        (
            ("provider_survival", "niche_provider_survival"),
            ("entrant_exposure", "entrant_exposure_consumed"),
            "active_providers",
            "supply_topics",
            "supply_gap",
        ),
        "Providers stop when they are shown (or taken) too little for too long, and make more of what lately got "
        "them exposure. Read survival against the organic world: some starve there, too. Supply is what is in "
        "the catalog now; its gap is the distance to the topics that people wanted at round 0.",
    ),
    _Curves(
        "popularity",
        "exposure",
        "Popular and forgotten items",
        (
            ("average_popularity", "average_popularity_consumed"),
            ("popularity_lift", "popularity_lift_consumed"),
            ("extinct_share", "extinct_share_consumed"),
            "exhausted_share",
        ),
        "Left: what is shown; right: what is taken. Popularity is frozen at round 0, so a rising curve means "
        "that slates move toward what was popular then. Where most-valued items are used up, other curves "
        "move for that reason alone.",
    ),
    _Curves(
        "profile",
        "tastes",
        "How many tastes people keep, and whether slates fit them",
        (
            ("effective_tastes", "effective_tastes_distinct"),
            ("miscalibration", "miscalibration_current"),
            "satisfied_visits",
        ),
        "Top: fewer effective tastes mean narrower people; the right panel also sees tastes that merge. "
        "Below: lower miscalibration means slates nearer to the mix of topics that people want. Satisfied "
        "visits rise by themselves when unhappy tastes fade, so read them after the hit rates.",
    ),
    _Curves(
        "echo",
        "echo",
        "Likeness: within communities, between users, along ties",
        (
            "homogenization",
            "pairs_compared",
            "community_gap",
            "taste_assortativity",
            "intra_user_diversity",
            "inter_user_diversity",
            "modularity",
        ),
        "Overlap rising everywhere means that people take the same things; a rising gap means that they do so "
        "inside their community more than across. Neither is good or bad by itself. Arms in which few pairs "
        "took enough to compare rest on fewer people, and their overlap and gap speak for those alone.",
    ),
    _Curves(
        "welfare",
        "welfare",
        "What people get out of their visits",
        (("welfare", "welfare_start"), "regret"),
        "Surplus per visit, by today's tastes and by those people started with: a gap between the two means "
        "that tastes moved toward what was shown. Regret is what the best slate would have added.",
    ),
)
TASTES_GUIDE = (
    "A taste is served when at least one item is taken from the slate by a user who acts on it. Minority shares "
    "wander even when every taste is served alike: only the difference from the neutral shadow is the doing "
    "of service."
)
LORENZ_GUIDE = (
    "The further a curve hangs below the diagonal, the fewer items hold most of what is shown or taken. "
    "Compare it with the gray area, demand: demand is uneven too, and slates are shorter than wishes."
)
HALF_LIFE_GUIDE = (
    "Half of what the organic arm shows in the same world at the same time; 0 rounds: lost with the first slates. A run that "
    "ends before is counted as “longer than that” (Kaplan–Meier median over seeds). A short half-life says how fast exposure moved, not that anybody lost by it."
)
FOREST_GUIDE = (
    "Each point is an arm minus the reference in the mean of the {span}, paired by seed. With five seeds "
    "or more, an interval that leaves out zero says which side the difference is on; its width says how well "
    "it is known."
)


def gallery(
    point: Point,
    comparison: pd.DataFrame,
    styles: Mapping[str, ArmStyle],
    reference: str,
    primary: Sequence[str],
    *,
    span: int = ENDS,
    full: bool = True,
) -> Iterator[Plate]:
    """Yield the figures of one grid point, in the order of the page; those without any value are left out.

    `comparison` is `statistics.compare` for the point, of means over the last `span` rounds. With `full` off, only the primary measures.
    """
    rounds = point.rounds
    named = [describe(name).title for name in primary if (comparison["measure"] == name).any()]
    if len(comparison):
        yield Plate(
            "differences",
            "answer",
            "Differences on the primary measures",
            differences(comparison, primary, reference, styles),
            f"Forest plot: difference of each arm from {reference} with 95 % interval on {', '.join(named)}.",
            FOREST_GUIDE.format(span=last_rounds(span)),
        )
    if not full:
        rows = tuple(dict.fromkeys(_with_twins(name) for name in primary))
        yield from _plates([_Curves("primary", "answer", "Primary measures", rows, "")], rounds, styles)
        return
    yield from _plates([NICHE], rounds, styles)
    if len(point.lorenz):
        yield Plate(
            "lorenz",
            "exposure",
            "How evenly the catalog is shown and taken",
            lorenz(point.lorenz, styles, span=span),
            "Lorenz curves of exposure and consumption in the "
            + ("only round" if span == 1 else f"first and the last {span} rounds")
            + ", with demand.",
            LORENZ_GUIDE,
        )
    if "niche_half_life" in point.runs and point.runs["niche_half_life"].notna().any():
        yield Plate(
            "half-life",
            "exposure",
            "Niche half-life",
            half_life(point.runs, styles),
            "Rounds until niche exposure was half of the organic arm's, one dot per seed and the median per arm; see the table.",
            HALF_LIFE_GUIDE,
        )
    if _has_values(rounds, ["minority_hit_rate", "minority_share", "dominant_hit_rate", "dominant_share"]):
        yield Plate(
            "tastes",
            "tastes",
            "Dominant and minority tastes",
            tastes(rounds, styles),
            f"Curves over rounds. {finding(rounds, describe('minority_hit_rate'), styles)}",
            TASTES_GUIDE,
        )
    plans = [*CURVES, *_unplaced(rounds)]
    if _never_moves(rounds, "modularity"):
        # Ties rewire in some studies only; elsewhere its curve is a constant.
        rounds = rounds.drop(columns="modularity")
        plans = [_without(plan, "modularity") for plan in plans]
    yield from _plates(plans, rounds, styles)
    yield from _split_plates(rounds, primary, styles)


def last_rounds(span: int) -> str:
    """The rounds that comparisons average over, in words."""
    return "only round" if span == 1 else f"last {span} rounds"


def _with_twins(name: str) -> Row:
    """The row that a measure stands in: exposure beside its twins."""
    for plan in (NICHE, *CURVES):
        for row in plan.rows:
            if isinstance(row, tuple) and name in row:
                return row
    return name


def _plates(
    plans: Sequence[_Curves], rounds: pd.DataFrame, styles: Mapping[str, ArmStyle]
) -> Iterator[Plate]:
    for plan in plans:
        names = [name for row in plan.rows for name in ((row,) if isinstance(row, str) else row)]
        if not _has_values(rounds, names):
            continue
        lead = next(name for name in names if _has_values(rounds, [name]))
        yield Plate(
            plan.name,
            plan.section,
            plan.title,
            long_horizon(rounds, plan.rows, styles, title=plan.title),
            f"Curves over rounds with 95 % bands. {finding(rounds, describe(lead), styles)}",
            plan.guide,
        )


def _never_moves(rounds: pd.DataFrame, name: str) -> bool:
    return name in rounds.columns and bool((rounds.groupby(["arm", "seed"])[name].nunique() <= 1).all())


def _without(plan: _Curves, name: str) -> _Curves:
    return replace(plan, rows=tuple(row for row in plan.rows if row != name))


def _has_values(rounds: pd.DataFrame, names: Sequence[str]) -> bool:
    return any(name in rounds.columns and rounds[name].notna().any() for name in names)


def _unplaced(rounds: pd.DataFrame) -> list[_Curves]:
    """A figure per family for declared measures that no other figure shows, those of other packages say."""
    placed = {
        name
        for plan in (NICHE, *CURVES)
        for row in plan.rows
        for name in ([row] if isinstance(row, str) else row)
    }
    placed |= {
        "minority_hit_rate",
        "dominant_hit_rate",
        "minority_share",
        "minority_share_neutral",
        "dominant_share",
    }
    rows: dict[Section, list[Row]] = {}
    for name, column in known().items():
        if name in rounds.columns and name not in placed:
            pair = [name, *(twin for twin in twins(name) if twin in rounds.columns)]
            placed.update(pair)
            rows.setdefault(column.family, []).append(tuple(pair) if len(pair) > 1 else name)
    return [
        _Curves(f"{family}-more", family, f"More on {family}", tuple(found), "")
        for family, found in rows.items()
    ]


def _split_plates(
    rounds: pd.DataFrame, primary: Sequence[str], styles: Mapping[str, ArmStyle]
) -> Iterator[Plate]:
    """A figure per split measure that is primary or about who is served; the others are in the tables."""
    wanted = dict.fromkeys([*primary, "minority_hit_rate", "popularity_lift", "welfare"])
    for base in wanted:
        parts = [name for name in rounds.columns if name.startswith(f"{base}:")]
        if not _has_values(rounds, parts):
            continue
        twin = f"{base}_consumed"
        if any(name.startswith(f"{twin}:") for name in rounds.columns):
            rows = [(name, twin + name[len(base) :]) for name in parts]
        else:
            rows = [tuple(parts[i : i + 2]) for i in range(0, len(parts), 2)]
        title = f"{describe(base).title}, by part of the population"
        yield Plate(
            f"groups-{base}",
            "groups",
            title,
            long_horizon(rounds, rows, styles, title=title),
            f"Curves over rounds, a panel per part. {finding(rounds, describe(parts[0]), styles)}",
            "The same measure for parts of the population: who gains and who loses where the mean stands still.",
        )
