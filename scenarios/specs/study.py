"""The schema of a study file (TOML): world, behavior, platform, arms, grid, seeds, validated as a whole."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from ...agents.behavior import MOST, Behavior
from ...agents.settings import WorldConfig
from ...config import Config
from ...errors import WrongFields, did_you_mean
from ...sim.platform import MAX_SLATE, Platform
from .gate import GateConfig
from .uncertainty import Uncertainty


class LogConfig(Config):
    """A world inferred from a real log (the twin of that log)."""

    log: str
    """Interactions: CSV, TSV, Parquet, or MovieLens `.dat` / `u.data`."""
    items: str | None = None
    """Item file with a genre column."""
    social: str | None = None
    """Edge list of users, with the user ids of the log."""
    tags: str | None = None
    """Item–tag pairs."""
    user_column: str | None = None
    """Column of the user id, if it is not recognized."""
    item_column: str | None = None
    """Column of the item id, if it is not recognized."""
    rating_column: str | None = None
    """Column of the rating, play count or weight, if it is not recognized."""
    time_column: str | None = None
    """Column of the timestamp, if it is not recognized."""
    min_rating: float | None = Field(default=None, ge=0)
    """Keep only interactions with at least this rating."""
    user_core: int = Field(default=5, ge=0)
    """Keep users with at least this many items (applied with item_core until nothing changes)."""
    item_core: int = Field(default=1, ge=0)
    """Keep items with at least this many users."""
    topics: int | Literal["auto"] = "auto"
    """Number of topics, if they are learned from tags or from co-consumption; "auto" = chosen on held-out data."""
    max_tastes: int = Field(default=3, ge=1, le=16)
    """Most tastes per user; their number is chosen by the data."""
    tag_noise: float = Field(default=0.1, ge=0, le=1)
    """Probability that the platform's tag of an item names a wrong topic."""
    idiosyncrasy: float = Field(default=0.5, ge=0, le=MOST)
    """Spread of the fixed user-item effect outside any low-rank structure."""
    influence_spread: float = Field(default=0.5, ge=0, le=10)
    """Spread (of the log) of influence over ties."""
    arrivals: float = Field(default=0.0, ge=0, le=MOST)
    """New items per round, drawn like the catalog's."""
    retirements: Literal["match"] | Annotated[float, Field(ge=0, le=MOST)] = "match"
    """Items that leave per round: as many as arrive, or a mean of their own."""
    retire: Literal["oldest", "random"] = "random"
    """Which items leave."""


def _which_world(value: Any) -> str:
    """Return the tag of the kind of world: a world from a log has the key `log`."""
    from_log = isinstance(value, LogConfig) or (isinstance(value, dict) and "log" in value)
    return "[log]" if from_log else "[generated]"


AnyWorld = Annotated[
    Annotated[WorldConfig, Tag("[generated]")] | Annotated[LogConfig, Tag("[log]")],
    Discriminator(_which_world),
]


class SwitchConfig(Config):
    """A change of an arm during its run. Settings that it does not name stay as they were."""

    round: int = Field(ge=0)
    """First round in which it is on."""
    until: int | None = Field(default=None, ge=1)
    """First round in which it is off again; it stays on if omitted."""
    users: float | str = 1.0
    """Affected users: a share of the users (drawn once for the whole run), "group=NAME" or "community=NUMBER"."""
    ramp: int = Field(default=0, ge=0)
    """Rounds over which the share of affected users grows to `users`; 0 = at once."""
    policy: dict[str, Any] | None = None
    """Another policy, trained on the same log from the first round on; without `kind`, only the fields that
    differ from the arm's own policy."""
    rerank: list[dict[str, Any]] | None = None
    """Other rerankers; [] for none."""
    slate: int | None = Field(default=None, ge=1, le=MAX_SLATE)
    """Another length of the recommended slates; slates of organic visits keep their length."""
    recommend: bool | None = None
    """false: no recommendations, every visit is organic; true: back on."""
    retrain_every: int | None = Field(default=None, ge=1)
    """Another number of rounds between refits, starting with a refit at once (for all users)."""
    transform: list[dict[str, Any]] | None = None
    """Other log transforms before each fit, starting with a refit at once; [] for none (for all users)."""
    purge: list[dict[str, Any]] = []
    """Log transforms applied once and permanently to the log so far (for all users)."""

    @field_validator("users")
    @classmethod
    def _some_users(cls, value: float | str) -> float | str:
        if isinstance(value, str):
            if not re.fullmatch(r"group=.+|community=(0|[1-9]\d{0,8})", value):
                raise ValueError('must be a share, "group=NAME" or "community=NUMBER"')
        elif not 0 < value <= 1:
            raise ValueError("must be a share above 0 and at most 1")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> SwitchConfig:
        if self.until is not None and self.until <= self.round:
            raise WrongFields(f"until = {self.until} is not after round = {self.round}", "until", "round")
        if not self.changed:
            names = USER_CHANGES + PLATFORM_CHANGES
            raise WrongFields(f"changes nothing; name at least one of {', '.join(names)}", *names)
        if self.until is not None and self.changed == {"purge"}:
            raise WrongFields("a purge is for good, so it has no until", "until", "purge")
        shared = sorted(self.changed & set(PLATFORM_CHANGES))
        if shared and (self.users != 1 or self.ramp):
            raise WrongFields(
                f"{shared[0]} is the platform's, the same for everybody: leave out users and ramp, or put it "
                "into a switch of its own",
                shared[0],
                "users",
                "ramp",
            )
        return self

    @property
    def changed(self) -> set[str]:
        """Names of the settings that it changes."""
        return {
            name for name in USER_CHANGES + PLATFORM_CHANGES if getattr(self, name) not in (None, [], {})
        } | {name for name in ("rerank", "transform") if getattr(self, name) is not None}


