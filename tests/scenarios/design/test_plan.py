"""The plan: how many runs in which order, and keys that change exactly when a result would."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.design.grid import grid_points
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import MODEL_VERSION, cell_of, expand, with_seeds
from echodrift.scenarios.specs.study import Study
from echodrift.wording import slug

ARMS = [
    {"name": "none", "policy": {"kind": "organic"}},
    {"name": "top", "policy": {"kind": "popularity"}},
]
BASE: dict[str, Any] = {
    "name": "tiny",
    "rounds": 5,
    "seeds": 2,
    "world": {"users": 20, "items": 30},
    "arms": ARMS,
}


def study(**changes: Any) -> Study:
    sets = [(key, key.replace("__", "."), value) for key, value in changes.items()]
    return load_study(BASE, sets)


def keys(of: Study) -> list[str]:
    return [run.key for run in expand(of)]


def cells(of: Study) -> set[str]:
    """What determines the results of each arm at each grid point."""
    return {json.dumps(cell_of(point, arm, {})) for _, point in grid_points(of) for arm in point.arms}


def test_arms_times_grid_times_seeds_in_the_order_of_the_tables() -> None:
    grid = {"behavior.reinforcement": [0.0, 0.1], "world.users": [20, 30, 40]}
    plan = expand(study(grid=grid, seeds=[4, 1]))
    assert len(plan) == 2 * 6 * 2
    assert [run.arm.name for run in plan] == ["none"] * 12 + ["top"] * 12
    assert [run.seed for run in plan] == [4, 1] * 12
    assert [tuple(run.grid.values()) for run in plan[:12:2]] == [
        (0.0, 20), (0.0, 30), (0.0, 40), (0.1, 20), (0.1, 30), (0.1, 40)
    ]  # fmt: skip
    assert plan[-1].study.behavior.reinforcement == 0.1
    assert plan[-1].study.world.users == 40
    assert len(set(keys(study(grid=grid)))) == 24


@pytest.mark.parametrize(
    "same",
    [
        {"name": "another title"},
        {"description": "why"},
        {"primary": ["welfare"]},
        {"reference": "top"},
        {"world__graph": {"kind": "watts_strogatz"}},
        {"behavior__attention": 0.85},
        {"arms": [ARMS[0], {"name": "top", "policy": {"kind": "popularity"}, "rerank": []}]},
    ],
)
def test_keys_stay_where_results_stay(same: dict[str, Any]) -> None:
    assert keys(study(**same)) == keys(study())


@pytest.mark.parametrize(
    "other",
    [
        {"rounds": 6},
        {"world__users": 21},
        {"world__graph": {"kind": "none"}},
        {"behavior__attention": math.nextafter(0.85, 1)},
        {"platform__retrain_every": 4},
        {"measures": ["welfare"]},
        {"split_by": ["community"]},
        {"seeds": [7, 8]},
    ],
)
def test_keys_change_where_results_change(other: dict[str, Any]) -> None:
    assert not set(keys(study(**other))) & set(keys(study()))


def test_seeds_and_arms_can_be_added_and_reordered() -> None:
    before = set(keys(study()))
    assert before < set(keys(study(seeds=5)))
    assert before == set(keys(study(arms=ARMS[::-1])))
    more = [*ARMS, {"name": "third", "policy": {"kind": "random"}}]
    assert before < set(keys(study(arms=more)))
    assert cells(study()) < cells(study(arms=more, seeds=1))


def test_a_wider_slate_in_one_arm_changes_the_world_of_all() -> None:
    wider = [ARMS[0], {**ARMS[1], "platform": {"slate": 15}}]
    narrower = [ARMS[0], {**ARMS[1], "platform": {"slate": 5}}]
    assert not set(keys(study(arms=wider))) & set(keys(study()))
    assert set(keys(study(arms=narrower))) & set(keys(study())) == set(keys(study(arms=ARMS[:1])))


def test_a_code_change_that_changes_results_changes_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(keys(study()))
    monkeypatch.setattr("echodrift.scenarios.design.plan.MODEL_VERSION", 10**6)
    assert not before & set(keys(study()))


def test_what_a_grid_key_says_about_another_arm_costs_no_run() -> None:
    plan = expand(study(grid={"arms[top].policy.window": [5, 10]}))
    assert len(plan) == 8
    of_none = [run.key for run in plan if run.arm.name == "none"]
    assert len(of_none) == 4 and len(set(of_none)) == 2
    assert len({run.key for run in plan if run.arm.name == "top"}) == 4


def test_data_files_count_by_content(tmp_path: Path) -> None:
    def of(name: str, content: str) -> list[str]:
        (tmp_path / name).write_text(content)
        return keys(load_study({**BASE, "world": {"log": str(tmp_path / name)}}))

    assert of("a.csv", "1,2") == of("b.csv", "1,2")
    assert not set(of("a.csv", "1,2")) & set(of("a.csv", "1,3"))
    with pytest.raises(BadInput, match=r"gone\.csv: cannot be read: No such file"):
        expand(load_study({**BASE, "world": {"log": str(tmp_path / "gone.csv")}}))
    (tmp_path / "edges.csv").write_text("0,1")
    one = keys(study(world__graph={"kind": "edges", "path": str(tmp_path / "edges.csv")}))
    (tmp_path / "edges.csv").write_text("0,2")
    assert not set(one) & set(
        keys(study(world__graph={"kind": "edges", "path": str(tmp_path / "edges.csv")}))
    )


def test_the_runs_of_the_first_seeds_are_those_of_a_study_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {
        "grid": {"behavior.reinforcement": [0.0, 0.1]},
        "uncertainty": {"priors": {"behavior.attention": {"uniform": [0.5, 0.9]}}},
    }
    for seeds in (list(range(5)), [4, 1, 7, 0, 2]):
        whole, part = expand(study(**how, seeds=seeds)), expand(study(**how, seeds=seeds[:3]))
        found = with_seeds(whole, seeds[:3])
        assert [(run.key, run.seed, run.grid, run.draw) for run in found] == [
            (run.key, run.seed, run.grid, run.draw) for run in part
        ]


def test_a_cell_is_the_study_and_the_version_of_the_model_alone() -> None:
    """Nothing stands in for a version: a world with arrivals has the parts of one without."""
    with_arrivals = study(world__arrivals=0.5)
    parts = {
        "model",
        "rounds",
        "world",
        "behavior",
        "platform",
        "measures",
        "split_by",
        "arm",
        "widest_slate",
    }
    assert set(cell_of(with_arrivals, with_arrivals.arms[1], {})) == parts
    assert MODEL_VERSION >= 3


def test_keys_are_folder_names() -> None:
    names = ["../../etc", "MF, 8 dimensions", "." * 300, "日本語", "a/b\\c:d", "CON"]
    arms = [{"name": name, "policy": {"kind": "random"}} for name in names]
    for key in keys(study(arms=arms)):
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(key) < 100
    assert "mf-8-dimensions-seed0-" in keys(study(arms=arms))[2]


@pytest.mark.parametrize(
    ("title", "name"),
    [("Does it, really?", "does-it-really"), ("日本", "study"), ("a" * 200, "a" * 60), ("--x--", "x")],
)
def test_slug(title: str, name: str) -> None:
    assert slug(title) == name
