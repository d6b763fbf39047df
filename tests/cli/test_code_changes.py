"""The same command after the code of a study has changed: never yesterday's answer."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = Path(__file__).resolve().parents[2].parent
STUDY = """
name = "edited"
rounds = 6
seeds = 6
measures = ["welfare"]
primary = ["welfare"]
[world]
users = 60
items = 80
[[arms]]
name = "now"
policy = { kind = "popularity" }
[[arms]]
name = "new"
policy = { POLICY }
[gate]
baseline = "now"
candidate = "new"
horizon = "last 3 rounds"
[[gate.guardrail]]
measure = "welfare"
at_least = "baseline - 0.3"
"""
RECENT = """
import numpy as np
from echodrift.policies import ScorePolicy
{head}
class Recent(ScorePolicy):
    def fit(self, seen, rng):
        self.taken = np.bincount(seen.log.item, minlength=seen.n_items).astype(np.float32)
    def scores(self, seen, users, rng):
        return np.tile({sign} * self.taken, (users.size, 1))
"""
MODEL = """
import numpy as np
class Model:
    def fit(self, counts):
        self.taken = np.asarray(counts.sum(axis=0)).ravel()
    def predict(self, histories):
        return np.tile({sign} * self.taken, (histories.shape[0], 1))
"""


def gate(place: Path, *, python: Path = Path(sys.executable)) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{PARENT}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [
            python,
            "-c",
            "from echodrift.cli import main; main()",
            "gate",
            "study.toml",
            "--out",
            "out",
            "--no-report",
        ],
        check=False,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def write(place: Path, how: str, sign: int) -> str:
    """Write a candidate that ranks bestsellers first (1) or last (−1); return the name of what holds the sign."""
    if how == "plain file":
        (place / "plain.py").write_text(RECENT.format(head="", sign=sign))
        return "module plain"
    if how == "imported module":
        (place / "shop").mkdir(exist_ok=True)
        (place / "shop/__init__.py").write_text("from .ranking import Recent\n")
        (place / "shop/ranking.py").write_text(RECENT.format(head="from .signs import SIGN", sign="SIGN"))
        (place / "shop/signs.py").write_text(f"SIGN = {sign}\n")
        return "module shop.signs"
    if how == "model of an adapter":
        (place / "model.py").write_text(MODEL.format(sign=sign))
        return "module model"
    head = "\nclass Config(Settings):\n    path: str\n"
    text = RECENT.format(
        head="from echodrift.config import Config as Settings" + head, sign="float(self.sign)"
    )
    text = text.replace("(ScorePolicy):\n", "(ScorePolicy):\n    Config = Config\n")
    text = text.replace("self.taken =", "self.sign = open(self.config.path).read(); self.taken =")
    (place / "reader.py").write_text(text)
    (place / "sign.txt").write_text(str(sign))
    return "file sign.txt"


POLICIES = {
    "plain file": 'kind = "plain:Recent"',
    "imported module": 'kind = "shop:Recent"',
    "model of an adapter": 'kind = "adapter", model = "model:Model"',
    "file named in an option": 'kind = "reader:Recent", path = "sign.txt"',
}


@pytest.mark.slow
@pytest.mark.parametrize("how", POLICIES)
def test_edited_code_is_run_again_and_judged_anew(tmp_path, how):
    (tmp_path / "study.toml").write_text(STUDY.replace("POLICY", POLICIES[how]))
    part = write(tmp_path, how, 1)
    code, _, said = gate(tmp_path)
    assert code == 0, said
    write(tmp_path, how, -1)
    code, answer, said = gate(tmp_path)
    assert code == 3, answer + said
    note = next(line for line in said.splitlines() if "code has changed" in line)
    assert note.startswith("note: 6 finished runs are run again, because the code has changed: ")
    assert part in note
    assert note.endswith("6 finished runs are taken over"), "those of the arm that names no code"
    assert gate(tmp_path)[0] == 3
    write(tmp_path, how, 1)
    code, _, said = gate(tmp_path)
    assert code == 0, "the first code again: its runs are still there"
    assert "12 of them finished before" in said


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return the Python of a fresh virtual environment that also finds the packages of this one."""
    place = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = Path(next(path for path in site.getsitepackages([str(place)]) if "site-packages" in path))
    here = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in here]
    (packages / "shared.pth").write_text("".join(lines))
    return python


@pytest.mark.slow
@pytest.mark.parametrize("editable", [True, False])
def test_an_installed_package_that_is_edited_or_installed_anew(
    tmp_path: Path, environment: Path, editable: bool
) -> None:
    source, place = tmp_path / "source", tmp_path / "study"
    place.mkdir()
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "shop"\nversion = "1.0"\n[tool.setuptools]\npackages = ["shop"]\n'
    )
    (place / "study.toml").write_text(STUDY.replace("POLICY", POLICIES["imported module"]))

    def install() -> None:
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--force-reinstall"]
        where = ["--editable", str(source)] if editable else [str(source)]
        subprocess.run([environment, "-m", "pip", "install", *options, *where], check=True)

    write(source, "imported module", 1)
    install()
    code, _, said = gate(place, python=environment)
    assert code == 0, said
    write(source, "imported module", -1)
    if not editable:
        assert gate(place, python=environment)[0] == 0, "what is installed has not changed"
        install()
    code, answer, said = gate(place, python=environment)
    assert code == 3, answer + said
    assert "note: 6 finished runs are run again, because the code has changed: shop:Recent (" in said
