"""Gate lines that say something else than was meant are refused beforehand."""

import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.design.check_gate import check_decidable, check_gate
from echodrift.scenarios.design.load import load_study

STUDY = {
    "name": "gate",
    "rounds": 30,
    "seeds": 8,
    "arms": [
        {"name": "a", "policy": {"kind": "popularity"}},
        {"name": "b", "policy": {"kind": "random"}},
    ],
}


def gated(*lines, **fields):
    gate = {"baseline": "a", "candidate": "b", "guardrail": list(lines), **fields}
    return load_study({**STUDY, "gate": gate})


def at_least(bound, measure="niche_exposure", **more):
    return {"measure": measure, "at_least": bound, **more}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([at_least("baseline - 1")], "lies between 0 and 1"),
        ([at_least(1.5)], "one percentage point is 0.01"),
        ([at_least(-0.2, "minority_hit_rate")], "lies between 0 and 1"),
        ([at_least("baseline - 0.01")] * 2, "says the same as gate.guardrail[0]"),
        (
            [at_least("baseline - 0.05"), {"measure": "niche_exposure", "at_most": "baseline - 0.06"}],
            "can never hold together with gate.guardrail[0]",
        ),
    ],
)
def test_lines_that_decide_nothing_are_refused(lines, said):
    with pytest.raises(BadInput) as caught:
        check_gate(gated(*lines))
    assert said in str(caught.value) and "gate.guardrail[" in str(caught.value)


def test_lines_that_differ_are_fine():
    lines = [
        at_least("baseline - 0.01"),
        at_least("baseline - 0.01", horizon="all rounds"),
        {"measure": "niche_exposure", "at_most": "baseline + 0.5"},
        at_least("baseline - 5", "welfare"),
        at_least("baseline * 0.95", "welfare"),
    ]
    assert check_gate(gated(*lines)) == []


def test_bootstrap_over_few_seeds_is_warned_of():
    line = at_least("baseline - 0.01")
    assert any("too narrow" in note for note in check_gate(gated(line, method="bootstrap")))
    few = gated(line, method="bootstrap").model_copy(update={"seeds": 5})
    with pytest.raises(
        BadInput, match="5 seeds can never decide it: a bootstrap interval .* takes at least 6"
    ):
        check_decidable(few)
    enough = gated(line, method="bootstrap").model_copy(update={"seeds": 20})
    assert not any("too narrow" in note for note in check_gate(enough))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"zip": {"rounds": [1, 2]}}, "[[zip]]"),
        ({"uncertainty": {"behavior.attention": {"uniform": [0.5, 0.9]}}}, "under [uncertainty.priors]"),
        (
            {"uncertainty": {"block": 7, "priors": {"behavior.attention": {"uniform": [0.5, 0.9]}}}},
            'block belongs to sampler = "latin_hypercube"',
        ),
    ],
)
def test_tables_in_the_wrong_place_say_where_they_belong(fields, said):
    with pytest.raises(BadInput) as caught:
        load_study({**STUDY, **fields})
    assert said in str(caught.value)
