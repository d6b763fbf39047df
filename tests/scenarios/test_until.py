"""--until decided: the same answer however it is run, at most 5 % wrong however often one looks."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import echodrift
import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.gate.judge import answer
from echodrift.analysis.gate.lines import Line
from echodrift.analysis.gate.sequential import compare_of, sequential_compare
from echodrift.analysis.plots import draw
from echodrift.analysis.report import build as report
from echodrift.analysis.report.tables import describe_stopping
from echodrift.analysis.results import read_results
from echodrift.analysis.statistics import confidence_sequence
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.progress import Progress
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import Interrupted, RunOptions, run_study
from echodrift.scenarios.specs.study import Arm, Study
from echodrift.scenarios.until import Until, look_schedule, parse_until
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

BASE: dict[str, Any] = {
    "name": "stops",
    "rounds": 3,
    "seeds": 20,
    "primary": ["welfare"],
    "arms": [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}],
}
GATE = {
    "baseline": "a",
    "candidate": "b",
    "horizon": "all rounds",
    "guardrail": [{"measure": "welfare", "at_least": "baseline"}, {"measure": "regret", "at_most": 9}],
}


class Fake:
    """Arm b has 0.8 more welfare than arm a, with a spread of 1 over seeds."""

    gain = 0.8

    def __init__(self, study: Study, arm: Arm, seed: int) -> None:
        self.rounds, self.notes = study.rounds, []
        rng = np.random.default_rng([seed, arm.name == "b"])
        self.level = rng.normal((arm.name == "b") * self.gain, 0.5**0.5)

    def step(self) -> dict[str, float]:
        return {"welfare": self.level, "regret": 1.0}

    def tables(self) -> dict[str, dict[str, Any]]:
        return {}


class NoEffect(Fake):
    gain = 0.0


class Loud(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def study(**changes: Any) -> Study:
    return load_study({**BASE, **changes})


def go(out: Path, of: Study, most: int | None = None, builder: Any = Fake, **how: Any) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", builder)
        run_study(of, out, RunOptions(until=Until(of, most), **how))
    return Result(out)


def tables(folder: Path) -> dict[str, bytes | str]:
    """What must not depend on how the study was run."""
    found: dict[str, bytes | str] = {
        name: (folder / name).read_bytes() for name in ("rounds.parquet", "study.toml")
    }
    found["stopping"] = json.dumps(json.loads((folder / "manifest.json").read_text())["stopping"])
    runs = pd.read_parquet(folder / "runs.parquet").drop(columns="seconds")
    return {**found, "runs": runs.to_csv()}


def first_decided(gain: float, most: int) -> tuple[int, bool]:
    """Seeds at which the study must stop: the first look at which the confidence sequence leaves out zero."""
    pairs = []
    for seed in range(most):
        a, b = (np.random.default_rng([seed, arm]).normal(arm * gain, 0.5**0.5) for arm in (0, 1))
        pairs.append(b - a)
    for count in look_schedule(most):
        interval = confidence_sequence(pairs[:count])
        if interval.low > 0 or interval.high < 0:
            return count, True
    return most, False


def test_when_one_looks() -> None:
    assert look_schedule(200) == [8, 12, 16, 20, 25, 31, 38, 47, 58, 72, 90, 112, 140, 175, 200]
    assert look_schedule(6) == [6] and look_schedule(8) == [8] and look_schedule(9) == [8, 9]


@given(st.integers(6, 100_000))
def test_looks_rise_to_the_most(most: int) -> None:
    found = look_schedule(most)
    assert found[-1] == most and all(one < other for one, other in pairwise(found))
    # the schedule of fewer seeds is the beginning of that of more
    assert found[:-1] == look_schedule(100_000)[: len(found) - 1]


@pytest.mark.parametrize("gate", [None, GATE])
def test_it_stops_when_decided(tmp_path: Path, gate: Any) -> None:
    loud = Loud()
    result = go(tmp_path / "out", study(**({"gate": gate} if gate else {})), 100, progress=loud)
    expected, decided = first_decided(0.8, 100)
    assert decided and 8 < expected < 100
    assert result.study.seeds == expected and sorted(result.runs["seed"].unique()) == list(range(expected))
    stopping = result.manifest["stopping"]
    assert stopping["looks"] == [count for count in look_schedule(100) if count <= expected]
    assert (stopping["decided"], stopping["undecided"], stopping["stopped"]) == (True, [], "decided")
    assert result.manifest["reproduce"].endswith("--until decided --max-seeds 100")
    assert len(loud.said) == len(stopping["looks"]) and loud.said[0].startswith("after 8 seeds: ")
    assert "welfare" in loud.said[0] and "open" not in loud.said[-1]
    if gate:
        answer = result.gate()
        assert answer.outcome == "PASS" and answer.verdicts[0].method == "confidence sequence"
        assert "stopped sequentially" in str(answer)


def test_what_cannot_be_decided_runs_to_the_most(tmp_path: Path) -> None:
    expected, decided = first_decided(0.0, 16)
    assert (expected, decided) == (16, False)
    result = go(tmp_path / "out", study(gate=GATE), 16, builder=NoEffect)
    stopping = result.manifest["stopping"]
    assert result.study.seeds == 16 and stopping["looks"] == [8, 12, 16]
    assert (stopping["decided"], stopping["undecided"], stopping["stopped"]) == (
        False, ["guardrail welfare"], "most seeds reached")  # fmt: skip
    answer = result.gate()
    assert (answer.outcome, answer.exit_code) == ("UNDECIDED", 4)
    assert "Without any effect no number of seeds decides a margin of 0" in str(answer)


def test_it_does_not_depend_on_jobs_or_interruptions(tmp_path: Path) -> None:
    go(tmp_path / "whole", study(gate=GATE), 60)
    go(tmp_path / "threads", study(gate=GATE), 60, jobs=3, backend="threading")
    left = {"runs": 0}

    class Stopped(Fake):
        def __init__(self, *of: Any) -> None:
            left["runs"] -= 1
            if left["runs"] == 0:
                raise KeyboardInterrupt
            super().__init__(*of)

    for after in (3, 9, 8, 11):
        left["runs"] = after
        with pytest.raises(Interrupted, match="runs are finished and kept"):
            go(tmp_path / "torn", study(gate=GATE), 60, builder=Stopped)
    go(tmp_path / "torn", study(gate=GATE), 60)
    assert tables(tmp_path / "whole") == tables(tmp_path / "threads") == tables(tmp_path / "torn")
    # what it wrote down reproduces it
    again = load_study(tmp_path / "whole" / "study.toml")
    go(tmp_path / "again", again, 60)
    assert tables(tmp_path / "again") == tables(tmp_path / "whole")


def test_the_study_is_checked_with_all_its_seeds_before_its_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Any] = []

    def refuse(of: Study, stops: bool) -> None:
        checked.append(of.seeds)
        assert stops
        raise BadInput("the log is empty")

    monkeypatch.setattr("echodrift.scenarios.api.check_runnable", refuse)
    with pytest.raises(BadInput, match="the log is empty"):
        echodrift.run(study(gate=GATE, seeds=3), out=tmp_path / "out", until="decided", max_seeds=60)
    assert checked == [60] and not list(tmp_path.iterdir())


def test_between_two_looks_the_folder_says_that_nothing_is_decided(tmp_path: Path) -> None:
    class Stopped(Fake):
        def __init__(self, of: Study, arm: Arm, seed: int) -> None:
            if seed == 9:
                raise KeyboardInterrupt
            super().__init__(of, arm, seed)

    with pytest.raises(Interrupted):
        go(tmp_path / "out", study(gate=GATE), 60, builder=Stopped)
    result = Result(tmp_path / "out")
    assert result.study.seeds == 8 and result.manifest["stopping"]["decided"] is False
    assert result.manifest["stopping"]["looks"] == [8]
    assert result.gate().verdicts[0].method == "confidence sequence"


def test_failed_runs_end_it(tmp_path: Path) -> None:
    class Broken(Fake):
        def __init__(self, of: Study, arm: Arm, seed: int) -> None:
            if seed == 5:
                raise ZeroDivisionError("there is nothing to divide")
            super().__init__(of, arm, seed)

    result = go(tmp_path / "out", study(gate=GATE), 60, builder=Broken)
    assert result.manifest["stopping"]["stopped"] == "runs failed" and result.study.seeds == 8
    assert result.gate().exit_code == 5
    go(tmp_path / "out", study(gate=GATE), 60)
    go(tmp_path / "whole", study(gate=GATE), 60)
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")


def test_a_gate_that_can_no_longer_pass_ends_it(tmp_path: Path) -> None:
    class OneSided(NoEffect):
        def step(self) -> dict[str, float]:
            return {**super().step(), "welfare": np.nan} if self.lost else super().step()

        def __init__(self, of: Study, arm: Arm, seed: int) -> None:
            super().__init__(of, arm, seed)
            self.lost = seed == 5 and arm.name == "b"

    result = go(tmp_path / "out", study(gate=GATE), 60, builder=OneSided)
    stopping = result.manifest["stopping"]
    assert result.study.seeds == 8 and stopping["decided"] is False
    assert stopping["stopped"].startswith("the gate can no longer pass: guardrail welfare: ")
    assert result.gate().outcome == "UNDECIDED"


def test_listed_seeds_are_taken_in_their_order(tmp_path: Path) -> None:
    seeds = [40, 3, 17, 2, 99, 5, 60, 61, 62, 63]
    result = go(tmp_path / "out", study(seeds=seeds), builder=NoEffect)
    assert result.study.seeds == seeds and result.manifest["stopping"]["looks"] == [8, 10]
    with pytest.raises(BadInput, match="the study lists 10 seeds"):
        Until(study(seeds=seeds), 11)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((None, 20, None), None),
        ((None, 20, 50), "--max-seeds 50: goes with --until decided"),
        (("decided", 20, 50), "--seeds 20 and --max-seeds 50: name the most seeds once"),
        (("sometime", None, None), "--until sometime: must be decided"),
        (("decided", None, 5), "--max-seeds 5: must be 6 to 100000"),
        (("decided", None, 10**9), "must be 6 to 100000"),
    ],
)
def test_options(arguments: Any, told: str | None) -> None:
    rule, seeds, most = arguments
    if told is None:
        assert parse_until(rule, study(), seeds, most) is None
        return
    with pytest.raises(BadInput) as error:
        parse_until(rule, study(), seeds, most)
    assert told in str(error.value)


def test_nothing_to_decide() -> None:
    with pytest.raises(BadInput, match="nothing to decide"):
        Until(study(primary=[]), 20)
    with pytest.raises(BadInput, match="nothing to decide"):
        Until(study(arms=BASE["arms"][:1]), 20)
    assert Until(study(), None).most == 20


def test_comparisons_of_a_stopped_study_are_always_valid(tmp_path: Path) -> None:
    result = go(tmp_path / "out", study(), 100)
    runs = result.runs
    here, there = (runs[runs["arm"] == arm].set_index("seed")["welfare"] for arm in "ba")
    known = confidence_sequence((here - there).to_numpy())
    row = result.compare("welfare").iloc[0]
    assert (row["low"], row["high"]) == (known.low, known.high) and row["verdict"] == "higher"
    with pytest.raises(BadInput, match="confidence sequences; leave method out"):
        result.compare("welfare", method="bca")


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(-2, 2))
def test_the_always_valid_p_is_that_of_the_interval(seed: int, n: int, gain: float) -> None:
    """p < α exactly where the sequence at level 1 − α leaves out zero."""
    pairs = np.random.default_rng(seed).normal(gain, 1, n)
    runs = pd.DataFrame({"arm": ["a"] * n + ["b"] * n, "seed": [*range(n)] * 2, "m": [*np.zeros(n), *pairs]})
    p = sequential_compare(runs, "a", ["m"]).iloc[0]["p"]
    for alpha in (p * 1.01, p * 0.99):
        if 1e-12 < alpha < 0.5:
            interval = confidence_sequence(pairs, 1 - alpha)
            assert (interval.low > 0 or interval.high < 0) == (alpha > p)


@pytest.mark.slow
def test_however_often_one_looks_the_gate_passes_by_mistake_at_most_one_time_in_twenty() -> None:
    """1,000 guardrails exactly at their limit, judged by the gate's own rule at all 15 looks up to 200 seeds."""
    from echodrift.analysis.gate.bounds import Bound, Horizon
    from echodrift.analysis.gate.judge import SEQUENCE, interval_of

    line = Line("guardrail", "m", "at_least", Bound(1, -0.1), Horizon(), None, None)  # type: ignore[arg-type]
    pairs = np.random.default_rng(10).normal(-0.1, 1, (1000, 200))
    passed = failed = 0
    for row in pairs:
        for count in look_schedule(200):
            interval = interval_of(row[:count], SEQUENCE, 0.95)
            if line.passes(interval) or line.fails(interval):
                passed, failed = passed + line.passes(interval), failed + line.fails(interval)
                break
    assert stats.binomtest(passed + failed, len(pairs), 0.05, alternative="greater").pvalue > 0.01
    assert stats.binomtest(passed, len(pairs), 0.025, alternative="greater").pvalue > 0.01
    # looking as often with t intervals is wrong far too often: the test can tell
    each = [
        stats.ttest_1samp(pairs[:, :count], -0.1, axis=1, alternative="greater").pvalue
        for count in look_schedule(200)
    ]
    assert (np.array(each) < 0.025).any(axis=0).mean() > 0.08


