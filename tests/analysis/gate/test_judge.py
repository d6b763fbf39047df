"""Verdicts of the gate on planted results, by hand and against scipy, and how often they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.gate.judge import answer, judge
from echodrift.analysis.gate.remarks import decidable_margin
from echodrift.analysis.results import Results
from echodrift.errors import BadInput, ExitCode
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats


def outcomes(results: Results) -> list[str]:
    [verdict] = judge(results)
    return [line.outcome for line in verdict.judgements]


FIVE = [0.01, 0.02, 0.03, 0.04, 0.025]
"""Mean 0.025, sd 0.0111803, t(0.975, 4) = 2.776445: half width 0.0138822, so the interval is 0.0111178 to 0.0388822."""


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ({"at_least": "baseline + 0.011"}, "PASS"), ({"at_least": "baseline + 0.012"}, "UNDECIDED"),
        ({"at_least": "baseline + 0.038"}, "UNDECIDED"), ({"at_least": "baseline + 0.039"}, "FAIL"),
        ({"at_most": "baseline + 0.039"}, "PASS"), ({"at_most": "baseline + 0.038"}, "UNDECIDED"),
        ({"at_most": "baseline + 0.012"}, "UNDECIDED"), ({"at_most": "baseline + 0.011"}, "FAIL"),
        ({"at_least": "baseline"}, "PASS"), ({"at_most": "baseline"}, "FAIL"),
    ],
)  # fmt: skip
def test_interval_and_limit(planted: Callable[..., Results], line: dict[str, Any], outcome: str) -> None:
    [verdict] = judge(planted(FIVE, [line]))
    [judged] = verdict.judgements
    assert (judged.outcome, verdict.outcome) == (outcome, outcome)
    assert judged.interval.mean == pytest.approx(0.025, rel=1e-12)
    assert (judged.interval.low, judged.interval.high) == pytest.approx((0.0111178, 0.0388822), abs=1e-7)
    assert (judged.candidate, judged.baseline) == pytest.approx((0.525, 0.5))
    assert (judged.reason == "") == (outcome != "UNDECIDED") == (judged.seeds_needed is None)


def test_a_ratio_is_judged_on_the_paired_linear_contrast(planted: Callable[..., Results]) -> None:
    rng = np.random.default_rng(1)
    base, pairs = rng.normal(1, 0.3, 12), rng.normal(0.02, 0.05, 12)
    [judged] = judge(planted(pairs, [{"at_least": "baseline * 0.95"}], baseline=base))[0].judgements
    known = stats.ttest_1samp(base + pairs - 0.95 * base, 0).confidence_interval(0.95)
    assert (judged.interval.low, judged.interval.high) == pytest.approx((known.low, known.high), rel=1e-9)
    assert judged.limit == 0 and judged.estimate == "candidate − 0.95 · baseline"
    [judged] = judge(planted(pairs, [{"at_most": 0.4}], baseline=base))[0].judgements
    known = stats.ttest_1samp(base + pairs, 0).confidence_interval(0.95)
    assert (judged.interval.low, judged.interval.high) == pytest.approx((known.low, known.high), rel=1e-9)
    assert (judged.limit, judged.outcome) == (0.4, "FAIL")
    [verdict] = judge(planted(pairs, [{"at_least": "baseline * 0.95"}], baseline=-base))
    assert any("the baseline is negative" in note for note in verdict.notes)


def test_equal_in_every_seed_is_at_least_as_good(planted: Callable[..., Results]) -> None:
    assert outcomes(planted([0.0] * 5, [{"at_least": "baseline"}])) == ["PASS"]
    # 0.5 − 0.01 and 0.49 differ in floating point only
    assert outcomes(planted([-0.01] * 5, [{"at_least": "baseline - 0.01"}])) == ["PASS"]
    assert outcomes(planted([-0.011] * 5, [{"at_least": "baseline - 0.01"}])) == ["FAIL"]


def test_the_whole_is_the_worst_line(planted: Callable[..., Results]) -> None:
    rows = [FIVE, FIVE, FIVE]
    limits = {"PASS": "baseline", "UNDECIDED": "baseline + 0.02", "FAIL": "baseline + 0.2"}

    def whole(*names: str) -> str:
        return judge(planted([rows[: len(names)]], [{"at_least": limits[name]} for name in names]))[0].outcome

    assert whole("PASS", "PASS") == "PASS"
    assert whole("PASS", "UNDECIDED", "PASS") == "UNDECIDED"
    assert whole("UNDECIDED", "FAIL", "PASS") == "FAIL"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_fail_is_adjusted_as_holm_does(planted: Callable[..., Results], seed: int, lines: int) -> None:
    pairs = np.random.default_rng(seed).normal(-0.8, 1, (lines, 8))
    found = outcomes(planted(pairs, [{"at_least": "baseline"}] * lines, baseline=0.0))
    p = stats.ttest_1samp(pairs, 0, axis=1, alternative="less").pvalue
    expected, order = ["UNDECIDED"] * lines, np.argsort(p)
    for step, at in enumerate(order):
        if p[at] > 0.025 / (lines - step):
            break
        expected[at] = "FAIL"
    for at in range(lines):
        if stats.ttest_1samp(pairs[at], 0, alternative="greater").pvalue <= 0.025:
            expected[at] = "PASS"
    assert found == expected


def test_a_line_that_holm_keeps_from_failing_says_so(planted: Callable[..., Results]) -> None:
    pairs = np.array([[-1.2, -0.2, -0.7, -0.4, -0.3], [9, 0, -9, 1, 0]])
    assert 0.0125 < stats.ttest_1samp(pairs[0], 0, alternative="less").pvalue < 0.025
    [verdict] = judge(planted(pairs, [{"at_least": "baseline"}] * 2, baseline=0.0))
    assert verdict.judgements[0].outcome == "UNDECIDED"
    assert (
        "on the bad side at 95 %, but not after Holm's adjustment for 2 lines" in verdict.judgements[0].reason
    )
    assert outcomes(planted(pairs[:1], [{"at_least": "baseline"}], baseline=0.0)) == ["FAIL"]


def test_a_grid_has_a_verdict_per_point_and_the_worst_counts(planted: Callable[..., Results]) -> None:
    grid = {"behavior.reinforcement": [0.0, 0.1, 0.2]}
    pairs = [[FIVE], [[0.0, -0.02, -0.03, -0.05, -0.025]], [[0.1, -0.1, 0.1, -0.1, 0.0]]]
    found = answer(planted(pairs, [{"at_least": "baseline"}], grid=grid))
    assert [verdict.outcome for verdict in found.verdicts] == ["PASS", "UNDECIDED", "UNDECIDED"]
    pairs[1] = [[-1.01, -1.02, -1.03, -1.04, -1.05]]
    found = answer(planted(pairs, [{"at_least": "baseline"}], grid=grid))
    assert [verdict.outcome for verdict in found.verdicts] == ["PASS", "FAIL", "UNDECIDED"]
    assert found.outcome == "FAIL" and found.exit_code == ExitCode.GATE_FAILED
    assert found.verdicts[1].point == {"behavior.reinforcement": 0.1}
    assert "FAIL at behavior.reinforcement = 0.1" in str(
        found
    ) and "of 3 grid points 1 pass and 1 fail" in str(found)


def test_the_horizon_of_a_line_counts(planted: Callable[..., Results]) -> None:
    results = planted([0.1] * 5, [{"at_least": "baseline"}, {"at_least": "baseline", "horizon": "rounds 0 to 4"}], rounds=10, horizon="last 5 rounds")  # fmt: skip
    results.rounds["m1"] = results.rounds["m0"]
    early = (results.rounds["arm"] == "new") & (results.rounds["round"] < 5)
    results.rounds.loc[early, ["m0", "m1"]] -= 1.0
    assert outcomes(results) == ["PASS", "FAIL"]
    results.rounds.loc[results.rounds["round"] == 7, "m0"] = np.nan  # not evaluated: left out
    assert outcomes(results) == ["PASS", "FAIL"]


def test_gates_that_do_not_fit_the_tables(planted: Callable[..., Results]) -> None:
    with pytest.raises(BadInput, match='the tables have no measure "m9"'):
        judge(planted(FIVE, [{"measure": "m9", "at_least": 0}]))
    with pytest.raises(BadInput, match='no arm is named "now". Did you mean "new"'):
        judge(planted(FIVE, [{"at_least": 0}], candidate="now"))
    with pytest.raises(BadInput, match="is more than the 1 of the study"):
        judge(planted(FIVE, [{"at_least": 0}], horizon="last 2 rounds"))
    results = planted(FIVE, [{"at_least": 0}])
    del results.study["gate"]
    with pytest.raises(BadInput, match="has no \\[gate\\]"):
        judge(results)


# How many seeds


def test_seeds_that_would_decide_do_so_about_four_times_in_five(planted: Callable[..., Results]) -> None:
    rng = np.random.default_rng(4)
    seen = rng.normal(0, 1, 10)
    seen = 0.4 + (seen - seen.mean()) / seen.std(ddof=1)  # mean 0.4, sd 1
    [line] = judge(planted(seen, [{"at_least": "baseline"}]))[0].judgements
    assert line.outcome == "UNDECIDED" and line.seeds_needed is not None
    again = rng.normal(0.4, 1, (4000, line.seeds_needed))
    low = (
        again.mean(1)
        - stats.t.ppf(0.975, line.seeds_needed - 1) * again.std(1, ddof=1) / line.seeds_needed**0.5
    )
    assert (low >= 0).mean() == pytest.approx(0.8, abs=0.03)
    assert f"about {line.seeds_needed} seeds decide it" in line.reason


def test_a_margin_of_zero_is_told_what_it_could_decide(planted: Callable[..., Results]) -> None:
    rng = np.random.default_rng(5)
    seen = rng.normal(0, 1, 12)
    seen = (seen - seen.mean()) / seen.std(ddof=1)
    [line] = judge(planted(seen - seen.mean(), [{"at_least": "baseline"}], baseline=0.0))[0].judgements
    margin = decidable_margin(1.0, 12, 0.95, "t")
    assert "Without any effect no number of seeds decides a margin of 0" in line.reason
    assert f"12 decide one of {margin:.2g}" in line.reason
    again = rng.normal(0, 1, (8000, 12))
    low = again.mean(1) - stats.t.ppf(0.975, 11) * again.std(1, ddof=1) / 12**0.5
    assert (low >= -margin).mean() == pytest.approx(0.8, abs=0.02)
    [line] = judge(planted(seen, [{"at_least": "baseline - 0.1"}], baseline=0.0))[0].judgements
    assert "margin of 0" not in line.reason


# Error rates: one guardrail per point of a large grid, the truth exactly at its limit


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [8, 20])
def test_at_the_limit_the_gate_passes_by_mistake_one_time_in_forty(
    planted: Callable[..., Results], seeds: int
) -> None:
    points = 600
    pairs = np.random.default_rng(6).normal(-0.1, 0.3, (points, 1, seeds))
    found = judge(
        planted(pairs, [{"at_least": "baseline - 0.1"}], grid={"x": list(range(points))}, baseline=0.0)
    )
    passed = sum(verdict.outcome == "PASS" for verdict in found)
    assert stats.binomtest(passed, points, 0.025).pvalue > 0.01


@pytest.mark.slow
def test_a_gate_of_four_lines_fails_by_mistake_at_most_one_time_in_forty(
    planted: Callable[..., Results],
) -> None:
    rng, wrong, studies = np.random.default_rng(7), 0, 200
    lines = [{"at_least": "baseline"}, {"at_most": "baseline"}] * 2
    for _ in range(studies):
        wrong += judge(planted(rng.normal(0, 1, (4, 10)), lines, baseline=0.0))[0].outcome == "FAIL"
    # each of the four is at its limit; unadjusted it would be 1 − 0.975⁴ = 9.6 %
    assert stats.binomtest(wrong, studies, 0.025, alternative="greater").pvalue > 0.01


# Over plausible behaviors


def test_the_share_of_behaviors_and_what_turns_it(planted: Callable[..., Results]) -> None:
    """Truth: the difference is attention − 0.6 over a uniform 0 to 1, so it holds for 40 % and turns at 0.6."""
    rng = np.random.default_rng(9)
    attention, other = rng.permutation((np.arange(80) + 0.5) / 80), rng.random(80)
    results = planted(
        attention - 0.6 + 0.05 * rng.normal(size=80), [{"at_least": "baseline"}, {"at_most": "baseline"}][:1]
    )
    draws = pd.DataFrame({"seed": np.arange(80), "behavior.attention": attention, "behavior.fatigue": other})
    results.study["uncertainty"] = {"design": "draws", "priors": {}}
    results.__dict__["draws"] = draws.sample(frac=1, random_state=1)
    [verdict] = judge(results)
    [line] = verdict.judgements
    assert line.share is not None and line.share.low <= (attention >= 0.6).mean() <= line.share.high
    [turn] = line.tipping_points
    assert (turn.key, turn.holds) == ("behavior.attention", "above") and turn.value == pytest.approx(
        0.6, abs=0.04
    )
    assert any("average over the plausible behaviors" in note for note in verdict.notes)
    text = str(answer(results))
    assert "of plausible behaviors" in text and "turns on behavior.attention (holds above 0." in text
    results.study["gate"]["guardrail"] = [{"measure": "m0", "at_most": "baseline"}]
    [below] = judge(results)[0].judgements
    assert below.tipping_points[0].holds == "below" and below.share is not None
    assert below.share.mean == pytest.approx(1 - line.share.mean, abs=1e-9)
    # Rows of settings that are drawn together: the share stays, and no one of them is said to turn the line.
    sample = {"sample": [0.1, 0.9]}
    results.study["uncertainty"]["priors"] = {"behavior.attention": sample, "behavior.fatigue": sample}
    [verdict] = judge(results)
    assert verdict.judgements[0].tipping_points == () and verdict.judgements[0].share == below.share
    assert any("none of them moves alone" in note for note in verdict.notes)
    results.study["uncertainty"]["priors"]["behavior.fatigue"] = {"uniform": [0, 1]}
    assert judge(results)[0].judgements[0].tipping_points == below.tipping_points
    results.study["uncertainty"]["design"] = "saltelli"
    with pytest.raises(BadInput, match="Saltelli"):
        judge(results)


def test_one_guess_is_called_one_guess(planted: Callable[..., Results]) -> None:
    [verdict] = judge(planted(FIVE, [{"at_least": "baseline"}]))
    assert any("one guess of how people behave" in note for note in verdict.notes)
    assert verdict.judgements[0].share is None
