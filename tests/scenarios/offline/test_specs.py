"""What people type: policies as one-line tables, metrics, search spaces."""

from __future__ import annotations

import tomllib

import pytest
from echodrift.errors import BadInput
from echodrift.policies.search_space import Choice, Range
from echodrift.scenarios.offline.inline_toml import parse_inline, write_option
from echodrift.scenarios.offline.metric_list import parse_metrics
from echodrift.scenarios.offline.ranking_metrics import METRICS
from echodrift.scenarios.offline.search import draw, search_space
from echodrift.scenarios.offline.specs import contenders
from echodrift.wording import toml
from hypothesis import given, settings
from hypothesis import strategies as st

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=0, max_size=12)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(bool), inner, max_size=3),
    max_leaves=6,
)
TABLES = st.dictionaries(TEXT.filter(bool), VALUES, max_size=4)


@given(TABLES)
@settings(max_examples=200, deadline=None)
def test_what_is_written_reads_back(table):
    assert parse_inline(write_option(table), "--policy") == table
    assert parse_inline(toml(table), "--policy") == table
    assert tomllib.loads(f"x = {toml(table)}")["x"] == table


@given(st.text(max_size=40) | st.text("abk=,{}[]\"'.0 1#", max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_table_or_one_clear_message(text):
    try:
        assert isinstance(parse_inline(text, "--policy x"), dict)
    except BadInput as error:
        assert str(error).startswith("--policy x: ")


@given(st.text("policyend=matrix_fzt,{}0.5", max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_policy_is_one_or_bad_input(text):
    try:
        assert contenders([text])
    except BadInput as error:
        assert "\n" not in str(error)


@given(st.text("recalndgpishvymb@0123456789,. -", max_size=25))
@settings(max_examples=200, deadline=None)
def test_any_metrics_are_known_or_bad_input(text):
    try:
        for one in parse_metrics(text):
            assert one.name in METRICS and (one.k is None) != METRICS[one.name].cutoff
    except BadInput as error:
        assert str(error).startswith("--metrics: ")


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("kind=ease,l2=300", {"kind": "ease", "l2": 300}),
        ("kind = ease , l2 = 3e2,", {"kind": "ease", "l2": 300.0}),
        ("{kind=ease}", {"kind": "ease"}),
        ('kind="ease",name="a, b"', {"kind": "ease", "name": "a, b"}),
        ("kind=package.module:Class,on=true", {"kind": "package.module:Class", "on": True}),
        ("kind=bandit,policy={kind=mf,dim=16},eps=0.1", {"kind": "bandit", "policy": {"kind": "mf", "dim": 16}, "eps": 0.1}),
        ("kind=bandit,policy.kind=mf,policy.dim=16", {"kind": "bandit", "policy": {"kind": "mf", "dim": 16}}),
        ("kind=x,layers=[600, 200],words=[a,b]", {"kind": "x", "layers": [600, 200], "words": ["a", "b"]}),
        ("name=MF with 8 dims,kind=mf", {"name": "MF with 8 dims", "kind": "mf"}),
        ("date=2024-01-01,kind=x", {"date": "2024-01-01", "kind": "x"}),
        ("", {}),
    ],
)  # fmt: skip
def test_inline_tables(text, table):
    assert parse_inline(text, "--policy") == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind", r'--policy kind: a "=" is missing \(character 5\).*kind=matrix_factorization,dim=32'),
        ("kind=", "a value is missing"),
        ("kind=ease,kind=ease", '"kind" is given twice'),
        ("kind=ease}", '"}" is one too many'),
        ("kind=ease,policy={kind=mf", '"}" is missing'),
        ("=3", "a key is missing"),
        ("dim=32", "a policy needs a kind. Allowed: .*popularity"),
        ("kind=popularty", 'there is no policy of kind "popularty". Did you mean "popularity"?'),
        ("kind=popularity,windo=3", 'popularity: windo: unknown key. Did you mean "window"?'),
        ("kind=popularity,window=0", "window: must be at least 1, but is 0"),
        ("kind=popularity,name=3", "name = 3 must be text"),
        ("kind=popularity,rerank=[{kind=calibratd}]", 'Did you mean "calibrated"?'),
        ("kind=popularity,rerank=3", "rerank must be a list of tables"),
        ("@nowhere.toml", "nowhere.toml: there is no such file"),
    ],
)
def test_bad_policies(text, message):
    with pytest.raises(BadInput, match=message.replace("?", r"\?")):
        contenders([text])


