"""Curves over the rounds, one per seed, without their gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput


def whole_curves(
    rounds: ArrayLike, curves: ArrayLike, what: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rounds (R,) and curves (S, R) less the seeds without any value and the rounds that a seed left lacks.

    Raises BadInput, naming `what` takes them, where the shapes do not fit or the rounds do not increase.
    """
    when, curves = np.asarray(rounds, float), np.asarray(curves, float)
    if when.ndim != 1 or curves.ndim != 2 or curves.shape[1] != when.size:
        raise BadInput(
            f"{what} takes rounds (R,) and curves (seeds, R), here {when.shape} and {curves.shape}"
        )
    if not (np.diff(when) > 0).all():
        raise BadInput(f"the rounds of {what} must increase")
    curves = curves[np.isfinite(curves).any(axis=1)]
    whole = np.isfinite(curves).all(axis=0)
    return when[whole], curves[:, whole]
