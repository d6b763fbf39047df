"""The gate: bounds as written, verdicts on planted results, error rates, files for machines, exit codes."""

from __future__ import annotations

import inspect
import json
import math
import re
import types
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import echodrift
import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.gate.bounds import parse_bound, parse_horizon
from echodrift.analysis.gate.judge import Answer, answer, judge
from echodrift.analysis.gate.remarks import decidable_margin
from echodrift.analysis.results import Results
from echodrift.cli import app
from echodrift.errors import BadInput, EchodriftError, ExitCode
from echodrift.scenarios.design.check_gate import check_decidable, check_gate
from echodrift.scenarios.design.load import dump, load_study
from echodrift.scenarios.gate import foresee
from echodrift.wording import dotted
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

GATE = """
[gate]
baseline = "production"
candidate = "production + calibrated"
horizon = "last 20 rounds"
[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
[[gate.guardrail]]
measure = "minority_hit_rate"
at_least = "baseline - 0.01"
[[gate.guardrail]]
measure = "community_gap"
at_most  = "baseline + 0.01"
[[gate.goal]]
measure = "welfare"
at_least = "baseline - 0.05"
"""
STUDY = """
name = "may it go live?"
rounds = 30
[[arms]]
name = "production"
policy = { kind = "popularity" }
[[arms]]
name = "production + calibrated"
policy = { kind = "popularity" }
rerank = [{ kind = "calibrated" }]
"""
LINE = {"measure": "welfare", "at_least": "baseline"}


def a_study(**gate: Any) -> dict[str, Any]:
    arms = [{"name": "old", "policy": {"kind": "popularity"}}, {"name": "new", "policy": {"kind": "random"}}]
    whole = {"baseline": "old", "candidate": "new", "guardrail": [LINE], **gate}
    return {"name": "n", "rounds": 30, "seeds": 8, "arms": arms, "gate": whole}


def planted(
    pairs: Any,
    lines: list[dict[str, Any]],
    *,
    rounds: int = 1,
    baseline: float | Any = 0.5,
    failed: tuple[tuple[str, int], ...] = (),
    grid: dict[str, list[Any]] | None = None,
    stopping: Any = None,
    **gate: Any,
) -> Results:
    """Results in which measure m0, m1, … has baseline + pairs[point, line, seed] in the candidate's every round."""
    pairs = np.asarray(pairs, float)
    while pairs.ndim < 3:
        pairs = pairs[None]
    key = next(iter(grid)) if grid else None
    tables, runs = [], []
    for arm in ("old", "new"):
        for place, at_point in enumerate(pairs):
            for seed in range(pairs.shape[2]):
                label = {"arm": arm, **({key: grid[key][place]} if grid else {}), "seed": seed}
                broken = (arm, seed) in failed
                runs.append(
                    {**label, "status": "failed" if broken else "ok", "error": "it broke" if broken else ""}
                )
                if broken:
                    continue
                start = np.broadcast_to(baseline, pairs.shape[2])[seed]
                values = {f"m{i}": start + (arm == "new") * row[seed] for i, row in enumerate(at_point)}
                tables += [{**label, "round": at, **values} for at in range(rounds)]
    whole = {"baseline": "old", "candidate": "new", "horizon": "all rounds", **gate}
    whole["guardrail"] = [{"measure": f"m{i}", **line} for i, line in enumerate(lines)]
    study = {"name": "planted", "arms": [{"name": "old"}, {"name": "new"}], "grid": grid or {}, "gate": whole}
    manifest = {"stopping": stopping} if stopping else {}
    columns = ["arm", *([key] if key else []), "seed", "round", *(f"m{i}" for i in range(len(lines)))]
    frame = pd.DataFrame(tables, columns=columns)
    lorenz = pd.DataFrame(columns=["arm", *([key] if key else []), "seed"])
    return Results(Path("nowhere"), study, manifest, frame, pd.DataFrame(runs), lorenz)


def outcomes(results: Results) -> list[str]:
    [verdict] = judge(results)
    return [line.outcome for line in verdict.judgements]


# What people write


