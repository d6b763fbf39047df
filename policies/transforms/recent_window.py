"""Learn from the most recent rounds only."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from ...config import Config as BaseConfig
from ..base import LogTransform
from ..interactions import Observation


class RecentWindow(LogTransform):
    """Keep the entries of the last `rounds` rounds: those at or after `learned_until` − rounds.

    The same as the field `window` of some policies, except that those also rank by their window, while this
    one applies to learning only. No copy is made; entries keep their order. Cost: O(log
    entries) per fit.
    """

    kind = "recent_window"

    class Config(BaseConfig):
        rounds: int = Field(default=50, ge=1)
        """How many; the warm-up counts as rounds −1, −2, …"""

    config: Config

    def prepare(self, seen: Observation) -> Observation:
        """Cut the log."""
        return replace(seen, log=seen.last(self.config.rounds))
