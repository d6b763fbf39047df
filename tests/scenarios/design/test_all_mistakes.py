"""All mistakes of a study are reported at once, and none that only follows from another."""

from __future__ import annotations

import re
from typing import Any

import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.runner import check_runnable

RANDOM = {"name": "C", "policy": {"kind": "random"}}


def study(**changes: Any) -> dict[str, Any]:
    """Return a small study without mistakes, with changes."""
    arms = [
        {"name": "A", "policy": {"kind": "popularity"}, "rerank": [{"kind": "mmr"}]},
        {"name": "B", "policy": {"kind": "ease"}, "platform": {"retrain_every": 2}},
        RANDOM,
    ]
    small = {"users": 50, "items": 80}
    gate = {"baseline": "A", "candidate": "B", "goal": [{"measure": "welfare", "at_least": 0.1}]}
    return {"name": "s", "rounds": 30, "world": small, "arms": arms, "gate": gate, **changes}


BAD_ARMS = [
    {
        "name": "A",
        "policy": {"kind": "popularty"},
        "rerank": [{"kind": "mmr", "weigth": 1}, {"kind": "calibratd"}],
        "transform": [{"kind": "purge", "share": 2}],
    },
    {"name": "B", "policy": {"kind": "ease", "l2": -1}, "platform": {"retrain_every": 0}},
    RANDOM,
]
IN_ARMS = [
    'arms[0].policy.kind: there is no policy of kind "popularty"',
    "arms[0].rerank[0].weigth: unknown key",
    "arms[0].rerank[1].kind: there is no reranker",
    "arms[0].transform[0].share: must be",
    "arms[1].platform.retrain_every: must be at least 1",
    "arms[1].policy.l2: must be",
]
NO_WELFAIR = [{"measure": "welfair", "at_least": 0.1}]


def said(data: dict[str, Any]) -> list[str]:
    """Return the lines of the refusal, without the name of the study."""
    with pytest.raises(BadInput) as caught:
        check_runnable(load_study(data))
    return [line.removeprefix("study: ") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("changes", "starts"),
    [
        # Every arm, every part of it
        ({"arms": BAD_ARMS}, IN_ARMS),
        # What the schema rejects, and everything else
        (
            {"rounds": "many", "colour": 1, "arms": BAD_ARMS, "primary": ["welfair", "regrett"], "measures": ["cover"]},
            ["rounds: must be a whole number", "colour: unknown key", *IN_ARMS, 'measures: there is no measure "cover"',
             'primary: there is no measure "welfair"', 'primary: there is no measure "regrett"',
             "gate.goal[0].measure: this study does not compute"],
        ),
        # What depends on other parts of the study
        ({"rounds": "many", "reference": "X"}, ["rounds: must be", 'reference = "X" is not the name of an arm']),
        ({"rounds": "many", "gate": {"baseline": "A", "candidate": "D", "goal": NO_WELFAIR}},
         ["rounds: must be", 'gate.candidate: no arm is named "D"', "gate.goal[0].measure: there is no measure"]),
        ({"arms": BAD_ARMS[1:], "gate": {"baseline": "B", "candidate": "D", "goal": NO_WELFAIR}, "world": {"items": 4}},
         ["arms[0].platform.retrain_every", "arms[0].policy.l2", 'gate.candidate: no arm is named "D"',
          "gate.goal[0].measure", "platform.slate = 10 is larger than the catalog"]),
        ({"measures": ["x"], "primary": ["y"], "world": {"items": 4}},
         ["measures: there is no measure", "primary: there is no measure", "gate.goal[0].measure: this study does not compute",
          "platform.slate = 10 is larger than the catalog"]),
        # What would only follow: from a wrong name, arm, world, platform, or list of arms
        ({"arms": [{"name": 3, "policy": {"kind": "random"}}, *study()["arms"]], "reference": "3"}, ["arms[0].name: must be text"]),
        ({"arms": [{"nam": "A", "policy": {"kind": "random"}}], "reference": "A"}, ["arms[0].name: is missing", "arms[0].nam: unknown key"]),
        ({"arms": ["A"], "reference": "A"}, ["arms[0]: must be a table"]),
        ({"arms": []}, ["arms: must not be empty"]),
        ({"world": {"users": 0, "groups": [{"name": "g", "share": 1.0}]}, "split_by": ["group"], "gate": {
            "baseline": "A", "candidate": "B", "goal": [{"measure": "welfare:group=g", "at_least": 0.1}]}}, ["world.users: must be"]),
        ({"platform": {"slate": 0}, "arms": [{"name": "A", "policy": {"kind": "random"}, "platform": {"slate": 3}}], "gate": {}},
         ["platform.slate: must be", "gate.baseline: is missing", "gate.candidate: is missing"]),
        ({"arms": [{"name": "A", "policy": "ease", "rerank": [{"kind": "mmr"}]}, RANDOM], "gate": None}, ["arms[0].policy: must be a table"]),
        # An arm with two names of the same kind of mistake at a grid's points: each once
        ({"grid": {"arms[B].policy.l2": [-1, -2], "behavior.match": [1, 2]}}, ["arms[1].policy.l2"] * 2),
    ],
)  # fmt: skip
def test_all_are_told_together(changes: dict[str, Any], starts: list[str]) -> None:
    lines = said(study(**changes))
    unlabeled = [re.sub(r"^study: ", "", line) for line in lines]
    for line, start in zip(unlabeled, starts, strict=True):
        assert start in line, lines
    assert len(set(lines)) == len(lines)


def test_the_study_itself_has_none() -> None:
    assert check_runnable(load_study(study())) is not None


def test_code_is_not_imported_for_a_study_whose_schema_is_wrong(tmp_path, monkeypatch) -> None:
    (tmp_path / "never_imported.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for policy in ({"kind": "never_imported:X"}, {"kind": "adapter", "model": "never_imported:X"}):
        arms = [{"name": "A", "policy": policy, "rerank": [{"kind": "mmr"}]}, BAD_ARMS[1]]
        lines = said(study(rounds=0, arms=arms, gate=None))
        assert [line.partition(": ")[0] for line in lines] == ["rounds", *(["arms[1].platform.retrain_every", "arms[1].policy.l2"])]  # fmt: skip


def test_options_are_named(tmp_path) -> None:
    overrides = [("--set rounds=0", "rounds", 0), ("--set arms[B].policy.l2=-1", "arms[B].policy.l2", -1)]
    with pytest.raises(BadInput) as caught:
        load_study(study(), overrides)
    assert str(caught.value).splitlines() == [
        "--set rounds=0: rounds: must be at least 1 and at most 1000000, but is 0",
        "--set arms[B].policy.l2=-1: arms[B].policy.l2: must be at least 1e-09 and at most 1000000000.0, but is -1",
    ]


def test_many_keys_with_the_same_mistake_are_one_line() -> None:
    switch = [{"round": 50, "slate": 4}]
    arms = [{"name": f"arm {place}", "policy": {"kind": "random"}, "switch": switch} for place in range(9)]
    (line,) = said(study(arms=arms, gate=None))
    assert line.startswith("arms[0].switch[0].round: round 50 is never reached")
    assert line.endswith("(the same at 8 other keys, e.g. arms[1].switch[0].round)")
