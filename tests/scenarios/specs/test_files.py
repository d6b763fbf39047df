"""Study files: every mistake gets one line that names the key; what is read can be written and read again."""

from __future__ import annotations

import pickle
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from echodrift.config import Config
from echodrift.errors import BadInput, EchodriftError, WrongFields
from echodrift.keys import differences
from echodrift.scenarios.design.grid import grid_points
from echodrift.scenarios.design.load import dump, load_study
from echodrift.scenarios.specs.overrides import parse_set
from echodrift.scenarios.specs.study import LogConfig, Study
from echodrift.scenarios.specs.validation import traced, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import model_validator

TINY = """
name = "tiny"
rounds = 3
seeds = 2

[world]
users = 20
items = 30

[[arms]]
name = "none"
policy = { kind = "organic" }

[[arms]]
name = "top 10, by takes"
policy = { kind = "popularity" }
platform = { learn_from = "warmup" }
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def loaded(path: Path, *sets: str) -> Study:
    return load_study(path, [parse_set(text) for text in sets])


def test_every_default_is_spelled_out_and_survives_the_round_trip(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, TINY))
    text = dump(study)
    assert "attention = 0.85" in text
    assert "all" not in study.arms[0].policy
    again = written(tmp_path, text)
    assert load_study(again) == study
    assert dump(load_study(again)) == text


def test_defaults_of_policies_are_spelled_out(tmp_path: Path) -> None:
    from echodrift.policies.registry import policy_class

    arm = load_study(written(tmp_path, TINY)).arms[1]
    assert arm.policy == {"kind": "popularity"} | policy_class("popularity").Config().model_dump(
        mode="json", exclude_none=True
    )


def test_the_same_study_from_file_mapping_and_object(tmp_path: Path) -> None:
    import tomllib

    study = load_study(written(tmp_path, TINY))
    assert load_study(tomllib.loads(TINY)) == study
    assert load_study(study) == study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rounds = 3", "rounds = 0"), "mine.toml: rounds: must be at least 1 and at most 1000000, but is 0"),
        (("rounds = 3", "runds = 3"), 'mine.toml: runds: unknown key. Did you mean "rounds"?'),
        (("rounds = 3", 'rounds = "3"'), 'mine.toml: rounds: must be a whole number, but is "3"'),
        (("rounds = 3", "rounds = 3.5"), "mine.toml: rounds: must be a whole number, but is 3.5"),
        (("rounds = 3", "rounds = true"), "mine.toml: rounds: must be a whole number, but is true"),
        (("seeds = 2", "seeds = 0"), "mine.toml: seeds: must be 1 to 100000, or a list of seeds"),
        (("seeds = 2", "seeds = [1, 1]"), "mine.toml: seeds: the same seed is listed twice"),
        (("seeds = 2", "seeds = [-1]"), "mine.toml: seeds: a list of seeds holds at least one number"),
        (("seeds = 2", 'seeds = "x"'), 'mine.toml: seeds: must be a whole number or a list, but is "x"'),
        (("users = 20", "usrs = 20"), 'mine.toml: world.usrs: unknown key. Did you mean "users"? Allowed: '),
        (("users = 20", "users = 0"), "mine.toml: world.users: must be at least 1"),
        (("users = 20", "idiosyncrasy = nan"), "mine.toml: world.idiosyncrasy: must be a finite number"),
        (("users = 20", "graph = {degree = 4}"), "mine.toml: world.graph.kind: is missing; it must be one of "),
        (("users = 20", 'graph = {kind = "watts"}'), 'mine.toml: world.graph.kind: is "watts", but must be one of '),
        (
            ("users = 20", 'graph = {kind = "watts_strogatz", rewiring = 2}'),
            "mine.toml: world.graph.rewiring: must be at least 0 and at most 1, but is 2",
        ),
        (("users = 20", "taste_shares = [0.1, 0.9]"), "mine.toml: world: taste_shares must be in descending order"),
        (("users = 20", 'taste_shares = [1, "a"]'), 'mine.toml: world.taste_shares[1]: must be a number, but is "a"'),
        (("users = 20", 'retire = "odlest"'), "mine.toml: world.retire: must be 'oldest' or 'random' (Did you mean \"oldest\"?)"),
        (("[world]\nusers = 20\nitems = 30", "world = 3"), "mine.toml: world: must be a table, but is 3"),
        (("name = \"none\"", "nam = \"none\""), "mine.toml: arms[0].name: is missing"),
        (("name = \"none\"", 'name = "top 10, by takes"'), 'two arms are named "top 10, by takes"'),
        (('"organic"', '"organc"'), 'mine.toml: arms[0].policy.kind: there is no policy of kind "organc"'),
        (('{ kind = "organic" }', "{ }"), "mine.toml: arms[0].policy.kind: must name what to use"),
        (('{ kind = "organic" }', '{ kind = "organic", dim = 1 }'), "mine.toml: arms[0].policy.dim: unknown key"),
        (('kind = "popularity"', 'kind = "popularity", windw = 1'), "mine.toml: arms[1].policy.windw: unknown key"),
        (('"warmup"', '"warm"'), "mine.toml: arms[1].platform.learn_from: must be 'all', 'organic' or 'warmup'"),
        (("{ learn_from", "{ slat = 1, learn_from"), 'mine.toml: arms[1].platform.slat: unknown key. Did you mean "slate"?'),
        (("rounds = 3", 'reference = "nobody"'), 'mine.toml: reference = "nobody" is not the name of an arm'),
        (("rounds = 3", 'reference = "nome"'), 'Did you mean "none"?'),
        (("users = 20", "users = 10000001"), "mine.toml: world.users: must be at least 1 and at most 10000000"),
        (("[world]", "[grid]\nbehavior.organic = [1, 2]\n[world]"), 'mine.toml: grid.behavior.organic: put the key in quotes: "behavior.organic" = …'),
        (("rounds = 3", 'description = "open'), ': description = "open'),
        (("rounds = 3", "rounds = "), "mine.toml: not valid TOML: Invalid value (at line 3, column 10)"),
        (("rounds = 3", "rounds = 3\nrounds = 4"), "mine.toml: not valid TOML: Cannot overwrite a value (at line 4"),
        (("rounds = 3", "rounds = 3\nrounds = 4"), "): rounds = 4"),
        (("rounds = 3", "x = " + "[" * 5000), "mine.toml: not valid TOML: "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert TINY.count(change[0]) >= 1
    with pytest.raises(BadInput) as caught:
        load_study(written(tmp_path, TINY.replace(*change, 1)))
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_several_mistakes_come_one_per_line(tmp_path: Path) -> None:
    text = TINY.replace("rounds = 3", "rounds = 0").replace("items = 30", "items = -1\nfoo = 1")
    with pytest.raises(BadInput) as caught:
        load_study(written(tmp_path, text))
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert sorted(keys) == ["rounds", "world.foo", "world.items"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.toml", None, "there is no such file"),
        ("latin.toml", "name = 'd\xe9j\xe0'".encode("latin-1"), "not a UTF-8 text file (byte 9)"),
        ("empty.toml", b"", "empty.toml: name: is missing\n"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load_study(tmp_path / name)
    assert message in str(caught.value) + "\n"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_text(TINY, encoding="utf-8-sig")
    assert load_study(path).name == "tiny"


def test_names_that_are_not_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from echodrift.scenarios.specs import files

    monkeypatch.setattr(files, "LIBRARY", tmp_path)
    (tmp_path / "default.toml").write_text(TINY)
    assert load_study("default").name == "tiny"
    with pytest.raises(BadInput, match='no study "defult".*Did you mean "default"'):
        load_study("defult")
    with pytest.raises(BadInput, match="is a folder"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("rounds=5", "rounds", 5),
        ("a.b = 0.5", "a.b", 0.5),
        ("a=true", "a", True),
        ("a=[1, 2]", "a", [1, 2]),
        ('a={kind="x"}', "a", {"kind": "x"}),
        ('a="x # y"', "a", "x # y"),
        ("world.log=../data/my ratings.csv", "world.log", "../data/my ratings.csv"),
        ("a=C:\\data\\x.csv", "a", "C:\\data\\x.csv"),
        ("a=never", "a", "never"),
        ("a=b=c", "a", "b=c"),
    ],
)
def test_values_of_set(text: str, key: str, value: object) -> None:
    assert parse_set(text) == (f"--set {text}", key, value)


@pytest.mark.parametrize(
    "text", ["rounds", "=5", "rounds=", "", "a=[1,", 'a="x', "a={", "a=x\ny=2", "a=1 # no"]
)
def test_set_that_is_not_key_and_value(text: str) -> None:
    if text == "a=1 # no":
        assert parse_set(text)[2] == 1
        return
    with pytest.raises(BadInput) as caught:
        parse_set(text)
    assert str(caught.value).startswith(f"--set {text}")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["world.userz=5"], '--set world.userz=5: world.userz: unknown key. Did you mean "users"?'),
        (["nothing.at.all=3"], "--set nothing.at.all=3: nothing: unknown key"),
        (["arms[top 10, by takes].policy.windw=8"], "--set arms[top 10, by takes].policy.windw=8: arms[top 10, by takes].policy.windw: unknown key"),
        (["arms[none].policy={}"], "--set arms[none].policy={}: arms[none].policy.kind: must name what to use"),
        (["arms[none].platform.slat=8"], "--set arms[none].platform.slat=8: arms[none].platform.slat: unknown key"),
        (["rounds=4", "reference=nome"], "--set reference=nome: reference = "),
        (["world.log=x.csv"], "world.log=x.csv: world.log makes this a world from a log, but "),
        (["rounds=-1"], "--set rounds=-1: rounds: must be at least 1"),
        (["rounds.x=1"], '--set rounds.x=1: "rounds.x": rounds is not a table'),
        (["arms[MF].policy.dim=3"], "arms has no element [MF]; it has [none], [top 10, by takes]"),
        (["arms[nne].policy.dim=3"], 'Did you mean "none"?'),
        (["arms[7].name=x"], "arms has no element [7]"),
        (["arms.x=1"], '"arms.x": arms is not a table'),
        (["rounds[0]=1"], "rounds is not a list"),
        (["world..users=1"], "is not a dotted key"),
        (["world.users.=1"], "is not a dotted key"),
        (["arms[0]name=1"], "is not a dotted key"),
        (["grid.world.users=5"], "grid.world.users: must be a list, but is 5"),
        (["grid.world.users=[]"], 'grid."world.users": the list of values is empty'),
        (["grid.world.users=[5, 5]"], "the same value is listed twice"),
        (["grid.world.usrs=[5, 6]"], 'grid."world.usrs" = 5: world.usrs: unknown key. Did you mean "users"?'),
        (["grid.world.users=[5, 0]"], 'grid."world.users" = 0: world.users: must be at least 1'),
        (["grid.seeds=[1, 2]"], 'grid."seeds": a grid varies rounds, world.'),
        (["grid.arms[none].name=['a']"], "a grid varies rounds"),
        (["grid.arms[nobody].policy.dim=[1]"], "arms has no element [nobody]"),
        (["grid.behavior.repeat=[1]", "grid.behavior=[{repeat = 2}]"], "sets the same thing as"),
        (["grid.arms[none].policy.kind=['x', 'random']"], "at arms[none].policy.kind = 'x': arms[0].policy.kind: there is no policy"),
    ],
)  # fmt: skip
def test_mistakes_in_options_name_the_option_or_the_grid_key(
    tmp_path: Path, sets: list[str], message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        loaded(written(tmp_path, TINY), *sets)
    assert message in str(caught.value)


def test_a_world_from_a_log_has_no_users_of_its_own(tmp_path: Path) -> None:
    log = {"name": "l", "world": {"log": "r.csv"}, "arms": [{"name": "a", "policy": {"kind": "organic"}}]}
    with pytest.raises(BadInput) as caught:
        load_study(log, [parse_set("world.users=50")])
    assert str(caught.value).startswith('--set world.users=50: a world from a log has no "users"')
    assert "\n" not in str(caught.value)
    open_world = {**log, "world": {"user_core": 3, "topics": 4}}
    assert load_study(open_world, [parse_set("world.log=r.csv")]).world.user_core == 3


def test_seeds_are_told_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        loaded(written(tmp_path, TINY), "seeds=0")
    assert str(caught.value).count("but is 0") == 1


def test_set_reaches_every_part_of_a_study(tmp_path: Path) -> None:
    study = loaded(
        written(tmp_path, TINY),
        "world.graph={kind = 'none'}",
        "arms[top 10, by takes].platform.slate=4",
        "arms[0].name=nothing",
        "grid.behavior.reinforcement=[0, 0.5]",
        "world.users=7",
    )
    assert study.world.graph.kind == "none"
    assert study.arms[1].platform == {"learn_from": "warmup", "slate": 4}
    assert study.arms[0].name == "nothing"
    assert study.grid == {"behavior.reinforcement": [0, 0.5]}
    assert study.world.users == 7


def test_an_arm_may_have_any_name(tmp_path: Path) -> None:
    name = "a].b[0]=x"
    study = load_study({"name": "n", "arms": [{"name": name, "policy": {"kind": "popularity"}}]})
    found = load_study(study, [("set", f"arms[{name}].platform.slate", 3)])
    assert found.arms[0].platform == {"slate": 3}


def test_paths_are_relative_to_the_file_and_to_the_current_folder_in_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    path = written(
        tmp_path / "deep",
        'name = "l"\n[world]\nlog = "../r.csv"\n[[arms]]\nname = "a"\npolicy = {kind = "organic"}',
    )
    study = load_study(path)
    assert isinstance(study.world, LogConfig)
    assert study.world.log == str(tmp_path / "r.csv")
    monkeypatch.chdir(tmp_path / "deep")
    study = loaded(path, "world.social=friends.csv")
    assert study.world.social == str(tmp_path / "deep" / "friends.csv")
    written(tmp_path, dump(study))
    assert load_study(tmp_path / "mine.toml") == study


def test_a_mapping_may_hold_numpy_values_and_no_code() -> None:
    arms = [{"name": "a", "policy": {"kind": "organic"}}]
    study = load_study(
        {"name": "n", "rounds": np.int64(7), "arms": arms, "grid": {"world.users": np.array([5, 6])}}
    )
    assert (study.rounds, study.grid) == (7, {"world.users": [5, 6]})
    with pytest.raises(
        BadInput, match=r"study: arms\[0\]: policy: kind is a function, which cannot be written"
    ):
        load_study({"name": "n", "arms": [{"name": "a", "policy": {"kind": lambda: 1}}]})
    with pytest.raises(BadInput, match=r"users\[0\] is None, which cannot be written"):
        load_study({"name": "n", "arms": arms, "grid": {"world.users": [None]}})
    deep: dict = {}
    deep["world"] = deep
    with pytest.raises(BadInput, match="nested too deeply"):
        load_study(deep)


def test_grid_points_come_in_order_with_the_last_key_fastest(tmp_path: Path) -> None:
    study = loaded(
        written(tmp_path, TINY), "grid.world.users=[5, 6]", "grid.arms[none].platform.slate=[1, 2]"
    )
    found = [
        (values, point.world.users, point.arms[0].platform["slate"]) for values, point in grid_points(study)
    ]
    assert [(users, slate) for _, users, slate in found] == [(5, 1), (5, 2), (6, 1), (6, 2)]
    assert found[1][0] == {"world.users": 5, "arms[none].platform.slate": 2}
    assert all(not point.grid for _, point in grid_points(study))


def test_a_grid_that_explodes_is_refused(tmp_path: Path) -> None:
    many = list(range(1, 102))
    with pytest.raises(BadInput, match=r"10,201 design points × \d+ seeds: at most 10,000"):
        load_study(written(tmp_path, TINY), [("s", "grid", {"world.users": many, "world.items": many})])


# A person can write anything; the answer is a study or one clear error, never a traceback.

KEYS = st.sampled_from(
    ["name", "rounds", "seeds", "world", "behavior", "platform", "arms", "grid", "users", "graph", "kind", "policy",
     "rerank", "log", "taste_shares", "groups", "share", "attention", "world.users", "reference", "measures", "x"]
)  # fmt: skip
SCALARS = st.one_of(
    st.integers(),
    st.integers(min_value=10**400, max_value=10**400 + 5),
    st.floats(),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(["popularity", "organic", "never", "watts_strogatz", "none", "all"]),
    st.dates(),
    st.none(),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=5), st.booleans())
def test_any_tables_are_a_study_or_a_clear_error(tables: dict, complete: bool) -> None:
    if complete:
        tables = {"name": "x", "arms": [{"name": "a", "policy": {"kind": "organic"}}], **tables}
    try:
        study = load_study(tables)
    except EchodriftError as error:
        assert str(error).strip()
    else:
        assert load_study(study) == study


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60) | st.text(alphabet="[]{}=.\"'\n#,1ae+-_ \x00", max_size=40).map(str.encode)
)
def test_any_bytes_are_a_study_or_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    with pytest.raises(EchodriftError):
        load_study(path)


PATHS = st.sampled_from(
    ["rounds", "seeds", "world.users", "world", "grid", "arms", "arms[0]", "arms[a].policy.kind", "grid.world.users",
     "behavior.repeat", "arms[a]", "world.graph.kind", "name", "a[b", "x]", ".", "world.graph[0]", "arms[0][0].x"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["1", "-1", "true", "[1,2]", "[[", "{}", "{kind='none'}", "nan", "1979-05-27", "'''", "0x" + "f" * 5000]
)


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(PATHS | st.text(max_size=8), VALUES | st.text(max_size=8)).map("=".join) | st.text(max_size=10)
)
def test_any_set_is_a_study_or_a_clear_error(option: str) -> None:
    base = {"name": "x", "arms": [{"name": "a", "policy": {"kind": "organic"}}]}
    try:
        study = load_study(base, [parse_set(option)])
    except EchodriftError as error:
        assert str(error).strip()
    else:
        assert load_study(study) == study


def test_differences_of_nested_tables() -> None:
    one = {"a": {"b": [1, 2]}, "arms": {"[MF]": {"rerank": [{"kind": "mmr", "weight": 1}]}}, "c": 1}
    other = {"a": {"b": [1, 3]}, "arms": {"[MF]": {"rerank": [{"kind": "mmr", "weight": 2}]}}, "d": 2}
    assert list(differences(one, other)) == [
        ("a.b", [1, 2], [1, 3]),
        ("arms[MF].rerank[0].weight", 1, 2),
        ("c", 1, None),
        ("d", None, 2),
    ]


class Pair(Config):
    """Two fields that somebody else's validator holds against each other."""

    low: int = 1
    high: int = 2

    @model_validator(mode="after")
    def _apart(self) -> Pair:
        if self.low > self.high:
            raise WrongFields("low is above high", "low", "high")
        if self.low == self.high:
            raise ValueError("low is high")
        return self


@pytest.mark.parametrize(
    ("data", "wrote", "source"),
    [
        ({"low": 3}, ["low"], "--set"),
        ({"low": 3}, ["high"], "--set"),
        ({"low": 3}, ["else"], "mine.toml"),
        ({"low": 2}, ["else"], "--set"),  # nobody says which fields it is about
        ({"low": "x"}, ["high"], "mine.toml"),
        ({"low": "x"}, [], "--set"),
    ],
)
def test_an_option_is_blamed_for_what_it_is_about(
    data: dict[str, Any], wrote: list[str], source: str
) -> None:
    with pytest.raises(BadInput) as caught:
        validate(Pair, data)
    placed = [(("arms", 0, "policy", *wrote), "--set")]
    told = traced(caught.value.inside("arms", 0, "policy"), "mine.toml", placed, ["MF"])
    key = "arms[MF].policy" if source == "--set" else "arms[0].policy"
    assert str(told).startswith(f"{source}: {key}")
    assert str(traced(told, "other.toml")) == str(told) == str(pickle.loads(pickle.dumps(told)))
