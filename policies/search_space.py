"""Search spaces for tuning: the ranges that a policy declares for its fields and `echodrift tune` searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, log-uniform, or uniform with log=False; whole=True rounds them."""

    low: float
    high: float
    log: bool = True
    whole: bool = False

    def draw(self, rng: Generator) -> float | int:
        """Return one value."""
        if self.log:
            value = float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        else:
            value = float(rng.uniform(self.low, self.high))
        return round(value) if self.whole else float(f"{value:.4g}")


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def draw(self, rng: Generator) -> Any:
        """Return one value."""
        return self.values[int(rng.integers(len(self.values)))]


SearchSpace = dict[str, Range | Choice]
"""Field of the policy's configuration → the values to search."""
