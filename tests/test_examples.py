"""The scripts in examples/ run unchanged, in a folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, folder):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_own_policy(tmp_path):
    output = run("own_policy.py", tmp_path)
    assert "global_rng" in output and "niche_exposure" in output


@pytest.mark.slow
def test_fitted_model(tmp_path):
    lines = run("fitted_model.py", tmp_path).splitlines()
    rows = [line for line in lines if " ok " in line]
    assert len(rows) == 6 and "failed" not in "".join(lines)


@pytest.mark.slow
def test_http_service(tmp_path):
    assert "failed runs: 0" in run("http_service.py", tmp_path)


def test_all_are_run():
    here = Path(__file__).read_text(encoding="utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")} - {"http_server.py"}  # started by http_service.py
    assert scripts and all(f'run("{name}"' in here for name in scripts)


def test_the_server_stays_an_example():
    lines = (EXAMPLES / "http_server.py").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip()]
    assert len(code) <= 42
