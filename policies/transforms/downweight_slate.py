"""Downweight log entries that came from the platform's own recommendations."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ...config import Config as BaseConfig
from ..base import LogTransform
from ..interactions import Observation
from .weights import from_sources, reweighted


class DownweightSlate(LogTransform):
    """Multiply the weights of entries that were taken from the platform's own slates by `weight`.

    Takes from slates reflect the platform more than takes that people found without it; this reduces their
    share in the feedback loop. With weight = 0 the entries are dropped, which works with every policy; users who
    took from slates only are then users without history. Ours; no source. Cost: O(entries) per fit.
    """

    kind = "downweight_slate"

    class Config(BaseConfig):
        weight: float = Field(default=0.5, ge=0, le=1)
        """1 changes nothing, 0 drops the entries."""

    config: Config

    @property
    def weighs(self) -> bool:
        """Whether entries get weights instead of being just kept or dropped."""
        return 0 < self.config.weight < 1

    def prepare(self, seen: Observation) -> Observation:
        """Weight or drop the entries from slates."""
        chosen = from_sources(seen.log, ("slate",))
        if self.weighs:
            return reweighted(seen, np.full(len(seen.log), self.config.weight), chosen)
        return seen.without(chosen) if self.config.weight == 0 else seen
