"""The gate where values are missing, few or odd: no PASS without data, and what it rests on is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from echodrift.analysis.gate.judge import Answer, answer, judge
from echodrift.analysis.gate.lines import spreads
from echodrift.analysis.gate.questions import questions
from echodrift.analysis.gate.verdicts import overall_outcome
from echodrift.analysis.results import Results
from echodrift.analysis.statistics import mean_interval, seeds_needed
from echodrift.analysis.statistics.resampling import fewest_values
from echodrift.errors import ExitCode
from hypothesis import given, settings
from hypothesis import strategies as st

LINE = {"at_least": "baseline"}


@pytest.fixture
def drifting(planted: Callable[..., Results]) -> Results:
    """Both arms alike in every round, and rising by 0.01 a round; the horizon is the last 20 of 30 rounds."""
    found = planted(np.zeros(6), [LINE], rounds=30, horizon="last 20 rounds")
    rounds = found.rounds
    rounds["m0"] = 0.01 * rounds["round"] + np.random.default_rng(0).normal(0, 1e-4, len(rounds))
    return found


def without(results: Results, arm: str, seeds: Any = None, before: int = 0, after: int = 99) -> Results:
    """The results without these rounds of an arm's runs, as rows that are not there."""
    rounds = results.rounds
    gone = (rounds["arm"] == arm) & rounds["round"].between(before, after)
    return replace(results, rounds=rounds[~(gone if seeds is None else gone & rounds["seed"].isin(seeds))])


# Rounds that one arm lacks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["baseline", "baseline * 0.9", "baseline - 0.01", 0.2]))
def test_both_arms_are_averaged_over_the_same_rounds(
    planted: Callable[..., Results], seed: int, bound: str | float
) -> None:
    """Against a loop over seeds and rounds."""
    rng = np.random.default_rng(seed)
    results = planted(np.zeros(5), [{"at_least": bound}], rounds=9, horizon="last 6 rounds")
    rounds = results.rounds
    rounds["m0"] = rng.normal(0.3, 1, len(rounds))
    rounds.loc[rng.random(len(rounds)) < rng.choice([0.02, 0.5]), "m0"] = np.nan
    results = replace(
        results, rounds=rounds[rng.random(len(rounds)) > 0.05].sample(frac=1, random_state=seed)
    )
    factor = {"baseline": 1.0, "baseline * 0.9": 0.9, "baseline - 0.01": 1.0, 0.2: 0.0}[bound]
    values, missing, barred = [], [], []
    last = results.rounds["round"].max()
    for at in range(5):
        cells = {
            (row.arm, row.round): row.m0
            for row in results.rounds.itertuples()
            if row.seed == at and row.round > last - 6 and np.isfinite(row.m0)
        }
        new, old = ({r for a, r in cells if a == arm} for arm in ("new", "old"))
        both = new & old if factor else new
        if both:
            there = factor * np.mean([cells["old", r] for r in both]) if factor else 0.0
            values.append(np.mean([cells["new", r] for r in both]) - there)
        else:
            missing.append(at)
        barred += [at] if (new ^ old if factor else old - new) else []
    [line] = judge(results)[0].judgements
    known = mean_interval(values)
    np.testing.assert_allclose((line.interval.mean, line.interval.low), (known.mean, known.low), atol=1e-12)
    assert (line.missing, line.one_sided) == (tuple(missing), tuple(barred))
    assert not (line.outcome == "PASS" and barred)


def test_a_candidate_that_is_measured_late_is_not_better_for_it(drifting: Results) -> None:
    """Its mean over the last 5 rounds, beside the baseline's over 20, would be 0.075 higher: a PASS by a mile."""
    found = without(drifting, "new", before=0, after=24)
    [line] = judge(found)[0].judgements
    assert line.outcome == "UNDECIDED" and abs(line.interval.mean) < 1e-3
    assert line.candidate == pytest.approx(0.27, abs=1e-3) and line.baseline == pytest.approx(0.27, abs=1e-3)
    assert "only one of the two arms has a value in some rounds of seed 0, 1, 2, 3, 4, 5" in line.reason
    # and one that ends early is not worse for it: the same rounds count for both
    [line] = judge(without(drifting, "new", before=25))[0].judgements
    assert abs(line.interval.mean) < 1e-3 and line.candidate == pytest.approx(0.17, abs=1e-3)


