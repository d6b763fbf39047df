"""What is decided stays decided, however one looks, and every page and figure of a stopped study tells the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.gate.judge import judge
from echodrift.analysis.gate.lines import lines_at
from echodrift.analysis.gate.looks import Looks
from echodrift.analysis.gate.questions import questions
from echodrift.analysis.gate.sequential import compare_of, sequential_compare
from echodrift.analysis.report import gate as report_verdict
from echodrift.analysis.results import Results
from echodrift.analysis.statistics import confidence_sequence, sequence_at_looks
from echodrift.scenarios.until import look_schedule
from hypothesis import given, settings
from hypothesis import strategies as st

LINE = {"at_least": "baseline"}


# The intersection over the looks


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sets(st.integers(1, 70), max_size=6))
def test_it_is_the_intersection_of_what_each_look_saw(seed: int, n: int, counts: set[int]) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, n)
    values[rng.random(n) < 0.1] = np.nan
    found = sequence_at_looks(values, counts)
    each = [confidence_sequence(values[:count]) for count in {*counts, n} if count <= n]
    low = max((one.low for one in each if np.isfinite(one.low)), default=np.nan)
    high = min((one.high for one in each if np.isfinite(one.high)), default=np.nan)
    if not low > high:  # one in twenty at most: then the earlier looks stand
        np.testing.assert_equal((found.low, found.high), (low, high))
    else:
        assert "contradicts" in found.reason and found.low <= found.high
    last = confidence_sequence(values)
    np.testing.assert_equal((found.mean, found.n), (last.mean, last.n))
    np.testing.assert_equal(astuple(sequence_at_looks(values, [])), astuple(last))


def test_what_contradicts_what_was_seen_does_not_undo_it() -> None:
    values = np.concatenate([np.random.default_rng(1).normal(1, 0.1, 20), np.full(200, -5.0)])
    found = sequence_at_looks(values, [20])
    first = confidence_sequence(values[:20])
    assert (found.low, found.high) == (first.low, first.high) and first.low > 0
    assert "at 220 seeds contradicts" in found.reason
    # the same value in every seed of an earlier look is no such evidence
    steps = np.r_[np.zeros(8), np.ones(8)]
    assert sequence_at_looks(steps, [8]) == confidence_sequence(steps)


def test_what_a_look_decides_stays_decided() -> None:
    """300 lines near their limit, judged at every look: by the interval of the last look alone some are undone."""
    pairs = np.random.default_rng(3).normal(0.4, 1, (300, 60))
    undone = alone = 0
    for row in pairs:
        before = before_alone = False
        for count in look_schedule(60):
            seen = [each for each in look_schedule(60) if each <= count]
            interval, last = sequence_at_looks(row[:count], seen), confidence_sequence(row[:count])
            decided, decided_alone = (one.low >= 0 or one.high < 0 for one in (interval, last))
            undone += before and not decided
            alone += before_alone and not decided_alone
            before, before_alone = decided, decided_alone
    assert undone == 0 and alone > 10


def test_the_gate_and_the_questions_use_the_looks(planted: Callable[..., Results]) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(0.4, 1, 12) for _ in range(10_000))
    pairs = next(
        row
        for row in rows
        if confidence_sequence(row[:8]).low > 0.01 and confidence_sequence(row).low < -0.01
    )

    def results(stopping: dict[str, Any]) -> Results:
        found = planted(pairs, [LINE], baseline=0.0, stopping=stopping)
        found.manifest["seeds"] = list(range(12))
        return found

    [verdict] = judge(results({"looks": [8, 12]}))
    known = sequence_at_looks(pairs, [8])
    assert verdict.outcome == "PASS"
    assert (verdict.judgements[0].interval.low, verdict.judgements[0].interval.high) == pytest.approx((known.low, known.high), abs=1e-12)  # fmt: skip
    assert [question.decided for question in questions(results({"looks": [8, 12]}))] == [True]
    assert judge(results({"looks": [12]}))[0].outcome == "UNDECIDED"
    free = results({"looks": [8, 12]})
    del free.study["gate"]
    free.study["primary"] = ["m0"]
    free.__dict__["points"] = [type(free.points[0])(1, {}, free.rounds, free._with_ends(), free.lorenz)]
    assert [question.decided for question in questions(free)] == [True]
    table = compare_of(free.manifest)(free.points[0].runs, "old", ["m0"], primary=["m0"]).iloc[0]
    assert table["verdict"] == "higher" and table["p"] < 0.05 and table["low"] == pytest.approx(known.low)


def test_looks_are_taken_in_the_order_of_the_study_whatever_the_table() -> None:
    pairs = np.random.default_rng(5).normal(0.5, 1, 12)
    seeds = [40, 3, 17, 2, 99, 5, 60, 61, 62, 63, 1, 0]
    runs = pd.DataFrame({"arm": ["a"] * 12 + ["b"] * 12, "seed": seeds * 2, "m": [*np.zeros(12), *pairs]})
    known = sequence_at_looks(pairs, [8])
    for table in (runs, runs.sort_values(["arm", "seed"])):
        row = sequential_compare(table, "a", ["m"], looks=Looks((8, 12), tuple(seeds), "")).iloc[0]
        assert (row["low"], row["high"]) == pytest.approx((known.low, known.high))


def test_rounding_is_no_difference_in_a_stopped_study() -> None:
    here, there = [0.1 + 0.2] * 8, [0.3] * 8
    assert here != there
    runs = pd.DataFrame({"arm": ["a"] * 8 + ["b"] * 8, "seed": [*range(8)] * 2, "m": [*there, *here]})
    row = sequential_compare(runs, "a", ["m"], primary=["m"]).iloc[0]
    assert (row["low"], row["high"], row["verdict"]) == (0, 0, "equal in every seed")


# The gate


@pytest.fixture
def one_sided(planted: Callable[..., Results]) -> Callable[..., Results]:
    """Return a maker of results without a value of m0 in one arm's runs of these seeds."""

    def make(lines: list[dict[str, Any]], seeds: tuple[int, ...], arm: str = "new", **how: Any) -> Results:
        found = planted(np.full((len(lines), 20), 0.1) + 0.001 * (7 * np.arange(20) % 20), lines, **how)
        found.rounds.loc[(found.rounds["arm"] == arm) & found.rounds["seed"].isin(seeds), "m0"] = np.nan
        return found

    return make


