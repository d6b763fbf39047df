"""The import graph is the guarantee that a platform cannot read a user's true tastes."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]

LAYERS = {
    "__main__": 6,
    "cli": 5,
    "scenarios": 4,
    "analysis": 3,
    "sim": 2,
    "agents": 1,
    "policies": 1,
    "bits": -1,
    "complaints": 0,
    "config": 0,
    "disk": -1,
    "keys": -1,
    "machine": -1,
    "philox": -1,
    "processes": -1,
    "errors": -2,
    "wording": -3,
}
"""Height of every part; imports go to a part that is lower, or stay inside."""


def sources() -> dict[str, Path]:
    """Module name → file, for the whole package."""
    found = {}
    for package in PACKAGES:
        folder = ROOT.joinpath(*package.split(".")[1:])
        for path in sorted(folder.glob("*.py")):
            found[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    return found


def imported(module: str, is_package: bool, source: str) -> set[str]:
    """Absolute names of what a module imports anywhere: at the top, in functions, for type checkers."""
    names = set()
    here = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            # `from .. import policies` names a part only in its alias
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return names


def violations(module: str, is_package: bool, source: str) -> list[str]:
    """What a module imports although it lies as high or higher."""
    part = module.split(".")[1]
    wrong = []
    for name in sorted(imported(module, is_package, source)):
        pieces = name.split(".")
        if pieces[0] != "echodrift" or len(pieces) == 1 or pieces[1] == part:
            continue
        if LAYERS.get(pieces[1], 99) >= LAYERS[part]:
            wrong.append(f"{module} imports {name}")
    return wrong


def test_imports_run_down_only() -> None:
    found = [
        line
        for module, path in sources().items()
        if module != "echodrift"
        for line in violations(module, path.stem == "__init__", path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("policies.base", "from ..agents.users import Users", True),
        ("policies.base", "from .. import agents", True),
        ("policies.base", "import echodrift.agents.users", True),
        ("policies.rerankers.calibrated", "from ...agents import users", True),
        ("policies.base", "if TYPE_CHECKING:\n    from ..agents.users import Users", True),
        ("policies.base", "def fit():\n    from ..sim import loop", True),
        ("agents.users", "from ..policies.base import Policy", True),
        ("sim.loop", "from ..analysis.statistics import mean", True),
        ("errors", "from .config import Config", True),
        ("policies.base", "from ..errors import BadInput", False),
        ("policies.base", "from .interactions import Observation", False),
        ("sim.loop", "from ..agents.users import Users", False),
        ("cli", "from .scenarios.runner import run", False),
    ],
)
def test_a_planted_import_is_caught(module: str, source: str, caught: bool) -> None:
    assert bool(violations(f"echodrift.{module}", False, source)) is caught


def test_the_package_imports_itself_relatively() -> None:
    absolute = [
        module
        for module, path in sources().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] == "echodrift"
        )
        or (
            isinstance(node, ast.Import)
            and any(alias.name.split(".")[0] == "echodrift" for alias in node.names)
        )
    ]
    assert absolute == []


def test_tests_do_not_import_each_other() -> None:
    """What several of them share is a fixture in a conftest.py."""
    found = {
        f"{module} imports {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for module in [".".join(path.relative_to(ROOT).with_suffix("").parts)]
        for name in imported(module, False, path.read_text())
        if name.split(".")[0] == "tests"
    }
    assert found == set()


def loaded_by(statement: str) -> set[str]:
    """Modules that a statement loads in a fresh interpreter."""
    code = f"import sys, json; before = set(sys.modules); {statement}; print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(sys.prefix)
    )
    return set(json.loads(done.stdout))


def test_the_root_imports_nothing_eagerly() -> None:
    outside = {
        name for name in loaded_by("import echodrift") if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert outside == {"echodrift"}


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = {"implicit", "matplotlib", "mesa", "networkx", "numba", "pandas", "pyarrow", "scipy", "sklearn"}
    assert loaded_by("import echodrift.cli") & heavy == set()


@pytest.mark.parametrize("name", PACKAGES)
def test_no_export_hides_a_submodule(name: str) -> None:
    package = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    exported = set(getattr(package, "__all__", [])) | {
        key for key, value in vars(package).items() if getattr(value, "__module__", None) is not None
    }
    assert modules & exported == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "status"),
    [
        ("policies/base.py", "", 0),
        ("policies/base.py", "from ..agents import users as _users", 1),
        ("agents/users.py", "from ..policies import base as _base", 1),
        ("sim/streams.py", "from ..analysis.measures import base as _base", 1),
        # A circle between two files, one that only types see, and one between two folders.
        ("agents/creators.py", "from . import production as _production", 1),
        ("analysis/gate/words.py", "if TYPE_CHECKING:\n    from .answer import Answer as _Answer", 1),
        ("scenarios/design/run.py", "from ..storage import folder as _folder", 1),
    ],
)
def test_import_linter_is_set_up_to_catch_it(tmp_path: Path, file: str, line: str, status: int) -> None:
    """The contract in pyproject.toml, on a copy of the sources with one import more."""
    for module in sources().values():
        copy = tmp_path / "echodrift" / module.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, copy)
    with (tmp_path / "echodrift" / file).open("a") as planted:
        planted.write(f"\n{line}\n")
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--no-cache",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("BROKEN" in done.stdout) is bool(status), done.stdout
