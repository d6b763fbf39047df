"""Base classes of measures, and the data they receive: the setup of a run and each round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ...agents.behavior import RARE, RECENT
from ...agents.world import World
from .rows import ratios, row_counts

__all__ = ["RECENT", "Column", "Measure", "Round", "Setup", "SplitMeasure", "Terms", "UserMeasure"]

Tool = TypeVar("Tool")
OrganicSlates = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.int32]]
Terms = dict[str, tuple[NDArray[Any], NDArray[Any]]]
"""Column → numerators and denominators, one pair per user."""


Source = Literal["own", "organic", "cold", "all"]
SOURCES: dict[str, tuple[Source, str]] = {
    "": ("own", ""),
    "_organic": ("organic", "organic visits"),
    "_cold": ("cold", "cold-start slots"),
    "_all": ("all", "all slots"),
}
"""Suffix of a column → where the slots that it counts come from, and these in words."""


@dataclass(frozen=True)
class Part:
    """The slots of a round that come from one source, and what was taken from them."""

    slates: NDArray[np.int32]
    """(B, n) items shown, −1 in other slots."""
    taken: NDArray[np.int32]
    """(B, m) items taken from these slots, −1 where none."""
    items: int
    """Number of items in the world."""

    @cached_property
    def shown_counts(self) -> NDArray[np.int64]:
        """(items,) number of slots that showed each item."""
        return np.bincount(self.slates[self.slates >= 0], minlength=self.items)

    @cached_property
    def taken_counts(self) -> NDArray[np.int64]:
        """(items,) how often each item was taken (word of mouth excluded)."""
        return np.bincount(self.taken[self.taken >= 0], minlength=self.items)

    @cached_property
    def slots(self) -> NDArray[np.int64]:
        """(B,) number of items shown in each visit."""
        return row_counts(self.slates)

    @cached_property
    def takes(self) -> NDArray[np.int64]:
        """(B,) number of items taken in each visit."""
        return row_counts(self.taken)


@dataclass(frozen=True)
class Round:
    """One round as the measures see it: slates, choices, intents, and the world that users acted on.

    Measures run after the choices and before anything is recorded or drifts: tastes, shares, ties, cool-downs
    and friends' takes are those at the time of the visit. B = visits of the round (users ascending), n = slate
    length.
    """

    index: int
    world: World
    users: NDArray[np.int32]
    """(B,) users who visited."""
    slates: NDArray[np.int32]
    """(B, n) items shown in each visit, −1 where fewer."""
    organic: NDArray[np.bool_]
    """(B,) whether the visit bypassed the recommender's slate."""
    unserved: NDArray[np.bool_]
    """(B,) whether the user has no recommender in this round: in the organic arm, or by a switch."""
    cold: NDArray[np.bool_] | None
    """(B, n) slots that are kept for newborn items; None if there are none."""
    intents: NDArray[np.int32]
    """(B,) the taste that the user acted on."""
    depth: NDArray[np.int32]
    """(B,) number of ranks examined."""
    taken: NDArray[np.int32]
    """(B, m) items taken from the slate, best first, −1 where fewer."""
    surplus: NDArray[np.float64]
    """(B,) Σ over taken items of (v + ε) − (v_0 + ε_0)."""
    surplus_start: NDArray[np.float64]
    """(B,) the same items and noise valued at round-0 tastes."""
    hit: NDArray[np.float64]
    """(B, K) P(at least one item taken | intent k, this slate), in closed form; NaN for unused tastes, and for other intents
    than that of an organic visit of people who search: see `intents.values_by_intent`."""
    heard_users: NDArray[np.int32]
    """(w,) users who took an item by word of mouth."""
    heard_items: NDArray[np.int32]
    """(w,) the items that they took."""
    blocked: NDArray[np.uint8]
    """(users, ceil(items / 8)) bit set of pairs in their cool-down (see `echodrift.bits`)."""
    organic_slates: OrganicSlates
    """Users (P,) and intents (P,) → slates (P, n): what organic visits would show them in this round, by the same draws."""

    def part(self, source: Source) -> Part:
        """Return the slots of one source.

        "own": what the recommender showed; organic slots for users without one, so that a reference is never empty.
        "organic": slots of organic visits. "cold": those kept for newborn items. "all": every slot.
        """
        if source not in self._parts:
            self._parts[source] = self._part(source)
        return self._parts[source]

    @cached_property
    def _parts(self) -> dict[Source, Part]:
        return {}

    def _part(self, source: Source) -> Part:
        items = len(self.world.items)
        if source == "all":
            return Part(self.slates, self.taken, items)
        rows = self.organic if source == "organic" else ~self.organic | self.unserved
        slates, taken = self.slates, self.taken
        if source == "cold" and self.cold is None:
            rows = np.zeros(self.users.size, bool)
        elif self.cold is not None and source != "organic":
            kept = np.where(self.cold, slates, -1)
            from_cold = (taken[:, :, None] == kept[:, None, :]).any(axis=2) & (taken >= 0)
            is_cold = source == "cold"
            slates = np.where(self.cold == is_cold, slates, -1)
            taken = np.where(from_cold == is_cold, taken, -1)
        return Part(np.where(rows[:, None], slates, -1), np.where(rows[:, None], taken, -1), items)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """(items,) whether each item can be shown in this round."""
        return self.world.items.live(self.index)

    @cached_property
    def visit_weights(self) -> NDArray[np.float64]:
        """(B,) 1 / activity, so that a mean over visitors counts every user equally; 0 for users who hardly ever visit."""
        activity = self.world.users.activity[self.users].astype(np.float64)
        return np.where(activity < RARE, 0.0, 1.0 / activity)


