"""What somebody new reads: where a mistake is and what was most likely meant, in the program's own words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import echodrift
import pytest
from echodrift.analysis.plots.request import _keys
from echodrift.analysis.report.tables import warnings as report_warnings
from echodrift.analysis.results import read_results
from echodrift.cli.catalog import warnings
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.inspection.folder_state import unfinished_note
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import run_study
from echodrift.scenarios.specs.uncertainty import Prior, Uncertainty
from echodrift.scenarios.storage.folder import Folder
from matplotlib.figure import Figure

Call = Callable[..., tuple[int, str, str]]

DOCS = Path(__file__).parents[2] / "docs"
STUDY = """
name = "a gate"
rounds = 8
seeds = 4
[world]
users = 20
items = 30
[platform]
slate = 5
warmup = 4
[[arms]]
name = "old"
policy = { kind = "popularity" }
[[arms]]
name = "new"
policy = { kind = "random" }
"""
GATE = """
[gate]
baseline = "old"
candidate = "new"
horizon = "last 4 rounds"
[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
[[gate.guardrail]]
measure = "community_gap"
at_most = "baseline + 0.01"
horizon = "rounds 2 to 5"
[[gate.goal]]
measure = "welfare"
at_least = "baseline * 0.95"
"""


STUDY_DATA = {
    "name": "n",
    "rounds": 4,
    "seeds": 3,
    "primary": ["welfare"],
    "arms": [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}],
    "gate": {
        "baseline": "a",
        "candidate": "b",
        "horizon": "all rounds",
        "goal": [{"measure": "welfare", "at_least": "baseline - 0.1"}],
    },
}


class Fake:
    """A run that takes no time."""

    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        self.rounds, self.notes, self.seed = study.rounds, [], seed

    def step(self) -> dict[str, float]:
        return {"welfare": float(self.seed)}

    def tables(self) -> dict[str, dict[str, list]]:
        return {"lorenz": {"when": [], "what": [], "x": [], "y": []}}


def faked(study: Any, out: Path) -> None:
    """Run a study that takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", Fake)
        run_study(study, out)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(STUDY + GATE)
    return tmp_path


# Where a mistake is


@pytest.mark.parametrize(
    ("old", "new", "key", "fact"),
    [
        ("niche_exposure", "niche_exposur", "gate.guardrail[0].measure", '"niche_exposur"'),
        ('baseline = "old"', 'baseline = "odl"', "gate.baseline", '"odl"'),
        ("last 4 rounds", "last 9 rounds", "gate.horizon", '"last 9 rounds" is more than the 8'),
        ("- 0.01", "- 2", "gate.guardrail[0]", '"niche_exposure" lies between 0 and 1'),
        ("rounds = 8\n", 'rounds = 8\nprimary = ["x"]\n', "primary", '"x"'),
        ("users = 20", "users = 5", "world.graph.degree", "10 users"),
        ('- 0.01"', '- 0.01"\nat_most = 1', "gate.guardrail[0]", "at_least or at_most"),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_key(
    call: Call, here: Path, old: str, new: str, key: str, fact: str
) -> None:
    (here / "s.toml").write_text((STUDY + GATE).replace(old, new))
    for command in ("check", "gate", "run"):
        if command == "run" and "horizon" in key:
            continue  # a run needs no gate that can be judged: it warns
        code, _, err = call(command, "s.toml")
        assert code == 2 and err.startswith(f"error: s.toml: {key}") and fact in err, err
    with pytest.raises(BadInput) as error:
        echodrift.gate("s.toml")
    assert str(error.value).startswith(f"s.toml: {key}")
    assert [path.name for path in here.iterdir()] == ["s.toml"]


def test_a_mistake_in_an_option_names_the_option_and_others_the_file(call: Call, here: Path) -> None:
    (here / "s.toml").write_text((STUDY + GATE).replace("niche_exposure", "x").replace("community_gap", "y"))
    _, _, err = call("check", "s.toml", "--set", "gate.guardrail[1].measure=z")
    first, second = err.splitlines()
    assert first.startswith("error: s.toml: gate.guardrail[0].measure: ") and '"x"' in first
    assert second.strip().startswith("--set gate.guardrail[1].measure=z: gate.guardrail[1].measure: ")
    with pytest.raises(BadInput, match=r"^set=\{'gate.goal': …\}: gate.goal: must be a list"):
        echodrift.run("s.toml", set={"gate.goal": 3})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["rounds=3"], '--set rounds=3: gate.horizon: "last 4 rounds" is more than the 3'),
        (
            ["measures=['welfare']"],
            "--set measures=['welfare']: gate.guardrail[0].measure: this study does not",
        ),
        (
            ["world.users=5", "seeds=3"],
            "--set world.users=5: world.graph.degree = 10 needs more than 10 users",
        ),
        (
            ["world.items=9", "platform.slate=12"],
            "--set platform.slate=12: platform.slate = 12 is larger than",
        ),
        (
            ["platform.slate=12", "world.items=9"],
            "--set platform.slate=12: platform.slate = 12 is larger than",
        ),
        (["world.users=30", "world.topics=1"], "--set world.topics=1: world: 3 taste_shares need at least"),
        (
            ["arms[old].policy={kind='organic'}", "arms[old].rerank=[{kind='mmr'}]"],
            "--set arms[old].rerank=[",
        ),
        (
            ["arms[new].policy={kind='list_mf', list_length=9}", "arms[new].policy.consumed=10"],
            "--set arms[new].policy.consumed=10: arms[new].policy: consumed = 10 is more than list_length = 9",
        ),
    ],
)
def test_the_option_behind_a_mistake_is_named_though_the_mistake_shows_elsewhere(
    call: Call, here: Path, options: list[str], told: str
) -> None:
    code, _, err = call("check", "s.toml", *(word for text in options for word in ("--set", text)))
    assert code == 2 and err.startswith(f"error: {told}"), err