@pytest.mark.parametrize(
    ("written", "factor", "offset"),
    [
        (0.2, 0, 0.2), ("0.2", 0, 0.2), ("-1e-3", 0, -0.001), ("baseline", 1, 0), ("Baseline", 1, 0),
        ("baseline - 0.01", 1, -0.01), ("baseline-.01", 1, -0.01), ("baseline − 0.01", 1, -0.01),
        ("baseline + 0.05", 1, 0.05), ("baseline * 0.95", 0.95, 0), ("0.95 * baseline", 0.95, 0),
        ("baseline × 0.9 - 0.01", 0.9, -0.01), (" baseline  +  1e-2 ", 1, 0.01),
    ],
)  # fmt: skip
def test_bounds(written: float | str, factor: float, offset: float) -> None:
    bound = parse_bound(written)
    assert (bound.factor, bound.offset) == (factor, offset)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("basline - 0.01", 'write 0.2, "baseline", "baseline - 0.01"'),
        ("production - 0.01", "is not a bound"),
        ("baseline - 5%", '"baseline * 0.95" is 5 % less'),
        ("baseline * -1", "is not a bound"),
        ("baseline * 0", "write the number alone: 0"),
        ("baseline - 1e999", "too large"),
        ("baseline - 0.01 - 0.02", "is not a bound"),
        ("", "is not a bound"),
    ],
)  # fmt: skip
def test_bounds_that_cannot_be_read(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_bound(written)


@given(
    st.floats(0.001, 1e6), st.floats(0, 1e6), st.sampled_from("+-"), st.text(" \t", max_size=2), st.booleans()
)
def test_any_spelling_of_a_bound_is_read_as_meant(
    factor: float, offset: float, sign: str, space: str, first: bool
) -> None:
    times = f"{factor!r}{space}*{space}baseline" if first else f"baseline{space}*{space}{factor!r}"
    bound = parse_bound(f"{space}{times}{space}{sign}{space}{offset!r}{space}")
    assert bound.factor == factor and bound.offset == (offset if sign == "+" else -offset)


@given(st.text() | st.from_regex(r"baseline *[*+-]? *[0-9.e+-]*", fullmatch=True))
def test_any_text_is_a_bound_or_is_told_why_not(text: str) -> None:
    try:
        bound = parse_bound(text)
    except ValueError as error:
        assert text in str(error)
    else:
        assert math.isfinite(bound.factor) and math.isfinite(bound.offset) and bound.factor >= 0
    try:
        parse_horizon(text)
    except ValueError as error:
        assert text in str(error)


@pytest.mark.parametrize(
    ("written", "window"),
    [
        ("last 20 rounds", (80, 99)), ("last round", (99, 99)), ("Last 1 rounds", (99, 99)),
        ("rounds 50 to 99", (50, 99)), ("rounds 0-9", (0, 9)), ("rounds 0–9", (0, 9)), ("round 7", (7, 7)),
        ("all rounds", (0, 99)), ("last 100 rounds", (0, 99)),
    ],
)  # fmt: skip
def test_horizons(written: str, window: tuple[int, int]) -> None:
    horizon = parse_horizon(written)
    assert horizon.window(100) == window
    assert parse_horizon(str(horizon)) == horizon


@pytest.mark.parametrize(
    "written", ["last 0 rounds", "rounds 9 to 5", "first 20 rounds", "20", "last 9999999999 rounds"]
)
def test_horizons_that_cannot_be_read(written: str) -> None:
    with pytest.raises(ValueError, match=re.escape(written)):
        parse_horizon(written)


@pytest.mark.parametrize("written", ["last 101 rounds", "rounds 50 to 100", "round 100"])
def test_horizons_outside_of_the_rounds(written: str) -> None:
    with pytest.raises(ValueError, match="100"):
        parse_horizon(written).window(100)


def test_the_gate_as_documented(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(STUDY + GATE)
    study = load_study(tmp_path / "s.toml")
    gate = study.gate
    assert gate is not None and [dotted(way) for way, _ in gate.lines] == [
        "gate.guardrail[0]",
        "gate.guardrail[1]",
        "gate.guardrail[2]",
        "gate.goal[0]",
    ]
    assert [str(line.bound) for _, line in gate.lines] == ["baseline − 0.01"] * 2 + [
        "baseline + 0.01",
        "baseline − 0.05",
    ]
    (tmp_path / "again.toml").write_text(dump(study))
    assert load_study(tmp_path / "again.toml") == study
    check_decidable(study)
    (tmp_path / "issue.toml").write_text(STUDY + '[gate]\nbaseline = "production"; candidate = "x"')
    with pytest.raises(BadInput, match="put each on a line of its own"):
        load_study(tmp_path / "issue.toml")


SCALARS = st.none() | st.booleans() | st.integers(-10, 10) | st.floats(allow_nan=True) | st.text(max_size=12)
BOUNDS = st.sampled_from(["baseline", "baseline - 0.01", "baseline * 0.9", "0.3", "basline"]) | SCALARS
LINES = st.fixed_dictionaries(
    {"measure": st.sampled_from(["welfare", "welfar", "niche_exposure:group=x", ""]) | SCALARS},
    optional={
        "at_least": BOUNDS,
        "at_most": BOUNDS,
        "horizon": st.sampled_from(["last 5 rounds", "x"]) | SCALARS,
        "extra": SCALARS,
    },
)
GATES = st.fixed_dictionaries(
    {},
    optional={
        "baseline": st.sampled_from(["old", "new", "odl"]) | SCALARS,
        "candidate": st.sampled_from(["old", "new"]) | SCALARS,
        "horizon": st.sampled_from(["last 20 rounds", "rounds 3 to 9", "last 40 rounds", "ever"]) | SCALARS,
        "level": SCALARS,
        "method": st.sampled_from(["t", "bootstrap", "bca"]) | SCALARS,
        "guardrail": st.lists(LINES | SCALARS, max_size=3) | SCALARS,
        "goal": st.lists(LINES, max_size=2),
        "guardrails": SCALARS,
    },
)


@settings(max_examples=150, deadline=None)
@given(GATES)
def test_a_gate_as_people_write_it_is_read_or_refused_in_a_sentence(gate: dict[str, Any]) -> None:
    plain = {key: value for key, value in gate.items() if value is not None}
    try:
        study = load_study({**a_study(), "gate": plain})
        check_gate(study)
        check_decidable(study)
    except BadInput as error:
        assert "gate" in str(error) and "Traceback" not in str(error) and "pydantic" not in str(error)
    else:
        assert study.gate is not None and study.gate.lines


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ({"baseline": "odl"}, 'gate.baseline: no arm is named "odl". Did you mean "old"? Arms: old, new'),
        ({"candidate": "old"}, 'baseline and candidate are the same arm, "old"'),
        ({"guardrail": []}, "names nothing that must hold; add [[gate.guardrail]]"),
        ({"guardrail": [{**LINE, "measure": "welfar"}]}, 'gate.guardrail[0].measure: there is no measure "welfar". Did you mean "welfare"?'),
        ({"goal": [{**LINE, "measure": "welfare:group=x"}]}, 'gate.goal[0].measure: "welfare:group=x" is not taken: add split_by = ["group"]'),
        ({"goal": [{**LINE, "measure": "exposure_gini:group=x"}]}, '"exposure_gini" is not a mean over users'),
        ({"guardrail": [{"measure": "welfare"}]}, "gate.guardrail[0]: needs at_least or at_most and has neither"),
        ({"guardrail": [{**LINE, "at_most": 3}]}, "has both; write two lines for two sides"),
        ({"guardrail": [{**LINE, "at_least": "baseline - 5 %"}]}, '"baseline * 0.95" is 5 % less'),
        ({"guardrail": [{**LINE, "at_leats": 1}]}, 'unknown key. Did you mean "at_least"?'),
        ({"horizon": "last 31 rounds"}, 'gate.horizon: "last 31 rounds" is more than the 30 of the study'),
        ({"goal": [{**LINE, "horizon": "rounds 20 to 30"}]}, "gate.goal[0].horizon: \"rounds 20 to 30\" lies outside of the study, which has rounds 0 to 29"),
        ({"horizon": "rounds 11 to 14", "guardrail": [{"measure": "regret", "at_most": 1}]}, '"rounds 11 to 14" holds no round in which regret is measured (every 5 rounds)'),
        ({"method": "bca"}, "gate.method"),
        ({"level": 95}, "gate.level: must be at least 0.5 and at most 0.9999"),
    ],
)  # fmt: skip
def test_gates_that_cannot_be_judged(gate: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as error:
        check_decidable(load_study(a_study(**gate)))
    assert told in str(error.value)


def test_what_is_said_beforehand() -> None:
    [margin] = check_gate(load_study(a_study()))
    assert margin.startswith('warning: gate.guardrail[0]: at_least = "baseline" leaves no margin')
    assert 'for example "baseline - 0.01"' in margin
    lines = [{**LINE, "at_least": "baseline - 0.1"}]
    assert check_gate(load_study(a_study(guardrail=lines))) == []
    [few] = check_gate(load_study({**a_study(guardrail=lines), "seeds": 1}))
    assert "1 seed can never decide it" in few and "--seeds 20" in few
    with pytest.raises(BadInput, match="1 seed can never decide it"):
        check_decidable(load_study({**a_study(), "seeds": 1}))
    with pytest.raises(BadInput, match="a confidence sequence takes at least 6"):
        check_decidable(load_study(a_study()), most=5)
    study = a_study()
    study["arms"][1]["policy"] = {"kind": "popularity"}
    with pytest.raises(BadInput, match='"old" and "new" are the same but for their names'):
        check_decidable(load_study(study))
    del study["gate"]
    with pytest.raises(BadInput, match="has no gate. Add one"):
        check_decidable(load_study(study))
    with pytest.raises(BadInput, match='this study does not take "welfare": add it to measures'):
        check_gate(load_study({**a_study(), "measures": ["niche_exposure"]}))


# Verdicts on planted results, by hand

FOUR = [0.01, 0.02, 0.03, 0.04]
"""Mean 0.025, sd 0.0129099, t(0.975, 3) = 3.182446: half width 0.0205426, so the interval is 0.0044574 to 0.0455426."""


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ({"at_least": "baseline + 0.004"}, "PASS"), ({"at_least": "baseline + 0.005"}, "UNDECIDED"),
        ({"at_least": "baseline + 0.045"}, "UNDECIDED"), ({"at_least": "baseline + 0.046"}, "FAIL"),
        ({"at_most": "baseline + 0.046"}, "PASS"), ({"at_most": "baseline + 0.045"}, "UNDECIDED"),
        ({"at_most": "baseline + 0.005"}, "UNDECIDED"), ({"at_most": "baseline + 0.004"}, "FAIL"),
        ({"at_least": "baseline"}, "PASS"), ({"at_most": "baseline"}, "FAIL"),
    ],
)  # fmt: skip
def test_interval_and_limit(line: dict[str, Any], outcome: str) -> None:
    [verdict] = judge(planted(FOUR, [line]))
    [judged] = verdict.judgements
    assert (judged.outcome, verdict.outcome) == (outcome, outcome)
    assert judged.interval.mean == pytest.approx(0.025, rel=1e-12)
    assert (judged.interval.low, judged.interval.high) == pytest.approx((0.0044574, 0.0455426), abs=1e-7)
    assert (judged.candidate, judged.baseline) == pytest.approx((0.525, 0.5))
    assert (judged.reason == "") == (outcome != "UNDECIDED") == (judged.seeds_needed is None)


