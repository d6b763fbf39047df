"""Every block of the README runs, as written, in a folder of its own; long ones with fewer seeds and rounds."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from echodrift.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def blocks(language):
    return [text for name, text in BLOCKS if name == language]


def test_every_block_is_of_a_kind_that_is_tested():
    assert {name for name, _ in BLOCKS} <= {"sh", "python", "toml", "text"}
    assert blocks("sh") and blocks("python") and blocks("toml")
    assert all(command.startswith(("make ", "echodrift ")) for command in commands())


def commands():
    return [line for text in blocks("sh") for line in text.splitlines() if line and not line.startswith("#")]


def small(command: str) -> str:
    """Return the same command with few seeds and rounds."""
    fewer = {
        "run": "--seeds 1 --rounds 2 --quiet --jobs 1",
        "gate": "--rounds 20 --set world.users=80 --set world.items=150 --quiet --jobs 1",
        "evaluate": "--jobs 1",
        "tune": "--jobs 1",
    }
    command = command.replace("--until decided --max-seeds 40", "--until decided --max-seeds 8")
    return f"{command} {fewer.get(command.split()[1], '')}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the files that the README speaks of: a log of one's own, and a study."""
    folder = tmp_path_factory.mktemp("readme")
    rng_rows = [(u, (u * 7 + i * i) % 40, 1 + i % 5, 1000 + i) for u in range(40) for i in range(12)]
    lines = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in rng_rows)]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    genres = ["Drama", "Comedy|Drama", "Horror", "Comedy"]
    items = ["movieId,title,genres", *(f"{i},Film {i},{genres[i % 4]}" for i in range(40))]
    (folder / "movies.csv").write_text("\n".join(items) + "\n")
    (folder / "my_study.toml").write_text(blocks("toml")[0])
    (folder / "my_package.py").write_text(blocks("python")[0])
    return folder


def environment(folder: Path) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    modules = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": modules}


ECHODRIFT = [command for command in commands() if command.startswith("echodrift ")]


@pytest.mark.slow
@pytest.mark.parametrize("command", ECHODRIFT)
def test_command(command, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    done = CliRunner().invoke(app, shlex.split(small(command))[1:])
    # a gate may answer FAIL or UNDECIDED
    assert done.exit_code in ((0, 3, 4) if " gate " in command else (0,)), done.output


@pytest.mark.slow
def test_the_shell_finds_the_command(workplace):
    done = subprocess.run(
        ECHODRIFT[0],
        shell=True,
        cwd=workplace,
        env=environment(workplace),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_make_target_exists(command):
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    done = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_make_run_makes_a_report(tmp_path):
    """`make run`, smaller: the environment is the one that this test runs in."""
    if shutil.which("make") is None or not (ROOT / ".venv" / ".run").exists():
        pytest.skip("not run through make: there is no .venv that make built")
    done = subprocess.run(
        ["make", "run", f"OUT={tmp_path / 'out'}", "ARGS=--seeds 1 --rounds 3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Report:" in done.stdout and (tmp_path / "out" / "report.html").stat().st_size > 50_000


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_block(number, workplace):
    code = blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace,
        env=environment(workplace),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_block_is_a_valid_study(text, tmp_path):
    from echodrift import load_study

    file = tmp_path / "study.toml"
    file.write_text(text)
    assert load_study(file).arms