def test_a_study_without_a_gate_is_told_what_to_add_and_where(call: Call, here: Path) -> None:
    (here / "s.toml").write_text(STUDY)
    code, _, err = call("gate", "s.toml")
    assert code == 2 and err.startswith("error: s.toml: gate: ")
    assert "       [gate]\n" in err and "s.toml" not in err.partition("[gate]")[2]


@pytest.mark.parametrize(
    ("options", "who", "fact"),
    [
        (["--seeds", "3"], "--seeds 3: seeds", "3 is too few"),
        (["--set", "seeds=3"], "--set seeds=3: seeds", "3 is too few"),
        (["--set", "seeds=[4, 5]"], "--set seeds=[4, 5]: seeds", "below 6 seeds"),
        ([], "s.toml: seeds", "4 is too few"),
        (["--max-seeds", "5"], "--max-seeds 5", "6 to 100000"),
        (["--max-seeds", "5", "--set", "seeds=9"], "--max-seeds 5", "6 to 100000"),
    ],
)
def test_until_decided_with_too_few_seeds_names_who_said_so(
    call: Call, here: Path, options: list[str], who: str, fact: str
) -> None:
    for command in ("run", "gate"):
        code, _, err = call(command, "s.toml", "--until", "decided", *options)
        assert code == 2 and err.startswith(f"error: {who}: ") and fact in err, err
    assert [path.name for path in here.iterdir()] == ["s.toml"]


# In the program's own words


@pytest.mark.parametrize(
    ("words", "allowed", "meant"),
    [
        (["run", "--until", "decide"], "decided", "decided"),
        (["run", "--backend", "looky"], "loky, threading, dask or ray", "loky"),
        (["gate", "x", "--backend", "looky"], "loky, threading, dask or ray", "loky"),
        (["list", "polices"], "studies or worlds", "policies"),
        (["run", "--seeds", "many"], "a whole number", ""),
        (["run", "--rounds", "1.5"], "a whole number", ""),
        (["plot", "x", "--limit", "low"], "a number", ""),
        (["tune", "x", "--minutes", "an hour"], "a number", ""),
    ],
)
def test_a_wrong_option_is_told_what_is_allowed_in_no_words_of_a_library(
    call: Call, words: list[str], allowed: str, meant: str
) -> None:
    code, _, err = call(*words)
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split())
    assert code == 2 and allowed in said and f"'{words[-1]}'" in said, err
    assert (f'Did you mean "{meant}"?' in said) if meant else ("Did you mean" not in said)
    assert "Value error" not in err and "Input should" not in err


# What a study asks


def test_check_and_describe_tell_what_the_gate_asks(call: Call, here: Path) -> None:
    """Who stands against whom, over which rounds, and every line with its bound and a horizon of its own."""
    for command, start in (("check", "gate:"), ("describe", "\nGate\n")):
        arms, lines = call(command, "s.toml")[1].partition(start)[2].strip().splitlines()[:2]
        assert 'candidate "new"' in arms and 'baseline "old"' in arms and "last 4 rounds" in arms
        guardrails, _, goal = lines.partition("; ")
        assert "niche_exposure ≥ baseline − 0.01, community_gap ≤ baseline + 0.01" in guardrails
        assert guardrails.endswith("rounds 2 to 5") and "welfare ≥ baseline × 0.95" in goal
    (here / "s.toml").write_text(STUDY)
    assert "gate:" not in call("check", "s.toml")[1] and "\nGate\n" not in call("describe", "s.toml")[1]


