"""The settings among which a calibration searches, as points of the unit cube, and the world of a point."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents.behavior import Behavior
from ...agents.settings import WorldConfig

ACTIVITY = 0.2
"""Mean probability of a visit in a round, where its spread is inferred: only the spread shows in a log."""
CAPPED_ACTIVITY = (0.5, 0.05)
"""Mean and spread of activity where a log has equally many items of nearly everybody."""


@dataclass(frozen=True)
class Quantity:
    """A setting, or a product of settings, with a uniform prior (on a log scale if `log`)."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at places in [0, 1]; whole numbers have equal parts of it."""
        if self.whole:
            return np.minimum(np.floor(self.low + place * (self.high - self.low + 1)), self.high)
        if self.log:
            return self.low * (self.high / self.low) ** place
        return self.low + place * (self.high - self.low)

    def place(self, value: float) -> float:
        """Return the place in [0, 1] of a value; of a whole number, the middle of its part."""
        if self.whole:
            return (value - self.low + 0.5) / (self.high - self.low + 1)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


CATALOG = "items per item of the log"
"""Many items of a world never make it into a log."""
QUANTITIES = (
    Quantity("(1+κ)·match", 3.0, 24.0),
    Quantity("(1+κ)·quality_sd", 0.2, 3.0),
    Quantity("(1+κ)·idiosyncrasy", 0.1, 2.5),
    Quantity("κ", 0.2, 1.2),
    Quantity("organic_popularity", 0.0, 1.0),
    Quantity("outside", 1.0, 5.0),
    Quantity("topics", 8, 64, log=True),
    Quantity("topic_skew", 0.0, 1.2),
    Quantity("blend", 0.05, 0.6),
    Quantity("tastes", 2, 6, whole=True),
    Quantity("taste_focus", 0.4, 0.98),
    Quantity("homophily", 0.0, 1.0),
    Quantity(CATALOG, 1.0, 2.0, log=True),
    Quantity("activity_tail", 0.3, 2.2),
    Quantity("tag_noise", 0.0, 0.9),
    Quantity("communities", 4, 120, log=True),
    Quantity("community_focus", 0.01, 1.0, log=True),
)
"""Priors. The upper end of `CATALOG` is set by the log."""


@dataclass(frozen=True)
class Size:
    """The size of a log, and which parts of it say something."""

    users: int
    """Before items with few users are left out; so are its pairs."""
    items: int
    """After that."""
    pairs: int
    capped: bool
    has_topics: bool
    degree: int
    """Mean number of friends, to the next even number; 0 without a graph."""
    repeat: int
    """Cool-down of the simulated people."""
    most_catalog: float = 2.0
    """Most items of a world per item of the log."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities that this log can say something of."""
        left_out = {"activity_tail"} if self.capped else set()
        left_out |= set() if self.has_topics else {"tag_noise"}
        # Without ties, nobody can tell communities from tastes.
        left_out |= set() if self.degree else {"communities", "community_focus"}
        return tuple(
            replace(each, high=self.most_catalog) if each.name == CATALOG else each
            for each in QUANTITIES
            if each.name not in left_out
        )


def values_at(size: Size, point: NDArray[np.float64]) -> dict[str, float]:
    """Return the value of each quantity at a point of the unit cube."""
    return {each.name: float(each.at(x)) for each, x in zip(size.quantities, point, strict=True)}


def tables_at(size: Size, point: NDArray[np.float64], people: int) -> dict[str, dict[str, Any]]:
    """Return the tables `world` and `behavior` of a study at a point; people: number of users of the world."""
    value = values_at(size, point)
    kappa = value["κ"]
    world: dict[str, Any] = {
        "users": people,
        "items": round(size.items * value[CATALOG]),
        "topics": round(value["topics"]),
        "topic_skew": value["topic_skew"],
        "blend": value["blend"],
        "quality_sd": value["(1+κ)·quality_sd"] / (1 + kappa),
        "idiosyncrasy": value["(1+κ)·idiosyncrasy"] / (1 + kappa),
        "taste_shares": "dirichlet",
        "tastes": int(value["tastes"]),
        "taste_focus": value["taste_focus"],
        "homophily": value["homophily"],
    }
    if size.has_topics:
        world["tag_noise"] = value["tag_noise"]
    if size.degree:
        world["communities"] = min(round(value["communities"]), people)
        world["community_focus"] = value["community_focus"]
        world["graph"] = {"kind": "watts_strogatz", "degree": min(size.degree, (people - 1) // 2 * 2)}
    mean, spread = CAPPED_ACTIVITY if size.capped else (ACTIVITY, 0.0)
    behavior: dict[str, Any] = {
        "match": value["(1+κ)·match"] / (1 + kappa),
        "outside": value["outside"],
        "search": kappa,
        "organic_popularity": value["organic_popularity"],
        "activity": mean,
        "activity_sd": spread,
        "activity_tail": 0.0 if size.capped else value["activity_tail"],
        "repeat": size.repeat,
    }
    return {"world": _rounded(world), "behavior": _rounded(behavior)}


def _rounded(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table with numbers of four digits, so that a preset is what was simulated, to the last digit."""
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in table.items()}


def configs(tables: dict[str, dict[str, Any]]) -> tuple[WorldConfig, Behavior]:
    """Return the validated settings of the tables."""
    return WorldConfig(**tables["world"]), Behavior(**tables["behavior"])
