"""Fit the decay of a curve over rounds: its form, its half-life, and whether it decays at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput
from ...wording import counted
from .decay_forms import FORMS, Form
from .intervals import LEVEL, Interval, mean_interval, subtract, too_few

SEED = 20_261_122
START = 5
"""Rounds averaged for the start level, as in `measures.summaries.niche_half_life`."""
MIN_ROUNDS = 8
"""With fewer rounds no form is fitted."""
REACH = 20
"""Half-lives beyond this many horizons count as infinite: the curve cannot distinguish them."""


@dataclass(frozen=True)
class DecayFit:
    """A decay fitted to the mean curve over seeds, and the time until half of its start is lost."""

    half_life: float
    """Rounds; ∞ if the curve levels off above half of its start, NaN if nothing decays."""
    low: float
    high: float
    """Interval over seeds; `high` may be ∞. NaN if there is none."""
    form: str
    """"exponential", "exponential to a floor" or "power law"; empty if nothing was fitted."""
    start: float
    """Fitted level at the first round."""
    asymptote: float
    """Fitted level that the curve decays to; 0 for the forms without a floor."""
    r2: float
    """Share of the mean curve's variation over the rounds that the fit explains."""
    fall: Interval
    """Mean of the first 5 rounds − mean of the last third, over seeds."""
    horizon: float
    """Rounds from the first to the last: a half-life beyond it is extrapolated."""
    n: int
    """Seeds."""
    errors: dict[str, float]
    """Form → mean squared error on the curve of a seed left out."""
    half_lives: dict[str, float]
    """Form → its half-life, for the forms that predict about as well as the best; the interval spans them."""
    reason: str = ""
    """Why there is no half-life or no interval, or a caveat."""

    @property
    def decays(self) -> bool:
        """Whether the interval of the fall lies above zero."""
        return self.fall.low > 0

    @property
    def censored(self) -> bool:
        """Whether the half-life lies beyond the rounds observed."""
        return self.half_life > self.horizon

    def __str__(self) -> str:
        if np.isnan(self.half_life):
            return self.reason or "undefined"
        if np.isinf(self.half_life) and self.asymptote >= self.start / 2:
            return f"never: levels off at {self.asymptote:.3g}, above half of {self.start:.3g}"
        if self.censored:
            return f"not within {self.horizon:.0f} rounds"
        return "less than 1 round" if self.half_life < 1 else counted(round(self.half_life), "round")


