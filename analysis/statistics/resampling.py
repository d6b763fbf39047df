"""Resampling intervals and tests that do not assume normality: BCa bootstrap and sign-flip permutation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import LEVEL, Interval, mean_interval, rounding_error

RESAMPLES = 9_999
SEED = 20_261_122
"""Seed of every generator here: the same values give the same interval."""
MAX_EXACT = 14
"""Most values for which all sign vectors are enumerated."""
MAX_NUMBERS = 2**23
"""Most numbers (64 MiB) in memory at once, however many values there are."""
FEW_BCA = 20
"""Below this many values BCa intervals cover the truth too rarely (docs/statistics.md)."""


def fewest_values(level: float = LEVEL) -> int:
    """Return the fewest values for which a resampling interval can cover the mean at `level`: 6 at 95 %.

    Such an interval lies within the values, and all n lie on one side of the median of their distribution with
    probability 2 / 2ⁿ.
    """
    return int(np.ceil(np.log2(2 / (1 - level)) - 1e-9))


def bca_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the mean of independent values (n,), one per seed, with its BCa bootstrap interval.

    Non-finite values are left out; below 20 values `reason` warns. scipy's `bootstrap`, 9,999 resamples from a
    fixed seed. Efron, J. Am. Stat. Assoc. 82 (1987).
    """
    return bca(values, level)[0]


def bca(values: ArrayLike, level: float = LEVEL) -> tuple[Interval, float]:
    """Return the BCa interval and the p-value it implies for a mean of zero.

    The p-value is 1 − the level at which an end of the interval touches zero, at least 2/(resamples + 1).
    """
    from scipy.stats import bootstrap, norm

    values, plain = _finite(values, level)
    n, constant = plain.n, plain.low == plain.high
    if n < 2 or constant:
        return plain, float(plain.mean == 0) if constant and plain.mean == 0 else np.nan
    # Values are rescaled so that the interval is exactly equivariant under a change of unit.
    size = np.abs(values - plain.mean).max()
    off = (values - plain.mean) / size
    found = bootstrap(
        (off,),
        # Means are rounded so that resamples equal to the observed mean up to rounding error are ties.
        lambda part, axis: np.round(part.mean(axis=axis), 12),
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(SEED),
        batch=max(1, min(1000, MAX_NUMBERS // n)),
    )
    low, high = (float(end * size + plain.mean) for end in found.confidence_interval)
    reason = f"BCa needs about {FEW_BCA} seeds; with {n} it is too narrow" if n < FEW_BCA else ""
    draws = np.asarray(found.bootstrap_distribution)
    share = (draws < 0).mean() + (draws == 0).mean() / 2
    below = ((draws < -plain.mean / size).sum() + 0.5) / (draws.size + 1)
    bias = norm.ppf(share)
    bend = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
    gap = norm.ppf(below) - bias
    tail = norm.cdf(gap / (1 + bend * gap) - bias)
    p = float(np.clip(2 * min(tail, 1 - tail), 2 / (RESAMPLES + 1), 1.0))
    return Interval(plain.mean, low, high, n, reason), p


def sign_flip(values: ArrayLike) -> float:
    """Return the two-sided p-value of the sign-flip permutation test that values (n,) are symmetric about zero.

    All 2ⁿ sign vectors up to 14 values; beyond, 9,999 random ones and the observed one (Phipson & Smyth, Stat. Appl.
    Genet. Mol. Biol. 9, 2010). Non-finite values are left out; NaN below two.
    """
    return sign_flip_interval(values)[1]


def sign_flip_interval(values: ArrayLike, level: float = LEVEL) -> tuple[Interval, float]:
    """Return the interval that inverts the sign-flip test, and the test's p-value for zero.

    Its ends are means of subsets of the values: flipping the signs of a subset about m makes the sum
    larger exactly if the subset's mean lies below m. Below 6 values there is none at 95 %. It is valid for any
    distribution that is symmetric about its mean. Hartigan, J. Am. Stat. Assoc. 64 (1969).
    """
    values, plain = _finite(values, level)
    n = plain.n
    if n < 2:
        return plain, np.nan
    parts = [(subsets.sum(axis=1), subsets @ values) for subsets in _subsets(n)]
    sizes, sums = (np.concatenate(each) for each in zip(*parts, strict=True))
    blur = float(rounding_error(np.abs(values).sum()))
    total = values.sum()
    toward = sums if total > 0 else -sums
    p = 1.0 if abs(total) <= blur else min(1.0, 2 * (1 + int((toward <= blur).sum())) / (len(sums) + 1))
    reject = int((1 - level) / 2 * (len(sums) + 1) + 1e-9)
    if reject < 1:
        reason = f"{n} seeds are too few for sign flips: it takes {fewest_values(level)}"
        return Interval(plain.mean, np.nan, np.nan, n, reason), p
    if plain.low == plain.high:
        return plain, p
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(sizes > 0, sums / sizes, np.nan)
    low = np.sort(np.where(sizes > 0, means, -np.inf))[reject - 1]
    high = np.sort(np.where(sizes > 0, means, np.inf))[-reject]
    return Interval(plain.mean, float(low), float(high), n), p


def _finite(values: ArrayLike, level: float) -> tuple[NDArray[np.float64], Interval]:
    """Return the finite values and their t interval; `reason` says why it is missing or has no width."""
    values = np.ravel(np.asarray(values, float))
    values = values[np.isfinite(values)]
    plain = mean_interval(values, level)
    if plain.low == plain.high:
        plain = replace(plain, reason="the same value in every seed")
    return values, plain


def _subsets(n: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks (m, n) of 0 and 1: a row marks the values whose signs are flipped; the observed signs are left out."""
    if n <= MAX_EXACT:
        yield ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
        return
    rng, rows = np.random.default_rng(SEED), max(1, MAX_NUMBERS // n)
    for start in range(0, RESAMPLES, rows):
        yield rng.integers(0, 2, (min(rows, RESAMPLES - start), n)).astype(np.float64)
