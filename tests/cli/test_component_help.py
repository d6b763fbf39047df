"""`echodrift describe KIND`: every component says what it does and documents every field."""

import re
from typing import Annotated, Any, Literal

import pytest
from echodrift.cli.component_help import describe_component, kinds_with_help, type_in_words
from echodrift.errors import BadInput
from echodrift.policies.registry import kinds, policy_class
from echodrift.sim.recommender import REFERENCE_ARMS
from pydantic import Field


@pytest.mark.parametrize("kind", [*kinds("policies"), *kinds("rerankers"), *REFERENCE_ARMS])
def test_every_component_is_described(kind):
    page = describe_component(kind)
    assert page is not None and page.startswith(kind)
    head, fields = page.split("\nFields\n")
    assert len(head.split("\n", 2)[2].strip()) > 20, "the class needs a docstring"
    assert fields.strip()


def test_fields_come_with_range_default_and_meaning():
    page = describe_component("matrix_factorization")
    assert page is not None
    for name in policy_class("matrix_factorization").Config.model_fields:
        assert f"\n  {name}  (" in page
    assert "dim  (whole number, ≥ 1 and ≤ 4096; default 32)\n      Dimensions of the factors." in page
    assert 'model  (one of "als", "bpr"; default "als")' in page
    assert "window  (whole number, ≥ 1; may be omitted)" in page


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "whole number"), (float | None, "number"), (bool, "true or false"), (str, "text"), (dict[str, Any], "table"),
        (Literal["a", "b"], 'one of "a", "b"'), (list[float], "list of numbers"), (float | list[float], "number or list of numbers"),
        (Annotated[int, Field(ge=1, le=10)] | Literal["all"], 'whole number (≥ 1 and ≤ 10) or "all"'),
        (tuple[Literal["slate", "organic"], ...] | None, 'list of any of "slate", "organic"'),
        (list[dict[str, Any]], "list of tables"), (Any, "any value"),
    ],
)  # fmt: skip
def test_types_have_words(annotation, words):
    assert type_in_words(annotation) == words


def test_no_page_shows_a_type_of_python():
    for kind in kinds_with_help():
        page = describe_component(kind) or ""
        fields = [
            line for line in page.splitlines() if line.startswith("  ") and "; " in line and "  (" in line
        ]
        assert not re.search(
            r"  \(.*\b(int|float|str|bool|dict|None|Literal|Annotated|Union)\b.*;", "\n".join(fields)
        ), kind


def test_a_measure_is_described():
    page = describe_component("niche_exposure")
    assert page is not None and page.startswith(
        "niche_exposure (measure)\n\nniche share of shown items\n\nShare of"
    )
    for line in (
        "Computed together with `niche_consumed`.", "unit       share", "range      [0, 1]",
        "direction  neither direction is good by itself", "family     exposure",
        "splits     by group, community and profile: niche_exposure:LABEL",
        "sources    also niche_exposure_organic, niche_exposure_cold and niche_exposure_all (on request)", "computed   every round",
    ):  # fmt: skip
        assert line in page
    assert describe_component("niche_exposure:group=a") == page
    regret = describe_component("regret")
    assert regret is not None and "lower is better" in regret and "every 5 rounds" in regret


def test_a_class_by_its_path_is_described_too():
    page = describe_component("echodrift.policies.baselines:Popularity")
    assert page is not None and "most taken items" in page


def test_what_is_no_component():
    assert describe_component("default") is None
    with pytest.raises(BadInput, match="cannot be imported"):
        describe_component("nowhere.at_all:Thing")
