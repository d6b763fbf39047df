"""Does a calibration find the truth? Each simulated world in turn is the log, and the emulator has not seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...machine import one_thread
from ...sim.streams import Streams
from .calibration import IDENTIFIED
from .emulator import PARTICLES, Array, sample
from .search import Search

if TYPE_CHECKING:
    import pandas as pd


def recover(search: Search, seed: int, worlds: int | None = None, particles: int = PARTICLES) -> pd.DataFrame:
    """Return, per quantity, in how many worlds the 90 % set holds the truth, and how wide it is.

    Columns: quantity, worlds, held (share of the worlds), width (median, as a share of the prior), identified (share of the
    worlds in which the set is at most half as wide as the prior), held_if_identified (share of these; NaN without any).
    worlds: the first so many; all if omitted. Nothing is simulated.
    """
    import pandas as pd

    emulator = search.emulator()
    chosen = range(len(emulator.points) if worlds is None else min(worlds, len(emulator.points)))
    inside, widths = [], []
    for place in chosen:
        observed = emulator.values[place]

        def log_likelihood(points: Array, observed: Array = observed, place: int = place) -> Array:
            return emulator.log_likelihood(points, observed, without=place)

        rng = Streams(seed)("calibration.recovery", place)
        with one_thread():
            found = sample(log_likelihood, emulator.points.shape[1], rng, particles)
        low, high = np.quantile(found, [0.05, 0.95], axis=0)
        truth = emulator.points[place]
        inside.append((low <= truth) & (truth <= high))
        widths.append(high - low)
    held, width = np.array(inside), np.array(widths)
    narrow = width <= IDENTIFIED
    with np.errstate(invalid="ignore"):
        held_if = (held & narrow).sum(axis=0) / narrow.sum(axis=0)
    return pd.DataFrame(
        {
            "quantity": [quantity.name for quantity in search.size.quantities],
            "worlds": len(held),
            "held": held.mean(axis=0),
            "width": np.median(width, axis=0),
            "identified": narrow.mean(axis=0),
            "held_if_identified": held_if,
        }
    )
