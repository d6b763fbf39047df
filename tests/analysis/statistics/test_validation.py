"""What the statistics promise, measured: coverage and false alarms over thousands of simulated data sets.

`pytest tests/analysis/statistics/test_validation.py -s` prints the rates that docs/statistics.md lists.
"""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.analysis.statistics import (
    confidence_sequence,
    decay,
    half_life_fit,
    holm,
    resampling,
    seeds_needed,
    sequential_seeds_needed,
    t_interval,
    tost,
)
from echodrift.analysis.statistics.sequential import sequence_width
from numpy.typing import NDArray
from scipy import stats

pytestmark = pytest.mark.slow

SETS = 2_000


def draw(law: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Values of mean 0: normal, "skewed" (exponential − 1), "long-tailed" (t with 3 degrees of freedom)."""
    rng = np.random.default_rng(seed)
    if law == "skewed":
        return rng.exponential(size=shape) - 1
    return rng.normal(size=shape) if law == "normal" else rng.standard_t(3, size=shape)


def noise(seeds: int, rounds: int, rho: float, sd: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Curves of stationary AR(1) noise, one per seed."""
    shocks = rng.normal(size=(seeds, rounds)) * np.sqrt(1 - rho**2)
    shocks[:, 0] /= np.sqrt(1 - rho**2)
    curves = np.empty_like(shocks)
    last = np.zeros(seeds)
    for at in range(rounds):
        last = curves[:, at] = rho * last + shocks[:, at]
    return sd * curves


def measured(what: str, hits, low: float, high: float) -> None:
    """Print a rate with its standard error, and hold it to its bounds."""
    hits = np.asarray(hits)
    rate = float(hits.mean())
    print(
        f"| {what} | {100 * rate:.1f} % | {100 * np.sqrt(rate * (1 - rate) / hits.size):.1f} | {hits.size:,} |"
    )
    assert low <= rate <= high, f"{what}: {rate:.4f} is not within {low} to {high}"


@pytest.mark.parametrize(
    ("law", "n", "low", "high"),
    [
        ("normal", 5, 0.945, 0.955),
        ("normal", 20, 0.945, 0.955),
        ("long-tailed", 20, 0.945, 0.965),
        # A skew that paired differences of two like arms do not have: it holds the truth too rarely.
        ("skewed", 10, 0.88, 0.92),
        ("skewed", 20, 0.90, 0.935),
    ],
)
def test_t_interval(law, n, low, high):
    mean, half, _, _ = t_interval(draw(law, (20_000, n), n))
    measured(f"t interval, {law}, {n} seeds: coverage", np.abs(mean) <= half, low, high)


@pytest.mark.parametrize(
    ("n", "low", "high"), [(10, 0.08, 0.11), (20, 0.06, 0.085), (50, 0.045, 0.06), (200, 0.03, 0.042)]
)
def test_a_tail_on_the_bad_side_lets_the_gate_pass_too_often(n, low, high):
    """The truth on the limit, a few seeds far below it: the misses of the t interval are all on one side."""
    mean, half, _, _ = t_interval(-draw("skewed", (20_000, n), n))
    measured(f"t interval, tail on the bad side, {n} seeds: passes by mistake", mean - half >= 0, low, high)
    measured(f"t interval, tail on the good side, {n} seeds: passes by mistake", mean + half <= 0, 0, 0.025)


@pytest.mark.parametrize(("n", "low", "high"), [(8, 0.045, 0.085), (20, 0.025, 0.055)])
def test_bca_passes_too_often_with_few_seeds(monkeypatch, n, low, high):
    monkeypatch.setattr(resampling, "RESAMPLES", 999)
    found = [resampling.bca(values)[0] for values in draw("normal", (SETS // 2, n), n + 1)]
    measured(f"BCa, normal, {n} seeds: passes by mistake", [one.low >= 0 for one in found], low, high)


@pytest.mark.parametrize(
    ("law", "n", "low", "high"),
    [
        ("normal", 8, 0.86, 0.91),
        ("normal", 20, 0.91, 0.95),
        ("skewed", 20, 0.88, 0.935),
        ("normal", 40, 0.925, 0.96),
    ],
)
def test_bca_interval(monkeypatch, law, n, low, high):
    monkeypatch.setattr(resampling, "RESAMPLES", 999)
    sets = SETS if (law, n) == ("normal", 20) else SETS // 2
    found = [resampling.bca(values)[0] for values in draw(law, (sets, n), n)]
    measured(f"BCa, {law}, {n} seeds: coverage", [one.low <= 0 <= one.high for one in found], low, high)


@pytest.mark.parametrize(
    ("law", "n", "low", "high"),
    [
        # Exact by counting: the interval leaves out 2 of 64 sign vectors at 6 seeds, 2 · 6 of 256 at 8.
        ("normal", 6, 1 - 2 / 64 - 0.013, 1 - 2 / 64 + 0.013),
        ("normal", 8, 1 - 12 / 256 - 0.015, 1 - 12 / 256 + 0.015),
        ("long-tailed", 8, 1 - 12 / 256 - 0.015, 1 - 12 / 256 + 0.015),
        ("long-tailed", 20, 0.935, 0.965),
        ("skewed", 20, 0.89, 0.94),
    ],
)
def test_sign_flips(monkeypatch, law, n, low, high):
    monkeypatch.setattr(resampling, "RESAMPLES", 1_999)
    found = [resampling.sign_flip_interval(values) for values in draw(law, (SETS, n), n)]
    holds = np.array([one.low <= 0 <= one.high for one, _ in found])
    measured(f"sign flips, {law}, {n} seeds: coverage", holds, low, high)
    assert (holds == [p > 0.05 + 1e-9 for _, p in found]).mean() > 0.999


@pytest.mark.parametrize(
    ("truth", "low", "high"),
    # On the bound the chance is at most 1 − level; well inside it is the power of two t tests.
    [(0.6, 0.038, 0.062), (-0.6, 0.038, 0.062), (0.9, 0.0, 0.005), (0.0, 0.63, 0.75)],
)
def test_tost(truth, low, high):
    values = draw("normal", (SETS, 20), 3) + truth
    shown = [tost(one, -0.6, 0.6).equivalent for one in values]
    measured(f"TOST ± 0.6 sd, 20 seeds, true mean {truth} sd: called equivalent", shown, low, high)


def test_holm_among_dependent_measures():
    """Twelve measures without a difference, correlated 0.6, beside three with one."""
    rng = np.random.default_rng(4)
    values = np.sqrt(0.4) * rng.normal(size=(SETS, 15, 12)) + np.sqrt(0.6) * rng.normal(size=(SETS, 1, 12))
    values[:, :3] += 2.0
    mean, _, error, n = t_interval(values)
    p = 2 * stats.t.sf(np.abs(mean) / error, n - 1)
    adjusted = np.array([holm(one) for one in p])
    measured(
        "Holm, 12 of 15 without effect: any false alarm", (adjusted[:, 3:] < 0.05).any(axis=1), 0.01, 0.055
    )
    measured("unadjusted, the same: any false alarm", (p[:, 3:] < 0.05).any(axis=1), 0.15, 0.5)
    measured("Holm, a difference of 2 sd: seen", adjusted[:, :3] < 0.05, 0.95, 1.0)


def misses(values: NDArray[np.float64], first: int = 2) -> NDArray[np.bool_]:
    """Whether the confidence sequence leaves 0 out, per data set and number of seeds; values (sets, n)."""
    n = np.arange(1, values.shape[1] + 1)
    mean = values.cumsum(axis=1) / n
    sd = np.sqrt(np.maximum(((values**2).cumsum(axis=1) - n * mean**2) / np.maximum(n - 1, 1), 0))
    return (np.abs(mean) > sequence_width(n) * np.where(sd > 0, sd, 1))[:, first - 1 :]


def test_the_vectorized_sequence_is_the_one_that_ships():
    values = draw("normal", (30, 40), 8) + 0.7
    wide = misses(values)
    for row, one in zip(wide, values, strict=True):
        for n in (6, 9, 17, 40):
            interval = confidence_sequence(one[:n])
            assert row[n - 2] == (not interval.low <= 0 <= interval.high)


@pytest.mark.parametrize(
    ("law", "low", "high"), [("normal", 0.02, 0.05), ("long-tailed", 0.0, 0.05), ("skewed", 0.05, 0.16)]
)
def test_confidence_sequence(law, low, high):
    wide = misses(draw(law, (20_000, 200), 5))
    measured(f"confidence sequence, {law}, any of 2 … 200 seeds: misses", wide.any(axis=1), low, high)
    late = misses(draw(law, (20_000, 200), 6), first=20)
    measured(f"confidence sequence, {law}, any of 20 … 200 seeds: misses", late.any(axis=1), 0.0, high)
    batches = wide[:, 8::10]
    measured(f"confidence sequence, {law}, looked at every 10 seeds: misses", batches.any(axis=1), 0.0, high)


def test_looking_again_and_again_with_t_intervals_does_not_hold():
    values = draw("normal", (SETS, 200), 7)
    missed = np.zeros(SETS, bool)
    for n in range(6, 201):
        mean, half, _, _ = t_interval(values[:, :n])
        missed |= np.abs(mean) > half
    measured("t interval, looked at after each of 6 … 200 seeds: misses", missed, 0.3, 0.6)


@pytest.mark.parametrize("effect", [0.4, 0.8, 1.5])
def test_seeds_needed(effect):
    n = seeds_needed(1.0, effect)
    mean, half, _, _ = t_interval(draw("normal", (20_000, n), 9) + effect)
    measured(f"seeds_needed, {effect} sd, {n} seeds: decided", mean - half > 0, 0.79, 0.85)


@pytest.mark.parametrize("effect", [0.3, 0.5, 1.0])
def test_sequential_seeds_needed(effect):
    wrong = misses(draw("normal", (SETS, 400), 10) + effect)
    stop = np.where(wrong.any(axis=1), wrong.argmax(axis=1) + 2, 401)
    planned, most = (sequential_seeds_needed(1.0, effect, power=power) for power in (0.5, 0.8))
    print(
        f"| sequence, {effect} sd: seeds to a decision | half by {np.median(stop):.0f}, 80 % by "
        f"{np.quantile(stop, 0.8):.0f}; planned {planned}, {most} | | {SETS:,} |"
    )
    assert planned == pytest.approx(np.median(stop), rel=0.06, abs=1)
    assert most == pytest.approx(np.quantile(stop, 0.8), rel=0.06, abs=1)


T = np.arange(40.0)
CURVES = {
    "exponential": (0.3 * np.exp(-np.log(2) / 15 * T), 15.0),
    "to a floor": (0.05 + 0.25 * np.exp(-T / 8), -8 * np.log((0.25 - 0.05) / 0.5)),
    "power law": (0.3 * (1 + T / 12) ** -1.0, 12.0),
    "to a high floor": (0.2 + 0.1 * np.exp(-T / 8), np.inf),
}


@pytest.mark.parametrize("name", CURVES)
def test_half_life(name):
    curve, truth = CURVES[name]
    rng = np.random.default_rng(11)
    sets = SETS // 2 if name == "exponential" else SETS // 8
    found = [half_life_fit(T, curve + noise(10, 40, 0.8, 0.03, rng), resamples=199) for _ in range(sets)]
    measured(f"half-life, {name}: a decay is seen", [one.decays for one in found], 0.99, 1.0)
    holds = [one.low <= truth <= one.high for one in found]
    measured(f"half-life, {name}, 10 seeds, AR(1) 0.8: coverage", holds, 0.90, 1.0)
    print("  forms taken:", {form: sum(one.form == form for one in found) for form in decay.FORMS})


@pytest.mark.parametrize("rho", [0.95])
def test_a_flat_curve_is_no_decay(rho):
    rng = np.random.default_rng(12)
    found = [
        half_life_fit(T, 0.3 + noise(10, 40, rho, 0.03, rng), forms=("exponential",), resamples=2)
        for _ in range(SETS)
    ]
    measured(f"half-life, flat, AR(1) {rho}: a decay is seen", [one.decays for one in found], 0.015, 0.035)
