"""`echodrift describe KIND`: every component says what it does and documents every field."""

import pytest
from echodrift.cli.component_help import describe_component
from echodrift.errors import BadInput
from echodrift.policies.registry import kinds, policy_class
from echodrift.sim.recommender import REFERENCE_ARMS


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
    assert "dim  (int, ≥ 1 and ≤ 4096; default 32)\n      Dimensions of the factors." in page
    assert "model  (one of ['als', 'bpr']; default \"als\")" in page
    assert "window  (int | None, ≥ 1; may be omitted)" in page


def test_a_class_by_its_path_is_described_too():
    page = describe_component("echodrift.policies.baselines:Popularity")
    assert page is not None and "most taken items" in page


def test_what_is_no_component():
    assert describe_component("default") is None
    with pytest.raises(BadInput, match="cannot be imported"):
        describe_component("nowhere.at_all:Thing")