def test_every_key_of_uncertainty_is_documented() -> None:
    page = (DOCS / "designs.md").read_text("utf-8")
    assert [key for key in (*Prior.model_fields, *Uncertainty.model_fields) if f"`{key}" not in page] == []


@pytest.mark.parametrize(("base", "replicates"), [(4, 2), (8, 1), (16, 2), (16, 1), (64, 2)])
def test_a_saltelli_design_is_warned_of_by_pairs_and_replicates(
    tmp_path: Path, base: int, replicates: int
) -> None:
    how = {"design": "saltelli", "base": base, "replicates": replicates}
    priors = {"behavior.match": {"normal": [6, 1], "low": 4, "high": 8}}
    data = {**STUDY_DATA, "rounds": 6, "uncertainty": {**how, "priors": priors}}
    del data["gate"], data["seeds"]
    told = [line for line in warnings(load_study(data)) if "rounds" not in line]
    assert ("seed" in " ".join(told)) is False and len(told) == (base < 16) + (replicates == 1)
    assert any(f"base = {base}: intervals rest on {2 * base} independent draws" in line for line in told) == (
        base < 16
    )
    assert any(line.startswith("replicates = 1: noise") for line in told) == (replicates == 1)
    if replicates == 2 and base == 4:
        # the same in the report, of the rows that intervals rest on
        faked(load_study(data), tmp_path)
        told = report_warnings(read_results(tmp_path))
        assert any(line.startswith("base = 4: intervals rest on 8 independent draws") for line in told), told
        assert not any("seed" in line for line in told)


# While a study runs


def test_answers_of_an_unfinished_study_say_so(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    monkeypatch.chdir(tmp_path)
    study, folder = load_study(STUDY_DATA), Folder(Path("o"))
    more = study.model_copy(update={"seeds": 5})
    commands = (("gate", "o"), ("plot", "o", "welfare", "-o", "f.svg"), ("report", "o"))
    monkeypatch.setattr(Result, "report", lambda self: self.folder / "report.html")
    monkeypatch.setattr(Result, "plot", lambda self, *_, **__: Figure())

    def told() -> set[str]:
        found = set()
        for words in commands:
            code, out, err = call(*words)
            assert code in (0, 4) and out, err
            found.add(err)
        return found

    # before there are any tables, and while another process makes them
    with folder.locked():
        folder.begin(study)
        for words in commands:
            code, _, err = call(*words)
            assert code == 6 and "not finished" in err and f"process {os.getpid()}" in err
    assert "type: echodrift run o/runs/study.toml" in call("report", "o")[2]

    faked(study, Path("o"))
    assert told() == {""} and unfinished_note(Path("o")) == ""

    # gone on with: held, then left
    with folder.locked():
        folder.begin(more)
        [note] = told()
        assert note.startswith("note: the study in o is not finished") and note.count("\n") == 1
        assert f"process {os.getpid()}" in note and "of 6 runs" in note
    [note] = told()
    assert note.startswith("note: the study in o ") and "not finished" in note and "of 6 runs" in note
    assert "type: echodrift run o/runs/study.toml --out o" in note
    assert call("gate", "o", "--quiet")[2] == ""
    faked(more, Path("o"))
    assert told() == {""}


# Small things


def test_what_is_a_file_and_not_a_folder(call: Call, here: Path) -> None:
    for words in (("plot", "s.toml"), ("report", "s.toml"), ("status", "s.toml"), ("query", "s.toml")):
        code, _, err = call(*words)
        assert code == 2 and err.startswith("error: s.toml is a file") and "folder" in err
    assert "out/typo: there is no such folder of results" in call("gate", "out/typo")[2]
    assert "s.tml" in call("gate", "s.tml")[2]


def test_two_answers_do_not_go_into_one_file(call: Call, here: Path) -> None:
    code, _, err = call("gate", "s.toml", "--json", "a", "--junit", "./a")
    assert code == 2 and "--junit and --json name the same file" in err
    assert [path.name for path in here.iterdir()] == ["s.toml"]


def test_one_row_is_one_row(call: Call, tmp_path: Path) -> None:
    faked(load_study(STUDY_DATA), tmp_path / "o")
    code, _, err = call("query", tmp_path / "o", "select 1 as one", "--out", tmp_path / "f.csv")
    assert code == 0 and err.endswith("f.csv: 1 row\n")


def test_figures_take_two_keys_at_most() -> None:
    with pytest.raises(BadInput, match="kind = multiples takes two keys; 3 are named"):
        _keys(SimpleNamespace(grid=["x", "y", "z"]), "multiples", ["x", "y", "z"])  # type: ignore[arg-type]
