"""Settings of the platform other than its ranking method: slate length, refits, and the log it learns from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import Config

MAX_SLATE = 128
"""Maximum slate length."""


class Platform(Config):
    """Settings shared by all arms of a study, unless an arm overrides them in its own `platform`."""

    slate: int = Field(default=10, ge=1, le=MAX_SLATE)
    """Items shown in a visit."""
    warmup: int = Field(default=15, ge=0, le=1_000_000)
    """Organic rounds before round 0 that give the platform its first log (a real log replaces them)."""
    cold_start: int = Field(default=0, ge=0, le=MAX_SLATE)
    """Slots of every recommended slate that are kept for newborn items, which a policy hardly knows yet; 0 = none."""
    cold_start_rounds: int = Field(default=20, ge=1)
    """Rounds after its birth during which an item counts as newborn."""
    cold_start_place: Literal["end", "anywhere"] = "end"
    """Where these slots are: the last ranks, or random ranks (random interleaving, as in Chaney et al. 2018)."""
    retrain_every: int = Field(default=5, ge=1)
    """Rounds between refits."""
    learn_from: Literal["all", "organic", "warmup"] = "all"
    """What the policy learns from: everything; an organic log of the same size from the paired world
    without a recommender; or only what came before round 0. all − organic is the loop's own effect."""
    hidden_ties: float = Field(default=0.0, ge=0, le=1)
    """Share of social ties that the platform does not see."""
    keep_exposures: int = Field(default=20, ge=0)
    """Rounds of past slates that policies can read."""