def test_a_ratio_is_judged_on_the_paired_linear_contrast() -> None:
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


def test_equal_in_every_seed_is_at_least_as_good() -> None:
    assert outcomes(planted([0.0] * 3, [{"at_least": "baseline"}])) == ["PASS"]
    # 0.5 − 0.01 and 0.49 differ in floating point only
    assert outcomes(planted([-0.01] * 3, [{"at_least": "baseline - 0.01"}])) == ["PASS"]
    assert outcomes(planted([-0.011] * 3, [{"at_least": "baseline - 0.01"}])) == ["FAIL"]


def test_the_whole_is_the_worst_line() -> None:
    rows = [FOUR, FOUR, FOUR]
    limits = {"PASS": "baseline", "UNDECIDED": "baseline + 0.02", "FAIL": "baseline + 0.2"}

    def whole(*names: str) -> str:
        return judge(planted([rows[: len(names)]], [{"at_least": limits[name]} for name in names]))[0].outcome

    assert whole("PASS", "PASS") == "PASS"
    assert whole("PASS", "UNDECIDED", "PASS") == "UNDECIDED"
    assert whole("UNDECIDED", "FAIL", "PASS") == "FAIL"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_fail_is_adjusted_as_holm_does(seed: int, lines: int) -> None:
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


def test_a_line_that_holm_keeps_from_failing_says_so() -> None:
    pairs = np.array([[-1.0, -0.2, -0.6, -0.5], [9, 0, -9, 1]])
    assert 0.0125 < stats.ttest_1samp(pairs[0], 0, alternative="less").pvalue < 0.025
    [verdict] = judge(planted(pairs, [{"at_least": "baseline"}] * 2, baseline=0.0))
    assert verdict.judgements[0].outcome == "UNDECIDED"
    assert (
        "on the bad side at 95 %, but not after Holm's adjustment for 2 lines" in verdict.judgements[0].reason
    )
    assert outcomes(planted(pairs[:1], [{"at_least": "baseline"}], baseline=0.0)) == ["FAIL"]


