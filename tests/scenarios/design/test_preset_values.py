"""A study whose world has a preset: which value wins, that it can be written out, and what is said about likeness."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from echodrift.agents.behavior import Behavior
from echodrift.agents.settings import WorldConfig
from echodrift.errors import BadInput, StorageError
from echodrift.scenarios.api import loop
from echodrift.scenarios.design.load import dump, load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.design.preset_values import AFTER_THE_LOG, preset_notes
from echodrift.scenarios.runner import RunOptions, check_runnable, run_study
from echodrift.scenarios.specs.study import Arm, Study
from echodrift.sim.platform import Platform
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LIKENESS = {
    "log": "no log at all",
    "users": 40,
    "items": 60,
    "pairs": 500,
    "filter": "none",
    "rows": [{"statistic": "item Gini", "log": 0.7, "world": 0.6, "tolerance": 0.05, "within": False}],
}
VALUES: dict[str, dict[str, Any]] = {
    "world": {
        "users": 40,
        "items": 60,
        "topics": 6,
        "quality_sd": 0.5,
        "graph": {"kind": "stochastic_block", "degree": 6.0, "within": 0.8},
    },
    "behavior": {"search": 0.7, "activity_tail": 1.0},
    "platform": {"warmup": 8, "slate": 5},
}
ARMS = [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "popularity"}}]
DEFAULTS = {"world": WorldConfig(), "behavior": Behavior(), "platform": Platform()}


@pytest.fixture
def like(tmp_path: Path) -> Path:
    return written(tmp_path / "like.toml")


def written(path: Path, **changes: Any) -> Path:
    preset = {"name": "t", "description": "t", **VALUES, "likeness": LIKENESS, **changes}
    path.write_text(tomli_w.dumps(preset))
    return path


def study(like: Path | str, **parts: Any) -> dict[str, Any]:
    world = {"preset": str(like), **parts.pop("world", {})}
    return {"name": "t", "rounds": 4, "seeds": 2, "world": world, "arms": ARMS, **parts}


def value(of: Study, key: str) -> Any:
    part, field = key.split(".")
    return getattr(getattr(of, part), field)


NUMBERS = {
    "world.users": st.integers(10, 99),
    "world.topics": st.integers(4, 9),
    "world.quality_sd": st.floats(0, 3),
    "world.blend": st.floats(0, 1),
    "behavior.search": st.floats(0, 2),
    "behavior.outside": st.floats(-3, 6),
    "behavior.appetite": st.integers(1, 4),
    "platform.warmup": st.integers(0, 20),
    "platform.slate": st.integers(1, 9),
}
PARTS = st.fixed_dictionaries({}, optional=NUMBERS)


def tables(flat: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"world": {}, "behavior": {}, "platform": {}}
    for key, one in flat.items():
        part, field = key.split(".")
        found[part][field] = one
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(of_preset=PARTS, of_study=PARTS, of_options=PARTS)
def test_options_beat_the_study_and_the_study_beats_the_preset(
    tmp_path: Path, of_preset: dict[str, Any], of_study: dict[str, Any], of_options: dict[str, Any]
) -> None:
    like = written(tmp_path / "like.toml", **tables(of_preset))
    options = [(f"--set {key}", key, one) for key, one in of_options.items()]
    found = load_study(study(like, **tables(of_study)), options)
    for key in NUMBERS:
        part, field = key.split(".")
        default = getattr(DEFAULTS[part], field)
        assert value(found, key) == {key: default, **of_preset, **of_study, **of_options}[key]
    # The same study without the preset, its values spelled out: same runs under the same keys.
    spelled = tables({**of_preset, **of_study, **of_options})
    plain = load_study({"name": "t", "rounds": 4, "seeds": 2, "arms": ARMS, **spelled})
    assert [run.key for run in expand(found)] == [run.key for run in expand(plain)]
    # Written out it stays what it is, whatever becomes of the preset, and so does the object.
    written(tmp_path / "like.toml", behavior={"match": 1.0})
    assert load_study(tomllib.loads(dump(found))) == found == load_study(found)
    assert dump(load_study(found)) == dump(found)


def test_the_rest_of_the_study_is_its_own(like: Path) -> None:
    found = load_study(study(like, grid={"behavior.search": [0.0, 1.0]}, platform={"retrain_every": 2}))
    assert found.platform == Platform(**VALUES["platform"], retrain_every=2)
    assert found.grid == {"behavior.search": [0.0, 1.0]} and [arm.name for arm in found.arms] == ["a", "b"]
    assert isinstance(found.world, WorldConfig) and found.world.preset == str(like)
    assert {run.study.behavior.search for run in expand(found)} == {0.0, 1.0}


def test_the_same_from_a_file_a_mapping_and_objects(like: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = like.parent / "study.toml"
    file.write_text(tomli_w.dumps(study("like.toml", behavior={"match": 3.0})))
    found = load_study(file)
    assert found == load_study(study(like, behavior={"match": 3.0}))
    monkeypatch.chdir(like.parent)
    assert found == load_study(study("like.toml", behavior={"match": 3.0}))
    assert found == load_study(study("x", behavior={"match": 3.0}), [("--set", "world.preset", "like.toml")])
    made = Study(
        name="t", rounds=4, seeds=2, world=WorldConfig(preset="like.toml"), behavior=Behavior(match=3.0),
        arms=[Arm(**arm) for arm in ARMS],
    )  # fmt: skip
    assert load_study(made) == found
    assert loop(made).simulation.world.behavior == found.behavior


def test_a_graph_without_its_kind_changes_that_of_the_preset(like: Path) -> None:
    found = load_study(study(like), [("--set", "world.graph.within", 0.5)])
    assert found.world.graph.model_dump() == {"kind": "stochastic_block", "degree": 6.0, "within": 0.5}  # type: ignore[union-attr]
    other = load_study(study(like, world={"graph": {"kind": "barabasi_albert"}}))
    assert other.world.graph.model_dump() == {"kind": "barabasi_albert", "attach": 5}  # type: ignore[union-attr]


def test_the_tables_are_those_of_the_values_spelled_out(like: Path, tmp_path: Path) -> None:
    plain = {"name": "t", "rounds": 4, "seeds": 2, "arms": ARMS, **VALUES}
    folders = [
        run_study(load_study(data), tmp_path / name) for name, data in (("p", study(like)), ("q", plain))
    ]
    rounds = [(folder.path / "rounds.parquet").read_bytes() for folder in folders]
    assert rounds[0] == rounds[1]
    # Each goes on in the folder of the other, with all its runs.
    made = sorted(path.name for path in (tmp_path / "q" / "runs").iterdir())
    run_study(load_study(study(like)), tmp_path / "q")
    assert sorted(path.name for path in (tmp_path / "q" / "runs").iterdir()) == made


def test_a_preset_that_changed_makes_another_study(like: Path, tmp_path: Path) -> None:
    run_study(load_study(study(like)), tmp_path / "out")
    written(like, world={**VALUES["world"], "quality_sd": 0.75})
    with pytest.raises(StorageError, match=r"world\.quality_sd: 0\.5 there, 0\.75 now"):
        run_study(load_study(study(like)), tmp_path / "out")
    # The study in the folder is spelled out, and runs as before, with or without the file.
    before = (tmp_path / "out" / "rounds.parquet").read_bytes()
    run_study(load_study(tmp_path / "out" / "study.toml"), tmp_path / "out", RunOptions())
    like.unlink()
    run_study(load_study(tmp_path / "out" / "study.toml"), tmp_path / "again")
    assert (tmp_path / "again" / "rounds.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"world": {"preset": "lkie"}}, 'study: world.preset: there is no preset "lkie". Did you mean "like"? Presets: like;'),
        ({"world": {"preset": "like.tml.toml"}}, "like.tml.toml: there is no such file"),
        ({"world": {"preset": "~nobody-of-that-name/x.toml"}}, "~nobody-of-that-name/x.toml: there is no such file"),
        ({"world": {"preset": "a\0b.toml"}}, "study: world.preset: "),
        ({"world": {"preset": "x" * 5000 + ".toml"}}, "study: world.preset: "),
        ({"world": {"preset": "a\x1b[31m"}}, "study: world.preset: there is no preset"),
        ({"world": {"preset": 3}}, "study: world.preset: must be text in quotes, but is 3"),
        ({"world": {"preset": ""}}, "study: world.preset: there is no preset"),
        ({"world": {"log": "x.csv"}}, "study: world.preset: a preset is a generated world, and world.log makes this one"),
        ({"behavior": 3}, "study: behavior: must be a table, but is 3"),
        ({"world": {"usrs": 3}}, 'study: world.usrs: unknown key. Did you mean "users"?'),
        ({"grid": {"world.preset": ["like"]}}, 'study: grid."world.preset": a preset cannot vary'),
        ({"zip": [{"world.preset": ["like"], "rounds": [3]}]}, 'study: zip[0]."world.preset": a preset cannot vary'),
        ({"grid": {"world": [{"preset": "like"}]}}, 'study: grid."world": a preset cannot vary'),
        ({"uncertainty": {"priors": {"world.preset": {"choice": ["like"]}}}}, 'study: uncertainty.priors."world.preset": a preset cannot'),
        ({"uncertainty": {"priors": {"world": {"choice": [{"preset": "like"}]}}}}, 'study: uncertainty.priors."world": a preset cannot'),
    ],
)  # fmt: skip
def test_what_cannot_be(
    like: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("echodrift.scenarios.specs.presets.presets", lambda: {"like": like})
    monkeypatch.chdir(like.parent)
    with pytest.raises(BadInput) as error:
        load_study(study("like", **changes))
    assert said in str(error.value)


def test_the_option_with_the_preset_is_named(like: Path) -> None:
    bare = {"name": "t", "arms": ARMS}
    with pytest.raises(BadInput, match=r"--set world\.preset=x: world\.preset: there is no preset"):
        load_study(bare, [("--set world.preset=x", "world.preset", "x")])
    with pytest.raises(BadInput, match=r'--set world\.preset=x: a world from a log has no "preset"'):
        load_study({**bare, "world": {"log": "x.csv"}}, [("--set world.preset=x", "world.preset", "x")])
    with pytest.raises(
        BadInput, match=r"--set world\.log=x: world\.log makes this a world from a log, but study"
    ):
        load_study(study(like), [("--set world.log=x", "world.log", "x")])


def test_a_value_of_the_preset_that_does_not_fit_is_said_to_be_its(like: Path) -> None:
    written(like, behavior={"attention": 1.5, "examination": "power"})
    with pytest.raises(BadInput) as error:
        load_study(study(like, behavior={"examination": "cascade"}))
    assert str(error.value).startswith(f'study with world.preset = "{like}": behavior: attention = 1.5 is a')


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        # What is written but the same, and what acts from round 0 on only, changes nothing of the likeness.
        ({"world": {"users": 40, "blend": 0.2}, "behavior": {"reinforcement": 0.5, "organic": 0.3}}, None),
        ({"platform": {"retrain_every": 2, "cold_start": 0}, "grid": {"arms[b].platform.slate": [2, 3]}}, None),
        ({"grid": {"world.quality_sd": [0.5], "behavior.movement": [0.0, 0.1]}}, None),
        ({"world": {"quality_sd": 1.0}}, "world.quality_sd differs from the preset, so what is measured of its likeness does"),
        (
            {"world": {"quality_sd": 1.0}, "platform": {"warmup": 9}},
            "world.quality_sd and platform.warmup differ from the preset, so",
        ),
        (
            {"world": {"users": 80, "items": 60}},
            "world.users differs from the preset, so what is measured of its likeness, at 40 users and 60 items, does not hold",
        ),
        ({"world": {"creators": {}}}, "world.creators differs"),
        ({"world": {"graph": {"degree": 4}}}, "world.graph differs"),
        ({"grid": {"world.quality_sd": [0.5, 1.0], "platform.slate": [3]}}, "world.quality_sd (varied) and platform.slate differ"),
        ({"zip": [{"behavior.search": [0.7, 1.0], "rounds": [3, 4]}]}, "behavior.search (varied) differs"),
        ({"grid": {"world": [{"users": 50}]}}, "world.users, world.items, world.topics, world.quality_sd and world.graph differ"),
        ({"uncertainty": {"priors": {"world.graph.within": {"uniform": [0.1, 0.9]}}}}, "world.graph (drawn from a prior) differs"),
        ({"uncertainty": {"priors": {"behavior.reinforcement": {"uniform": [0.1, 0.2]}}}}, None),
        (
            {"behavior": {key: 1 for key in ("match", "outside", "outside_sd", "attention", "attention_sd", "appetite",
                                             "activity_sd", "repeat", "social", "memory")}},
            "behavior.attention_sd, behavior.appetite, behavior.activity_sd and 3 more settings differ",
        ),
    ],
)  # fmt: skip
def test_what_leaves_the_likeness_is_named(like: Path, changes: dict[str, Any], said: str | None) -> None:
    found = preset_notes(load_study(study(like, **changes)))
    assert len(found) == (said is not None)
    if said:
        assert found[0].startswith(f'world.preset = "{like}": ') and found[0].endswith("does not hold")
        assert said in found[0]


def test_the_note_is_told_before_a_run_and_kept_with_it(like: Path, tmp_path: Path) -> None:
    found = load_study(study(like, world={"quality_sd": 1.0}))
    (note,) = check_runnable(found)
    folder = run_study(found, tmp_path / "out")
    assert json.loads((folder.path / "manifest.json").read_text())["notes"][0] == note
    like.unlink()
    assert "cannot be told" in preset_notes(load_study(tmp_path / "out" / "study.toml"))[0]


@pytest.mark.parametrize("key", sorted(AFTER_THE_LOG))
def test_the_first_log_does_not_depend_on_what_acts_later(like: Path, key: str) -> None:
    base = {"behavior": {"social": 0.5, "word_of_mouth": 0.3, "fatigue": 0.3, "rewiring": 0.2, "repeat": 3}}
    logs = []
    for given_value in (0.1, 0.9):
        made = loop(study(like, **base), set={key: given_value}).simulation
        log = made.log.view()
        logs.append((log.user, log.item, log.round))
    for one, other in zip(*logs, strict=True):
        assert len(one) > 50 and np.array_equal(one, other)
