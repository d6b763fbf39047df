"""A gate is read as written; one that cannot be judged, or says something else than was meant, is refused."""

import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.design.check_gate import check_decidable, check_gate
from echodrift.scenarios.design.load import dump, load_study
from echodrift.wording import format_key
from hypothesis import given, settings
from hypothesis import strategies as st

STUDY = {
    "name": "gate",
    "rounds": 30,
    "seeds": 8,
    "arms": [
        {"name": "old", "policy": {"kind": "popularity"}},
        {"name": "new", "policy": {"kind": "random"}},
    ],
}
LINE = {"measure": "welfare", "at_least": "baseline"}
DOCUMENTED = """
name = "may it go live?"
rounds = 30
[[arms]]
name = "production"
policy = { kind = "popularity" }
[[arms]]
name = "production + calibrated"
policy = { kind = "popularity" }
rerank = [{ kind = "calibrated" }]
[gate]
baseline = "production"
candidate = "production + calibrated"
horizon = "last 20 rounds"
[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
[[gate.guardrail]]
measure = "minority_hit_rate"
at_least = "baseline - 0.01"
[[gate.guardrail]]
measure = "community_gap"
at_most  = "baseline + 0.01"
[[gate.goal]]
measure = "welfare"
at_least = "baseline - 0.05"
"""


def a_study(**gate):
    return {**STUDY, "gate": {"baseline": "old", "candidate": "new", "guardrail": [LINE], **gate}}


def gated(*lines, **fields):
    return load_study(a_study(guardrail=list(lines), **fields))


def at_least(bound, measure="niche_exposure", **more):
    return {"measure": measure, "at_least": bound, **more}


def test_the_gate_as_documented(tmp_path):
    (tmp_path / "s.toml").write_text(DOCUMENTED)
    study = load_study(tmp_path / "s.toml")
    gate = study.gate
    assert gate is not None and [format_key(path) for path, _ in gate.lines] == [
        "gate.guardrail[0]",
        "gate.guardrail[1]",
        "gate.guardrail[2]",
        "gate.goal[0]",
    ]
    assert [str(line.bound) for _, line in gate.lines] == ["baseline − 0.01"] * 2 + [
        "baseline + 0.01",
        "baseline − 0.05",
    ]
    (tmp_path / "again.toml").write_text(dump(study))
    assert load_study(tmp_path / "again.toml") == study
    check_decidable(study)
    (tmp_path / "issue.toml").write_text(
        DOCUMENTED.split("[gate]")[0] + '[gate]\nbaseline = "production"; candidate = "x"'
    )
    with pytest.raises(BadInput, match="put each on a line of its own"):
        load_study(tmp_path / "issue.toml")


SCALARS = st.none() | st.booleans() | st.integers(-10, 10) | st.floats(allow_nan=True) | st.text(max_size=12)
BOUNDS = st.sampled_from(["baseline", "baseline - 0.01", "baseline * 0.9", "0.3", "basline"]) | SCALARS
LINES = st.fixed_dictionaries(
    {"measure": st.sampled_from(["welfare", "welfar", "niche_exposure:group=x", ""]) | SCALARS},
    optional={
        "at_least": BOUNDS,
        "at_most": BOUNDS,
        "horizon": st.sampled_from(["last 5 rounds", "x"]) | SCALARS,
        "extra": SCALARS,
    },
)
GATES = st.fixed_dictionaries(
    {},
    optional={
        "baseline": st.sampled_from(["old", "new", "odl"]) | SCALARS,
        "candidate": st.sampled_from(["old", "new"]) | SCALARS,
        "horizon": st.sampled_from(["last 20 rounds", "rounds 3 to 9", "last 40 rounds", "ever"]) | SCALARS,
        "level": SCALARS,
        "method": st.sampled_from(["t", "bootstrap", "bca"]) | SCALARS,
        "guardrail": st.lists(LINES | SCALARS, max_size=3) | SCALARS,
        "goal": st.lists(LINES, max_size=2),
        "guardrails": SCALARS,
    },
)


@settings(max_examples=150, deadline=None)
@given(GATES)
def test_a_gate_as_people_write_it_is_read_or_refused_in_a_sentence(gate):
    plain = {key: value for key, value in gate.items() if value is not None}
    try:
        study = load_study({**a_study(), "gate": plain})
        check_gate(study)
        check_decidable(study)
    except BadInput as error:
        assert "gate" in str(error) and "Traceback" not in str(error) and "pydantic" not in str(error)
    else:
        assert study.gate is not None and study.gate.lines