@pytest.mark.parametrize("stopping", [None, {"looks": [8, 20]}])
@pytest.mark.parametrize("arm", ["old", "new"])
def test_a_value_on_one_side_alone_is_no_pass(
    one_sided: Callable[..., Results], arm: str, stopping: Any
) -> None:
    for seeds in (tuple(range(3, 20)), (7,)):
        [line] = judge(one_sided([LINE], seeds, arm, stopping=stopping))[0].judgements
        assert line.outcome == "UNDECIDED" and line.missing == seeds and line.seeds_needed is None
        assert f"only one of the two arms has a value for seed {seeds[0]}" in line.reason
    # it can still fail
    [line] = judge(one_sided([{"at_most": "baseline"}], (7,), arm, stopping=stopping))[0].judgements
    assert line.outcome == "FAIL" and line.reason == ""
    # without an interval or on both sides of the limit it says both
    [line] = judge(one_sided([{"at_least": "baseline + 0.11"}], (7,), arm, stopping=stopping))[0].judgements
    assert "contains the limit; only one of" in line.reason and line.seeds_needed is None


def test_values_that_neither_arm_has_are_left_out(
    one_sided: Callable[..., Results], planted: Callable[..., Results]
) -> None:
    found = one_sided([LINE], (2, 7))
    found.rounds.loc[found.rounds["seed"].isin((2, 7)), "m0"] = np.nan
    [line] = judge(found)[0].judgements
    assert line.outcome == "PASS" and line.missing == (2, 7)
    # a bound that is a number needs no baseline, but the candidate's values
    bound = [{"at_least": 0.2}]
    assert judge(one_sided(bound, (7,), "old"))[0].outcome == "PASS"
    assert judge(one_sided(bound, (7,), "new"))[0].outcome == "UNDECIDED"
    # a failed run is answered for by the whole verdict
    [verdict] = judge(planted(np.full(6, 0.1) + 0.01 * np.arange(6), [LINE], failed=(("new", 2),)))
    assert (verdict.judgements[0].outcome, verdict.outcome) == ("PASS", "UNDECIDED")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 3), st.sampled_from(["t", "bootstrap"]))
def test_equivalent_is_said_of_lines_that_pass_alone(
    planted: Callable[..., Results], seed: int, margin: float, method: str
) -> None:
    pairs = np.random.default_rng(seed).normal(0, 1, 8)
    results = planted(pairs, [{"at_least": f"baseline - {margin!r}"}], baseline=0.0, method=method)
    [verdict] = judge(results)
    [line] = verdict.judgements
    [numbers] = lines_at(results, results.study["gate"], results.points[0])
    said = report_verdict._no_harm(verdict, line, numbers)
    assert said == "" if method != "t" else bool(said) == (line.outcome != "FAIL")
    if said.startswith("equivalent"):
        # both ends of the interval that the page shows lie within ± the margin
        assert line.outcome == "PASS" and line.interval.low > -margin and line.interval.high < margin
    elif said:
        assert line.interval.low <= -margin or line.interval.high >= margin


def test_outcomes_need_no_response_surface(
    planted: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = planted(np.random.default_rng(2).normal(1, 1, 40), [LINE], stopping={"looks": [8, 40]})
    results.study["uncertainty"] = {"design": "draws", "priors": {}}
    results.__dict__["draws"] = pd.DataFrame({"seed": range(40), "x": np.linspace(0, 1, 40)})
    [whole] = judge(results)
    assert whole.judgements[0].share is not None

    def never(*of: Any) -> Any:
        raise AssertionError("a look fits no surface")

    monkeypatch.setattr("echodrift.analysis.sensitivity.response", never)
    [question] = questions(results)
    assert question.decided == (whole.judgements[0].outcome != "UNDECIDED")
    with pytest.raises(AssertionError, match="fits no surface"):
        judge(results)
