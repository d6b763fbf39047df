"""What gets installed: every folder listed, every data file shipped, every import declared and pinned."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
NOT_PACKAGES = {"tests", "benchmarks", "docs", "examples", "out", "build", "dist"}


def folder(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def test_every_folder_with_python_files_is_listed() -> None:
    found = {"echodrift"}
    for top in ROOT.iterdir():
        if top.is_dir() and top.name not in NOT_PACKAGES and not top.name.startswith("."):
            found |= {
                ".".join(["echodrift", *path.parent.relative_to(ROOT).parts]) for path in top.rglob("*.py")
            }
    assert found == set(PACKAGES), "list the folder under [tool.setuptools] packages in pyproject.toml"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_listed_package_is_one(package: str) -> None:
    assert (folder(package) / "__init__.py").is_file()


def test_only_public_names_are_listed() -> None:
    code = "import echodrift, echodrift.cli, echodrift.policies\nprint(*dir(echodrift))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed = done.stdout.split()
    assert set(listed) == set(importlib.import_module("echodrift").__all__) and listed == sorted(listed)
    assert not {"Any", "annotations", "TYPE_CHECKING", "_HOMES", "cli"} & set(listed)


def test_the_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("echodrift") == PROJECT["project"]["version"]


def third_party_imports() -> set[str]:
    """Top-level names that the package imports from outside the standard library."""
    names = set()
    for package in PACKAGES:
        for path in folder(package).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


OWN_EXTRAS = ("neural", "dask", "ray", "interactive")
"""Extras for people, "dev" aside."""
BROUGHT = {"lenskit"}
"""What the package imports only for a model of it that a person brings: a dependency of theirs."""

READ = {"plotly"}
"""Of what only a file is read: nothing imports it."""


def test_imports_and_dependencies_agree() -> None:
    of_module = importlib.metadata.packages_distributions()
    used = {canonicalize_name(of_module[name][0]) for name in (third_party_imports() | READ) - BROUGHT}
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *(line for name in OWN_EXTRAS for line in extras[name])]
    declared = {canonicalize_name(Requirement(line).name) for line in asked}
    assert used == declared


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_dependency_has_a_lower_bound_and_a_pin_that_satisfies_it() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    everything = f"echodrift[{','.join(OWN_EXTRAS)}]"
    asked = [*PROJECT["project"]["dependencies"], *(line for name in OWN_EXTRAS for line in extras[name])]
    assert everything in extras["dev"], "tests need every extra"
    for line in [*asked, *extras["dev"]]:
        if line == everything:
            continue
        requirement = Requirement(line)
        assert ">=" in str(requirement.specifier), f"{line}: no lower bound"
        own = [pin for pin in pins() if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
        assert own, f"{requirement.name} is not in constraints.txt"
        for pin in own:
            assert requirement.specifier.contains(str(pin.specifier).removeprefix("=="))


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_each_python_gets_one_pin_per_package_and_no_address(version: str) -> None:
    active = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate({"python_version": version})]
    names = [canonicalize_name(pin.name) for pin in active]
    assert sorted(set(names)) == sorted(names)
    assert all(re.fullmatch(r"==[\d.]+", str(pin.specifier)) and pin.url is None for pin in active)


def shipped() -> set[str]:
    """Every file in the package's folders, as the wheel should name it."""
    names = set()
    for package in PACKAGES:
        here = folder(package)
        # the root folder is also the checkout: of its files only python and the type marker belong
        files = [*here.glob("*.py"), here / "py.typed"] if package == "echodrift" else here.iterdir()
        names |= {str(Path("echodrift") / path.relative_to(ROOT)) for path in files if path.is_file()}
    return {name for name in names if not name.endswith((".pyc", ".nbi", ".nbc"))}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that the checkout stays clean; needs setuptools ≥ 77 (in the dev extra)."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in [*shipped(), "echodrift/pyproject.toml", "echodrift/README.md", "echodrift/LICENSE"]:
        relative = Path(name).relative_to("echodrift")
        (copy / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / relative, copy / relative)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(copy),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == shipped()
    assert "echodrift/py.typed" in names
    assert any(re.fullmatch(r"echodrift/scenarios/library/\w+\.toml", name) for name in names)


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = "import sys, echodrift; print(echodrift.__file__); from echodrift.cli import main; sys.argv[1:] = ['list', 'studies']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert "default" in done.stdout