def test_a_grid_has_a_verdict_per_point_and_the_worst_counts() -> None:
    grid = {"behavior.reinforcement": [0.0, 0.1, 0.2]}
    pairs = [[FOUR], [[-value for value in FOUR]], [[0.1, -0.1, 0.1, -0.1]]]
    found = answer(planted(pairs, [{"at_least": "baseline"}], grid=grid))
    assert [verdict.outcome for verdict in found.verdicts] == ["PASS", "UNDECIDED", "UNDECIDED"]
    pairs[1] = [[-1.01, -1.02, -1.03, -1.04]]
    found = answer(planted(pairs, [{"at_least": "baseline"}], grid=grid))
    assert [verdict.outcome for verdict in found.verdicts] == ["PASS", "FAIL", "UNDECIDED"]
    assert found.outcome == "FAIL" and found.exit_code == ExitCode.GATE_FAILED
    assert found.verdicts[1].point == {"behavior.reinforcement": 0.1}
    assert "FAIL at behavior.reinforcement = 0.1" in str(
        found
    ) and "of 3 grid points 1 pass and 1 fail" in str(found)


def test_the_horizon_of_a_line_counts() -> None:
    results = planted([0.1] * 4, [{"at_least": "baseline"}, {"at_least": "baseline", "horizon": "rounds 0 to 4"}], rounds=10, horizon="last 5 rounds")  # fmt: skip
    results.rounds["m1"] = results.rounds["m0"]
    early = (results.rounds["arm"] == "new") & (results.rounds["round"] < 5)
    results.rounds.loc[early, ["m0", "m1"]] -= 1.0
    assert outcomes(results) == ["PASS", "FAIL"]
    results.rounds.loc[results.rounds["round"] == 7, "m0"] = np.nan  # not evaluated: left out
    assert outcomes(results) == ["PASS", "FAIL"]