USER_CHANGES = ("policy", "rerank", "slate", "recommend")
"""Settings that a switch can change for some of the users."""
PLATFORM_CHANGES = ("retrain_every", "transform", "purge")
"""Settings that a switch can only change for all users."""


class Arm(Config):
    """One named policy configuration."""

    name: str = Field(min_length=1)
    """Label in tables and plots."""
    policy: dict[str, Any]
    """`kind` and the fields of that policy; `organic`, `oracle_item` and `oracle_slate` are the reference arms."""
    rerank: list[dict[str, Any]] = []
    """Rerankers, applied in order."""
    transform: list[dict[str, Any]] = []
    """Log transforms before each fit, applied in order."""
    platform: dict[str, Any] = {}
    """Platform fields that differ in this arm (e.g. learn_from)."""
    switch: list[SwitchConfig] = []
    """Changes during the run, and the users that they affect."""


class Study(Config):
    """A world, behavior, one or more arms, an optional grid, and seeds."""

    name: str = Field(min_length=1)
    """The question, as a title."""
    description: str = ""
    """What the study is about and how its settings were chosen; shown in the report."""
    rounds: int = Field(default=150, ge=1, le=1_000_000)
    """Rounds of the loop."""
    seeds: int | list[int] = Field(default=20)
    """Number of seeds n (they are 0…n−1), or a list of seeds."""
    world: AnyWorld = WorldConfig()
    """A generated world, or one inferred from a real log (when `log` is given)."""
    behavior: Behavior = Behavior()
    """How users behave."""
    platform: Platform = Platform()
    """Settings of the platform that all arms share."""
    arms: list[Arm] = Field(min_length=1)
    """The arms to compare."""
    reference: str | None = None
    """Arm that the others are compared with; the first one if omitted."""
    primary: list[str] = ["niche_consumed", "minority_hit_rate", "community_gap", "welfare"]
    """Measures chosen in advance, on which conclusions rest."""
    measures: list[str] = []
    """Measures to compute; the usual ones if empty. "usual" stands for these in a list: ["usual", "niche_exposure_all"]."""
    split_by: list[Literal["group", "community", "profile"]] = []
    """Also report measures that are means over users for each group, community or kind of profile ("niche", "diverse" and
    "blockbuster": thirds by the share of popular items among what users took before round 0)."""
    grid: dict[str, list[Any]] = {}
    """Dotted key → values; every combination is run."""
    zip: list[dict[str, list[Any]]] = []
    """Tables of dotted key → values that vary together; every row of one with every combination of the grid."""
    uncertainty: Uncertainty | None = None
    """Priors over unknown settings; every seed draws from them."""
    gate: GateConfig | None = None
    """Whether one arm may replace another; judged by `echodrift gate`."""

    @field_validator("seeds")
    @classmethod
    def _some_seeds(cls, value: int | list[int]) -> int | list[int]:
        if isinstance(value, int):
            if not 1 <= value <= 100_000:
                raise ValueError("must be 1 to 100000, or a list of seeds such as [0, 1, 2]")
            return value
        if not value or min(value) < 0 or max(value) >= 2**63:
            raise ValueError("a list of seeds holds at least one number, each from 0 to 2^63 - 1")
        if len(set(value)) < len(value):
            raise ValueError("the same seed is listed twice")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        names = [arm.name for arm in self.arms]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            both = [("arms", place, "name") for place, name in enumerate(names) if name == twice[0]]
            raise WrongFields(f'two arms are named "{twice[0]}"; give each arm its own name', *both)
        if self.reference is not None and self.reference not in names:
            raise WrongFields(
                f'reference = "{self.reference}" is not the name of an arm ({", ".join(names)}).'
                f"{did_you_mean(self.reference, names)}",
                "reference",
            )
        return self