@pytest.mark.parametrize(
    ("gate", "key", "facts"),
    [
        ({"baseline": "odl"}, "gate.baseline", ['"odl"', 'Did you mean "old"?', "old, new"]),
        ({"candidate": "old"}, "gate", ["the same arm", '"old"']),
        ({"guardrail": []}, "gate", ["add [[gate.guardrail]]"]),
        ({"guardrail": [{**LINE, "measure": "welfar"}]}, "gate.guardrail[0].measure", ['"welfar"', 'Did you mean "welfare"?']),
        ({"goal": [{**LINE, "measure": "welfare:group=x"}]}, "gate.goal[0].measure", ['"welfare:group=x"', 'add split_by = ["group"]']),
        ({"goal": [{**LINE, "measure": "exposure_gini:group=x"}]}, "gate.goal[0].measure", ['"exposure_gini" is not a mean over users']),
        ({"guardrail": [{"measure": "welfare"}]}, "gate.guardrail[0]", ["at_least or at_most", "neither"]),
        ({"guardrail": [{**LINE, "at_most": 3}]}, "gate.guardrail[0]", ["at_least or at_most", "both", "two lines"]),
        ({"guardrail": [{**LINE, "at_least": "baseline - 5 %"}]}, "gate.guardrail[0].at_least", ['"baseline * 0.95"']),
        ({"guardrail": [{**LINE, "at_leats": 1}]}, "gate.guardrail[0].at_leats", ['Did you mean "at_least"?']),
        ({"horizon": "last 31 rounds"}, "gate.horizon", ['"last 31 rounds"', "the 30 of the study"]),
        ({"goal": [{**LINE, "horizon": "rounds 20 to 30"}]}, "gate.goal[0].horizon", ['"rounds 20 to 30"', "rounds 0 to 29"]),
        ({"horizon": "rounds 11 to 14", "guardrail": [{"measure": "regret", "at_most": 1}]}, "gate", ['"rounds 11 to 14"', "regret", "every 5 rounds"]),
        ({"method": "bca"}, "gate.method", []),
        ({"level": 95}, "gate.level", ["0.5", "0.9999"]),
    ],
)  # fmt: skip
def test_gates_that_cannot_be_judged_are_refused_with_the_key_and_the_way_out(gate, key, facts):
    with pytest.raises(BadInput) as error:
        check_decidable(load_study(a_study(**gate)))
    assert key in str(error.value) and [fact for fact in facts if fact not in str(error.value)] == []


def test_what_is_said_beforehand():
    [margin] = check_gate(load_study(a_study()))
    assert margin.startswith('warning: gate.guardrail[0]: at_least = "baseline" leaves no margin')
    assert 'for example "baseline - 0.01"' in margin
    lines = [{**LINE, "at_least": "baseline - 0.1"}]
    assert check_gate(load_study(a_study(guardrail=lines))) == []
    [few] = check_gate(load_study({**a_study(guardrail=lines), "seeds": 1}))
    assert few == (
        "warning: gate: 1 seed: too few seeds to say, so that the gate will be UNDECIDED; a verdict takes 5. "
        "Type --seeds 20, or more"
    )
    for seeds, told in ((4, True), (5, False)):
        enough = load_study({**a_study(guardrail=lines), "seeds": seeds})
        assert bool(check_gate(enough)) == told and check_gate(enough, stops=True) == []
        check_decidable(enough)
    with pytest.raises(BadInput, match="a confidence sequence takes at least 6"):
        check_decidable(load_study(a_study()), most=5)
    alike = [{"name": name, "policy": {"kind": "popularity"}} for name in ("old", "new")]
    with pytest.raises(BadInput, match='"old" and "new" are the same but for their names'):
        check_decidable(load_study({**a_study(), "arms": alike}))
    with pytest.raises(BadInput, match="has no gate. Add one"):
        check_decidable(load_study(STUDY))
    with pytest.raises(BadInput, match='this study does not compute "welfare": add it to measures'):
        check_gate(load_study({**a_study(), "measures": ["niche_exposure"]}))


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
    assert any("a verdict by bootstrap intervals takes 6" in note for note in check_gate(few))
    # A stopping rule has intervals of its own.
    assert check_gate(few, stops=True) == []
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
