"""What is said of a study that cannot be read: in no words of a library, none twice, and with what was meant."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from echodrift.analysis.gate.bounds import parse_horizon
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from hypothesis import given, settings
from hypothesis import strategies as st


def _ways(table: Any, way: tuple = ()) -> list[tuple]:
    inside = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    return [found for key, value in inside for found in [(*way, key), *_ways(value, (*way, key))]]


WHOLE = load_study(
    {
        "name": "whole",
        "seeds": 2,
        "world": {"groups": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}]},
        "arms": [
            {"name": "a", "policy": {"kind": "popularity"}, "switch": [{"round": 3, "slate": 4}]},
            {"name": "b", "policy": {"kind": "random"}},
        ],
        "uncertainty": {"priors": {"behavior.match": {"normal": [6, 1], "low": 4, "high": 8}}},
        "gate": {"baseline": "a", "candidate": "b", "goal": [{"measure": "welfare", "at_least": 0.1}]},
    }
).model_dump(mode="json", exclude_none=True)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_ways(WHOLE)),
    st.sampled_from([True, 0, -1, 1.5, 10**30, float("nan"), "x", "", [], ["x"], [1], [[]], {}, {"x": 1}]),
)
def test_no_words_of_a_library_in_what_is_said_of_a_study(way: tuple, value: Any) -> None:
    data = copy.deepcopy(WHOLE)
    inside: Any = data
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    try:
        load_study(data)
    except BadInput as error:
        assert not re.search(r"[Ii]nput should|Value error|instance of|seeds seeds", str(error))


def test_no_word_is_said_twice() -> None:
    graph = {"kind": "watts_strogatz", "degree": 3}
    for wrong, *facts in (
        ({"seeds": 0}, "seeds: ", "1 to 100000", "[0, 1, 2]"),
        ({"world": {"graph": graph}}, "graph.degree: ", "multiple of 2", "is 3"),
    ):
        with pytest.raises(BadInput) as error:
            load_study({**WHOLE, **wrong})
        assert all(fact in str(error.value) for fact in facts)
        assert not re.search(r"\b(\w+) \1\b", str(error.value))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (20, "last 20 rounds"), ("20", "last 20 rounds"), ("last 20", "last 20 rounds"), (" Last  7", "last 7 rounds"),
        ("20 rounds", "last 20 rounds"), ("50-99", "rounds 50 to 99"), ("50:99", "rounds 50 to 99"),
        ("from round 5 until 9", "rounds 5 to 9"), ("all", "all rounds"), ("every round", "all rounds"),
        (0, ""), (True, ""), (1.5, ""), ("99-50", ""), ("soon", ""), ([20], ""), ("", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["gate", "line"])
def test_a_wrong_horizon_is_told_what_was_meant(written: Any, meant: str, place: str) -> None:
    gate: dict[str, Any] = {
        "baseline": "a",
        "candidate": "b",
        "goal": [{"measure": "welfare", "at_least": 0.1}],
    }
    (gate if place == "gate" else gate["goal"][0])["horizon"] = written
    key = "gate.horizon" if place == "gate" else "gate.goal[0].horizon"
    with pytest.raises(BadInput) as error:
        load_study({**WHOLE, "gate": gate})
    assert str(error.value).startswith(f"study: {key}: ") and 'write "last 20 rounds"' in str(error.value)
    assert (f'Did you mean "{meant}"?' if meant else "is not a horizon") in str(error.value)
    assert bool(meant) == ("Did you mean" in str(error.value))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.text(), st.integers(), st.from_regex(r"(last|rounds?|from)? ?\d{1,12}( to |-|:)?\d{0,3}"))
)
def test_what_is_suggested_for_a_horizon_can_be_written(written: str | int) -> None:
    goal = [{"measure": "welfare", "at_least": 0.1}]
    try:
        load_study({**WHOLE, "gate": {"baseline": "a", "candidate": "b", "goal": goal, "horizon": written}})
    except BadInput as error:
        for meant in re.findall(r'Did you mean "([^"]*)"\?', str(error)):
            parse_horizon(meant)


def test_what_is_said_is_bounded_and_can_be_printed(tmp_path) -> None:
    odd = {"\x1b[31m": 1, "\u202eabc": 2, "x" * 100_000: 3}
    many = {"name": "a", "arms": [{"name": number} for number in range(500)]}
    for data in ({**WHOLE, **odd}, many):
        with pytest.raises(BadInput) as error:
            load_study(data)
        text = str(error.value)
        assert "\x1b" not in text and "\u202e" not in text and len(text) < 20_000
    assert text.endswith("more")


def test_a_text_nested_too_deeply_names_its_file(tmp_path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text('name = "a"\narms = ' + "[" * 250 + "]" * 250)
    with pytest.raises(BadInput, match="deep.toml"):
        load_study(path)
