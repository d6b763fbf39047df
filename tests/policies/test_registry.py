"""Kinds, specs, and the messages for specs that cannot be built."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import tomli_w
from echodrift.errors import BadInput
from echodrift.policies import registry
from echodrift.policies.base import LogTransform, Policy, Reranker
from echodrift.policies.baselines import Popularity
from echodrift.policies.registry import (
    build_log_transform,
    build_policy,
    build_reranker,
    kinds,
    policy_class,
    register,
    reranker_class,
    spec_of,
)
from hypothesis import given
from hypothesis import strategies as st


class Mine(Popularity):
    """An outside policy that inherits a built-in one."""


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {name: {} for name in registry._REGISTERED})


def entry(monkeypatch, group: str, name: str, value: str):
    found = [EntryPoint(name, value, group)]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == found[0].group else [])


NEEDED = {
    "adapter": {"model": "implicit.als:AlternatingLeastSquares"},
    "http": {"url": "http://127.0.0.1:9"},
}
"""Fields without which a kind cannot be built."""


def test_every_built_in_kind_builds_and_says_its_name():
    assert {"content", "ease", "mult_vae", "popularity", "social_poisson"} <= set(kinds())
    assert kinds() == sorted(kinds())
    assert {"calibrated", "consumption", "dpp", "exposure_fair"} <= set(kinds("rerankers"))
    assert kinds("rerankers") == sorted(kinds("rerankers"))
    for kind in kinds():
        assert policy_class(kind).kind == kind
        assert isinstance(build_policy({"kind": kind, **NEEDED.get(kind, {})}), Policy)
    for kind in kinds("rerankers"):
        assert reranker_class(kind).kind == kind
        assert isinstance(build_reranker({"kind": kind}), Reranker)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "random"},
        {"kind": "popularity", "window": 4},
        {"kind": "content", "half_life": 2.5},
        {"kind": "matrix_factorization", "dim": 3, "model": "bpr", "regularization": 0.5},
    ],
)
def test_specs_survive_toml(spec):
    built = build_policy(spec)
    written = tomllib.loads(tomli_w.dumps(spec_of(built)))
    assert written.items() >= spec.items()
    again = build_policy(written)
    assert type(again) is type(built) and again.config == built.config
    assert spec_of(again) == written


BAD = [
    (
        {"kind": "popularty"},
        ["no policy of kind", '"popularty"', 'Did you mean "popularity"?', "list_mf, matrix"],
    ),
    (
        {"kind": "popularity", "windw": 3},
        ["popularity: windw: unknown key", 'mean "window"?', "Allowed: window"],
    ),
    ({"kind": "random", "x": 1}, ["random: x: unknown key", "Allowed: none"]),
    ({"kind": "popularity", "window": 0}, ["popularity: window: must be at least 1, but is 0"]),
    ({"kind": "popularity", "window": "soon"}, ['window: must be a whole number, but is "soon"']),
    ({"kind": "content", "half_life": float("nan")}, ["half_life: must be a finite number, but is nan"]),
    ({"kind": "matrix_factorization", "model": "svd"}, ["model: must be 'als' or 'bpr', but is \"svd\""]),
    ({"kind": "matrix_factorization", "model": ["als"]}, ['but is ["als"]', "'als' or 'bpr'"]),
    ({"kind": "matrix_factorization", "dim": -1, "dims": 2}, ["but is -1", "dims: unknown key"]),
    ({"kind": "popularity", "window": len}, ["popularity.window is a function", "package.module:Class"]),
    (
        {"kind": "popularity", "window": [1, object()]},
        ["popularity.window[1] is a object", "cannot be written"],
    ),
    ({"kind": Popularity}, ["the kind of a policy is a function"]),
    ({"kind": 3}, ["kind of a policy is a name, got 3"]),
    ({"window": 3}, ["a policy needs a kind. Allowed: adapter, bandit"]),
    ("popularity", ["written as a table", "'popularity'"]),
    ({"kind": "no_such_package.x:Y"}, ['module "no_such_package.x" cannot be imported', "PYTHONPATH"]),
    ({"kind": "echodrift.policies.baselines:Popularty"}, ['has no "Popularty"', 'mean "Popularity"?']),
    ({"kind": "os.path:join"}, ["is not a policy", "echodrift.policies.Policy"]),
    ({"kind": "echodrift.policies.rerankers.calibrated:Calibrated"}, ["is not a policy"]),
    ({"kind": ":"}, ['module "" cannot be imported']),
]


@pytest.mark.parametrize(("spec", "parts"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_specs_are_answered(spec, parts):
    with pytest.raises(BadInput) as caught:
        build_policy(spec)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_any_kind_is_either_known_or_refused(kind):
    try:
        assert issubclass(policy_class(kind), Policy)
    except BadInput:
        assert kind not in kinds()


def test_wrong_fields_are_refused_in_direct_construction_too():
    with pytest.raises(BadInput, match="popularity: windows: unknown key"):
        Popularity(windows=3)


def test_numpy_numbers_are_numbers():
    assert build_policy({"kind": "popularity", "window": np.int64(3)}).config.window == 3


def test_kind_by_path():
    built = build_policy({"kind": f"{__name__}:Mine", "window": 2})
    assert type(built).__name__ == "Mine" and built.config.window == 2
    assert spec_of(built) == {"kind": f"{__name__}:Mine", "window": 2}


def test_register(clean):
    @register("mine")
    class Registered(Popularity):
        pass

    assert "mine" in kinds() and "mine" not in kinds("rerankers")
    built = build_policy({"kind": "mine", "window": 2})
    assert type(built) is Registered and spec_of(built)["kind"] == "mine"
    with pytest.raises(BadInput, match='already a policy of kind "mine"'):
        register("mine")(Mine)
    with pytest.raises(BadInput, match='already a policy of kind "random"'):
        register("random")(Mine)
    with pytest.raises(BadInput, match="not a policy, reranker or log transform"):
        register("dict")(dict)


def test_log_transforms(clean):
    @register("nothing")
    class Nothing(LogTransform):
        def prepare(self, seen):
            return seen

    assert "nothing" in kinds("log_transforms")
    assert isinstance(build_log_transform({"kind": "nothing"}), Nothing)
    with pytest.raises(BadInput, match="no log transform of kind"):
        build_log_transform({"kind": "nothin"})


def test_entry_points_are_listed_without_import_and_built_on_demand(monkeypatch):
    entry(monkeypatch, "echodrift.policies", "theirs", f"{__name__}:Mine")
    assert "theirs" in kinds() and "theirs" not in kinds("rerankers")
    assert type(build_policy({"kind": "theirs"})).__name__ == "Mine"
    entry(monkeypatch, "echodrift.policies", "broken", "no_such_package:X")
    assert "broken" in kinds()
    with pytest.raises(BadInput, match='kind "broken": module "no_such_package" cannot be imported'):
        build_policy({"kind": "broken"})


def test_listing_loads_no_heavy_library():
    code = (
        "import sys; from echodrift.policies.registry import kinds, policy_class; kinds();"
        "policy_class('matrix_factorization');"
        "print([m for m in ('implicit', 'pandas', 'matplotlib', 'sklearn', 'mesa') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
