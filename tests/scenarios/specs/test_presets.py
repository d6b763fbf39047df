"""Files of presets: what they may contain, and that every mistake names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from echodrift.agents.settings import WorldConfig
from echodrift.errors import BadInput
from echodrift.scenarios.specs.files import find_study, library, presets
from echodrift.scenarios.specs.presets import PRESET_KEYS, Preset, load_preset

PRESET = """
name = "Like a tiny log"
description = "For tests."

[world]
users = 40
quality_sd = 0.5

[behavior]
search = 0.7

[platform]
warmup = 8

[likeness]
log = "no log at all"
users = 40
items = 60
pairs = 500
filter = "users with at least 5 items"

[[likeness.rows]]
statistic = "item Gini"
log = 0.71
world = 0.69
tolerance = 0.05
within = true
"""


def read(tmp_path: Path, text: str) -> Preset:
    path = tmp_path / "like.toml"
    path.write_text(text, encoding="utf-8")
    return load_preset(str(path))


def test_values_are_those_that_are_written(tmp_path: Path) -> None:
    preset = read(tmp_path, PRESET)
    assert preset.values() == {
        "world": {"users": 40, "quality_sd": 0.5},
        "behavior": {"search": 0.7},
        "platform": {"warmup": 8},
    }
    assert preset.likeness.rows[0].within and preset.likeness.pairs == 500
    table = PRESET.replace("quality_sd = 0.5", 'graph = { kind = "powerlaw_cluster", triangle = 1 }')
    graph = {"kind": "powerlaw_cluster", "attach": 5, "triangle": 1.0}
    assert read(tmp_path, table).values()["world"] == {"users": 40, "graph": graph}


def test_the_file_in_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "studies.md").read_text(encoding="utf-8")
    (text,) = [
        block.split("```")[0]
        for block in page.split("```toml\n")[1:]
        if "[likeness]" in block.split("```")[0]
    ]
    preset = read(tmp_path, text)
    assert preset.values()["world"]["quality_sd"] == 0.6 and preset.likeness.pairs == 41000


def test_every_setting_that_a_preset_may_contain_has_a_default() -> None:
    """So that a study can always say something else: TOML has no way to write "nothing"."""
    for part, keys in PRESET_KEYS.items():
        config = type(Preset.model_fields[part].default)()
        assert all(getattr(config, key) is not None for key in keys)
    assert set(WorldConfig.model_fields) - set(PRESET_KEYS["world"]) == {"preset", "creators"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("users = 40\nq", "usrs = 40\nq", 'world.usrs: unknown key. Did you mean "users"? Allowed: '),
        ("quality_sd = 0.5", "quality_sd = -1", "world.quality_sd: must be at least 0 and at most 1000000.0, but is -1"),
        ("quality_sd = 0.5", 'quality_sd = "1"', 'world.quality_sd: must be a number, but is "1"'),
        ("quality_sd = 0.5", 'preset = "x"', "world.preset: a preset does not build on another one"),
        ("quality_sd = 0.5", "creators = {}", "world.creators: belongs into the study"),
        ("quality_sd = 0.5", 'graph = {kind = "edges", path = "e.csv"}', "world.graph.path: a preset refers to no other"),
        ("quality_sd = 0.5", 'log = "x.csv"', "world.log: unknown key"),
        ("quality_sd = 0.5", "taste_shares = [0.1, 0.9]", "world: taste_shares must be in descending order"),
        ("search = 0.7", "search = 9", "behavior.search: must be at least 0 and at most 4, but is 9"),
        ("warmup = 8", "retrain_every = 5", "platform.retrain_every: a preset sets only slate and warmup"),
        ("warmup = 8", "warm = 5", 'platform.warm: unknown key. Did you mean "warmup"?'),
        ("[behavior]", "[behaviour]", 'behaviour: unknown key. Did you mean "behavior"?'),
        ("[likeness]", "rounds = 5\n[likeness]", 'platform.rounds: unknown key'),
        ("name =", "rounds = 5\nname =", "rounds: unknown key"),
        ('name = "Like a tiny log"', "", "name: is missing"),
        ('"For tests."', '""', "description: must not be empty"),
        ("pairs = 500", "pairs = 0", "likeness.pairs: must be at least 1, but is 0"),
        ("pairs = 500", "pair = 5", 'likeness.pair: unknown key. Did you mean "pairs"?'),
        ("within = true", 'within = "yes"', 'likeness.rows[0].within: must be true or false, but is "yes"'),
        ("within = true", "", "likeness.rows[0].within: is missing"),
        ("world = 0.69", "world = nan", "likeness.rows[0].world: must be a finite number"),
        ("[[likeness.rows]]", "[likeness.rows]", "likeness.rows: is one table, but there can be several"),
        ("[world]", "[world", "not valid TOML"),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert PRESET.count(old) == 1
    with pytest.raises(BadInput) as error:
        read(tmp_path, PRESET.replace(old, new))
    assert f"{tmp_path / 'like.toml'}: {message}" in str(error.value)


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path, PRESET.replace("users = 40\nq", "users = 0\nq").replace("search = 0.7", "serch = 1"))
    assert len(error.value.mistakes) == 2


def test_a_preset_is_no_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echodrift.scenarios.specs.files.presets", lambda: {"films": Path("films.toml")})
    with pytest.raises(BadInput, match='"films" is a world, not a study: write preset = "films" under'):
        find_study("films")


@pytest.mark.parametrize("name", presets())
def test_presets_that_come_with_echodrift_are_in_order(name: str) -> None:
    assert name not in library()
    assert load_preset(name).likeness.rows
