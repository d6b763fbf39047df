"""Measures of exposure, tastes, homogenization (echo) and welfare, computed in a stream, round by round.

`MEASURES` maps each column to the class that fills it; classes are imported when first used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from ...errors import BadInput, did_you_mean
from .base import RECENT, SOURCES, Column, Measure, Round, Setup, SplitMeasure, UserMeasure

__all__ = [
    "MEASURES",
    "RECENT",
    "USUAL",
    "Column",
    "Measure",
    "MeasureSet",
    "Round",
    "Setup",
    "SplitMeasure",
    "UserMeasure",
    "build",
    "catalog",
    "computed",
    "declared",
    "measure_class",
]

USUAL = "usual"
"""Name that stands for all usual measures in a list of measures."""
_BY_SOURCE = {
    "niche_exposure": "exposure:NicheExposure",
    "niche_consumed": "exposure:NicheExposure",
    "exposure_gini": "exposure:Concentration",
    "exposure_gini_consumed": "exposure:Concentration",
    "coverage": "exposure:Coverage",
    "coverage_consumed": "exposure:Coverage",
    "coverage_round": "exposure:RoundCoverage",
    "coverage_round_consumed": "exposure:RoundCoverage",
    "extinct_share": "exposure:Extinction",
    "extinct_share_consumed": "exposure:Extinction",
    "average_popularity": "popularity:AveragePopularity",
    "average_popularity_consumed": "popularity:AveragePopularity",
    "average_popularity_current": "popularity:CurrentPopularity",
    "average_popularity_current_consumed": "popularity:CurrentPopularity",
}
"""Columns that count the recommender's slots. Each has further columns for slots of other sources."""
MEASURES: dict[str, str] = {
    **_BY_SOURCE,
    "niche_demand": "exposure:NicheDemand",
    "popularity_lift": "popularity:PopularityLift",
    "popularity_lift_consumed": "popularity:PopularityLift",
    "exhausted_share": "exhaustion:Exhaustion",
    "slate_stability": "stability:SlateStability",
    "provider_exposure_gini": "providers:ProviderConcentration",
    "provider_exposure_gini_consumed": "providers:ProviderConcentration",
    "provider_survival": "providers:ProviderSurvival",
    "niche_provider_survival": "providers:ProviderSurvival",
    "active_providers": "providers:ProviderSurvival",
    "supply_topics": "providers:TopicSupply",
    "supply_gap": "providers:TopicSupply",
    "entrant_exposure": "providers:EntrantExposure",
    "entrant_exposure_consumed": "providers:EntrantExposure",
    "minority_hit_rate": "tastes:HitRates",
    "dominant_hit_rate": "tastes:HitRates",
    "satisfied_visits": "tastes:SatisfiedVisits",
    "minority_share": "tastes:TasteShares",
    "minority_share_neutral": "tastes:TasteShares",
    "dominant_share": "tastes:TasteShares",
    "effective_tastes": "tastes:EffectiveTastes",
    "effective_tastes_distinct": "tastes:EffectiveTastes",
    "miscalibration": "calibration:Miscalibration",
    "miscalibration_current": "calibration:CurrentMiscalibration",
    "homogenization": "echo:Homogenization",
    "pairs_compared": "echo:Homogenization",
    "overlap_cumulative": "echo:CumulativeOverlap",
    "community_gap": "echo:CommunityGap",
    "intra_user_diversity": "diversity:IntraUserDiversity",
    "inter_user_diversity": "diversity:InterUserDiversity",
    "taste_assortativity": "ties:TasteAssortativity",
    "modularity": "ties:Modularity",
    "welfare": "welfare:Welfare",
    "welfare_start": "welfare:Welfare",
    "regret": "regret:Regret",
    **{f"{name}{suffix}": home for suffix in SOURCES if suffix for name, home in _BY_SOURCE.items()},
}
"""Column → module and class in this package, in the order of tables and reports."""


def measure_class(column: str) -> type[Measure]:
    """Return the class that fills a column; an unknown name raises BadInput with the closest match."""
    if column not in MEASURES:
        raise BadInput(
            f'unknown measure "{column}".{did_you_mean(column, MEASURES)} '
            "`echodrift list measures` shows all of them."
        )
    module, name = MEASURES[column].split(":")
    return getattr(import_module(f".{module}", __name__), name)


def catalog() -> list[Column]:
    """Return every column that can be asked for, in the order of `MEASURES`."""
    return [declared(name) for name in MEASURES]


def declared(column: str) -> Column:
    """Return a column as its measure declares it; an unknown name raises BadInput."""
    return next(found for found in measure_class(column).columns if found.name == column)


def computed(measures: Iterable[str]) -> list[str]:
    """Return the columns that a study computes: "usual" stands for all usual ones, and so does an empty list."""
    names: list[str] = []
    for name in list(measures) or [USUAL]:
        names += [column.name for column in catalog() if column.usual] if name == USUAL else [name]
    return list(dict.fromkeys(names))


class MeasureSet:
    """The measures of one run: takes every round in order and returns that round's values."""

    def __init__(self, setup: Setup, columns: Iterable[str]) -> None:
        names = dict.fromkeys(columns)
        classes = dict.fromkeys(measure_class(name) for name in names)
        self._setup = setup.fresh()
        self.measures: tuple[Measure, ...] = tuple(kind(self._setup) for kind in classes)
        """One instance per class, in the order of their first column."""
        for measure in self.measures:
            measure.wanted = frozenset(name for name in names if measure_class(name) is type(measure))
        self.columns: tuple[Column, ...] = tuple(
            column
            for name in names
            for column in _with_splits(declared(name), measure_class(name), self._setup)
        )
        """The columns that `update` returns, in order: every column, followed by its splits."""

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.measures)

    def update(self, round: Round) -> dict[str, float]:
        """Process one round; return a value per column, NaN if undefined or not due."""
        values: dict[str, float] = {}
        for measure in self.measures:
            values.update(measure.update(round))
        return {column.name: values[column.name] for column in self.columns}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for a checkpoint: everything that measures keep from past rounds."""
        state = self._setup.state()
        for measure in self.measures:
            name = type(measure).__name__
            state |= {f"{name}.{key}": array for key, array in measure.state().items()}
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned, in a set with the same columns."""
        self._setup.restore(state)
        for measure in self.measures:
            prefix = f"{type(measure).__name__}."
            own = {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}
            measure.restore(own)


def _with_splits(column: Column, kind: type[Measure], setup: Setup) -> list[Column]:
    labels = setup.splits if kind.splits else ()
    splits = [
        replace(column, name=f"{column.name}:{label}", title=f"{column.title}, {label}") for label in labels
    ]
    return [column, *splits]


def build(setup: Setup, columns: Iterable[str] | None = None) -> MeasureSet:
    """Return the measures that fill the given columns (as in `computed`), the usual ones if omitted.

    An unknown name raises BadInput with the closest match.
    """
    return MeasureSet(setup, computed(columns or ()))
