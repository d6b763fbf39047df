"""Target topic distributions of users: the profile of the history, mixed with a prior."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..interactions import IntArray, Observation
from ..profiles import topic_profiles
from .candidates import CandidatesConfig

MIN_SHARE = 1e-12
"""Smaller shares count as 0: they are rounding errors or have decayed, and their logarithms could overflow."""


class TargetConfig(CandidatesConfig):
    """The fields that define the target distribution."""

    window: int | None = Field(default=None, ge=1)
    """Target from the last so many rounds of history; all of it when omitted."""
    half_life: float | None = Field(default=None, ge=0.001)
    """Rounds after which an entry of the history counts half; no decay when omitted."""
    prior_weight: float = Field(default=0.0, ge=0, le=1)
    """β: weight of the prior in the target, so that topics that were never taken can appear."""
    prior: Literal["uniform", "population"] = "uniform"
    """The prior: all topics of the catalog equally, or the topics that all users took."""


def targets(seen: Observation, users: IntArray, config: TargetConfig) -> NDArray[np.float64]:
    """Return (B, topics): (1 − β)·p + β·p0, p the profile of each user's history and p0 the prior.

    Shares below 1e-12 count as 0.
    """
    own = topic_profiles(seen, window=config.window, half_life=config.half_life)[users]
    beta = config.prior_weight
    mixed = own if beta == 0 else np.asarray((1 - beta) * own + beta * _prior(seen, config.prior))
    rows = ((mixed > 0) & (mixed < MIN_SHARE)).any(axis=1)
    if rows.any():
        kept = np.where(mixed[rows] < MIN_SHARE, 0.0, mixed[rows])
        mixed[rows] = kept / np.maximum(kept.sum(axis=1, keepdims=True), MIN_SHARE)
    return mixed


def _prior(seen: Observation, kind: str) -> NDArray[np.float64]:
    if kind == "uniform":
        found = seen.tags.any(axis=0)
        return np.divide(found, max(np.count_nonzero(found), 1))
    weights = seen.popularity if len(seen.log) else np.ones(seen.n_items)
    mean = weights @ seen.tags.astype(np.float64)
    return np.divide(mean, max(mean.sum(), np.finfo(float).tiny))
