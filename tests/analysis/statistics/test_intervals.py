"""Intervals, paired differences, Holm and censored medians, against scipy, brute force and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.statistics import (
    compare,
    holm,
    mean_interval,
    median_survival,
    paired_differences,
    t_interval,
)
from echodrift.errors import BadInput
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats


def runs(**arms: list[float | None]) -> pd.DataFrame:
    """A run table with one measure, `welfare`; seeds 0, 1, … in every arm, None = no run."""
    rows = [
        {"arm": arm, "seed": seed, "status": "ok", "welfare": value}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
        if value is not None
    ]
    return pd.DataFrame(rows)


def coverage(rng: np.random.Generator, n: int, repeats: int, skewed: bool) -> float:
    """Share of 95 % intervals that hold the true mean of a paired difference of two correlated arms."""
    world = rng.normal(size=(repeats, n))
    noise = rng.exponential(size=(2, repeats, n)) - 1 if skewed else rng.normal(size=(2, repeats, n))
    pairs = (world + noise[0] + 0.3) - (world + noise[1])
    mean, half, _, _ = t_interval(pairs)
    return float((np.abs(mean - 0.3) <= half).mean())


def test_the_interval_holds_the_truth_as_often_as_it_says():
    # 20,000 repeats: three standard errors of the simulation are 0.46 points.
    found = coverage(np.random.default_rng(1), 10, 20_000, skewed=False)
    assert abs(found - 0.95) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_holds_for_few_seeds_and_for_long_tails(n: int, skewed: bool):
    # A difference of two arms is symmetric even when each is skewed, with longer tails than the normal,
    # so the interval errs on the safe side.
    found = coverage(np.random.default_rng(n), n, 200_000, skewed)
    assert 0.948 < found < (0.975 if skewed else 0.952)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_mean_interval_agrees_with_scipy(n: int):
    values = np.random.default_rng(n).normal(3, 2, n)
    mine = mean_interval(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mine.mean == pytest.approx(values.mean())
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))
    assert mine.n == n and mine.reason == ""


@pytest.mark.parametrize(
    ("values", "n", "reason"),
    [([], 0, "no values"), ([np.nan, np.inf], 0, "no values"), ([4.0, np.nan], 1, "one seed")],
)
def test_without_two_values_there_is_no_interval_and_a_reason(values, n, reason):
    mine = mean_interval(values)
    assert mine.n == n and reason in mine.reason
    assert np.isnan(mine.low) and np.isnan(mine.high)


def test_paired_differences_agree_with_scipy_and_are_paired_by_seed_not_by_row():
    rng = np.random.default_rng(3)
    a, b = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    table = runs(a=list(a), b=list(b)).sample(frac=1, random_state=4)
    mine = paired_differences(table, "a", "b", "welfare")
    test = stats.ttest_rel(a, b)
    theirs = test.confidence_interval(0.95)
    assert mine.mean == pytest.approx((a - b).mean())
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))
    assert mine.p == pytest.approx(test.pvalue)
    assert (mine.arm, mine.reference, mine.measure, mine.n) == ("a", "b", "welfare", 12)


def test_common_random_numbers_narrow_the_interval():
    rng = np.random.default_rng(5)
    world, noise = rng.normal(0, 10, 20), rng.normal(0, 0.1, (2, 20))
    mine = paired_differences(
        runs(a=list(world + noise[0] + 1), b=list(world + noise[1])), "a", "b", "welfare"
    )
    assert mine.low < 1 < mine.high and mine.high - mine.low < 0.3


def test_missing_pairs_are_left_out_and_listed():
    table = runs(a=[1.0, None, 3.0, np.nan, 5.0], b=[0.0, 0.0, None, 0.0, 1.0], c=[0.0] * 6)
    mine = paired_differences(table, "a", "b", "welfare")
    assert mine.missing == (1, 2, 3, 5)
    assert mine.n == 2 and mine.mean == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("a", "b", "low", "verdict", "p"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0], 0.0, "equal in every seed", 1.0),
        ([1.5, 2.5, 3.5, 4.5, 5.5], [1.0, 2.0, 3.0, 4.0, 5.0], 0.5, "higher", np.nan),
        ([0.5, 1.5, 2.5, 3.5, 4.5], [1.0, 2.0, 3.0, 4.0, 5.0], -0.5, "lower", np.nan),
        # Rounding is no difference and no spread.
        ([0.1 + 0.2, 1e9, 0, 0, 0], [0.3, 1e9 * (1 + 1e-16), 0, 0, 0], 0.0, "equal in every seed", 1.0),
        ([1.1, 2.1, 3.1, 4.1, 5.1], [1.0, 2.0, 3.0, 4.0, 5.0], 0.1, "higher", np.nan),
    ],
)
def test_no_spread_over_seeds_gives_an_interval_without_width(a, b, low, verdict, p):
    row = compare(runs(a=a, b=b), "b", ["welfare"], primary=["welfare"]).iloc[0]
    assert row["low"] == row["high"] == pytest.approx(low)
    assert row["verdict"] == verdict and row["p"] == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        ([2.0], "too few seeds to say", "one pair"),
        ([None], "cannot say", "no seed"),
        ([np.nan], "cannot say", "no seed"),
    ],
)
def test_one_pair_or_none_says_nothing(values, verdict, reason):
    table = runs(a=[*values, None], b=[1.0, 1.0])
    if values == [None]:
        table = pd.concat([table, pd.DataFrame([{"arm": "a", "seed": 0, "status": "failed"}])])
    row = compare(table, "b", ["welfare"], primary=["welfare"]).iloc[0]
    assert np.isnan(row["low"]) and row["verdict"] == verdict and reason in row["reason"]


def test_verdict_of_primary_rests_on_its_interval_and_of_others_on_holm():
    rng = np.random.default_rng(8)
    table = runs(a=[0.0] * 8, b=[0.0] * 8)
    noise = {f"m{i}": rng.normal(0, 1, 16) for i in range(30)}
    pairs = rng.normal(0.0, 1.0, 8)
    pairs = (pairs - pairs.mean()) / pairs.std(ddof=1)
    # An interval that leaves out zero by little: p of about 0.03.
    noise["named"] = noise["unnamed"] = np.concatenate([pairs + 0.97, np.zeros(8)])
    table = table.assign(**noise)
    found = compare(table, "b", list(noise), primary=["named"]).set_index("measure")
    assert 0.01 < found.loc["named", "p"] < 0.05
    assert found.loc["named", "verdict"] == "higher" and np.isnan(found.loc["named", "p_holm"])
    assert found.loc["unnamed", "verdict"] == "no clear difference" and found.loc["unnamed", "p_holm"] > 0.05


def test_split_measures_are_a_family_of_their_own():
    rng = np.random.default_rng(9)
    table = runs(a=[0.0] * 6, b=[0.0] * 6).assign(
        **{name: rng.normal(size=12) for name in ["x", "x:group=one", "x:group=two"]}
    )
    found = compare(table, "b", ["x", "x:group=one", "x:group=two"]).set_index("measure")
    assert found.loc["x", "p_holm"] == pytest.approx(found.loc["x", "p"])
    split = found.loc[["x:group=one", "x:group=two"]]
    assert list(split["p_holm"]) == pytest.approx(list(holm(split["p"])))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: compare(t, "popularty", ["welfare"]), 'Did you mean "popularity"'),
        (lambda t: compare(t, "popularity", ["welfair"]), 'Did you mean "welfare"'),
        (lambda t: compare(pd.concat([t, t]), "popularity", ["welfare"]), "one grid point"),
    ],
)
def test_wrong_names_are_answered_with_the_closest(call, words):
    with pytest.raises(BadInput, match=words):
        call(runs(random=[1.0, 2.0], popularity=[1.0, 3.0]))


@given(st.lists(st.floats(0, 1), min_size=0, max_size=12))
def test_holm_is_the_step_down_rule(p):
    adjusted = holm(p)
    # Brute force: by definition the i-th smallest is rejected at α iff p_(j) ≤ α / (m − j) for all j ≤ i.
    for alpha in (0.01, 0.05, 0.2, 0.9):
        rejected, going = set(), True
        for place, index in enumerate(np.argsort(p, kind="stable")):
            going = going and p[index] * (len(p) - place) <= alpha
            if going:
                rejected.add(int(index))
        assert {i for i, value in enumerate(adjusted) if value <= alpha} == rejected


def test_holm_leaves_undefined_tests_out():
    assert list(holm([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=25))
def test_median_survival_agrees_with_scipy(runs_):
    times = np.array([time for time, _ in runs_], dtype=float)
    censored = np.array([flag for _, flag in runs_])
    mine = median_survival(times, censored)
    data = stats.CensoredData(uncensored=times[~censored], right=times[censored])
    curve = stats.ecdf(data).sf
    reached = curve.quantiles[curve.probabilities <= 0.5 + 1e-12]
    assert mine.median == pytest.approx(reached[0] if len(reached) else np.nan, nan_ok=True)
    assert (mine.n, mine.events, mine.horizon) == (len(times), int((~censored).sum()), times.max())


def test_median_survival_by_hand():
    # Half of four have halved by round 20; one was lost at 15.
    assert median_survival([10, 15, 20, 30], [False, True, False, False]).median == 20
    assert str(median_survival([150, 150, 12], [True, True, False])) == "not within 150 rounds"
    assert str(median_survival([12, 14, 150], [False, False, True])) == "14 rounds"
    # A run that had nothing to halve says nothing.
    assert median_survival([np.nan, 8.0], [True, False]).n == 1
    assert str(median_survival([np.nan], [True])) == "undefined"
    assert str(median_survival([], [])) == "undefined"


def test_censoring_is_not_taken_for_halving():
    # Taking censored times at face value would say 100.
    assert np.isnan(median_survival([100, 100, 100, 5], [True, True, True, False]).median)
