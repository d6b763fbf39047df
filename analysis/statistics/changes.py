"""One change in the level and the slope of a curve over the rounds, with seeds as replicates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput
from .decay import whole_curves
from .intervals import LEVEL, Interval, mean_interval, rounding

FLIPS = 1_999
RESAMPLES = 999
SEED = 20_261_122
EXACT = 11
"""Most seeds for which all sign vectors are counted."""
FEWEST_SEEDS = 6
"""Below this many seeds no sign-flip test reaches p < 0.05."""
EDGE = 5
"""Rounds kept on either side of a change: with fewer a change and a chance excursion look alike."""

_NONE = Interval(np.nan, np.nan, np.nan, 0)


@dataclass(frozen=True)
class ChangePoint:
    """The best single change of the mean curve, and whether it is one."""

    round: float
    """First round of the new course; NaN where nothing could be tried."""
    low: float
    high: float
    """Interval over seeds for the place, given that there is a change."""
    p: float
    """Of the sign-flip test that the mean curve has no change at any round."""
    level_change: Interval = field(default=_NONE)
    """Jump at `round`, over seeds, given the place: it was picked for being large, so it errs high."""
    slope_change: Interval = field(default=_NONE)
    """Change of the slope per round from `round` on, over seeds, given the place."""
    n: int = 0
    """Seeds."""
    correlation: float = np.nan
    """Of neighboring rounds within a seed, about the mean curve: the noise that a change has to stand out from."""
    level: float = LEVEL
    reason: str = ""

    @property
    def found(self) -> bool:
        """Whether the test says that there is a change, at `level`."""
        return self.p < 1 - self.level

    def __str__(self) -> str:
        if np.isnan(self.p):
            return self.reason
        if not self.found:
            return f"no change (p = {self.p:.2g})"
        return f"a change at round {self.round:.0f} ({self.low:.0f} to {self.high:.0f}), p = {self.p:.2g}"


def change_point(rounds: ArrayLike, curves: ArrayLike, level: float = LEVEL, trend: int = 1) -> ChangePoint:
    """Look for one change in level and slope of the mean of the curves, at an unknown round.

    rounds (R,), increasing; curves (S, R), one per seed: a measure, or better its paired difference between two
    arms. trend: degree of the polynomial that the mean follows where nothing changes (0 constant, 1
    line, 2, 3). A curve that bends all along is no line: its bend is found as a change of slope. Seeds without
    any value and rounds in which a remaining seed has none are left out.

    The statistic is the largest sum of squares, over all rounds, that a step and a kink there explain of the mean
    curve beyond the trend, after the rounds' autocorrelation was taken out (AR(1), estimated from the seeds'
    deviations from their mean). Its law under no change comes from flipping the signs of whole seeds: that
    leaves the dependence of rounds as it is, so the p-value holds for any, if seeds' deviations are
    symmetric. The place's interval resamples whole seeds. sup-F: Andrews, Econometrica 61 (1993); sign
    flips of whole curves (wild bootstrap by cluster): Cameron, Gelbach & Miller, Rev. Econ. Stat. 90 (2008).
    """
    when, curves = whole_curves(rounds, curves, "a change")
    if trend not in (0, 1, 2, 3):
        raise BadInput(f"the trend of a change is 0 (constant), 1 (line), 2 or 3, here {trend}")
    n = len(curves)
    if n < 2 or len(when) < 2 * EDGE + trend + 2:
        what = f"{n} seeds: it takes 2" if n < 2 else f"{len(when)} rounds: it takes {2 * EDGE + trend + 2}"
        return ChangePoint(np.nan, np.nan, np.nan, np.nan, n=n, level=level, reason=what)
    places = np.arange(EDGE, len(when) - EDGE + 1)
    scale = float(np.abs(curves - curves.mean()).max())
    correlation = _correlation(curves, when, trend)
    contrasts = _contrasts(when, places, trend, correlation)
    # (S, 2 · places): what a step and a kink at each place explain of each seed's curve.
    scores = _whiten(curves, correlation) @ contrasts.reshape(-1, len(when)).T
    if not scale > rounding(curves).max() or np.abs(scores).max() <= 1e-12 * scale * len(when):
        return ChangePoint(
            np.nan, np.nan, np.nan, 1.0, n=n, level=level, reason="nothing changes in any seed"
        )
    gain = _gain(scores.mean(axis=0))
    at = int(gain.argmax())
    null = np.concatenate([_gain(part @ scores / n).max(axis=1) for part in _signs(n)])
    p = (1 + int((null >= gain[at] * (1 - 1e-9)).sum())) / (1 + null.size)
    weights = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    found = when[places[_gain(weights @ scores).argmax(axis=1)]]
    tail = (1 - level) / 2
    step, kink = _sizes(when, curves, places[at], trend, correlation)
    return ChangePoint(
        round=float(when[places[at]]),
        low=float(np.quantile(found, tail, method="lower")),
        high=float(np.quantile(found, 1 - tail, method="higher")),
        p=float(p),
        level_change=mean_interval(step, level),
        slope_change=mean_interval(kink, level),
        n=n,
        correlation=correlation,
        level=level,
        reason="" if n >= FEWEST_SEEDS else f"{n} seeds cannot show a change: it takes {FEWEST_SEEDS}",
    )


def _polynomial(when: NDArray[np.float64], trend: int) -> NDArray[np.float64]:
    """Orthonormal polynomials up to the trend's degree; (R, trend + 1)."""
    unit = (when - when.mean()) / (when[-1] - when[0])
    return np.linalg.qr(np.vander(unit, trend + 1, increasing=True))[0]