@dataclass(frozen=True)
class Setup:
    """What a measure knows at round 0, before the first visit."""

    world: World
    slate: int
    """Number of slots of a slate."""
    popularity: NDArray[np.int64]
    """(items,) times taken before round 0 (warm-up or imported log); fixed for the whole run."""
    key: np.uint64
    """Key for fixed panels of users or pairs that depend on the seed only, the same in every arm."""
    profile_popularity: NDArray[np.float64]
    """(users,) mean of `popularity` over what the user took before round 0, every take counted (see
    `popularity.profile_popularity`); NaN for a user who took nothing."""
    splits: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Label ("group=niche", "community=3") → (users,) mask of its users."""
    _tools: dict[type, Any] = field(default_factory=dict, repr=False, compare=False)

    def shared(self, tool: type[Tool]) -> Tool:
        """Return this setup's single instance of a helper class that several measures share, such as the window."""
        if tool not in self._tools:
            self._tools[tool] = tool(self)  # type: ignore[call-arg]
        return self._tools[tool]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the helpers keep from past rounds, as arrays for a checkpoint."""
        return {
            f"{tool.__name__}.{name}": array
            for tool, instance in self._tools.items()
            if hasattr(instance, "state")
            for name, array in instance.state().items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        for tool, instance in self._tools.items():
            if hasattr(instance, "restore"):
                prefix = f"{tool.__name__}."
                own = {
                    name.removeprefix(prefix): array
                    for name, array in state.items()
                    if name.startswith(prefix)
                }
                instance.restore(own)

    def fresh(self) -> Setup:
        """Return the same setup without helper instances, so that a new run shares nothing with an earlier one."""
        return replace(self, _tools={})


@dataclass(frozen=True)
class Column:
    """One column that a measure fills, and how to interpret it."""

    name: str
    title: str
    """A description in plain words, for axes and tables."""
    unit: str
    """"share", "nats", "items", … ; empty where it has none."""
    low: float
    high: float
    """Range of possible values (may be infinite)."""
    better: Literal["higher", "lower", "neither"]
    """Which direction is good for users; "neither" if that depends."""
    family: Literal["exposure", "tastes", "echo", "welfare"]
    usual: bool = True
    """Whether it is computed if a study names no measures."""


def by_source(*columns: Column) -> tuple[Column, ...]:
    """Return columns followed by the same for the slots of other sources, which are computed on request only."""
    return columns + tuple(
        replace(column, name=f"{column.name}{suffix}", title=f"{column.title}, {words}", usual=False)
        for suffix, (_, words) in SOURCES.items()
        if suffix
        for column in columns
    )


class Measure(ABC):
    """A streaming measure: processes every round once, with bounded memory.

    Docstrings of subclasses state formula, range, direction and source.
    """

    columns: ClassVar[tuple[Column, ...]]
    every: ClassVar[int] = 1
    """Rounds between evaluations; NaN in between."""
    splits: ClassVar[bool] = False
    """Whether the measure can be split by group or community."""
    wanted: frozenset[str] | None = None
    """The columns that are asked for; None: all. Others need not be computed."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    @abstractmethod
    def update(self, round: Round) -> dict[str, float]:
        """Process one round; return a value per column (NaN if undefined or not due)."""

    def wants(self, column: str) -> bool:
        """Return whether a column is asked for."""
        return self.wanted is None or column in self.wanted

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the measure keeps from past rounds, apart from the setup's helpers, for a checkpoint."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned."""


class SplitMeasure(Measure):
    """A measure that is a ratio of two sums over users, so that it can be split by group or community.

    If the setup has splits, every column gets one more column per label, `column:label`: the same ratio over
    those users only.
    """

    splits: ClassVar[bool] = True

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._labels = tuple(setup.splits)
        masks = [np.asarray(setup.splits[label], bool) for label in self._labels]
        self._masks = np.array(masks, bool).reshape(len(masks), len(setup.world.users))

    @abstractmethod
    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Return distinct users (n,), and per column numerators (n,) and denominators (n,).

        A user whose numerator or denominator is not finite is left out. Called only in rounds that are due.
        """

    @final
    def update(self, round: Round) -> dict[str, float]:
        """Return the ratio of the sums for every column and label; NaN if the denominator is 0."""
        names = [column.name for column in self.columns if self.wants(column.name)]
        if round.index % self.every:
            splits = [f"{name}:{label}" for name in names for label in self._labels]
            return dict.fromkeys(names + splits, np.nan)
        users, terms = self.terms(round)
        values: dict[str, float] = {}
        for name in names:
            numerators, denominators = (np.asarray(part, np.float64) for part in terms[name])
            total, *parts = ratios(numerators, denominators, users, self._masks).tolist()
            values[name] = total
            values.update({f"{name}:{label}": part for label, part in zip(self._labels, parts, strict=True)})
        return values


class UserMeasure(SplitMeasure):
    """A mean over the visitors of a round that counts every user equally, however often they visit.

    Visitors are weighted by 1 / activity (Hájek's estimator of the mean over all users); visitors
    whose value is NaN are left out, and so are users with an activity below 0.02 (a note tells their share).
    """

    @abstractmethod
    def per_user(self, round: Round) -> dict[str, NDArray[np.float64]]:
        """Return a value per visit (B,) for every column, NaN if undefined."""

    @final
    def terms(self, round: Round) -> tuple[NDArray[np.int32], Terms]:
        """Return each visitor's weighted value and weight."""
        weights = round.visit_weights
        per_user = self.per_user(round)
        return round.users, {
            name: (weights * value, np.where(np.isnan(value), 0.0, weights))
            for name, value in per_user.items()
        }
