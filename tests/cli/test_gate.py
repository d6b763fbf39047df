"""`echodrift gate`: exit codes, files, and mistakes that start nothing."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import echodrift
import pytest
from echodrift.cli.commands.gate import gate
from echodrift.cli.commands.run import run
from echodrift.cli.option_groups import expand_options

Call = Callable[..., tuple[int, str, str]]


REAL = """
name = "a small gate"
rounds = 8
seeds = 5
[world]
users = 40
items = 60
[platform]
warmup = 60
[[arms]]
name = "old"
policy = { kind = "popularity" }
[[arms]]
name = "new"
policy = { kind = "random" }
[gate]
baseline = "old"
candidate = "new"
horizon = "last 4 rounds"
[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
"""


def test_exit_codes_of_a_real_study(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("real.toml").write_text(REAL)
    how = ("--jobs", "1", "--no-report", "--out", "r")
    code, out, err = call(
        "gate", "real.toml", *how, "--junit", "j.xml", "--json", "j.json", "--markdown", "m.md"
    )
    # random slates show everything; popular ones show what is popular
    assert code == 0, err
    assert out.splitlines()[1].startswith(
        'PASS: "new" in place of "old" (last 4 rounds; t intervals at 95 %)'
    )
    assert ElementTree.parse("j.xml").getroot().find("testsuite") is not None
    assert json.loads(Path("j.json").read_text())["outcome"] == "PASS" and "PASS" in Path("m.md").read_text()
    before = {path.name: path.stat().st_mtime_ns for path in Path("r/runs").iterdir() if path.is_dir()}

    line = "gate.guardrail=[{measure='niche_exposure', %s}]"
    code, out, _ = call("gate", "real.toml", *how, "--set", line % "at_most='baseline'")
    assert code == 3 and "FAIL  guardrail niche_exposure ≤ baseline" in out
    share = echodrift.Result("r").runs.query("arm == 'new'")["niche_exposure"].mean()
    code, out, _ = call("gate", "real.toml", *how, "--set", line % f"at_least={share}")
    assert code == 4 and "the interval contains the limit" in out and "seeds decide it" in out
    assert before == {
        path.name: path.stat().st_mtime_ns for path in Path("r/runs").iterdir() if path.is_dir()
    }

    assert call("gate", "r")[0] == 4
    code, out, _ = call("gate", "r", "--json", "-")
    assert json.loads(out)["outcome"] == "UNDECIDED"
    assert echodrift.Result("r").gate().outcome == "UNDECIDED"
    answer = echodrift.gate("real.toml", out="r")
    assert answer.outcome == "PASS" and answer.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["gate", "nothing.toml"], 2, "there is no such file"),
        (["gate", "real.toml", "--rounds", "3"], 2, '"last 4 rounds" is more than the 3 of the study'),
        (["gate", "real.toml", "--set", "gate.baseline=odl"], 2, 'no arm is named "odl". Did you mean "old"?'),
        (["gate", "real.toml", "--junit", "nowhere/j.xml"], 2, "there is no folder nowhere"),
        (["gate", "real.toml", "--json", "-", "--junit", "-"], 2, "only one of them can be printed"),
        (["gate", "real.toml", "--max-seeds", "9"], 2, "--max-seeds 9: goes with --until decided"),
        (["gate", "real.toml", "--until", "decided", "--max-seeds", "5"], 2, "must be 6 to 100000"),
        (["gate", "real.toml", "--until", "decided", "--max-seeds", "9", "--seeds", "9"], 2, "name the most seeds once"),
        (["gate", "."], 6, "holds no results of echodrift"),
        (["gate", ".", "--seeds", "3"], 2, ". is a folder of results, judged as it is; --seeds would change"),
        (["check", "real.toml", "--set", "gate.horizon='last 9 rounds'"], 2, "gate.horizon: \"last 9 rounds\" is more than"),
    ],
)  # fmt: skip
def test_mistakes_get_one_message_and_nothing_is_started(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("real.toml").write_text(REAL)
    found, out, err = call(*arguments)
    assert (found, out) == (code, "") and told in err and "Traceback" not in err
    assert [path.name for path in Path().iterdir()] == ["real.toml"]


def test_the_command_takes_every_option_of_run() -> None:
    taken = [set(inspect.signature(expand_options(command)).parameters) for command in (run, gate)]
    assert "checkpoint_every" in taken[0] and taken[0] < taken[1]