# What is missing


def test_failed_runs_are_named_and_there_is_no_pass() -> None:
    found = answer(
        planted(np.full(6, 0.1) + 0.01 * np.arange(6), [{"at_least": "baseline"}], failed=(("new", 2),))
    )
    [verdict] = found.verdicts
    [line] = verdict.judgements
    assert (line.outcome, line.interval.n, line.missing) == ("PASS", 5, (2,))
    assert (verdict.outcome, verdict.failed, found.exit_code) == ("UNDECIDED", 1, ExitCode.RUN_FAILED)
    assert 'The run of arm "new" with seed 2 failed: it broke' in verdict.notes
    bad = answer(
        planted(np.full(6, -0.1) + 0.01 * np.arange(6), [{"at_least": "baseline"}], failed=(("old", 0),))
    )
    assert (bad.outcome, bad.exit_code) == ("FAIL", ExitCode.GATE_FAILED)


def test_values_that_are_missing_are_named() -> None:
    pairs = np.full(6, 0.1) + 0.01 * np.arange(6)
    pairs[[1, 4]] = np.nan
    [verdict] = judge(planted(pairs, [{"at_least": "baseline"}]))
    assert verdict.outcome == "PASS" and verdict.judgements[0].missing == (1, 4)
    assert any("for seed 1, 4; left out" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("seeds", "told"), [(1, "one pair of runs gives no interval"), (0, "no seed has a value in both arms")]
)
def test_too_few_pairs(seeds: int, told: str) -> None:
    pairs = np.full(3, np.nan)
    pairs[:seeds] = 0.1
    [verdict] = judge(planted(pairs, [{"at_least": "baseline"}]))
    assert verdict.outcome == "UNDECIDED" and verdict.judgements[0].reason.startswith(told)


