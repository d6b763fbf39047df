"""Inverse propensity weighting against position bias: takes from far down the slate count more."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...config import Config as BaseConfig
from ...errors import PolicyError, WrongFields
from ..base import LogTransform
from ..interactions import Observation
from .examination import count_by_rank, examination
from .weights import from_sources, reweighted


class PositionDebias(LogTransform):
    """Inverse propensity weighting against position bias, attention known or estimated from the log.

    Weight of an entry taken from rank r of a slate: 1/p_r, p_r the probability that the rank is examined.

    Under the position-based model, P(taken | shown at r) = p_r · γ with γ independent of r, weighted takes
    have expectation γ whatever the rank: Σ takes/p_r is an unbiased count of what would have been taken at rank
    1 (Joachims, Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", WSDM 2017; IJCAI
    2018). Weights above `max_weight` are cut, which trades bias for variance. Entries that are not from a slate
    keep their weight.

    `attention` known: p_r = attention^(r−1) ("cascade") or r^−attention ("power"). "estimate": by EM from the
    slates in `seen.exposures` and the takes from them (`examination.examination`; Wang et al., WSDM 2018),
    one p per rank, p_1 = 1. It assumes that how attractive an item is does not depend on the rank at which
    it is shown. Personalized rankings violate this slightly: they show an item high to those who like it, so
    p falls somewhat too fast; items shown a few times each (or taken only once a cool-down has ended) make it
    fall too slowly. Ranks that share no items with other ranks get the p of the nearest identified rank above;
    `remarks` says so.

    People who choose among all examined items do not quite follow a position-based model: an item far down
    competes with everything above it. Its takes fall faster with rank than examination does, so the known
    attention corrects less than an estimate, which is based on takes only.

    Put it first in a list: it needs the takes from the stored slates. Cost: O(entries) per fit; with
    "estimate" O(kept exposures · slate) more, and O(items shown · ranks) per step of EM.
    """

    kind = "position_debias"

    class Config(BaseConfig):
        attention: float | str = "estimate"
        """Probability to go on to the next rank, or the exponent of "power"; "estimate" estimates p from the log."""
        examination: Literal["cascade", "power"] = "cascade"
        """Known attention: attention^(r−1) or r^−attention, as in [behavior]."""
        max_weight: float = Field(default=10.0, ge=1)
        """No entry's weight is multiplied by more than this."""
        self_normalized: bool = False
        """Divide by the mean weight, so that the total weight of entries from slates does not change."""

        @model_validator(mode="after")
        def _attention_fits(self) -> Any:
            given = self.attention
            if isinstance(given, str):
                if given != "estimate":
                    raise WrongFields(
                        f'attention = "{given}" must be a number above 0, or "estimate"', "attention"
                    )
            elif given <= 0 or (self.examination == "cascade" and given > 1):
                raise WrongFields(
                    f"attention = {given:g} must be above 0, and at most 1 in a cascade: it is the probability to go "
                    'on to the next rank. For r^−attention set examination = "power"',
                    "attention",
                    "examination",
                )
            return self

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._remarks: list[str] = []

    @property
    def weighs(self) -> bool:
        """Yes."""
        return True

    @property
    def reads_slates(self) -> bool:
        """Attention is estimated from them."""
        return isinstance(self.config.attention, str)

    def prepare(self, seen: Observation) -> Observation:
        """Weight the entries from slates."""
        log, self._remarks = seen.log, []
        chosen = from_sources(log, ("slate",)) & (log.rank >= 1)
        factors = np.ones(len(log))
        if chosen.any():
            ranks = log.rank[chosen].astype(np.int64)
            examined = self._examination(seen, int(ranks.max()))[ranks - 1]
            factors[chosen] = np.minimum(1 / np.maximum(examined, 1e-12), self.config.max_weight)
        return reweighted(seen, factors, chosen, self.config.self_normalized)

    def _examination(self, seen: Observation, width: int) -> NDArray[np.float64]:
        """Return (width,) the probability that each rank is examined."""
        attention = self.config.attention
        ranks = np.arange(1, width + 1, dtype=np.float64)
        if not isinstance(attention, str):
            return attention ** (ranks - 1) if self.config.examination == "cascade" else ranks**-attention
        if not seen.exposures:
            raise PolicyError(
                'position_debias with attention = "estimate" needs the slates that were shown, and none were kept: '
                "raise platform.keep_exposures, or give attention as a number"
            )
        found, known = examination(count_by_rank(seen))
        self._remarks = [_remark(found, known)]
        return np.concatenate([found, np.full(width, found[-1] if found.size else 1.0)])[:width]

    def remarks(self) -> list[str]:
        """Report the estimates, and the ranks that the log does not identify."""
        return self._remarks


def _remark(found: NDArray[np.float64], known: NDArray[np.bool_]) -> str:
    lost = ", ".join(str(rank + 1) for rank in np.flatnonzero(~known))
    if not known.any():
        return (
            "warning: position_debias corrects nothing: from the slates that were kept, attention cannot be "
            "estimated (too few takes). Raise platform.keep_exposures, or give attention as a number"
        )
    text = f"position_debias estimates attention at ranks 1, 2, … as {', '.join(f'{p:.2f}' for p in found)}"
    if lost:
        text = (
            f"warning: {text}; ranks {lost} showed other items than the rest, so they got the value of the nearest "
            "rank above. Raise platform.keep_exposures, or give attention as a number"
        )
    return text