def test_names_are_told_apart():
    found = contenders(
        ["kind=popularity", "kind=popularity", "kind=matrix_factorization,dim=8", {"kind": "random", "name": "dice"},
         "kind=popularity,rerank=[{kind=calibrated,weight=0.9}]", "kind=popularity,name=dice"]
    )  # fmt: skip
    assert [one.name for one in found] == [
        "popularity", "popularity (2)", "matrix_factorization dim=8", "dice",
        "popularity + calibrated weight=0.9", "dice (2)",
    ]  # fmt: skip


def test_policies_from_files(tmp_path):
    (tmp_path / "flat.toml").write_text('kind = "popularity"\nwindow = 3\n')
    (tmp_path / "line.toml").write_text('policy = { kind = "popularity", window = 4 }\nname = "short"\n')
    (tmp_path / "study.toml").write_text(
        '[[arms]]\nname = "a"\npolicy = { kind = "random" }\n[[arms]]\nname = "b"\npolicy = { kind = "content" }\n'
        'rerank = [{ kind = "calibrated" }]\nplatform = { slate = 3 }\n'
    )
    found = contenders([f"@{tmp_path / name}.toml" for name in ("flat", "line", "study")])
    assert [(one.name, one.spec.get("window"), len(one.rerank)) for one in found] == [
        ("popularity window=3", 3, 0), ("short", 4, 0), ("a", None, 0), ("b", None, 1)
    ]  # fmt: skip
    (tmp_path / "bad.toml").write_text('policy = { kind = "random" }\ncolor = "red"\n')
    with pytest.raises(BadInput, match='"color" does not belong beside policy'):
        contenders([f"@{tmp_path / 'bad.toml'}"])


def test_metrics():
    assert [one.label for one in parse_metrics(" Recall@20, ndcg@100,auc,recall@20")] == [
        "recall@20", "ndcg@100", "auc"
    ]  # fmt: skip
    for text, message in {
        "recal@20": 'no metric "recal@20". Did you mean "recall"? Allowed: recall@k, ndcg@k',
        "recall": 'recall needs a cutoff, for example "recall@20"',
        "ncrr@10": 'write "ncrr" instead of "ncrr@10"',
        "hr@0": "the cutoff must be a whole number",
        "hr@2.5": "the cutoff must be a whole number",
        "": "name at least one metric",
    }.items():
        with pytest.raises(BadInput) as caught:
            parse_metrics(text)
        assert message in str(caught.value)


def test_search_spaces():
    spec = {"kind": "matrix_factorization", "dim": 8}
    space = search_space(spec, ["regularization=1:10:linear", "iterations=5:50", "model=als,bpr"])
    assert space["regularization"] == Range(1, 10, log=False)
    assert space["iterations"] == Range(5, 50, whole=True)
    assert space["model"] == Choice(("als", "bpr"))
    assert "dim" not in space and "confidence" in space
    one, again, other = draw(space, 1, 3), draw(space, 1, 3), draw(space, 1, 4)
    assert one == again != other and draw(space, 1, 0) == {}
    assert isinstance(one["iterations"], int) and 1 <= one["regularization"] <= 10
    assert set(one) == set(space)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("popularity", [], "there is nothing to tune about popularity: it names nothing to tune. Its fields are: window"),
        ("matrix_factorization", ["dims=8,16"], 'has no field "dims". Did you mean "dim"'),
        ("matrix_factorization", ["dim"], "write it as field=low:high"),
        ("matrix_factorization", ["dim=8:4"], "the first end must be below the second"),
        ("matrix_factorization", ["dim=0:4"], "write 0:4:linear"),
        ("matrix_factorization", ["dim=a:4"], '"a" is not a number'),
        ("matrix_factorization", ["dim=1:4:cubic"], 'after low:high comes "log" or "linear", got "cubic"'),
    ],
)  # fmt: skip
def test_bad_search(kind, text, message):
    with pytest.raises(BadInput) as caught:
        search_space({"kind": kind}, text)
    assert message in str(caught.value)
