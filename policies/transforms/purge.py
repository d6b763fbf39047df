"""Drop entries from the log, by source, by round, or a random share of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...config import Config as BaseConfig
from ...errors import WrongFields
from ...philox import uniform
from ..base import LogTransform
from ..interactions import Observation
from .weights import SourceName, from_sources


class Purge(LogTransform):
    """Drop the entries from one of the `sources` and of rounds `first` … `last`, or a `share` of them.

    The draw for each entry depends on (seed, user, item, round, source) only: an entry once dropped stays
    dropped in every later fit, however the log grows, and a larger share drops the same entries and more. The
    rest stays in time order. This affects learning only: cool-downs and the histories that some policies rank
    by are unchanged. Cost: O(entries) per fit.
    """

    kind = "purge"

    class Config(BaseConfig):
        sources: tuple[SourceName, ...] | None = None
        """Drop entries of these sources; of all when omitted."""
        first: int | None = None
        """First round to drop; negative in the warm-up. From the start of the log when omitted."""
        last: int | None = None
        """Last round to drop. Up to the present when omitted."""
        share: float = Field(default=1.0, ge=0, le=1)
        """Share of these entries to drop."""
        seed: int = Field(default=0, ge=0, lt=2**63)
        """Another seed drops other entries."""

        @model_validator(mode="after")
        def _names_something(self) -> Any:
            if self.sources == ():
                raise WrongFields(
                    "sources = [] names nothing to drop: leave it out for all sources", "sources"
                )
            if self.first is not None and self.last is not None and self.first > self.last:
                text = f"first = {self.first} is after last = {self.last}: no round lies between"
                raise WrongFields(text, "first", "last")
            return self

    config: Config

    def prepare(self, seen: Observation) -> Observation:
        """Drop them."""
        log, config = seen.log, self.config
        dropped = from_sources(log, config.sources)
        if config.first is not None:
            dropped &= log.round >= config.first
        if config.last is not None:
            dropped &= log.round <= config.last
        if config.share < 1:
            dropped &= (
                _draws(np.uint64(config.seed), log.user, log.item, log.round, log.source) < config.share
            )
        return seen.without(dropped)


@njit(cache=True)
def _draws(key, user, item, round, source) -> NDArray[np.float64]:
    out = np.empty(user.size)
    for j in range(user.size):
        # The four sources share a Philox counter: the source picks the word.
        out[j] = uniform(key, round[j], user[j], 4 * np.int64(item[j]) + source[j])
    return out