def test_results_without_a_run() -> None:
    failed = tuple((arm, seed) for arm in ("old", "new") for seed in range(3))
    found = answer(planted([0.1] * 3, [{"at_least": "baseline"}], failed=failed))
    assert found.exit_code == ExitCode.RUN_FAILED and found.failed == 6
    for text in (str(found), found.json(), found.junit(), found.markdown()):
        assert "it broke" in text


def test_gates_that_do_not_fit_the_tables() -> None:
    with pytest.raises(BadInput, match='the tables have no measure "m9"'):
        judge(planted(FOUR, [{"measure": "m9", "at_least": 0}]))
    with pytest.raises(BadInput, match='no arm is named "now". Did you mean "new"'):
        judge(planted(FOUR, [{"at_least": 0}], candidate="now"))
    with pytest.raises(BadInput, match="is more than the 1 of the study"):
        judge(planted(FOUR, [{"at_least": 0}], horizon="last 2 rounds"))
    results = planted(FOUR, [{"at_least": 0}])
    del results.study["gate"]
    with pytest.raises(BadInput, match="has no \\[gate\\]"):
        judge(results)


# How many seeds


def test_seeds_that_would_decide_do_so_about_four_times_in_five() -> None:
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


def test_a_margin_of_zero_is_told_what_it_could_decide() -> None:
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
def test_at_the_limit_the_gate_passes_by_mistake_one_time_in_forty(seeds: int) -> None:
    points = 600
    pairs = np.random.default_rng(6).normal(-0.1, 0.3, (points, 1, seeds))
    found = judge(
        planted(pairs, [{"at_least": "baseline - 0.1"}], grid={"x": list(range(points))}, baseline=0.0)
    )
    passed = sum(verdict.outcome == "PASS" for verdict in found)
    assert stats.binomtest(passed, points, 0.025).pvalue > 0.01


@pytest.mark.slow
def test_a_gate_of_four_lines_fails_by_mistake_at_most_one_time_in_forty() -> None:
    rng, wrong, studies = np.random.default_rng(7), 0, 200
    lines = [{"at_least": "baseline"}, {"at_most": "baseline"}] * 2
    for _ in range(studies):
        wrong += judge(planted(rng.normal(0, 1, (4, 10)), lines, baseline=0.0))[0].outcome == "FAIL"
    # each of the four is at its limit; unadjusted it would be 1 − 0.975⁴ = 9.6 %
    assert stats.binomtest(wrong, studies, 0.025, alternative="greater").pvalue > 0.01


# Files for machines


def hostile() -> Answer:
    results = planted(
        np.array([FOUR, [0.1, -0.1, 0.1, -0.1], [-1.1, -1.2, -1.3, -1.2]]), [{"at_least": "baseline"}] * 3
    )
    for one, name in (("old", "<a & b | `c`>\x01\n*"), ("new", '"d" ]]>\ufffe 🙂')):
        results.runs["arm"] = results.runs["arm"].replace(one, name)
        results.rounds["arm"] = results.rounds["arm"].replace(one, name)
        results.study["gate"]["baseline" if one == "old" else "candidate"] = name
    results.study["arms"] = [{"name": name} for name in results.runs["arm"].unique()]
    results.study["name"] = "a | b <script>\x00"
    results.manifest["finished"] = "2026-01-02T03:04:05+00:00"
    return answer(results)


