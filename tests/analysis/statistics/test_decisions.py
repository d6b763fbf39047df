"""Resampling, equivalence, the confidence sequence and seeds needed, against scipy, brute force and integration."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.statistics import (
    bca_interval,
    compare,
    confidence_sequence,
    mean_interval,
    noninferior,
    paired_differences,
    resampling,
    seeds_needed,
    sequential_seeds_needed,
    sign_flip,
    tost,
)
from echodrift.analysis.statistics.resampling import bca, sign_flip_interval
from echodrift.analysis.statistics.sequential import SPREAD, first_look, sequence_width
from echodrift.errors import BadInput
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=0, max_size=24)
INTERVALS = {
    "bca": bca_interval,
    "flips": lambda values: sign_flip_interval(values)[0],
    "sequence": confidence_sequence,
    "tost": lambda values: tost(values, -1, 1),
}


def table(pairs) -> pd.DataFrame:
    """A run table in which arm a minus arm b is `pairs`."""
    rows = [("a", seed, value) for seed, value in enumerate(pairs)]
    rows += [("b", seed, 0.0) for seed in range(len(pairs))]
    return pd.DataFrame(rows, columns=["arm", "seed", "welfare"])


# Properties that every interval has.


@pytest.mark.parametrize("name", ["flips", "sequence", "tost"])
@settings(max_examples=30)
@given(values=VALUES, shift=st.integers(-50, 50), scale=st.sampled_from([-4.0, -1.0, 0.5, 2.0]))
def test_intervals_move_with_the_values(name, values, shift, scale):
    before = INTERVALS[name](values)
    after = INTERVALS[name](np.asarray(values) * scale + shift)
    ends = sorted((before.low * scale + shift, before.high * scale + shift))
    assert (after.low, after.high) == pytest.approx(tuple(ends), nan_ok=True, abs=1e-6, rel=1e-6)
    assert after.n == before.n == len(values)


@settings(max_examples=10)
@given(seed=st.integers(0, 999), n=st.integers(3, 30), shift=st.integers(-50, 50), scale=st.floats(0.01, 100))
def test_bca_moves_with_the_values(seed, n, shift, scale):
    # Without ties: a resample that equals the mean counts half, and rounding decides whether it does.
    values = np.random.default_rng(seed).normal(size=n)
    before, after = bca_interval(values), bca_interval(values * scale + shift)
    ends = (before.low * scale + shift, before.high * scale + shift)
    assert (after.low, after.high) == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize("name", ["flips", "sequence", "tost"])
@settings(max_examples=30)
@given(values=VALUES, seed=st.integers(0, 99))
def test_the_order_of_seeds_does_not_matter(name, values, seed):
    values = values[:14]  # beyond, sign flips are a random sample of all
    mixed = np.random.default_rng(seed).permutation(values)
    one, other = INTERVALS[name](values), INTERVALS[name](mixed)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), nan_ok=True, abs=1e-9)


@pytest.mark.parametrize("name", INTERVALS)
@settings(max_examples=30)
@given(values=VALUES, holes=st.lists(st.sampled_from([np.nan, np.inf, -np.inf]), max_size=4))
def test_values_that_are_not_finite_are_left_out(name, values, holes):
    one, other = INTERVALS[name](values), INTERVALS[name]([*values, *holes])
    assert (one.low, one.high, one.n) == pytest.approx((other.low, other.high, other.n), nan_ok=True)


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize(("values", "n"), [([], 0), ([np.nan], 0), ([2.0], 1)])
def test_below_two_values_there_is_no_interval_and_a_reason(name, values, n):
    one = INTERVALS[name](values)
    assert np.isnan(one.low) and np.isnan(one.high) and one.n == n and one.reason


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_constant_values_have_an_interval_without_width(name, value):
    one = INTERVALS[name]([value] * 12)
    assert one.low == one.high == pytest.approx(value) and "the same" in one.reason


# BCa.


def test_bca_agrees_with_the_formula_on_other_resamples():
    values = np.random.default_rng(1).exponential(size=25)
    found = bca_interval(values)
    means = np.random.default_rng(2).choice(values, (200_000, 25)).mean(axis=1)
    bias = stats.norm.ppf((means < values.mean()).mean())
    left = np.array([np.delete(values, i).mean() for i in range(25)])
    off = left.mean() - left
    bend = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
    ends = [bias + (bias + z) / (1 - bend * (bias + z)) for z in stats.norm.ppf([0.025, 0.975])]
    assert (found.low, found.high) == pytest.approx(np.quantile(means, stats.norm.cdf(ends)), abs=0.02)
    assert found.reason == "" and "20 seeds" in bca_interval(values[:19]).reason


@pytest.mark.parametrize("shift", [-0.35, 0.3])
def test_bca_p_is_the_level_at_which_the_interval_touches_zero(shift):
    values = np.random.default_rng(3).exponential(size=20) - 1 + shift
    p = bca(values)[1]
    one = bca_interval(values, 1 - p)
    assert min(abs(one.low), abs(one.high)) < 0.008


# Sign flips.


@settings(max_examples=25)
@given(st.lists(st.floats(-10, 10).map(lambda x: round(x, 2)), min_size=2, max_size=9))
def test_sign_flips_agree_with_scipy(values):
    theirs = stats.permutation_test(
        (np.array(values),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(values) == pytest.approx(theirs.pvalue)


def test_many_values_are_flipped_at_random_and_never_reach_zero():
    values = np.random.default_rng(4).normal(0.5, 1, 30)
    exact = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=99_999, rng=1)
    assert sign_flip(values) == pytest.approx(exact.pvalue, abs=0.015) and sign_flip(values) == sign_flip(
        values
    )
    assert sign_flip(values + 50) == 2 / 10_000


@pytest.mark.parametrize("n", [6, 8, 13, 20])
def test_the_sign_flip_interval_inverts_the_test(n):
    values = np.random.default_rng(n).exponential(size=n)
    one = sign_flip_interval(values)[0]
    inside, outside = (one.low + 1e-9, one.high - 1e-9), (one.low - 1e-6, one.high + 1e-6)
    assert all(sign_flip(values - mean) > 0.05 for mean in inside)
    assert all(sign_flip(values - mean) <= 0.05 for mean in outside)


def test_five_seeds_can_never_flip_to_a_decision():
    assert sign_flip([1.0, 1.1, 1.2, 1.3, 1.4]) == 2 / 32
    one = sign_flip_interval([1.0, 1.1, 1.2, 1.3, 1.4])[0]
    assert np.isnan(one.low) and "takes 6" in one.reason
    six = sign_flip_interval([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])[0]
    assert (six.low, six.high) == (1.0, 1.5)


def test_sign_flips_of_many_values_are_counted_in_parts(peak_memory, monkeypatch):
    values = np.random.default_rng(6).normal(0.3, 1, 40)
    whole = [sign_flip_interval(values), np.concatenate(list(resampling._subsets(40)))]
    monkeypatch.setattr(resampling, "MAX_NUMBERS", 40 * 1000)
    parts = list(resampling._subsets(40))
    assert len(parts) == 10 and max(part.size for part in parts) <= 40_000
    np.testing.assert_array_equal(np.concatenate(parts), whole[1])
    interval, p = sign_flip_interval(values)
    assert p == whole[0][1] and interval.low == pytest.approx(whole[0][0].low)
    many = np.random.default_rng(7).normal(0.01, 1, 4000)
    assert peak_memory(lambda: sign_flip(many)) < 20e6  # all at once: 320 MB


# The methods of compare.


def test_compare_takes_a_method_and_warns_below_its_seeds():
    pairs = np.random.default_rng(5).normal(1, 1, 12)
    rows = {
        method: compare(table(pairs), "b", ["welfare"], primary=["welfare"], method=method).iloc[0]
        for method in ("t", "bca", "permutation")
    }
    assert (rows["t"]["low"], rows["t"]["reason"]) == (mean_interval(pairs).low, "")
    assert rows["bca"]["low"] == bca_interval(pairs).low and "20 seeds" in rows["bca"]["reason"]
    assert rows["permutation"]["p"] == sign_flip(pairs) and rows["permutation"]["reason"] == ""
    assert {row["verdict"] for row in rows.values()} == {"higher"}
    few = paired_differences(table(pairs[:5]), "a", "b", "welfare", method="permutation")
    assert np.isnan(few.low) and "takes 6" in few.reason
    row = compare(table(pairs[:5]), "b", ["welfare"], primary=["welfare"], method="permutation").iloc[0]
    assert row["verdict"] == "too few seeds to say"
    with pytest.raises(BadInput, match='Did you mean "permutation"'):
        compare(table(pairs), "b", ["welfare"], method="permutations")


@pytest.mark.parametrize("method", ["bca", "permutation"])
def test_no_difference_in_any_seed_is_the_same_by_every_method(method):
    row = compare(table([0.0] * 8), "b", ["welfare"], primary=["welfare"], method=method).iloc[0]
    assert row["verdict"] == "equal in every seed" and row["p"] == 1.0
    row = compare(table([0.5] * 8), "b", ["welfare"], primary=["welfare"], method=method).iloc[0]
    assert row["verdict"] == "higher" and row["low"] == row["high"] == 0.5


# Equivalence.


@given(VALUES.filter(lambda values: len(values) > 1 and np.std(values) > 1e-3), st.floats(0.1, 50))
def test_tost_is_two_one_sided_t_tests(values, margin):
    found = tost(values, -margin, margin)
    p = [
        stats.ttest_1samp(values, m, alternative=side).pvalue
        for m, side in ((-margin, "greater"), (margin, "less"))
    ]
    assert (found.p_lower, found.p_upper) == pytest.approx(p, abs=1e-12)
    ninety = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert (found.low, found.high) == pytest.approx((ninety.low, ninety.high))
    assert found.equivalent == (max(p) < 0.05)
    if abs(max(p) - 0.05) > 1e-9:
        assert found.equivalent == (ninety.low > -margin and ninety.high < margin)
    assert noninferior(values, margin).p == pytest.approx(p[0])


def test_no_clear_difference_is_not_no_harm():
    values = np.random.default_rng(6).normal(0, 1, 8)
    assert mean_interval(values).low < 0 < mean_interval(values).high
    assert not tost(values, -0.1, 0.1).equivalent


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, True), (0.5, True), (1.0, False), (-1.0, False), (2.0, False)]
)
def test_a_constant_difference_is_equivalent_inside_the_bounds(value, shown):
    assert tost([value] * 5, -1, 1).equivalent is shown


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tost([1.0, 2.0], 1, 1), "low < high"),
        (lambda: tost([1.0, 2.0], np.nan, 1), "low < high"),
        (lambda: tost([1.0, 2.0], 0, 1, level=0.4), "between 0.5 and 1"),
        (lambda: noninferior([1.0, 2.0], -0.1), "from 0 up"),
        (lambda: seeds_needed(-1.0, 0.1), "sd must be"),
        (lambda: seeds_needed(np.nan, 0.1), "sd must be"),
        (lambda: confidence_sequence([1.0, 2.0], level=1.0), "between 0 and 1"),
    ],
)
def test_what_cannot_be_tested_is_said(call, words):
    with pytest.raises(BadInput, match=words):
        call()


# The confidence sequence.


def evidence(values, mean: float) -> float:
    """The mixture of likelihood ratios of t against a mean, by numerical integration over the effect size."""
    n = len(values)
    t = (np.mean(values) - mean) / (np.std(values, ddof=1) / np.sqrt(n))

    def part(effect):
        return stats.nct.pdf(t, n - 1, np.sqrt(n) * effect) * stats.norm.pdf(effect, 0, np.sqrt(SPREAD))

    return integrate.quad(part, -6, 6, points=[0, t / np.sqrt(n)], limit=200)[0] / stats.t.pdf(t, n - 1)


@pytest.mark.parametrize("n", [6, 8, 15, 30])
def test_the_sequence_ends_where_the_integrated_evidence_is_one_in_twenty(n):
    values = np.random.default_rng(n).normal(2, 3, n)
    one = confidence_sequence(values)
    assert evidence(values, one.low) == pytest.approx(20, rel=1e-4)
    assert evidence(values, one.high) == pytest.approx(20, rel=1e-4)
    assert evidence(values, one.mean) < 1


def test_the_evidence_is_the_one_of_the_raw_values_with_every_scale_alike():
    """From the likelihood of the values itself: the right Haar prior dσ/σ on both sides."""
    values = np.random.default_rng(7).normal(1, 1, 6)

    log_sigma, effect = np.linspace(-3, 5, 801)[:, None, None], np.linspace(-5, 5, 801)[:, None]
    sigma = np.exp(log_sigma)
    above = np.exp(stats.norm.logpdf(values, effect * sigma, sigma).sum(axis=-1))
    above = (above * stats.norm.pdf(effect[:, 0], 0, np.sqrt(SPREAD))).sum() * (10 / 800)
    below = np.exp(stats.norm.logpdf(values, 0, sigma).sum(axis=-1)).sum()
    assert above / below == pytest.approx(evidence(values, 0.0), rel=1e-3)


def test_five_seeds_bound_nothing_and_the_reason_says_so():
    assert first_look() == 6
    one = confidence_sequence([0.1, 0.2, 0.3, 0.4, 0.5])
    assert np.isnan(one.low) and "takes 6" in one.reason
    assert all(evidence([0, 1e-9, 0, 1e-9, 0], mean) < 20 for mean in (1e-6, 1.0))


def test_more_seeds_narrow_the_sequence_and_it_is_wider_than_t():
    n = np.arange(6, 500)
    width = sequence_width(n)
    assert (np.diff(width) < 0).all()
    assert (width > stats.t.ppf(0.975, n - 1) / np.sqrt(n)).all()
    # Near the best that any spread of the mixture gives, where studies stop.
    best = np.min([sequence_width(n, spread=g) for g in np.geomspace(0.01, 20, 200)], axis=0)
    assert (width / best)[(n >= 13) & (n <= 58)].max() < 1.035


# Seeds needed.


@pytest.mark.parametrize(("sd", "margin"), [(1.0, 0.5), (1.0, 2.0), (0.02, 0.01), (3.0, 0.4)])
def test_seeds_needed_is_the_first_with_that_power(sd, margin):
    def power(n):
        return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, np.sqrt(n) * margin / sd)

    n = seeds_needed(sd, margin)
    assert power(n) >= 0.8 > power(n - 1)
    # scipy's own law of the noncentral t, checked by drawing.
    values = np.random.default_rng(n).normal(margin, sd, (20_000, n))
    seen = values.mean(axis=1) > stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
    assert seen.mean() == pytest.approx(power(n), abs=0.012)


def test_no_number_of_seeds_tells_a_mean_from_itself():
    assert seeds_needed(1.0, 0.0) is None and sequential_seeds_needed(1.0, 0.0) is None
    assert seeds_needed(0.0, 0.0) is None
    assert seeds_needed(0.0, 0.1) == 2 and sequential_seeds_needed(0.0, 0.1) == 6
    assert seeds_needed(1.0, 1e-9) is None and seeds_needed(1e-12, 1.0) == 2
    # by the normal law 1,255,820 and 872,098
    assert seeds_needed(1.0, 0.0025) is None and 870_000 < (seeds_needed(1.0, 0.003) or 0) < 874_000
    assert sequential_seeds_needed(1.0, 1e-9) is None and sequential_seeds_needed(1e-12, 1.0) == 6
    assert sequential_seeds_needed(1.0, 0.5, power=0.9999) > sequential_seeds_needed(1.0, 0.5, power=0.99)


@settings(max_examples=15)
@given(st.floats(0.01, 10), st.floats(0.3, 3), st.floats(0.3, 0.9))
def test_more_noise_or_power_takes_more_seeds(sd, effect, power):
    n = seeds_needed(sd, effect * sd, power=power)
    assert n == seeds_needed(1.0, effect, power=power) or abs(n - seeds_needed(1.0, effect, power=power)) <= 1
    assert seeds_needed(sd * 2, effect * sd, power=power) >= n
    assert seeds_needed(sd, effect * sd, power=0.95) >= n
    assert sequential_seeds_needed(sd, effect * sd, power=0.9) >= sequential_seeds_needed(sd, effect * sd)
