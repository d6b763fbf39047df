"""Code of users that ends, hangs, crashes, forks, prints or writes where it must not: contained, or a failed row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import echodrift as ed
import psutil
import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.result import Result

Hostile = Callable[..., dict[str, Any]]

FAILS = {
    "Exits": "the process of this run ended itself with exit code 0 (os._exit?)",
    "Aborts": "the process of this run crashed (SIGABRT)",
    "Crashes": "the process of this run crashed (SIGSEGV)",
    "Leaves": "SystemExit: 0",
    "Interrupts": "KeyboardInterrupt: ",
    "Base": "BaseException: of an unusual kind",
    "Unencodable": "ValueError: bad \ufffd, red, null, turned",
    "Unprintable": "Unprintable: (its message cannot be shown: __str__ raised RuntimeError)",
    "Asks": "EOFError: EOF when reading a line",
    "Writes": "ValueError: assignment destination is read-only. What a policy is given is shared and read-only: "
    "change a copy (array.copy())",
    "Revives": "ValueError: assignment destination is read-only. What a policy is given is shared and read-only: "
    "change a copy (array.copy())",
}
CONTAINED = ["Forks", "Moves", "Prints", "Notes", "Counts"]


def tables(folder: Path) -> dict[str, Any]:
    runs = Result(folder).runs.drop(columns="seconds").to_csv()
    return {"runs": runs} | {path.name: path.read_bytes() for path in folder.glob("[!r]*.parquet")}


@pytest.mark.slow
def test_a_hostile_policy_costs_its_own_runs_only(hostile: Hostile, capfd: Any) -> None:
    study = hostile(*FAILS, "Long", *CONTAINED)
    result = ed.run(study, out="one")
    failed = result.failed.groupby("arm")["error"].unique()
    assert {arm: list(errors) for arm, errors in failed.items() if arm != "Long"} == {
        arm: [error] for arm, error in FAILS.items()
    }
    (long,) = failed["Long"]
    assert long.startswith("ValueError: yyy") and "characters left out" in long and len(long) < 1100
    assert all(result.runs.query("arm in @CONTAINED")["status"] == "ok")
    # whoever forks or counts wrongly hurts nobody: the numbers are those of the same policy without it
    ends = result.runs.groupby("arm")["niche_exposure"].apply(list)
    assert all(ends[arm] == ends["Good"] for arm in CONTAINED)
    # every run begins in the directory of the study
    assert set(Path("where").read_text().split()) == {str(Path.cwd())}
    for path in Path("one/runs").glob("*/run.json"):
        path.read_text().encode("ascii")
        assert path.stat().st_size < 60_000
    out, err = capfd.readouterr()
    assert out == "" and len(err) < 30_000 and "\x1b" not in err

    ed.run(study, out="two", jobs=2)
    assert tables(Path("one")) == tables(Path("two"))


@pytest.mark.slow
def test_notes_of_any_text_leave_every_file_of_the_gate_valid(hostile: Hostile) -> None:
    gate = {
        "baseline": "Good",
        "candidate": "Notes",
        "horizon": "all rounds",
        "guardrail": [{"measure": "niche_exposure", "at_least": "baseline - 0.9"}],
    }
    answer = ed.gate(hostile("Notes", seeds=6, gate=gate), out="out")
    assert ElementTree.fromstring(answer.junit()) is not None
    assert json.loads(answer.json())["outcome"] == answer.outcome
    for text in (answer.json(), answer.junit(), answer.markdown()):
        assert "\x1b" not in text.encode().decode()
    assert "more notes were left out" in Result("out").runs["notes"].iloc[-1]
    assert "\x1b" not in Path(Result("out").report()).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_takes_too_long_is_a_failed_row(hostile: Hostile, jobs: int) -> None:
    study = hostile("Hangs", "HangsInC", seeds=1)
    result = ed.run(study, out="out", jobs=jobs, run_timeout=3)
    assert dict(zip(result.failed["arm"], result.failed["error"], strict=True)) == dict.fromkeys(
        ("Hangs", "HangsInC"), "the process of this run was stopped after 3 seconds (--run-timeout)"
    )
    # a limit that nobody meets changes nothing
    ed.run(hostile(), out="a")
    ed.run(hostile(), out="b", run_timeout=600)
    assert tables(Path("a")) == tables(Path("b"))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"run_timeout": 0}, "must be a number of seconds above 0"),
        ({"run_timeout": float("nan")}, "must be a number of seconds above 0"),
        ({"run_timeout": True}, "must be a number of seconds above 0"),
        ({"run_timeout": 5, "backend": "threading"}, "--run-timeout 5 does not go with --backend threading"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(hostile: Hostile, how: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        ed.run(hostile(), out="out", **how)
    assert not Path("out").exists()


def test_a_limit_for_a_class_that_only_this_process_has_is_refused(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hostile as module  # type: ignore[import-not-found]

    monkeypatch.setattr(sys.modules["__main__"], "Mine", module.Good, raising=False)
    study = hostile()
    study["arms"][0]["policy"]["kind"] = "__main__:Mine"
    with pytest.raises(BadInput, match="exists in this process only"):
        ed.run(study, out="out", run_timeout=5)
    assert ed.run(study, out="out").runs["status"].eq("ok").all()


RUN = """
import sys
sys.path.insert(0, "modules")
import echodrift as ed
ed.run({study}, out="out", jobs={jobs})
"""


def workers_of(pid: int) -> list[psutil.Process]:
    return [
        each for each in psutil.Process(pid).children(recursive=True) if "LokyProcess" in str(each.cmdline())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arms", [("Hangs",), pytest.param(("HangsInC",), marks=pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process that its parent is gone"))])  # fmt: skip
def test_workers_end_with_their_parent_even_in_a_run_that_hangs(
    hostile: Hostile, arms: tuple[str, ...]
) -> None:
    study = hostile(*arms, seeds=1)
    study["arms"] = study["arms"][1:]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-c", RUN.format(study=study, jobs=1)], env=environment)
    until = time.monotonic() + 60
    workers: list[psutil.Process] = []
    while time.monotonic() < until and not (workers and workers[0].cpu_times().user > 0.5):
        time.sleep(0.2)
        workers = workers_of(process.pid)
    time.sleep(2)  # the libraries are loaded by now, and the policy hangs
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=15)
    assert gone and not alive