def test_junit_keeps_the_rules_of_the_common_schemas() -> None:
    found = hostile()
    suites = ElementTree.fromstring(found.junit())
    assert suites.tag == "testsuites" and [suite.tag for suite in suites] == ["testsuite"]
    [suite] = suites
    # Ant's schema: all of these, in this order of elements; Jenkins' schema: no others
    assert set(suite.attrib) == {"name", "package", "id", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}  # fmt: skip
    tags = [element.tag for element in suite]
    assert tags == ["properties", "testcase", "testcase", "testcase", "system-out", "system-err"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    cases = suite.findall("testcase")
    assert all(set(case.attrib) == {"classname", "name", "time"} for case in cases)
    assert [[child.tag for child in case] for case in cases] == [[], ["skipped"], ["failure"]]
    counted = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")}
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == (
        str(len(cases)), str(counted["failure"]), str(counted["error"]), str(counted["skipped"]))  # fmt: skip
    assert all({"message", "type"} == set(failure.attrib) for failure in suite.findall("testcase/failure"))
    assert found.junit() == hostile().junit()


def test_json_has_every_number_or_null() -> None:
    found = json.loads(hostile().json(), parse_constant=lambda name: pytest.fail(name))
    assert (found["outcome"], found["exit_code"], found["format"]) == ("FAIL", 3, 1)
    [verdict] = found["verdicts"]
    first = verdict["lines"][0]
    assert first["at_least"] == "baseline" and first["outcome"] == "PASS" and first["pairs"] == 4
    assert (first["mean"], first["low"], first["high"]) == pytest.approx(
        (0.025, 0.0044574, 0.0455426), abs=1e-7
    )
    assert first["share_of_behaviors"] is None and first["share_of_seeds"] == 1
    one = json.loads(answer(planted([[[0.1, np.nan]]], [{"at_least": "baseline"}])).json())
    assert one["verdicts"][0]["lines"][0]["low"] is None


def test_markdown_is_a_table_with_a_row_per_line() -> None:
    text = hostile().markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert len(rows) == 2 + 3 and len(bars) == 1
    assert "<script>" not in text and "FAIL" in text.splitlines()[0]


# The command


def call(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


REAL = """
name = "a small gate"
rounds = 8
seeds = 4
[world]
users = 40
items = 60
[platform]
warmup = 60
[[arms]]
name = "old"
policy = { kind = "popularity" }
[[arms]]
name = "new"
policy = { kind = "random" }
[gate]
baseline = "old"
candidate = "new"
horizon = "last 4 rounds"
[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
"""


def test_exit_codes_of_a_real_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("real.toml").write_text(REAL)
    how = ("--jobs", "1", "--no-report", "--out", "r")
    code, out, err = call(
        "gate", "real.toml", *how, "--junit", "j.xml", "--json", "j.json", "--markdown", "m.md"
    )
    # random slates show everything; popular ones show what is popular
    assert code == 0, err
    assert out.splitlines()[1].startswith(
        'PASS: "new" in place of "old" (last 4 rounds; t intervals at 95 %)'
    )
    assert ElementTree.parse("j.xml").getroot().find("testsuite") is not None
    assert json.loads(Path("j.json").read_text())["outcome"] == "PASS" and "PASS" in Path("m.md").read_text()
    before = {path.name: path.stat().st_mtime_ns for path in Path("r/runs").iterdir() if path.is_dir()}

    line = "gate.guardrail=[{measure='niche_exposure', %s}]"
    code, out, _ = call("gate", "real.toml", *how, "--set", line % "at_most='baseline'")
    assert code == 3 and "FAIL  guardrail niche_exposure ≤ baseline" in out
    share = echodrift.Result("r").runs.query("arm == 'new'")["niche_exposure"].mean()
    code, out, _ = call("gate", "real.toml", *how, "--set", line % f"at_least={share}")
    assert code == 4 and "the interval holds the limit" in out and "seeds decide it" in out
    assert before == {
        path.name: path.stat().st_mtime_ns for path in Path("r/runs").iterdir() if path.is_dir()
    }

    assert call("gate", "r")[0] == 4
    code, out, _ = call("gate", "r", "--json", "-")
    assert json.loads(out)["outcome"] == "UNDECIDED"
    assert echodrift.Result("r").gate().outcome == "UNDECIDED"
    answer = echodrift.gate("real.toml", out="r")
    assert answer.outcome == "PASS" and answer.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["gate", "nothing.toml"], 2, "there is no such file"),
        (["gate", "real.toml", "--seeds", "1"], 2, "1 seed can never decide it"),
        (["gate", "real.toml", "--rounds", "3"], 2, '"last 4 rounds" is more than the 3 of the study'),
        (["gate", "real.toml", "--set", "gate.baseline=odl"], 2, 'no arm is named "odl". Did you mean "old"?'),
        (["gate", "real.toml", "--junit", "nowhere/j.xml"], 2, "there is no folder nowhere"),
        (["gate", "real.toml", "--json", "-", "--junit", "-"], 2, "only one of them can be printed"),
        (["gate", "real.toml", "--max-seeds", "9"], 2, "--max-seeds 9: goes with --until decided"),
        (["gate", "real.toml", "--until", "decided", "--max-seeds", "5"], 2, "must be 6 to 100000"),
        (["gate", "real.toml", "--until", "decided", "--max-seeds", "9", "--seeds", "9"], 2, "name the most seeds once"),
        (["gate", "."], 6, "holds no results of echodrift"),
        (["gate", ".", "--seeds", "3"], 2, ". is a folder of results, judged as it is; --seeds would change"),
        (["check", "real.toml", "--set", "gate.horizon='last 9 rounds'"], 2, "gate.horizon: \"last 9 rounds\" is more than"),
        (["check", "real.toml", "--set", "seeds=1"], 2, "can never decide it"),
    ],
)  # fmt: skip
def test_mistakes_get_one_message_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("real.toml").write_text(REAL)
    found, out, err = call(*arguments)
    assert (found, out) == (code, "") and told in err and "Traceback" not in err
    assert [path.name for path in Path().iterdir()] == ["real.toml"]


