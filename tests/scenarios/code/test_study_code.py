"""Which code a study names, and what is refused before any of it is imported or called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from echodrift.config import Config as Settings
from echodrift.errors import BadInput
from echodrift.policies.base import ScorePolicy
from echodrift.policies.registry import _REGISTERED
from echodrift.scenarios.api import run
from echodrift.scenarios.code.study_code import (
    check_importable,
    code_note,
    identities,
    named_code,
    refuse_code,
)
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.execution.memory import describe_memory
from echodrift.scenarios.runner import check_runnable
from echodrift.scenarios.specs.validation import validate_study

HERE = __name__


def study(*policies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    arms = [{"name": f"arm {number}", "policy": policy} for number, policy in enumerate(policies)]
    return {
        "name": "named",
        "rounds": 3,
        "seeds": 2,
        "world": {"users": 20, "items": 30},
        "arms": arms,
        **fields,
    }


CALLED: list[str] = []


class Watched(ScorePolicy):
    """A policy that tells what is called."""

    def __init__(self, **fields: Any) -> None:
        CALLED.append("__init__")
        super().__init__(**fields)

    @classmethod
    def learns_weights(cls, fields: Any) -> str | None:
        CALLED.append("learns_weights")
        return None

    @property
    def gives_scores(self) -> bool:  # type: ignore[override]
        CALLED.append("gives_scores")
        return True

    def memory(self, size: Any) -> float:
        CALLED.append("memory")
        return 1.0

    def fit(self, seen: Any, rng: Any) -> None:
        CALLED.append("fit")

    def scores(self, seen: Any, users: Any, rng: Any) -> Any:
        raise NotImplementedError


def make() -> None:
    CALLED.append("make")


class Built:
    def __init__(self) -> None:
        CALLED.append("Built")

    def fit(self, counts: Any) -> None: ...

    def predict(self, histories: Any) -> Any: ...


@pytest.mark.parametrize(
    "policy",
    [
        {"kind": f"{HERE}:Watched"},
        {"kind": "adapter", "model": f"{HERE}:make"},
        {"kind": "adapter", "model": f"{HERE}:Built"},
    ],
)
def test_check_imports_and_calls_nothing(policy):
    CALLED.clear()
    given = study({"kind": "popularity"}, policy)
    given["arms"][1] |= {
        "rerank": [{"kind": "calibrated"}],
        "transform": [{"kind": "position_debias"}],
        "switch": [{"round": 1, "slate": 5}],
    }
    chosen = load_study(given)
    check_runnable(chosen)
    describe_memory(chosen)
    assert CALLED == []
    assert policy.get("model", policy["kind"]) in code_note(chosen)


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        ("os:system", "command"),
        ("subprocess:run", "args"),
        ("builtins:eval", "source"),
        ("subprocess:Popen", "args"),
    ],
)
def test_what_is_no_recommender_is_refused_and_never_called(model, argument, tmp_path):
    given = study({"kind": "adapter", "model": model, "arguments": {argument: f"touch {tmp_path}/called"}})
    with pytest.raises(BadInput, match="not a recommender"):
        check_runnable(load_study(given))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [
        study({"kind": "never_imported:Model"}),
        study({"kind": "adapter", "model": "never_imported:Model"}),
        study({"kind": "bandit", "policy": {"kind": "never_imported:Model"}}),
        study({"kind": "popularity"}, grid={"arms[arm 0].policy.kind": ["random", "never_imported:Model"]}),
        study({"kind": "popularity"}, grid={"arms[arm 0].policy": [{"kind": "never_imported:Model"}]}),
    ],
)
def test_no_code_refuses_before_anything_is_imported(given):
    with pytest.raises(BadInput, match=r"never_imported:Model\), which --no-code refuses"):
        load_study(given, no_code=True)
    with pytest.raises(BadInput, match="--no-code refuses"):
        run(given, no_code=True)


def test_no_code_lets_built_in_components_and_services_pass():
    given = study({"kind": "ials"}, {"kind": "http", "url": "http://127.0.0.1:1"}, {"kind": "organic"})
    refuse_code(validate_study(given, "study"), "study")
    assert code_note(load_study(given, no_code=True)) == ""


def test_everything_named_is_found_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(b"")
    given = study({"kind": f"{HERE}:Watched"}, {"kind": "http", "url": "http://127.0.0.1:1"})
    given["arms"][0] |= {
        "switch": [
            {"round": 1, "policy": {"kind": "adapter", "model": "a:B", "arguments": {"path": "weights.bin"}}},
            {"round": 2, "policy": {"kind": f"{HERE}:Watched"}},
        ]
    }
    named = named_code(validate_study(given, "study").arms)
    assert list(named.targets) == [f"{HERE}:Watched", "a:B"]
    assert list(named.files) == ["weights.bin"]
    assert list(named.services) == ["http://127.0.0.1:1"]


def test_two_versions_of_one_service_are_two():
    url = "http://127.0.0.1:1"
    given = study({"kind": "http", "url": url}, {"kind": "http", "url": url, "version": "2"})
    arms = validate_study(given, "study").arms
    assert list(named_code(arms).services) == [url, f"{url} (version 2)"]
    assert identities(arms) == {url: None, f"{url} (version 2)": {"service": "2"}}


def test_a_file_that_a_prior_draws_counts_too(tmp_path):
    files = [tmp_path / name for name in "ab"]
    for path in files:
        path.write_text(path.name)
    kind = {"kind": f"{HERE}:Reads", "path": str(files[0])}
    prior = {"arms[arm 0].policy.path": {"choice": list(map(str, files))}}
    chosen = load_study(study(kind, seeds=8, uncertainty={"priors": prior}))
    code = identities(chosen.arms)
    before = expand(chosen, code=code)
    assert {name for run in before for name in run.code} == {f"{HERE}:Reads", *map(str, files)}
    files[1].write_text("other")
    after = expand(chosen, code=code)
    drawn = [str(files[1]) in run.code for run in before]
    assert any(drawn) and [one.key != other.key for one, other in zip(before, after, strict=True)] == drawn


class Reads(ScorePolicy):
    """A policy that reads a file."""

    class Config(Settings):
        path: str

    def fit(self, seen: Any, rng: Any) -> None: ...

    def scores(self, seen: Any, users: Any, rng: Any) -> Any:
        raise NotImplementedError


class OnlyHere(ScorePolicy):
    """A policy of this process."""

    def fit(self, seen: Any, rng: Any) -> None: ...

    def scores(self, seen: Any, users: Any, rng: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", ["only_here", "__main__:Model"])
def test_a_class_of_this_process_alone_is_refused_side_by_side(kind, monkeypatch):
    monkeypatch.setitem(_REGISTERED["policies"], "only_here", OnlyHere)
    arms = validate_study(study({"kind": "popularity"}, {"kind": kind}), "study").arms
    with pytest.raises(BadInput, match=f'"{kind}" exists in this process only.*jobs = 1'):
        check_importable(arms)
    if kind == "only_here":
        for how in ({"jobs": 2}, {"jobs": 1, "backend": "dask"}):
            with pytest.raises(BadInput, match="exists in this process only"):
                run(study({"kind": kind}), **how)
