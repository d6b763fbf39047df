"""Kaplan–Meier medians of times that may be censored by the end of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Survival:
    """Kaplan–Meier median of a time that may be censored."""

    median: float
    """NaN if fewer than half had the event within `horizon`."""
    n: int
    events: int
    """Number of observed events."""
    horizon: float
    """Longest time observed."""

    def __str__(self) -> str:
        if self.n == 0:
            return "undefined"
        return (
            f"not within {self.horizon:.0f} rounds" if np.isnan(self.median) else f"{self.median:.0f} rounds"
        )


def median_survival(times: ArrayLike, censored: ArrayLike) -> Survival:
    """Return the Kaplan–Meier median, the first time by which half had the event; times (n,), censored (n,) bool.

    NaN times are left out. At ties events come before censorings (Kaplan & Meier 1958).
    """
    times = np.asarray(times, dtype=np.float64)
    seen = np.isfinite(times)
    times, event = times[seen], ~np.asarray(censored, dtype=bool)[seen]
    moments, place = np.unique(times, return_inverse=True)
    happened = np.bincount(place, weights=event, minlength=len(moments))
    left = np.bincount(place, minlength=len(moments))
    at_risk = left[::-1].cumsum()[::-1]
    surviving = np.cumprod(1 - happened / np.maximum(at_risk, 1))
    reached = moments[surviving <= 0.5 + 1e-12]
    return Survival(
        median=float(reached[0]) if len(reached) else float("nan"),
        n=len(times),
        events=int(event.sum()),
        horizon=float(times.max()) if len(times) else float("nan"),
    )