def test_what_earlier_results_foretell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_study(a_study(guardrail=[{**LINE, "at_least": "baseline - 0.1"}, LINE]))
    rng = np.random.default_rng(8)
    seen = rng.normal(0, 1, 10)
    results = planted(np.stack([(seen - seen.mean()) / seen.std(ddof=1)] * 2), [{}, {}], rounds=30)
    results = Results(tmp_path, results.study, {}, results.rounds.rename(columns={"m0": "welfare"}), results.runs, results.lorenz)  # fmt: skip
    monkeypatch.setattr("echodrift.analysis.results.read_results", lambda folder: results)
    (tmp_path / "manifest.json").write_text("{}")
    small, zero = foresee(study, tmp_path, 8)
    needed = int(re.search(r"takes about ([\d,]+) seeds", small)[1].replace(",", ""))  # type: ignore[index]
    assert needed == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 / 0.1**2, rel=0.02)
    assert "guardrail[1]" in zero and "is decided by no number of seeds; 8 seeds decide a margin of" in zero
    assert foresee(load_study(a_study(guardrail=[{**LINE, "at_least": "baseline - 3"}])), tmp_path, 8) == []
    monkeypatch.setattr("echodrift.analysis.results.read_results", _unreadable)
    assert foresee(study, tmp_path, 8) == []


def _unreadable(folder: Path) -> Any:
    raise EchodriftError("it cannot be read")


# Over plausible behaviors


def test_the_share_of_behaviors_and_what_turns_it() -> None:
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
    [turn] = line.flips
    assert (turn.key, turn.holds) == ("behavior.attention", "above") and turn.value == pytest.approx(
        0.6, abs=0.04
    )
    assert any("average over the plausible behaviors" in note for note in verdict.notes)
    text = str(answer(results))
    assert "of plausible behaviors" in text and "turns on behavior.attention (holds above 0." in text
    results.study["gate"]["guardrail"] = [{"measure": "m0", "at_most": "baseline"}]
    [below] = judge(results)[0].judgements
    assert below.flips[0].holds == "below" and below.share is not None
    assert below.share.mean == pytest.approx(1 - line.share.mean, abs=1e-9)
    results.study["uncertainty"]["design"] = "saltelli"
    with pytest.raises(BadInput, match="Saltelli"):
        judge(results)


def test_one_guess_is_called_one_guess() -> None:
    [verdict] = judge(planted(FOUR, [{"at_least": "baseline"}]))
    assert any("one guess of how people behave" in note for note in verdict.notes)
    assert verdict.judgements[0].share is None


def test_the_command_takes_every_option_of_run() -> None:

    from echodrift.cli.commands.gate import gate
    from echodrift.cli.commands.run import run

    assert isinstance(gate, types.FunctionType)
    assert set(inspect.signature(run).parameters) < set(inspect.signature(gate).parameters)
