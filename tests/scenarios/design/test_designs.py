"""Designs: what is zipped, gridded and drawn from priors; which runs that makes; what is refused beforehand."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import echodrift
import numpy as np
import pandas as pd
import pytest
from echodrift.cli.catalog import describe
from echodrift.errors import BadInput
from echodrift.scenarios.design.draws import draws_of, unit_points
from echodrift.scenarios.design.grid import design_keys, grid_points
from echodrift.scenarios.design.load import dump, load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import check_runnable, run_study
from echodrift.scenarios.specs.files import library
from echodrift.scenarios.specs.study import Arm, Study
from echodrift.scenarios.specs.uncertainty import Prior, Uncertainty
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest, loguniform, truncnorm

ARMS = [
    {"name": "a", "policy": {"kind": "organic"}},
    {
        "name": "b",
        "policy": {"kind": "popularity"},
        "rerank": [{"kind": "calibrated", "weight": 0.5}],
    },
]
BASE = {"name": "tiny", "rounds": 3, "seeds": 4, "world": {"users": 40, "items": 60}, "arms": ARMS}
ATTENTION = {"behavior.attention": {"uniform": [0.5, 0.9]}}


def study(priors: dict[str, Any] | None = None, how: dict[str, Any] | None = None, **changes: Any) -> Study:
    if priors is not None:
        changes["uncertainty"] = {**(how or {}), "priors": priors}
    return load_study({**BASE, **changes})


class Fake:
    """A run whose numbers are those of its settings and its random numbers."""

    def __init__(self, study: Study, arm: Arm, seed: int) -> None:
        self.rounds, self.notes = study.rounds, []
        self.value = study.behavior.attention + 10 * len(arm.rerank)
        self.noise = np.random.default_rng(seed).random()

    def step(self) -> dict[str, float]:
        return {"niche_exposure": 0.5, "welfare": self.value, "regret": self.noise}

    def tables(self) -> dict[str, dict[str, Any]]:
        return {"lorenz": {"when": ["start"], "what": ["exposure"], "x": [0.0], "y": [self.value]}}


def go(out: Path, of: Study, builder: Any = Fake) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", builder)
        run_study(of, out)
    return Result(out)


# --- zip -----------------------------------------------------------------------------------------------


def test_zip_tables_vary_together_and_combine_with_the_grid() -> None:
    found = study(
        grid={"platform.slate": [5, 6]},
        zip=[
            {"behavior.reinforcement": [0.0, 0.1, 0.2], "behavior.disappointment": [0.0, 0.3, 0.4]},
            {"arms[b].rerank[0].weight": [0.2, 0.8]},
        ],
    )
    points = grid_points(found)
    keys = ["platform.slate", "behavior.reinforcement", "behavior.disappointment", "arms[b].rerank[0].weight"]
    assert design_keys(found) == keys
    assert [tuple(values[key] for key in keys) for values, _ in points] == [
        (slate, *pair, weight)
        for slate in (5, 6)
        for pair in ((0.0, 0.0), (0.1, 0.3), (0.2, 0.4))
        for weight in (0.2, 0.8)
    ]
    for values, point in points:
        assert point.platform.slate == values["platform.slate"]
        assert point.behavior.disappointment == values["behavior.disappointment"]
        assert point.arms[1].rerank[0]["weight"] == values["arms[b].rerank[0].weight"]
        assert (point.grid, point.zip, point.uncertainty) == ({}, [], None)


def test_zip_columns_are_design_columns_everywhere(tmp_path: Path) -> None:
    of = study(zip=[{"behavior.attention": [0.5, 0.6], "behavior.movement": [0.0, 0.1]}])
    result = go(tmp_path / "o", of)
    assert list(result.rounds.columns[:4]) == ["arm", "behavior.attention", "behavior.movement", "seed"]
    table = result.compare("welfare")
    assert list(table["behavior.attention"]) == [0.5, 0.6] and list(table["behavior.movement"]) == [0.0, 0.1]
    assert result.plot("welfare", at={"behavior.movement": 0.1}) is not None
    with pytest.raises(BadInput, match="not a value of the grid"):
        result.plot("welfare", at={"behavior.movement": 0.1, "behavior.attention": 0.5})
    from echodrift.analysis.results import read_results

    points = read_results(result.folder).points
    assert [point.values for point in points] == [
        {"behavior.attention": 0.5, "behavior.movement": 0.0},
        {"behavior.attention": 0.6, "behavior.movement": 0.1},
    ]
    assert "Zip 1" in describe(of) and "2 design points" in describe(of)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"zip": [{"behavior.movement": [0.1], "behavior.attention": [0.5, 0.6]}]},
            "has 1 values and .* has 2",
        ),
        ({"zip": [{"behavior.movement": []}]}, "list of values is empty"),
        ({"zip": [{}]}, "the table is empty"),
        (
            {"zip": [{"behavior.movment": [0.1]}]},
            r'zip\[0\]."behavior.movment" = 0.1.*Did you mean "movement"',
        ),
        ({"zip": [{"behavior.movement": [2]}]}, "at least 0 and less than 1"),
        ({"zip": [{"seeds": [1, 2]}]}, "a zip varies rounds"),
        (
            {"zip": [{"behavior.movement": [0.1, 0.1], "behavior.attention": [0.5, 0.5]}]},
            "same combination of values is listed twice",
        ),
        (
            {"grid": {"behavior.movement": [0.1]}, "zip": [{"behavior.movement": [0.2]}]},
            r'zip\[0\]."behavior.movement": sets the same thing as grid."behavior.movement"',
        ),
        (
            {"zip": [{"behavior.movement": [0.1]}, {"behavior.movement": [0.2]}]},
            r"zip\[1\].*sets the same thing as zip\[0\]",
        ),
        ({"zip": [{"behavior": {"movement": [0.1]}}]}, 'put the key in quotes: "behavior.movement"'),
        ({"zip": [{"arms[c].policy.kind": ["random"]}]}, r"no element \[c\]"),
    ],
)
def test_zip_tables_that_cannot_be(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        study(**changes)


def test_one_value_of_a_zip_row_may_repeat() -> None:
    assert (
        len(grid_points(study(zip=[{"behavior.movement": [0.1, 0.1], "behavior.attention": [0.5, 0.6]}])))
        == 2
    )


NUMBERS = st.floats(0.001, 0.9, allow_nan=False).map(lambda value: float(f"{value:.6g}"))
KEYS = (
    "behavior.movement",
    "behavior.reinforcement",
    "behavior.organic",
    "world.homophily",
    "platform.hidden_ties",
)


@st.composite
def zips(draw: st.DrawFn) -> dict[str, Any]:
    """Grid and zip tables as a person might write them, right and wrong."""
    keys = draw(st.lists(st.sampled_from([*KEYS, "behavior.nothing", "rounds"]), min_size=1, max_size=5))
    tables: list[dict[str, Any]] = [{}, {}, {}]
    for key in keys:
        table = tables[draw(st.integers(0, 2))]
        values = st.integers(1, 9) if key == "rounds" else NUMBERS
        table[key] = draw(st.lists(values, min_size=0 if draw(st.booleans()) else 2, max_size=3))
    return {"grid": tables[0], "zip": [table for table in tables[1:] if table or draw(st.booleans())]}


@given(zips())
@settings(max_examples=40)
def test_any_design_is_refused_in_words_or_survives_toml(changes: dict[str, Any]) -> None:
    try:
        found = study(**changes)
    except BadInput as error:
        assert "grid" in str(error) or "zip" in str(error)
        return
    again = load_study(tomllib.loads(dump(found)))
    assert again == found
    expected = 1
    for values in changes["grid"].values():
        expected *= len(values)
    for table in changes["zip"]:
        expected *= len(next(iter(table.values())))
    points = grid_points(found)
    assert len(points) == expected
    assert len({str(values) for values, _ in points}) == expected
    for table in changes["zip"]:
        rows = set(zip(*table.values(), strict=True))
        assert {tuple(values[key] for key in table) for values, _ in points} == rows


# --- priors --------------------------------------------------------------------------------------------


def drawn(prior: dict[str, Any], n: int = 4096, **how: Any) -> list[Any]:
    config = Uncertainty(priors={"k": Prior(**prior)}, **how)
    return [draw["k"] for draw in draws_of(config, range(n))]


def test_draws_follow_their_priors() -> None:
    assert kstest(drawn({"uniform": [2, 5]}), "uniform", (2, 3)).statistic < 0.005
    assert kstest(drawn({"log_uniform": [0.01, 10]}), loguniform(0.01, 10).cdf).statistic < 0.005
    normal = truncnorm(-1, 3, loc=4, scale=2)
    found = drawn({"normal": [4, 2], "low": 2, "high": 10})
    assert kstest(found, normal.cdf).statistic < 0.005 and min(found) >= 2 and max(found) <= 10
    named = drawn({"choice": ["x", "y"], "weights": [3, 1]})
    assert named.count("x") == pytest.approx(0.75 * 4096, abs=4)


@pytest.mark.parametrize(
    ("prior", "curve"),
    [
        ({"uniform": [1, 4]}, lambda k: 0 * k + 0.25),
        ({"log_uniform": [1, 4]}, lambda k: np.log((k + 0.5) / (k - 0.5)) / np.log(9)),
        (
            {"normal": [2, 1.5], "low": 1, "high": 4},
            lambda k: np.diff([truncnorm(-1, 5 / 3, 2, 1.5).cdf(k - 0.5), truncnorm(-1, 5 / 3, 2, 1.5).cdf(k + 0.5)], axis=0)[0],
        ),
    ],
)  # fmt: skip
def test_whole_numbers_get_the_probability_of_half_to_either_side(prior: dict[str, Any], curve: Any) -> None:
    found = drawn({**prior, "whole": True}, 4096)
    assert {type(value) for value in found} == {int} and set(found) == {1, 2, 3, 4}
    expected = curve(np.arange(1, 5))
    assert expected.sum() == pytest.approx(1)
    assert chisquare(np.bincount(found)[1:], 4096 * expected).pvalue > 0.5  # a sequence is closer than chance


def test_whole_is_found_from_the_field_and_stands_in_the_study() -> None:
    found = study(
        {
            "behavior.appetite": {"uniform": [1, 4]},
            "behavior.repeat": {"uniform": [0, 9]},
            "arms[b].rerank[0].candidates": {"log_uniform": [10, 50]},
            "behavior.match": {"uniform": [3, 9]},
            "platform.slate": {"normal": [8, 2], "low": 5, "high": 12},
        }
    )
    assert found.uncertainty is not None
    assert [prior.whole for prior in found.uncertainty.priors.values()] == [True, True, True, False, True]
    assert load_study(tomllib.loads(dump(found))) == found
    for run in expand(found):
        assert isinstance(run.study.behavior.appetite, int) and 5 <= run.study.platform.slate <= 12


@pytest.mark.parametrize(
    "how", [{}, {"sampler": "latin_hypercube", "block": 5}, {"design": "saltelli", "base": 64}]
)
def test_a_draw_depends_on_its_seed_alone(how: dict[str, Any]) -> None:
    config = Uncertainty(priors={key: Prior(uniform=[0, 1]) for key in "abc"}, **how)
    whole = unit_points(config, range(60))
    assert (unit_points(config, range(7)) == whole[:7]).all()
    assert (unit_points(config, [41, 3, 3, 0]) == whole[[41, 3, 3, 0]]).all()
    assert not (unit_points(config.model_copy(update={"seed": 1}), range(60)) == whole).any()
    assert unit_points(config, [2**20 - 1]).shape == (1, 3)
    with pytest.raises(BadInput, match="number of a draw"):
        unit_points(config, [2**20])


def test_latin_hypercubes_are_such_in_every_block() -> None:
    config = Uncertainty(
        priors={key: Prior(uniform=[0, 1]) for key in "ab"}, sampler="latin_hypercube", block=10
    )
    points = unit_points(config, range(30))
    for block in points.reshape(3, 10, 2):
        assert (np.sort(np.floor(10 * block), axis=0) == np.arange(10)[:, None]).all()
    assert not (points[:10] == points[10:20]).any()


@pytest.mark.parametrize("second_order", [False, True])
def test_saltelli_rows_are_those_of_salib(second_order: bool) -> None:
    from SALib.sample import sobol

    priors = {key: Prior(uniform=[0, 1]) for key in "abcd"}
    config = Uncertainty(
        design="saltelli", base=8, replicates=3, second_order=second_order, seed=7, priors=priors
    )
    problem = {"num_vars": 4, "names": list("abcd"), "bounds": [[0, 1]] * 4}
    theirs = sobol.sample(problem, 8, calc_second_order=second_order, seed=7)
    assert config.seeds_needed == 3 * len(theirs)
    ours = unit_points(config, range(3 * len(theirs)))
    assert (ours == np.repeat(theirs, 3, axis=0)).all()


def test_one_draw_per_seed_for_all_arms_and_points() -> None:
    of = study(
        {**ATTENTION, "arms[*].rerank[0].weight": {"uniform": [0.2, 0.8]}},
        grid={"behavior.movement": [0.0, 0.1]},
    )
    plan = expand(of)
    assert len(plan) == 2 * 2 * 4 and len({run.key for run in plan}) == 16
    for run in plan:
        assert run.draw == draws_of(of.uncertainty, [run.seed])[0]  # type: ignore[arg-type]
        assert run.study.behavior.attention == run.draw["behavior.attention"]
        assert run.study.behavior.movement == run.grid["behavior.movement"]
        assert run.study.arms[1].rerank[0]["weight"] == run.draw["arms[*].rerank[0].weight"]
        assert run.world_seed == run.seed and run.study.uncertainty is None
    assert len({run.study.behavior.attention for run in plan}) == 4
    # the key of a run says what it drew, and more seeds change none
    fixed = expand(study(behavior={"attention": plan[0].study.behavior.attention}, seeds=1))
    assert fixed[0].study.behavior == expand(study(ATTENTION))[0].study.behavior
    assert fixed[0].key == expand(study(ATTENTION))[0].key
    more = {run.key for run in expand(study(ATTENTION, seeds=9))}
    assert {run.key for run in expand(study(ATTENTION))} < more
    assert not {run.key for run in expand(study(ATTENTION, {"seed": 1}))} & more


def test_worlds_added_for_switched_arms_draw_as_their_arm_does() -> None:
    arm = {
        "name": "s",
        "policy": {"kind": "popularity"},
        "switch": [{"round": 1, "recommend": False, "users": 0.5}],
    }
    of = study({"arms[s].switch[0].users": {"uniform": [0.2, 0.6]}}, arms=[ARMS[0], arm])
    assert [each.name for each in of.arms] == ["a", "s", "s · 0 %", "s · 100 %"]
    for run in expand(of):
        half, everyone = run.study.arms[1].switch[0].users, run.study.arms[3].switch[0].users
        assert half == run.draw["arms[s].switch[0].users"] and everyone == 1.0


def test_a_stepped_run_has_what_its_seed_draws() -> None:
    of = study({"behavior.appetite": {"choice": [1, 5]}})
    drawn_ = [draw["behavior.appetite"] for draw in draws_of(of.uncertainty, range(4))]  # type: ignore[arg-type]
    for seed in range(4):
        loop = echodrift.loop(of, seed=seed)
        assert loop.simulation.world.behavior.appetite == drawn_[seed]
    with pytest.raises(BadInput, match="number of a draw"):
        echodrift.loop(of, seed=2**20)


@pytest.mark.parametrize(
    ("priors", "told"),
    [
        ({"behavior.match": {"normal": [6, 1]}}, "a prior without bounds: low and high"),
        ({"behavior.match": {"normal": [6, 1], "low": 3}}, "a prior without bounds: high"),
        ({"behavior.match": {}}, "one of uniform, log_uniform, normal, choice"),
        ({"behavior.match": {"uniform": [1, 2], "choice": [1]}}, "has uniform and choice"),
        ({"behavior.match": {"uniform": [2, 1]}}, "2, is not below its high, 1"),
        ({"behavior.match": {"uniform": [1]}}, "must be two numbers"),
        ({"behavior.match": {"uniform": [1, 2], "low": 0}}, "low and high belong to a normal"),
        ({"behavior.match": {"log_uniform": [0, 2]}}, "a low above 0"),
        ({"behavior.match": {"normal": [6, 1], "low": 30, "high": 40}}, "hardly ever between 30 and 40"),
        ({"behavior.match": {"normal": [6, 0], "low": 3, "high": 4}}, "must be above 0, but is 0"),
        ({"behavior.match": {"choice": []}}, "list of choices is empty"),
        ({"behavior.match": {"choice": [1, 1]}}, "listed twice"),
        ({"behavior.match": {"choice": [1, 2], "weights": [1]}}, "2 choices and 1 weights"),
        ({"behavior.match": {"choice": [1, 2], "weights": [1, 0]}}, "above 0"),
        ({"behavior.match": {"unifrom": [1, 2]}}, 'Did you mean "uniform"'),
        ({}, "has neither priors nor a sample"),
        (
            {"behavior.movement": {"uniform": [0.5, 1.5]}},
            '"behavior.movement" reaches 1.5: .*less than 1, but is 1.5',
        ),
        ({"behavior.movement": {"choice": [0.5, 1.5]}}, "has the choice 1.5: .*less than 1"),
        ({"behavior.appetite": {"uniform": [0.5, 3]}}, "whole number, but is 0.5"),
        ({"behavior.atention": {"uniform": [0.5, 0.9]}}, 'unknown key. Did you mean "attention"'),
        ({"behaviour.attention": {"uniform": [0.5, 0.9]}}, 'Did you mean "behavior"'),
        ({"rounds": {"uniform": [2, 9]}}, "cannot be over rounds"),
        ({"seeds": {"uniform": [2, 9]}}, "a prior is over"),
        ({"behavior": {"attention": {"uniform": [0.5, 0.9]}}}, 'put the key in quotes: "behavior.attention"'),
        ({"arms[b].policy.kind": {"choice": ["popularity", "popularty"]}}, "popularty"),
        ({"arms[c].policy.kind": {"choice": ["popularity"]}}, r"no element \[c\]"),
        ({**ATTENTION, "behavior": {"choice": [1]}}, "sets the same thing"),
    ],
)
def test_priors_that_cannot_be(priors: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        study(priors)


def test_a_key_has_one_place() -> None:
    with pytest.raises(BadInput, match='priors."behavior.attention": sets the same thing as grid'):
        study(ATTENTION, grid={"behavior.attention": [0.5]})
    with pytest.raises(BadInput, match='priors."behavior.attention": sets the same thing as zip'):
        study(ATTENTION, zip=[{"behavior.attention": [0.5]}])
    option = ("--set behavior.attention=0.7", "behavior.attention", 0.7)
    with pytest.raises(BadInput, match="has a prior"):
        load_study(study(ATTENTION), [option])
    fixed = ("--set …", "uncertainty.priors.behavior.attention", {"choice": [0.7]})
    assert {run.study.behavior.attention for run in expand(load_study(study(ATTENTION), [fixed]))} == {0.7}


def test_what_does_not_go_together_is_found_before_anything_runs() -> None:
    of = study({"platform.slate": {"uniform": [5, 60]}, "world.items": {"uniform": [30, 60]}}, seeds=40)
    with pytest.raises(BadInput, match="what seed .* draws does not go together .*larger than the catalog"):
        check_runnable(of)
    joint = study(
        {
            "behavior.attention": {"uniform": [0.6, 1.5]},
            "behavior.examination": {"choice": ["power", "cascade"]},
        },
        behavior={"examination": "power"},
        seeds=40,
    )
    with pytest.raises(BadInput, match=r"what seed \d+ draws does not go together .*at most 1"):
        check_runnable(joint)
    assert check_runnable(study(ATTENTION)) == []


def test_saltelli_says_how_many_seeds() -> None:
    how = {"design": "saltelli", "base": 8, "replicates": 2}
    left_out = {key: value for key, value in BASE.items() if key != "seeds"}
    of = load_study({**left_out, "uncertainty": {**how, "priors": ATTENTION}})
    assert of.seeds == 8 * 3 * 2
    assert load_study(tomllib.loads(dump(of))) == of
    assert study(ATTENTION, how, seeds=48).seeds == 48
    with pytest.raises(BadInput, match="8 × 3 rows × 2 replicates = 48 seeds"):
        study(ATTENTION, how, seeds=20)
    with pytest.raises(BadInput, match=r"not a power of two \(8 or 16\)"):
        study(ATTENTION, {**how, "base": 12}, seeds=20)
    with pytest.raises(BadInput, match="leave out sampler"):
        study(ATTENTION, {**how, "sampler": "latin_hypercube"})
    plan = expand(of)
    assert [run.world_seed for run in plan[:6]] == [0, 1] * 3
    # a larger base keeps every run
    larger = expand(study(ATTENTION, {**how, "base": 16}, seeds=96))
    assert {run.key for run in plan} < {run.key for run in larger}


def test_saltelli_comparisons_rest_on_independent_rows(tmp_path: Path) -> None:
    how = {"design": "saltelli", "base": 4, "replicates": 2}
    result = go(tmp_path / "o", study({**ATTENTION, "behavior.match": {"uniform": [3, 9]}}, how, seeds=32))
    assert len(result.runs) == 2 * 32
    row = result.compare("welfare", "regret", all_columns=True).set_index("measure").loc["welfare"]
    assert row["n"] == 8 and row["difference"] == 10
    draws = result.draws
    assert draws is not None
    independent = [pair * 8 + kind for pair in range(4) for kind in (0, 6)]
    assert row["mean_reference"] == pytest.approx(draws["behavior.attention"].iloc[independent].mean())
    from echodrift.analysis.results import read_results

    point = read_results(result.folder).points[0]
    assert sorted(set(point.runs["seed"])) == independent and len(point.runs) == 16
    assert set(point.rounds["seed"]) == set(independent) == set(point.lorenz["seed"])
    worlds = [np.random.default_rng(replicate).random() for replicate in (0, 1)]
    assert np.allclose(point.rounds["regret"], np.mean(worlds))
    assert "8 independent rows of 16" in result.manifest["notes"][0]


def test_a_row_that_lacks_a_replicate_counts_nowhere(tmp_path: Path) -> None:
    def failing(study: Study, arm: Arm, seed: int) -> Fake:
        if arm.name == "b" and seed == 1 and study.behavior.attention == first:
            raise ZeroDivisionError
        return Fake(study, arm, seed)

    of = study(ATTENTION, {"design": "saltelli", "base": 4, "replicates": 2}, seeds=24)
    first = expand(of)[0].study.behavior.attention
    result = go(tmp_path / "o", of, failing)
    row = result.compare("welfare", all_columns=True).iloc[0]
    assert row["n"] == 7 and row["missing"] == (0,)


@pytest.mark.parametrize("how", [{}, {"sampler": "latin_hypercube", "block": 3}])
def test_more_seeds_keep_every_run(tmp_path: Path, how: dict[str, Any]) -> None:
    of = {"uncertainty": {**how, "priors": ATTENTION}}
    go(tmp_path / "o", study(seeds=4, **of))

    def seen(study: Study, arm: Arm, seed: int) -> Fake:
        assert seed >= 4, "this run was finished before"
        return Fake(study, arm, seed)

    longer = go(tmp_path / "o", study(seeds=7, **of), seen)
    assert not len(longer.failed) and longer.draws is not None and len(longer.draws) == 7
    whole = go(tmp_path / "whole", study(seeds=7, **of))
    pd.testing.assert_frame_equal(longer.rounds, whole.rounds)
    pd.testing.assert_frame_equal(longer.draws, whole.draws)  # type: ignore[arg-type]
    for other in ({"seed": 5}, {"sampler": "latin_hypercube", "block": 9}):
        with pytest.raises(echodrift.errors.StorageError, match="uncertainty"):
            go(tmp_path / "o", study(ATTENTION, other, seeds=7))


@pytest.mark.parametrize(
    "varied",
    [
        'grid = { "world.log" = ["a.csv", "sub/b.csv"] }',
        'zip = [{ "world.log" = ["a.csv", "sub/b.csv"], "behavior.attention" = [0.8, 0.9] }]',
        'uncertainty = { priors = { "world.log" = { choice = ["a.csv", "sub/b.csv"] } } }',
        'grid = { "world" = [{ log = "a.csv" }, { log = "sub/b.csv" }] }',
    ],
)
def test_paths_that_vary_are_relative_to_the_file_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, varied: str
) -> None:
    (tmp_path / "sub").mkdir()
    paths = [tmp_path / "a.csv", tmp_path / "sub" / "b.csv"]
    for number, path in enumerate(paths):
        path.write_text(f"user,item\n1,{number}\n")
    file = tmp_path / "study.toml"
    text = 'name = "t"\nseeds = 12\nworld = { log = "a.csv" }\narms = [{ name = "a", policy = { kind = "organic" } }]\n'
    file.write_text(text + varied)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = load_study(file)
    assert {run.study.world.log for run in expand(found)} == {str(path) for path in paths}
    assert load_study(tomllib.loads(dump(found))) == found


def test_a_path_of_a_graph_that_varies_is_relative_to_the_file_of_the_study(tmp_path: Path) -> None:
    arm = '[[arms]]\nname = "a"\npolicy = { kind = "organic" }\n'
    graphs = 'grid = { "world.graph" = [{ kind = "none" }, { kind = "edges", path = "edges.csv" }] }\n'
    (tmp_path / "study.toml").write_text(f'name = "t"\n{graphs}{arm}')
    points = grid_points(load_study(tmp_path / "study.toml"))
    assert points[1][1].world.graph.path == str(tmp_path / "edges.csv")  # type: ignore[union-attr]


def test_a_log_is_inferred_once_whatever_is_drawn_of_the_rest(tmp_path: Path) -> None:
    from echodrift.scenarios.execution import build

    rng = np.random.default_rng(0)
    log = pd.DataFrame({"user": rng.integers(0, 30, 600), "item": rng.integers(0, 40, 600)}).drop_duplicates()
    log.to_csv(tmp_path / "log.csv", index=False)
    priors = {"world.tag_noise": {"uniform": [0.0, 0.3]}, "behavior.attention": {"uniform": [0.5, 0.9]}}
    of = study(
        {**priors, "world.arrivals": {"uniform": [0.0, 1.0]}},
        world={"log": str(tmp_path / "log.csv"), "topics": 3, "max_tastes": 2},
        platform={"slate": 4},
        rounds=1,
    )
    assert check_runnable(of)
    build._infer_once.cache_clear()
    tags = [
        build.build_run(run.study, run.arm, run.seed).simulation.world.items.tag for run in expand(of)[:3]
    ]
    assert build._infer_once.cache_info().misses == 1
    assert not np.array_equal(tags[0][:40], tags[1][:40])
    match = study(
        {"behavior.match": {"uniform": [3.0, 9.0]}}, world=of.world.model_dump(exclude_none=True), rounds=1
    )
    for run in expand(match)[:2]:
        build.build_run(run.study, run.arm, run.seed)
    assert build._infer_once.cache_info().misses == 3


@st.composite
def priors(draw: st.DrawFn) -> dict[str, Any]:
    """A prior as a person might write it, right and wrong."""
    shape = draw(st.sampled_from(["uniform", "log_uniform", "normal", "choice"]))
    number = st.one_of(st.integers(-1, 12), st.floats(-1, 12).map(lambda value: round(value, 3)))
    size = draw(st.sampled_from([2, 2, 2, 2, 1, 3, 0]))
    found: dict[str, Any] = {shape: draw(st.lists(number, min_size=size, max_size=size))}
    if shape == "normal" and draw(st.integers(0, 4)):
        found |= {"low": draw(number), "high": draw(number)}
    if shape == "choice" and draw(st.booleans()):
        found["weights"] = draw(st.lists(st.floats(-1, 5), min_size=size, max_size=size))
    if not draw(st.integers(0, 9)):
        found["whole"] = draw(st.booleans())
    return found


@given(
    st.dictionaries(
        st.sampled_from([*KEYS, "behavior.appetite", "behavior.match", "world.topics"]), priors(), max_size=3
    )
)
@settings(max_examples=80)
def test_any_prior_is_refused_in_words_or_draws_what_the_model_takes(of: dict[str, Any]) -> None:
    try:
        found = study(of)
    except BadInput as error:
        assert "uncertainty" in str(error)
        return
    assert load_study(tomllib.loads(dump(found))) == found
    assert found.uncertainty is not None
    try:
        plan = expand(found)
    except BadInput as error:
        assert "does not go together" in str(error)
        return
    for run in plan:
        for key, value in run.draw.items():
            prior = found.uncertainty.priors[key]
            low, high = prior.bounds
            assert value in prior.choice if prior.choice is not None else low <= value <= high


def test_library_studies_that_leave_behavior_open_leave_search_open_too() -> None:
    # No log tells how well people find what they want by themselves, so conclusions are to be held against it.
    found = [load_study(name) for name in library()]
    open_ones = [one for one in found if one.uncertainty is not None]
    assert "uncertain" in library() and open_ones
    for one in open_ones:
        assert "behavior.search" in {*one.uncertainty.priors, *one.grid}, one.name
