"""A response surface over draws from priors: under which share of them a bound holds, and what would flip it.

The expected value at a draw x is m(x); the measured value is m(x) plus run-to-run noise. The share of raw values
beyond a limit mixes the two: noise pulls it toward one half. So m is fitted as a quadratic polynomial of the keys
(each as its quantile among the draws, so that equal steps are equally plausible; choices as one column per value) by
Bayesian ridge regression (MacKay, "Bayesian interpolation", Neural Computation, 1992). Its one hyperparameter, the
share of variance that the surface explains, is not optimized, which with few draws too often gives 0, but averaged
over with a uniform prior; everything else is in closed form. Shares are taken over that posterior and over the
draws; intervals are its quantiles. The model assumes normal noise, which does little harm: with exponential,
log-normal or very long-tailed noise the intervals cover the truth as often. What a quadratic cannot follow counts as
noise, and that does harm: if it is detected (`lack_of_fit`), shares come without an interval.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..statistics import Interval
from .coordinates import Coordinates, Terms
from .given_data import SEED
from .lack_of_fit import lack_of_fit

if TYPE_CHECKING:
    import pandas as pd

MIN_DRAWS = 16
"""With fewer draws no surface is fitted; there is only the share of raw values."""
SAMPLES = 400
"""Surfaces drawn from the posterior."""
MIN_PROBABILITY = 0.9
"""Lowest posterior probability of a crossing, in its direction, that is reported."""
FOLDS = 10
NO_ASSUMPTION = "no assumption decides: the surface predicts no draw that it has not seen"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Flip:
    """A key whose value decides on which side of a limit the mean over all other keys lies (a tipping point)."""

    key: str
    value: Any
    """Value at which the mean crosses the limit; for choices, the choice that differs from the others."""
    direction: str
    """Side of the limit from `value` upward ("above" or "below"); for a choice, its own side."""
    probability: float = 1.0
    """Posterior probability of a crossing in this direction."""


@dataclass(frozen=True)
class Response:
    """A value as a function of the draws."""

    r2: float
    """Share of variance that the surface predicts for unseen draws (10-fold); ≤ 0: it explains nothing."""
    n: int
    reason: str
    """Why there is no surface; empty if there is one."""
    values: Array = field(repr=False)
    draws: pd.DataFrame = field(repr=False)
    posterior: Posterior | None = field(repr=False, default=None)
    poorly_fitted: str = ""
    """Key on which the value depends in a way that a quadratic cannot follow; empty if none is detected."""
    joint: Collection[str] = ()
    """Keys that are drawn together, of which none moves alone."""

    @property
    def predictive(self) -> bool:
        """Whether the surface predicts unseen draws, that is, any assumption explains the value at all."""
        return self.posterior is not None and self.r2 > 0

    def raw_share_above(self, limit: float) -> float:
        """Return the share of measured values at or above a limit, as a check; noise pulls it toward one half."""
        return float(np.mean(self.values >= limit)) if self.n else float("nan")

    def share_above(self, limit: float, level: float = 0.95) -> Interval:
        """Return the share of plausible behaviors (draws) at which the mean is at or above the limit.

        Without a surface (too few draws) mean, low and high are NaN, and `reason` says why. If the surface explains
        nothing, `reason` says so, and the interval is wide unless all values lie on one side. If it does not fit
        the shape of a key, there is a rough mean without an interval, and `reason` names the key.
        """
        if self.posterior is None:
            return self._without_surface(limit)
        shares = (self.posterior.surfaces >= limit).mean(axis=1)
        if self.poorly_fitted:
            why = f"rough: the fitted surface does not follow {self.poorly_fitted}"
            return Interval(float(shares.mean()), np.nan, np.nan, self.n, why)
        tail = (1 - level) / 2
        low, high = np.quantile(shares, [tail, 1 - tail])
        return Interval(
            float(shares.mean()), float(low), float(high), self.n, "" if self.predictive else NO_ASSUMPTION
        )

    def _without_surface(self, limit: float, above: bool = True) -> Interval:
        """Return 0 or 1 if the value is the same in every draw, else NaN; the limit itself counts for both sides."""
        same = self.n >= MIN_DRAWS and np.ptp(self.values) <= 1e-12 * np.abs(self.values).max()
        value = float(self.values[0]) if same else float("nan")
        share = float(value >= limit if above else value <= limit) if same else float("nan")
        return Interval(share, share, share, self.n, self.reason)

    def share_below(self, limit: float, level: float = 0.95) -> Interval:
        """Return the share of plausible behaviors at which the mean is at or below the limit."""
        if self.posterior is None:
            return self._without_surface(limit, above=False)
        above = self.share_above(limit, level)
        return Interval(1 - above.mean, 1 - above.high, 1 - above.low, above.n, above.reason)

    def flips(self, limit: float) -> list[Flip]:
        """Return the assumptions that would flip the verdict, most certain first; empty if none decides.

        A key flips it if the mean over all other keys crosses the limit within the range of its draws. Keys that are
        drawn together are left out: with one moved and the others held, most points are not plausible. A crossing
        is reported if at least 90 % of the surfaces in the posterior have it in the same direction.
        """
        if self.posterior is None or not self.predictive:
            return []
        keys = [str(key) for key in self.draws if key not in self.joint]
        found = [flip for key in keys for flip in self.posterior.flips(key, limit)]
        return sorted(found, key=lambda flip: -flip.probability)


@dataclass(frozen=True)
class Posterior:
    """The posterior over quadratic surfaces, as samples."""

    coordinates: Coordinates
    terms: Terms
    coefficients: Array
    """Samples of the intercept and the coefficients, (samples, 1 + terms)."""
    places: Array
    """Coordinates of the draws, (draws, coordinates)."""

    @cached_property
    def surfaces(self) -> Array:
        """Values of the sampled surfaces at the draws, (samples, draws)."""
        return self._at(self.terms.at(self.places))

    def _at(self, features: Array) -> Array:
        return self.coefficients[:, :1] + self.coefficients[:, 1:] @ features.T

    def curve(self, key: str) -> tuple[list[Any], Array]:
        """Return values of a key and the mean over all other keys at each, (samples, values)."""
        values, columns, settings = self.coordinates.scan(key)
        means = []
        for setting in settings:
            places = self.places.copy()
            places[:, columns] = setting
            means.append(self._at(self.terms.at(places).mean(axis=0, keepdims=True))[:, 0])
        return values, np.array(means).T

    def flips(self, key: str, limit: float) -> list[Flip]:
        """Return where the mean over all other keys crosses the limit as a key moves through its range."""
        values, sampled = self.curve(key)
        if len(values) < 2:
            return []
        above = sampled >= limit
        mean = sampled.mean(axis=0)
        if not self.coordinates.numeric[key]:
            return _odd_choices(key, values, mean >= limit, above)
        found = []
        for at in np.flatnonzero((mean[1:] >= limit) != (mean[:-1] >= limit)):
            up = mean[at + 1] > mean[at]
            # A sample has the same crossing if it is below somewhere before and above somewhere after, or the reverse.
            before, after = sampled[:, : at + 1], sampled[:, at + 1 :]
            crosses = (before.min(axis=1) < limit) & (after.max(axis=1) >= limit)
            if not up:
                crosses = (before.max(axis=1) >= limit) & (after.min(axis=1) < limit)
            sure = float(crosses.mean())
            if sure >= MIN_PROBABILITY:
                part = (limit - mean[at]) / (mean[at + 1] - mean[at])
                value = values[at] + part * (values[at + 1] - values[at])
                found.append(Flip(key, float(value), "above" if up else "below", sure))
        return found


def _odd_choices(
    key: str, values: list[Any], side: NDArray[np.bool_], above: NDArray[np.bool_]
) -> list[Flip]:
    """Return the choices on the less common side of the limit."""
    if side.all() or not side.any():
        return []
    odd = side.sum() <= len(values) / 2
    found = []
    for at in np.flatnonzero(side == odd):
        others = np.flatnonzero(side != odd)
        sure = float(((above[:, at] == odd) & (above[:, others] != odd).any(axis=1)).mean())
        if sure >= MIN_PROBABILITY:
            found.append(Flip(key, values[at], "above" if odd else "below", sure))
    return found


def response(draws: pd.DataFrame, values: ArrayLike, joint: Collection[str] = ()) -> Response:
    """Fit a response surface: how a value depends on the draws.

    draws: one column per key, a row per draw (a column "seed" is ignored). values: (draws,), NaN left out. joint: keys
    that are drawn together. The same input gives the same result: the folds and the posterior samples have a fixed seed.
    """
    draws = draws.drop(columns="seed", errors="ignore")
    values = np.asarray(values, np.float64)
    fine = np.isfinite(values)
    y, x = values[fine], draws[fine].reset_index(drop=True)
    coordinates = Coordinates(x)
    reason = ""
    if y.size < MIN_DRAWS:
        reason = f"{y.size} draws with a value: at least {MIN_DRAWS} are needed"
    elif coordinates.places.shape[1] == 0:
        reason = "no key has more than one value in the draws"
    elif np.ptp(y) <= 1e-12 * np.abs(y).max():
        reason = "the value is the same in every draw"
    if reason:
        return Response(float("nan"), y.size, reason, y, x, joint=joint)
    terms = Terms(coordinates)
    features = terms.at(coordinates.places)
    scale = y.std()
    coefficients = _posterior(features, (y - y.mean()) / scale) * scale
    coefficients[:, 0] += y.mean()
    fitted = Posterior(coordinates, terms, coefficients, coordinates.places)
    poor = lack_of_fit(coordinates, y - y.mean())
    return Response(_predicted(features, y), y.size, "", y, x, fitted, poor, joint)


def _posterior(features: Array, y: Array) -> Array:
    """Return posterior samples of intercept and coefficients, (SAMPLES, 1 + terms), for centered features and values.

    β ~ N(0, σ²/δ), y ~ N(Xβ, σ²), p(σ²) ∝ 1/σ². With X = U diag(s) Vᵀ and z = Uᵀy, given δ the evidence
    is ∝ Π (1 + s²/δ)^−½ · q^−(n−1)/2, q = Σ z²/(1 + s²/δ) + |y|² − |z|²; σ² is inverse gamma with (n−1)/2 and
    q/2; and β in the basis V is normal with mean s·z/(s² + δ) and variance σ²/(s² + δ).
    """
    rng = np.random.default_rng(SEED)
    n, terms = features.shape
    # β is drawn in the whole basis V; of U, which has a column per draw, only what V needs is computed.
    u, s, vt = np.linalg.svd(features, full_matrices=n < terms)
    s = np.pad(s, (0, terms - s.size)) if s.size < terms else s
    z = np.zeros(terms)
    z[: min(n, terms)] = (u.T @ y)[: min(n, terms)]
    explained = (np.arange(100) + 0.5) / 100
    penalty = terms * (1 - explained) / explained
    shrunk = 1 + s**2 / penalty[:, None]
    q = (z**2 / shrunk).sum(axis=1) + max(float(y @ y - z @ z), 0.0)
    evidence = -0.5 * np.log(shrunk).sum(axis=1) - (n - 1) / 2 * np.log(np.maximum(q, 1e-12))
    weight = np.exp(evidence - evidence.max())
    chosen = rng.choice(explained.size, SAMPLES, p=weight / weight.sum())
    variance = q[chosen] / rng.chisquare(n - 1, SAMPLES)
    spread = s**2 + penalty[chosen, None]
    rotated = s * z / spread + np.sqrt(variance[:, None] / spread) * rng.standard_normal((SAMPLES, terms))
    level = np.sqrt(variance / n) * rng.standard_normal(SAMPLES)
    return np.column_stack([level, rotated @ vt])


def _predicted(features: Array, y: Array) -> float:
    """Return the cross-validated share of variance explained, 1 − Σ(y − ŷ)² / Σ(y − mean of the others)²."""
    from sklearn.linear_model import BayesianRidge
    from sklearn.model_selection import KFold

    residual = total = 0.0
    folds = KFold(min(FOLDS, y.size), shuffle=True, random_state=SEED)
    for train, test in folds.split(features):
        model = BayesianRidge(max_iter=1000).fit(features[train], y[train])
        residual += float(((y[test] - model.predict(features[test])) ** 2).sum())
        total += float(((y[test] - y[train].mean()) ** 2).sum())
    return 1 - residual / total if total > 0 else float("nan")
