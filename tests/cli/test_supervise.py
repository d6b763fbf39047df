"""Commands in their child process: no answer without a written result, signals and exit codes passed on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

POLICY = """
import os, sys, time
import numpy as np
from echodrift.policies.base import ScorePolicy

class Mine(ScorePolicy):
    def fit(self, seen, rng):
        {fit}
    def scores(self, seen, users, rng):
        return rng.random((len(users), seen.n_items)).astype(np.float32)
"""
STUDY = """
name = "supervised"
rounds = 8
seeds = 5
[world]
users = 40
items = 60
[platform]
warmup = 10
[[arms]]
name = "old"
policy = { kind = "popularity" }
[[arms]]
name = "new"
policy = { kind = "mine:Mine" }
[gate]
baseline = "old"
candidate = "new"
horizon = "last 4 rounds"
[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
"""


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Return a starter of the command as a process of its own, in a folder with a study and its policy."""
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "mine.py").write_text(POLICY.format(fit="pass"))
    # tests started in the background hand down that Ctrl-C is ignored
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from echodrift.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("statement", "code", "told"),
    [
        ("os._exit(0)", 1, "ended itself with exit code 0 (os._exit?) before the command was done"),
        ("os.kill(os.getpid(), 9)", 1, "was killed (out of memory?) before the command was done"),
        ("sys.exit(0)", 2, 'module "mine" cannot be imported; it raises SystemExit: 0'),
        ("1 / 0", 2, 'module "mine" cannot be imported; it raises ZeroDivisionError: division by zero'),
    ],
)
def test_no_code_of_a_study_answers_for_the_gate(
    shell: Any, tmp_path: Path, statement: str, code: int, told: str
) -> None:
    (tmp_path / "mine.py").write_text(f"import os, sys\n{statement}")
    found, out, err = done(shell("gate", "study.toml", "--out", "out"))
    assert (found, out) == (code, "") and told in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_policy_that_exits_is_no_pass(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POLICY.format(fit="os._exit(0)"))
    found, out, err = done(shell("gate", "study.toml", "--out", "out", "--no-report", "--jobs", "1"))
    assert found == 5 and "PASS" not in out and "ended itself with exit code 0" in err


@pytest.mark.slow
def test_what_is_imported_may_print_fork_and_change_the_directory(shell: Any, tmp_path: Path) -> None:
    top = "import os\nprint('hello')\nos.write(1, b'raw')\nos.chdir('/')\nos.fork()\n"
    (tmp_path / "mine.py").write_text(top + POLICY.format(fit='print("x" * 1_000_000)'))
    found, out, err = done(shell("gate", "study.toml", "--out", "out", "--no-report", "--json", "-"))
    assert found == 0 and json.loads(out)["outcome"] == "PASS"
    assert "hello" in err and len(err) < 20_000
    assert (tmp_path / "out/manifest.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("to_all", [True, False])
def test_signals_reach_the_command_and_its_workers(
    shell: Any, tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    (tmp_path / "mine.py").write_text(POLICY.format(fit="time.sleep(1000)"))
    process = shell("run", "study.toml", "--out", "out", "--no-report", "--jobs", "2")
    until = time.monotonic() + 60
    # Seed by seed: both workers hang in runs of the new arm after two of the old one.
    while len(list((tmp_path / "out/runs").glob("old-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    if number != signal.SIGKILL and to_all:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code, _, err = done(process)
    if number == signal.SIGINT:
        # The last run may be on disk before the command has heard of it.
        assert code == 130 and re.search("Stopped. [12] of 10 runs? (is|are) finished and kept", err)
        assert "Traceback" not in err
    else:
        assert code == -number
    assert not psutil.wait_procs(family, timeout=15)[1]