def test_one_round_in_one_arm_keeps_a_line_from_passing_but_not_from_failing(drifting: Results) -> None:
    better = drifting
    better.rounds.loc[better.rounds["arm"] == "new", "m0"] += 0.1
    assert judge(better)[0].outcome == "PASS"
    for arm in ("new", "old"):
        [line] = judge(without(better, arm, [3], 29, 29))[0].judgements
        assert (line.outcome, line.one_sided, line.missing) == ("UNDECIDED", (3,), ())
        assert line.interval.n == 6 and line.seeds_needed is None
        assert "in some rounds of seed 3, which count for neither" in line.reason
    assert judge(without(better, "new", [3], 5, 5))[0].outcome == "PASS"  # before the horizon
    better.study["gate"]["guardrail"] = [{"measure": "m0", "at_most": "baseline"}]
    assert judge(without(better, "new", [3], 29, 29))[0].outcome == "FAIL"
    # a round that neither arm has is left out
    better.study["gate"]["guardrail"] = [{"measure": "m0", **LINE}]
    assert judge(without(without(better, "new", [3], 29, 29), "old", [3], 29, 29))[0].outcome == "PASS"


def test_arms_that_have_values_in_different_rounds_have_no_pair(drifting: Results) -> None:
    found = without(without(drifting, "new", [2], 0, 19), "old", [2], 20, 29)
    [line] = judge(found)[0].judgements
    assert (line.missing, line.one_sided, line.interval.n) == ((2,), (2,), 5)
    assert "only one of the two arms has a value for seed 2" in line.reason


def test_what_can_no_longer_pass_is_known_while_the_study_runs(planted: Callable[..., Results]) -> None:
    stopping = {"looks": [8]}
    found = planted(np.full((2, 8), 0.1) + 0.001 * np.arange(8), [LINE, LINE], stopping=stopping)
    assert [question.blocked for question in questions(found)] == ["", ""]
    found.rounds.loc[(found.rounds["arm"] == "new") & (found.rounds["seed"] == 5), "m1"] = np.nan
    first, second = questions(found)
    assert first.decided and not first.blocked
    assert not second.decided and "a value for seed 5" in second.blocked


# Runs that are not there


def test_failed_runs_are_named_and_there_is_no_pass(planted: Callable[..., Results]) -> None:
    found = answer(planted(np.full(6, 0.1) + 0.01 * np.arange(6), [LINE], failed=(("new", 2),)))
    [verdict] = found.verdicts
    [line] = verdict.judgements
    assert (line.outcome, line.interval.n, line.missing) == ("PASS", 5, (2,))
    assert (verdict.outcome, verdict.failed, found.exit_code) == ("UNDECIDED", 1, ExitCode.RUN_FAILED)
    assert 'The run of arm "new" with seed 2 failed: it broke' in verdict.notes
    bad = answer(planted(np.full(6, -0.1) + 0.01 * np.arange(6), [LINE], failed=(("old", 0),)))
    assert (bad.outcome, bad.exit_code) == ("FAIL", ExitCode.GATE_FAILED)


def test_values_that_are_missing_are_named(planted: Callable[..., Results]) -> None:
    pairs = np.full(7, 0.1) + 0.01 * np.arange(7)
    pairs[[1, 4]] = np.nan
    [verdict] = judge(planted(pairs, [LINE]))
    assert verdict.outcome == "PASS" and verdict.judgements[0].missing == (1, 4)
    assert any("for seed 1, 4; left out" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("seeds", "told"), [(4, "4 have a value"), (1, "1 has a value"), (0, "none has a value")]
)
def test_below_five_pairs_a_line_is_undecided_and_told_what_to_type(
    planted: Callable[..., Results], seeds: int, told: str
) -> None:
    for value in (0.1, -0.1):
        pairs = np.full(6, np.nan)
        pairs[:seeds] = value
        found = answer(planted(pairs, [LINE]))
        [line] = found.verdicts[0].judgements
        assert (found.outcome, found.exit_code) == ("UNDECIDED", ExitCode.GATE_UNDECIDED)
        assert (
            line.reason
            == f"too few seeds to say: {told} in both arms, a verdict takes 5; type --seeds 20, or more"
        )
        assert line.seeds_needed is None and line.reason in str(found)
        pairs[:5] = value
        assert judge(planted(pairs, [LINE]))[0].outcome == ("PASS" if value > 0 else "FAIL")


