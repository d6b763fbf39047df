"""Decay of a curve over the rounds: which form it has, when half of it is lost, and whether it decays at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput
from ...wording import counted
from .decay_forms import FORMS, Form
from .intervals import LEVEL, Interval, apart, mean_interval, too_few

SEED = 20_261_122
START = 5
"""Rounds that make up the start level, as in `measures.summaries.niche_half_life`."""
FEWEST = 8
"""Rounds below which no form is fitted."""
REACH = 20
"""Half-lives beyond this many horizons count as infinite: nothing in the curve tells them apart."""


@dataclass(frozen=True)
class DecayFit:
    """A decay fitted to the mean curve over seeds, and the time until half of its start is lost."""

    half_life: float
    """Rounds; ∞ where the curve levels off above half of its start, NaN where nothing decays."""
    low: float
    high: float
    """Interval over seeds; `high` may be ∞. NaN where there is none."""
    form: str
    """"exponential", "exponential to a floor" or "power law"; empty where nothing was fitted."""
    start: float
    """Fitted level at the first round."""
    asymptote: float
    """Fitted level that it decays to; 0 for the forms without a floor."""
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
    """Form → its half-life, of the forms that predict about as well as the best: the interval spans them."""
    reason: str = ""
    """Why there is no half-life or no interval, or what to mind."""

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
    """Fit a decay to the mean of the curves and read the time until half of its first value is lost.

    rounds (R,), increasing; curves (S, R) ≥ 0, one per seed, such as niche exposure. Seeds without any
    value and rounds in which a remaining seed has none are left out.

    Forms, with t counted from the first round: a·exp(−λt); c + a·exp(−λt) with c ≥ 0; and
    a·(1 + t/τ)^(−β). Each is fitted by least squares to the mean of all seeds but one and judged by its error
    on that one's curve, so that rounds may depend on each other as they like. Of the forms within one
    standard error of the best (Breiman et al., Classification and Regression Trees, 1984) the first is
    taken, and the interval spans those of all of them. Each form's interval resamples whole seeds (`resamples`
    times, fixed seed) and takes percentiles widened for few seeds (Hesterberg, Am. Stat. 69 (2015),
    "expanded percentile"). Whether there is a decay at all is decided by `fall`, a t interval over seeds.
    """
    when, curves = _whole(rounds, curves)
    every = np.asarray(rounds, float)
    first = every[0] if every.size else 0.0
    t, horizon, n = when - first, float(every[-1] - first) if every.size else 0.0, len(curves)
    if len(t) < FEWEST or n == 0:
        what = f"{len(t)} rounds with a value: a decay takes {FEWEST}" if n else "no seed has a value"
        return _nothing(what, horizon, n)
    late = slice(-max(1, len(t) // 3), None)
    end = curves[:, late].mean(axis=1)
    fall = mean_interval(apart(curves[:, :START].mean(axis=1), end), level)
    tables = {name: FORMS[name].table(tuple(t)) for name in forms}
    errors = {name: _left_out(table, curves, t) for name, table in tables.items()}
    alike = _alike(errors)
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


def _nothing(reason: str, horizon: float, n: int) -> DecayFit:
    """What there is to say where nothing can be fitted."""
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
    """Why a curve has no half-life; empty where it has one."""
    if not mean[:START].mean() > 0:
        return "it starts at 0: there is nothing to halve"
    if fall.high < 0:
        return "it grows"
    if end.high < 0:
        return "it falls below 0: these forms decay to 0 or above"
    falls = fall.low > 0 if fall.n > 1 else fall.mean > 0
    return "" if falls else "no decay is seen"


def _left_out(table: Form, curves: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean squared error on each seed's curve of the form fitted to the mean of the others; of one seed, on itself."""
    n = len(curves)
    others = (curves.sum(axis=0) - curves) / (n - 1) if n > 1 else curves
    fitted = np.array([table.curve(t, fit) for fit in table.fit(others)])
    return ((fitted - curves) ** 2).mean(axis=1)


def _alike(errors: dict[str, NDArray[np.float64]]) -> list[str]:
    """The forms whose error is within one standard error of the best one's, seeds paired, in the given order."""
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
    """Percentiles of the half-life over resampled seeds, widened by √(n/(n−1)) and the t quantile."""
    from scipy.stats import norm, t

    n = len(curves)
    weights = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), resamples) / n
    halves = table.half_lives(table.fit(weights @ curves), reach)
    tail = norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.5 + level / 2, n - 1))
    return (
        float(np.quantile(halves, tail, method="lower")),
        float(np.quantile(halves, 1 - tail, method="higher")),
    )


def _whole(rounds: ArrayLike, curves: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rounds (R,) and curves (S, R) less the seeds without any value and the rounds that a seed left lacks.

    Raises BadInput where the shapes do not fit or the rounds do not increase.
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