def _correlation(curves: NDArray[np.float64], when: NDArray[np.float64], trend: int) -> float:
    """Lag-1 autocorrelation ρ of the seeds' deviations from their mean curve, between 0 and 0.99.

    Taking the trend out of each seed biases what is seen toward 0, so ρ is the one whose AR(1) would show
    what is seen after the same was done to it.
    """
    basis = _polynomial(when, trend)
    off = curves - curves.mean(axis=0)
    off = off - (off @ basis) @ basis.T
    square = (off**2).sum()
    if not square > 0:
        return 0.0
    seen = float((off[:, 1:] * off[:, :-1]).sum() / square)
    return float(np.interp(seen, *_seen_correlations(tuple(when), trend)))


@lru_cache(maxsize=8)
def _seen_correlations(
    when: tuple[float, ...], trend: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a lag-1 autocorrelation looks like once the trend is taken out, and the true ones."""
    basis = _polynomial(np.asarray(when), trend)
    lags = np.abs(np.subtract.outer(np.arange(len(when)), np.arange(len(when))))
    truths, seen = np.linspace(0, 0.99, 34), []
    for rho in truths:
        left = rho**lags
        left = left - basis @ (basis.T @ left)
        left = left - (left @ basis) @ basis.T
        seen.append(np.trace(left, offset=1) / np.trace(left))
    return np.maximum.accumulate(seen), truths


def _whiten(curves: NDArray[np.float64], correlation: float) -> NDArray[np.float64]:
    """Innovations of an AR(1) over the last axis, all of one variance (Prais–Winsten)."""
    first = curves[..., :1] * np.sqrt(1 - correlation**2)
    return np.concatenate([first, curves[..., 1:] - correlation * curves[..., :-1]], axis=-1)


def _shapes(when: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """A step and a kink from each of the places on; (places, 2, R)."""
    after = np.arange(len(when)) >= places[:, None]
    return np.stack([after.astype(float), np.where(after, when - when[places][:, None], 0.0)], axis=1)


def _contrasts(
    when: NDArray[np.float64], places: NDArray[np.int64], trend: int, correlation: float
) -> NDArray[np.float64]:
    """Orthonormal rows that span step and kink at each place beyond the trend, whitened; (places, 2, R)."""
    basis = np.linalg.qr(_whiten(_polynomial(when, trend).T, correlation).T)[0]
    shapes = _whiten(_shapes(when, places), correlation)
    shapes = shapes - (shapes @ basis) @ basis.T
    return np.swapaxes(np.linalg.qr(np.swapaxes(shapes, 1, 2))[0], 1, 2)


def _gain(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squares explained at each place, from step and kink side by side in the last axis."""
    return scores[..., ::2] ** 2 + scores[..., 1::2] ** 2


def _signs(n: int):
    """Sign vectors in batches, the observed one left out: all of them up to EXACT seeds, else random ones."""
    if n <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(SEED).choice([-1.0, 1.0], (FLIPS, n))
    return [signs[first : first + 250] for first in range(0, len(signs), 250)]


def _sizes(
    when: NDArray[np.float64],
    curves: NDArray[np.float64],
    place: int | np.int64,
    trend: int,
    correlation: float,
) -> NDArray[np.float64]:
    """Each seed's jump and change of slope at a place, by generalized least squares; (2, S)."""
    design = np.concatenate([_polynomial(when, trend).T, _shapes(when, np.array([place]))[0]])
    inverse = np.linalg.pinv(_whiten(design, correlation).T)
    return (inverse @ _whiten(curves, correlation).T)[-2:]
