"""Inverse propensity weighting against self-selection: takes of rarely taken items count for more."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, model_validator

from ...config import Config as BaseConfig
from ...errors import WrongFields
from ..base import LogTransform
from ..interactions import Observation
from .weights import SourceName, from_sources, reweighted


class SelectionDebias(LogTransform):
    """Inverse propensity weighting against what people select, or are shown, by popularity.

    Weight of an entry of item i: 1/p_i, with propensity p_i = (n_i / max_j n_j)^exponent, n_i its entries.

    Where people find items by themselves, popular ones are found more often whatever they are worth. If an
    item comes to somebody's notice with probability ∝ p_i, weighting what was taken by 1/p_i makes sums over
    the log unbiased for the log that would be had if everything were noticed alike (inverse propensity
    scoring: Schnabel, Swaminathan, Singh, Chandak and Joachims, "Recommendations as Treatments", ICML 2016).
    That holds for p that is right and known beforehand, weights that `max_weight` does not cut, and self_normalized =
    false. Here p is estimated from the same takes (a rare item that was noticed by chance looks less rare than it
    is), cut weights favor popular items, and dividing by the mean weight leaves a small bias of a ratio: weighted
    sums are then consistent at best, as takes become many.
    They estimate propensities by naive Bayes from ratings and a random sample, or from features of users and
    items; a log of takes has neither. What is left, and usual for implicit feedback, is a power of the item's
    popularity. It assumes that all of the difference between n_i^exponent comes from being noticed: appeal
    that popular items have for good reason is taken from them too, the more so the larger the exponent.

    Weights above `max_weight` are cut (before normalizing). Cost: O(entries) per fit.
    """

    kind = "selection_debias"

    class Config(BaseConfig):
        exponent: float = Field(default=0.5, ge=0, le=5)
        """0 weighs all entries alike; 1 gives every item the same total weight."""
        max_weight: float = Field(default=10.0, ge=1)
        """No entry's weight is multiplied by more than this, before normalizing."""
        self_normalized: bool = True
        """Divide by the mean weight, so that the entries weigh together what they did before."""
        sources: tuple[SourceName, ...] | None = None
        """Weigh (and count) entries of these sources only; those of all when omitted."""

        @model_validator(mode="after")
        def _names_something(self) -> Any:
            if self.sources == ():
                raise WrongFields(
                    "sources = [] names nothing to weigh: leave it out for all sources", "sources"
                )
            return self

    config: Config

    @property
    def weighs(self) -> bool:
        """Yes."""
        return True

    def prepare(self, seen: Observation) -> Observation:
        """Weigh the entries of the sources."""
        log, config = seen.log, self.config
        chosen = from_sources(log, config.sources)
        own = None if log.weight is None else log.weight[chosen]
        counts = np.bincount(log.item[chosen], own, seen.n_items).astype(np.float64)
        rarity = np.ones(seen.n_items)
        np.divide(counts.max(initial=0), counts, out=rarity, where=counts > 0)
        factors = np.minimum(rarity**config.exponent, config.max_weight)
        return reweighted(seen, factors[log.item], chosen, config.self_normalized)