# What is said of a stopped study


def test_a_line_that_fails_settles_the_whole(tmp_path: Path) -> None:
    """b has 0.8 more welfare: "at most as much − 3" fails at once, "at least 0.8 more" would stay open."""
    lines = [{"measure": "welfare", "at_most": "baseline - 3"}, {"measure": "welfare", "at_least": "baseline + 0.8"}]  # fmt: skip
    result = go(tmp_path / "out", study(gate={**GATE, "guardrail": lines}), 100)
    stopping = result.manifest["stopping"]
    assert result.gate().outcome == "FAIL" and result.gate().verdicts[0].judgements[1].outcome == "UNDECIDED"
    assert stopping["looks"] == [8] and (stopping["decided"], stopping["stopped"]) == (True, "decided")
    assert stopping["undecided"] == ["guardrail welfare"]


def test_a_gate_that_nothing_decides_is_refused_before_anything_runs() -> None:
    with pytest.raises(BadInput, match='"last 20 rounds" is more than the 3 of the study'):
        Until(study(gate={**GATE, "horizon": "last 20 rounds"}), 20)
    assert Until(study(gate=GATE), 20).most == 20


def test_looks_are_not_forgotten_when_the_seeds_are_set_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = go(tmp_path / "out", study(gate=GATE), 12, builder=NoEffect)
    assert stopped.manifest["stopping"]["looks"] == [8, 12] and "looked" not in stopped.manifest

    monkeypatch.setattr("echodrift.scenarios.execution.worker.build", NoEffect)

    def again(seeds: int) -> dict[str, Any]:
        run_study(study(gate=GATE, seeds=seeds), tmp_path / "out")
        return json.loads((tmp_path / "out" / "manifest.json").read_text())

    for seeds in (20, 20, 24):
        manifest = again(seeds)
        assert "stopping" not in manifest and manifest["looked"]["looks"] == [8, 12]
        assert manifest["reproduce"].endswith("study.toml")
    results = read_results(tmp_path / "out")
    found = answer(results)
    assert found.verdicts[0].method == "confidence sequence"
    assert "after looks at 8, 12 seeds, then run on with a set number of seeds" in str(found)
    assert "Run on with a set number of seeds." in describe_stopping(manifest)
    wide = compare_of(manifest)(results.runs, "a", ["welfare"]).iloc[0]
    plain = compare_of({})(results.runs, "a", ["welfare"]).iloc[0]
    assert wide["high"] - wide["low"] > 1.2 * (plain["high"] - plain["low"])


def test_report_and_figure_compare_as_the_result_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measures that were not named beforehand, too."""
    result = go(tmp_path / "out", study(), 20, builder=Fake)
    results = read_results(tmp_path / "out")
    drawn: list[pd.DataFrame] = []
    monkeypatch.setattr(draw, "differences", lambda table, *rest: drawn.append(table))
    draw.draw(results, "welfare", "regret", kind="differences")
    own = result.compare("welfare", "regret", all_columns=True)
    told_in_report = report._compare(results, results.points[0])
    columns = ["measure", "low", "high", "p", "p_holm", "verdict"]
    for table in (drawn[0], told_in_report):
        table = table.set_index("measure").loc[["welfare", "regret"]].reset_index()
        pd.testing.assert_frame_equal(table[columns], own[columns], check_dtype=False)
    monkeypatch.setitem(results.study, "primary", [])
    wide = report._compare(results, results.points[0]).set_index("measure").loc["welfare"]
    results.manifest.pop("stopping")
    plain = report._compare(results, results.points[0]).set_index("measure").loc["welfare"]
    assert wide["high"] - wide["low"] > 1.2 * (plain["high"] - plain["low"])