def test_results_without_a_run(planted: Callable[..., Results]) -> None:
    failed = tuple((arm, seed) for arm in ("old", "new") for seed in range(3))
    found = answer(planted([0.1] * 3, [LINE], failed=failed))
    assert found.exit_code == ExitCode.RUN_FAILED and found.failed == 6
    for text in (str(found), found.json(), found.junit(), found.markdown()):
        assert "it broke" in text


def test_a_grid_point_without_runs_is_no_pass(planted: Callable[..., Results]) -> None:
    pairs = np.full((2, 1, 8), 0.1) + 0.01 * np.arange(8)
    whole = planted(pairs, [LINE], grid={"k": [1, 2]})
    assert answer(whole).outcome == "PASS"
    half = replace(whole, rounds=whole.rounds[whole.rounds["k"] == 1], runs=whole.runs[whole.runs["k"] == 1])
    found = answer(half)
    assert (found.outcome, found.exit_code, found.missing_points) == ("UNDECIDED", ExitCode.GATE_UNDECIDED, 1)
    for text in (str(found), found.markdown()):
        assert "1 more grid point has no run; without it there is no PASS" in text
    assert json.loads(found.json())["grid_points_without_runs"] == 1
    none = answer(replace(whole, rounds=whole.rounds.iloc[:0], runs=whole.runs.iloc[:0]))
    assert none.outcome == "UNDECIDED" and none.missing_points == 2 and "2 more grid points have" in str(none)
    assert overall_outcome([]) == "UNDECIDED" and Answer("s", [], 0).outcome == "UNDECIDED"


def test_seeds_that_are_still_to_run_are_told(planted: Callable[..., Results]) -> None:
    found = planted(np.arange(8) * 0.1, [LINE])
    for seeds, told in ((8, False), (20, True), (list(range(9)), True)):
        found.study["seeds"] = seeds
        notes = " ".join(judge(found)[0].notes)
        assert ("a look at an unfinished study, which its intervals take no account of" in notes) == told


def test_grid_points_with_different_numbers_of_seeds_are_judged_by_their_own(
    planted: Callable[..., Results],
) -> None:
    pairs = np.random.default_rng(1).normal(0.5, 1, (3, 1, 12))
    whole = planted(pairs, [LINE], grid={"k": [1, 2, 3]}, baseline=0.0)
    sizes = {1: 12, 2: 5, 3: 1}
    cut = {
        name: table[table["seed"] < table["k"].map(sizes)]
        for name, table in (("rounds", whole.rounds), ("runs", whole.runs))
    }
    found = judge(replace(whole, **cut))
    for verdict, row in zip(found, pairs, strict=True):
        known, [line] = mean_interval(row[0, : sizes[verdict.point["k"]]]), verdict.judgements
        np.testing.assert_allclose(
            (line.interval.low, line.interval.high), (known.low, known.high), atol=1e-12
        )
    # the spread of a point that has none does not hide that of the others
    first = replace(whole, **{name: table[(table["k"] > 1) | (table["seed"] < 1)] for name, table in (("rounds", whole.rounds), ("runs", whole.runs))})  # fmt: skip
    [(sd, _, n)] = spreads(first, first.study["gate"])
    assert sd == pytest.approx(max(row[0].std(ddof=1) for row in pairs[1:])) and n == 12


# Bootstrap over few seeds


