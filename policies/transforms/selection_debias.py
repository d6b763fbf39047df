"""Inverse propensity weighting against selection bias: takes of rarely taken items count more."""

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
    """Inverse propensity weighting against selection bias: people find, or are shown, items by popularity.

    Weight of an entry of item i: 1/p_i, with propensity p_i = (n_i / max_j n_j)^exponent, n_i its entries.

    People find popular items more often, whatever their quality. If an item is noticed with probability ∝ p_i,
    weighting takes by 1/p_i makes sums over the log unbiased for a log in which all items are noticed equally
    often (inverse propensity scoring: Schnabel, Swaminathan, Singh, Chandak and Joachims, "Recommendations as
    Treatments", ICML 2016). That requires correct propensities known in advance, weights that `max_weight` does not
    cut, and self_normalized = false. Here p is estimated from the same takes (a rare item that was noticed by chance
    looks less rare than it is), cut weights favor popular items, and dividing by the mean weight leaves the small
    bias of a ratio: weighted sums are then consistent at best, as the number of takes grows.
    Schnabel et al. estimate propensities by naive Bayes from ratings and a random sample, or from features of users
    and items; a log of takes has neither. What remains, and is usual for implicit feedback, is a power of the item's
    popularity. It attributes all differences in n_i^exponent to being noticed, so deserved popularity is
    corrected away too, the more so the larger the exponent.

    Weights above `max_weight` are cut (before normalizing). Cost: O(entries) per fit.
    """

    kind = "selection_debias"

    class Config(BaseConfig):
        exponent: float = Field(default=0.5, ge=0, le=5)
        """0 weights all entries equally; 1 gives every item the same total weight."""
        max_weight: float = Field(default=10.0, ge=1)
        """No entry's weight is multiplied by more than this, before normalizing."""
        self_normalized: bool = True
        """Divide by the mean weight, so that the total weight of the entries does not change."""
        sources: tuple[SourceName, ...] | None = None
        """Weight (and count) entries of these sources only; those of all sources when omitted."""

        @model_validator(mode="after")
        def _names_something(self) -> Any:
            if self.sources == ():
                raise WrongFields(
                    "sources = [] names nothing to weight: leave it out for all sources", "sources"
                )
            return self

    config: Config

    @property
    def weighs(self) -> bool:
        """Yes."""
        return True

    def prepare(self, seen: Observation) -> Observation:
        """Weight the entries of the sources."""
        log, config = seen.log, self.config
        chosen = from_sources(log, config.sources)
        own = None if log.weight is None else log.weight[chosen]
        counts = np.bincount(log.item[chosen], own, seen.n_items).astype(np.float64)
        rarity = np.ones(seen.n_items)
        np.divide(counts.max(initial=0), counts, out=rarity, where=counts > 0)
        factors = np.minimum(rarity**config.exponent, config.max_weight)
        return reweighted(seen, factors[log.item], chosen, config.self_normalized)