def half_life_fit(
    rounds: ArrayLike,
    curves: ArrayLike,
    level: float = LEVEL,
    forms: tuple[str, ...] = tuple(FORMS),
    resamples: int = 1_999,
) -> DecayFit:
    """Fit a decay to the mean of the curves and return the time until half of its first value is lost.

    rounds (R,), increasing; curves (S, R) ≥ 0, one per seed, such as niche exposure. Seeds without any value are
    left out, then rounds in which a remaining seed has none.

    Forms, with t counted from the first round: a·exp(−λt); c + a·exp(−λt) with c ≥ 0; and
    a·(1 + t/τ)^(−β). Each is fitted by least squares to the mean of all seeds but one and scored by its error on
    the left-out seed's curve, so rounds may be dependent in any way. The first form within one standard error of
    the best (Breiman et al., Classification and Regression Trees, 1984) is used, and the interval spans those of
    all such forms. Each form's interval resamples whole seeds (`resamples` times, fixed seed) and takes percentiles
    widened for few seeds (Hesterberg, Am. Stat. 69 (2015), "expanded percentile"). Whether there is a decay at all
    is decided by `fall`, a t interval over seeds.
    """
    when, curves = _complete(rounds, curves)
    every = np.asarray(rounds, float)
    first = every[0] if every.size else 0.0
    t, horizon, n = when - first, float(every[-1] - first) if every.size else 0.0, len(curves)
    if len(t) < MIN_ROUNDS or n == 0:
        what = f"{len(t)} rounds with a value: a decay takes {MIN_ROUNDS}" if n else "no seed has a value"
        return _no_fit(what, horizon, n)
    late = slice(-max(1, len(t) // 3), None)
    end = curves[:, late].mean(axis=1)
    fall = mean_interval(subtract(curves[:, :START].mean(axis=1), end), level)
    tables = {name: FORMS[name].table(tuple(t)) for name in forms}
    errors = {name: _loo_errors(table, curves, t) for name, table in tables.items()}
    alike = _within_one_standard_error(errors)
    mean, form = curves.mean(axis=0), alike[0]
    fits = {name: tables[name].fit(mean[None]) for name in alike}
    halves = {name: float(FORMS[name].half_lives(fit, REACH * horizon)[0]) for name, fit in fits.items()}
    parameters = tuple(float(value) for value in fits[form][0])
    fitted = FORMS[form].curve(t, parameters)
    spread = float(((mean - mean.mean()) ** 2).sum())
    reason = _why_none(mean, fall, mean_interval(end, level))
    low = high = np.nan
    if reason:
        halves = dict.fromkeys(halves, np.nan)
    elif n == 1:
        reason = too_few(n)
    else:
        ends = [_interval(tables[name], curves, level, REACH * horizon, resamples) for name in alike]
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return DecayFit(
        half_life=halves[form],
        low=low,
        high=high,
        form=form,
        start=float(FORMS[form].curve(np.zeros(1), parameters)[0]),
        asymptote=float(FORMS[form].asymptote(parameters)),
        r2=1 - float(((mean - fitted) ** 2).sum()) / spread if spread > 0 else np.nan,
        fall=fall,
        horizon=horizon,
        n=n,
        errors={name: float(error.mean()) for name, error in errors.items()},
        half_lives=halves,
        reason=reason,
    )


def _no_fit(reason: str, horizon: float, n: int) -> DecayFit:
    """Return the result when no form can be fitted."""
    nan = np.nan
    return DecayFit(
        nan,
        nan,
        nan,
        "",
        nan,
        nan,
        nan,
        Interval(nan, nan, nan, n, reason),
        horizon,
        n,
        {},
        {},
        reason=reason,
    )


def _why_none(mean: NDArray[np.float64], fall: Interval, end: Interval) -> str:
    """Return why a curve has no half-life; empty if it has one."""
    if not mean[:START].mean() > 0:
        return "it starts at 0: there is nothing to halve"
    if fall.high < 0:
        return "it grows"
    if end.high < 0:
        return "it falls below 0: these forms decay to 0 or above"
    falls = fall.low > 0 if fall.n > 1 else fall.mean > 0
    return "" if falls else "no decay is seen"


def _loo_errors(table: Form, curves: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each seed's mean squared error under the fit to the mean of the others; a single seed's under its own."""
    n = len(curves)
    others = (curves.sum(axis=0) - curves) / (n - 1) if n > 1 else curves
    fitted = np.array([table.curve(t, fit) for fit in table.fit(others)])
    return ((fitted - curves) ** 2).mean(axis=1)


def _within_one_standard_error(errors: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return the forms whose error, paired by seed, is within one standard error of the best, in the given order."""
    best = min(errors, key=lambda name: float(errors[name].mean()))
    alike = []
    for name, error in errors.items():
        worse = error - errors[best]
        slack = worse.std(ddof=1) / np.sqrt(len(worse)) if len(worse) > 1 else 0.0
        if worse.mean() <= slack:
            alike.append(name)
    return alike


def _interval(
    table: Form, curves: NDArray[np.float64], level: float, reach: float, resamples: int
) -> tuple[float, float]:
    """Return percentiles of the half-life over resampled seeds, widened by √(n/(n−1)) and the t quantile."""
    from scipy.stats import norm, t

    n = len(curves)
    weights = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), resamples) / n
    halves = table.half_lives(table.fit(weights @ curves), reach)
    tail = norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.5 + level / 2, n - 1))
    return (
        float(np.quantile(halves, tail, method="lower")),
        float(np.quantile(halves, 1 - tail, method="higher")),
    )


def _complete(rounds: ArrayLike, curves: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rounds and curves without the seeds that have no value and the rounds that a remaining seed lacks.

    Raises BadInput if the shapes do not match or the rounds do not increase.
    """
    when, curves = np.asarray(rounds, float), np.asarray(curves, float)
    if when.ndim != 1 or curves.ndim != 2 or curves.shape[1] != when.size:
        raise BadInput(
            f"a decay takes rounds (R,) and curves (seeds, R), here {when.shape} and {curves.shape}"
        )
    if not (np.diff(when) > 0).all():
        raise BadInput("the rounds of a decay must increase")
    curves = curves[np.isfinite(curves).any(axis=1)]
    whole = np.isfinite(curves).all(axis=0)
    return when[whole], curves[:, whole]