def test_a_bootstrap_interval_needs_as_many_seeds_as_could_show_anything(
    planted: Callable[..., Results],
) -> None:
    """All of n differences lie above the truth with probability 2⁻ⁿ: a PASS on 2 seeds would be a coin thrown twice."""
    assert [fewest_values(level) for level in (0.9, 0.95, 0.99)] == [5, 6, 8]
    for n in (3, 5):
        pairs = 0.01 * (1 + np.arange(n))
        [verdict] = judge(planted(pairs, [LINE], method="bootstrap"))
        [line] = verdict.judgements
        assert line.outcome == "UNDECIDED" and np.isnan(line.interval.low)
        assert line.reason.startswith("too few seeds to say")
        if n == 5:
            assert f"{n} seeds: a bootstrap interval at 95 % takes 6" in line.reason
            assert line.seeds_needed is not None and line.seeds_needed >= 6
            assert "(computed for t intervals)" in line.reason
        [line] = judge(planted(-pairs, [LINE], method="bootstrap"))[0].judgements
        assert line.outcome == "UNDECIDED"
    pairs = 0.01 * (1 + np.arange(6))
    assert judge(planted(pairs, [LINE], method="bootstrap"))[0].outcome == "PASS"
    # a FAIL of one of four lines is at the level 98.75 %, which takes 8
    low = [{"at_least": "baseline"}] * 4
    assert judge(planted(np.tile(-pairs, (4, 1)), low, method="bootstrap"))[0].outcome == "UNDECIDED"


def test_the_verdict_says_that_bca_is_narrow_below_twenty_seeds(planted: Callable[..., Results]) -> None:
    rng = np.random.default_rng(3)
    for n, told in ((8, True), (19, True), (20, False)):
        notes = " ".join(judge(planted(rng.normal(1, 1, n), [LINE], method="bootstrap"))[0].notes)
        assert (f"{n} pairs of runs: BCa intervals are too narrow below about 20" in notes) == told
        assert "BCa" not in " ".join(judge(planted(rng.normal(1, 1, n), [LINE]))[0].notes)
    seen = rng.normal(0.3, 1, 30)
    [line] = judge(planted(seen, [LINE], method="bootstrap", baseline=0.0))[0].judgements
    if line.outcome == "UNDECIDED":
        planned = seeds_needed(float(seen.std(ddof=1)), abs(float(seen.mean())))
        assert line.seeds_needed == max(planned or 0, 31)


# What a PASS rests on


def test_an_interval_without_width_is_told(planted: Callable[..., Results]) -> None:
    [verdict] = judge(planted(np.zeros(6), [{"at_least": "baseline - 0.01"}]))
    assert verdict.outcome == "PASS"
    assert any("candidate − baseline is the same in all 6 pairs of runs" in note for note in verdict.notes)


def test_how_often_a_tail_on_the_bad_side_is_told(planted: Callable[..., Results]) -> None:
    """Of 100 PASSes each: of differences without skew in one of forty, of exponential ones over 20 seeds mostly."""
    rng = np.random.default_rng(5)
    told = {}
    for name, pairs in (
        ("none", rng.normal(9, 1, (100, 1, 20))),
        ("bad", 9 - rng.exponential(1, (100, 1, 20))),
    ):
        verdicts = judge(planted(pairs, [LINE], grid={"k": list(range(100))}, baseline=0.0))
        assert {verdict.outcome for verdict in verdicts} == {"PASS"}
        told[name] = sum("far out on the bad side" in " ".join(verdict.notes) for verdict in verdicts)
    assert told["none"] <= 8 and 55 < told["bad"] < 85


def test_a_pass_over_a_long_tail_on_the_bad_side_is_told(planted: Callable[..., Results]) -> None:
    """A tail on the good side, or none, is not: it makes a PASS surer."""
    rng = np.random.default_rng(4)
    tail = rng.exponential(1, 30)
    notes = {
        name: " ".join(judge(planted(5 + sign * tail, [line], baseline=0.0))[0].notes)
        for name, sign, line in (
            ("bad", -1, {"at_least": "baseline"}),
            ("good", 1, {"at_least": "baseline"}),
            ("bad above", 1, {"at_most": "baseline + 20"}),
        )
    }
    notes["none"] = " ".join(judge(planted(rng.normal(5, 1, 30), [LINE], baseline=0.0))[0].notes)
    told = {name for name, text in notes.items() if "far out on the bad side" in text}
    assert told == {"bad", "bad above"}
