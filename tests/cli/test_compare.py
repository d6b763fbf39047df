"""`echodrift compare`, the differences at the end of `run`, and the same verdict wherever one is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import echodrift
import pytest
from echodrift.analysis.statistics.conclusions import COLLAPSED, LOW_RANK
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.storage.folder import Folder

Call = Callable[..., tuple[int, str, str]]

STUDY = """
name = "a gate"
rounds = 4
seeds = 5
reference = "old"
primary = ["welfare"]
[world]
users = 20
items = 30
[platform]
slate = 5
[[arms]]
name = "old"
policy = { kind = "popularity" }
[[arms]]
name = "new"
policy = { kind = "random" }
"""
GATE = """
[gate]
baseline = "old"
candidate = "new"
horizon = "all rounds"
[[gate.guardrail]]
measure = "welfare"
at_least = "baseline - 0.5"
"""
HOW = ("--jobs", "1", "--no-report", "--out", "o")


class Fake:
    """A run that takes no time: the new arm has 1 more welfare and 0.1 more niche exposure."""

    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        self.rounds, self.notes = study.rounds, []
        more = arm.name != "old"
        self.values = {"welfare": seed % 3 + more * (1 + 0.01 * seed), "niche_exposure": 0.1 + 0.1 * more}

    def step(self) -> dict[str, float]:
        return self.values

    def tables(self) -> dict[str, dict[str, list]]:
        return {"lorenz": {"when": [], "what": [], "x": [], "y": []}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("echodrift.scenarios.execution.worker.build", Fake)
    (tmp_path / "s.toml").write_text(STUDY)
    (tmp_path / "g.toml").write_text(STUDY + GATE)
    return tmp_path


def test_run_ends_with_the_differences_from_the_reference(call: Call, here: Path) -> None:
    code, out, err = call("run", "s.toml", *HOW)
    assert code == 0, err
    assert out.splitlines()[1:] == [
        "",
        'Each arm minus "old", paired by seed; 95 % t intervals:',
        "  arm  difference        interval  seeds  verdict",
        "welfare",
        "  new       +1.02  +1.00 to +1.04      5  higher",
    ]
    assert call("run", "s.toml", *HOW, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("seeds", "said", "outcome", "code"),
    [(3, "too few seeds to say", "UNDECIDED", 4), (5, "higher", "PASS", 0)],
)
def test_below_five_seeds_no_verdict_anywhere(
    call: Call, here: Path, seeds: int, said: str, outcome: str, code: int
) -> None:
    found, out, err = call("run", "g.toml", *HOW, "--seeds", seeds)
    assert found == 0 and f"{seeds}  {said}\n" in out and f"Gate: {outcome}: " in out
    assert ("gate: 3 seeds: too few seeds to say, so that the gate will be UNDECIDED" in err) == (seeds == 3)
    result = echodrift.Result("o")
    assert list(result.compare()["verdict"]) == [said]
    answer = result.gate()
    assert (answer.outcome, answer.exit_code) == (outcome, code)
    found, out, err = call("gate", "g.toml", *HOW, "--seeds", seeds, "--junit", "j.xml", "--markdown", "m.md")
    assert found == code, err
    assert out.count(outcome) >= 2 and "Each arm minus" not in out
    for text in (out, Path("j.xml").read_text(), Path("m.md").read_text(), str(answer), answer.json()):
        assert outcome in text and ("too few seeds to say" in text) == (seeds == 3)
        assert ("type --seeds 20" in text) == (seeds == 3)
    assert said in call("compare", "o")[1]


def test_a_study_that_stops_when_decided_is_not_warned_of_few_seeds(call: Call, here: Path) -> None:
    for method in ("t", "bootstrap"):
        code, out, err = call(
            "run", "g.toml", "--jobs", "1", "--out", method, "--until", "decided", "--max-seeds", "12", "--set", f"gate.method={method}"
        )  # fmt: skip
        assert code == 0 and "Gate: PASS" in out and "confidence sequences" in out
        assert "warning" not in err and "too few" not in err + out
        assert "Take this as a first look" not in Path(method, "report.html").read_text()


def test_compare_with_another_arm_and_other_measures(call: Call, here: Path) -> None:
    call("run", "s.toml", *HOW, "--quiet")
    code, out, _ = call("compare", "o", "--vs", "new", "-m", "niche_exposure,welfare")
    assert code == 0 and 'Each arm minus "new"' in out
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["niche_exposure", "old", "welfare", "old"]
    assert "−10.0 to −10.0 pp" in out
    rows = json.loads(call("compare", "o", "--json")[1])
    assert [list(row) for row in rows] == [["arm", "measure", "difference", "low", "high", "n", "verdict"]]
    [row] = json.loads(call("compare", "o", "--json", "--all-columns")[1])
    assert {"mean_arm", "p", "missing", "reason"} <= set(row)
    assert "mean_reference" in call("compare", "o", "--all-columns")[1]


def test_a_grid_does_not_flood_the_terminal(call: Call, here: Path) -> None:
    values = [round(0.01 * number, 2) for number in range(50)]
    code, out, _ = call("run", "s.toml", *HOW, "--set", f'grid={{"behavior.reinforcement" = {values}}}')
    assert code == 0 and "welfare at behavior.reinforcement = 0.0\n" in out
    assert out.count("higher") == 24
    assert out.splitlines()[-1] == f"26 more of 50 rows: echodrift compare {here / 'o'} --all-rows"
    assert call("compare", "o")[1].count("higher") == 40
    assert call("compare", "o", "--all-rows")[1].count("higher") == 50
    assert len(json.loads(call("compare", "o", "--json")[1])) == 50


def test_lines_of_the_table_fit_a_terminal(call: Call, here: Path) -> None:
    long = "a policy with a name that somebody made far too long for a table"
    call("run", "s.toml", *HOW, "--seeds", "3", "--set", f"arms[new].name={long}")
    _, out, _ = call("compare", "o")
    assert max(map(len, out.splitlines())) <= 100 and "a policy with …" in out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere"], 2, "there is no such folder"),
        (["o", "--vs", "odl"], 2, 'no arm is named "odl" (arms: old, new). Did you mean "old"?'),
        (["o", "-m", "welfar"], 2, 'no measure "welfar" in these results. Did you mean "welfare"?'),
        (["begun"], 6, "not finished"),
        (["."], 6, "holds no results of echodrift"),
    ],
)
def test_mistakes_get_one_message(call: Call, here: Path, words: list[str], code: int, told: str) -> None:
    call("run", "s.toml", *HOW, "--quiet")
    folder = Folder(here / "begun")
    with folder.locked():
        folder.begin(load_study(here / "s.toml"))
    found, out, err = call("compare", *words)
    assert (found, out) == (code, "") and told in err and err.count("\n") == 1


def test_an_unfinished_study_is_compared_by_the_tables_that_are_there(call: Call, here: Path) -> None:
    call("run", "s.toml", *HOW, "--quiet")
    folder = Folder(here / "o")
    with folder.locked():
        folder.begin(load_study(here / "s.toml", [("--seeds 9", "seeds", 9)]))
    code, out, err = call("compare", "o")
    assert code == 0 and "higher" in out and "is not finished" in err


def test_nothing_to_compare_is_said(call: Call, here: Path) -> None:
    alone = "arms=[{name='old', policy={kind='popularity'}}]"
    code, out, _ = call("run", "s.toml", *HOW, "--set", alone)
    assert code == 0 and "minus" not in out
    code, _, err = call("compare", "o")
    assert code == 2 and '"old" is the only arm' in err


def test_collapsed_models_are_no_finding_about_dimension_anywhere(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small, large = ('{ kind = "matrix_factorization", dim = ' + f"{dim} }}" for dim in (2, 3))
    study = STUDY.replace('{ kind = "popularity" }', small).replace('{ kind = "random" }', large)
    Path("s.toml").write_text(study + '[[arms]]\nname = "organic"\npolicy = { kind = "organic" }\n')
    code, out, err = call("run", "s.toml", "--jobs", "1", "--out", "o")
    assert code == 0, err
    result = echodrift.Result("o")
    assert result.runs.groupby("arm")["effective_rank"].mean()[["old", "new"]].lt(LOW_RANK).all()
    verdicts = dict(result.compare()[["arm", "verdict"]].itertuples(index=False))
    assert verdicts["new"] == COLLAPSED and verdicts["organic"] != COLLAPSED
    for text in (out, call("compare", "o")[1], Path("o/report.html").read_text()):
        assert COLLAPSED in text
