"""What a worker must share with the study that sends it runs: package versions and the study's data files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..design.run import PlannedRun
from ..model_version import MODEL_VERSION
from ..storage.ledger import facts_of

SAME_VERSION = (
    "echodrift",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "networkx",
    "pandas",
    "implicit",
    "mesa",
    "pydantic",
)
"""Packages that must have the same version everywhere: results depend on them, or runs are pickled with them."""
CODE = "code of "
"""Prefix of the names under which code that a study names stands among the versions."""
SAME_IF_PRESENT = ("jax", "jaxlib", "optax")
"""Packages that must have the same version where they are installed; only some policies need them."""


@dataclass(frozen=True)
class Requirements:
    """What every worker must match."""

    versions: dict[str, str | None]
    """"python", "model", "code" (a hash), packages and code that the study names → version, None where missing."""
    files: dict[str, tuple[str, str]]
    """Dotted key → (path, SHA-256) of the data files of all runs, including those that a grid or a prior names."""


def probe_function() -> Callable[..., dict[str, Any]]:
    """Return a function that reports the versions and data files of the process that calls it.

    The function is nested and imports what it needs itself, so that it is pickled by value: a worker with
    another version of echodrift, or without it, can run it.
    """

    def probe(packages: tuple[str, ...], paths: dict[str, str]) -> dict[str, Any]:
        import hashlib
        import importlib
        import os
        import pathlib
        import platform
        import sys
        from importlib import metadata

        versions: dict[str, str | None] = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
        for name in packages:
            if name.startswith("code of "):
                try:
                    identity = importlib.import_module("echodrift.scenarios.code.identity")
                    versions[name] = identity.short_digest(name.removeprefix("code of "))
                except Exception:  # noqa: BLE001  whatever is installed, it is not ours
                    versions[name] = None
                continue
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                versions[name] = None
        # Two copies of one version may differ. Files beside the package that are not part of it do not count.
        try:
            root = pathlib.Path(importlib.import_module("echodrift").__path__[0])
            code = hashlib.sha256()
            for part in (
                "*.py",
                "agents/**/*.py",
                "policies/**/*.py",
                "sim/**/*.py",
                "analysis/**/*.py",
                "scenarios/**/*.py",
            ):
                for file in sorted(root.glob(part)):
                    code.update(f"{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
            versions["code"] = code.hexdigest()[:12]
        except Exception:  # noqa: BLE001  echodrift is missing or cannot be read
            versions["code"] = None
        try:
            versions["model"] = str(
                importlib.import_module("echodrift.scenarios.model_version").MODEL_VERSION
            )
        except Exception:  # noqa: BLE001  whatever is installed, it is not ours
            versions["model"] = None
        digests: dict[str, str] = {}
        problems: dict[str, str] = {}
        for key, path in paths.items():
            try:
                with open(path, "rb") as file:
                    digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                problems[key] = error.strerror or str(error)
        where = f"{platform.node()}, process {os.getpid()}"
        return {"versions": versions, "files": digests, "problems": problems, "where": where}

    return probe


def requirements_of(plan: Sequence[PlannedRun]) -> Requirements:
    """Return the requirements of a study's runs: the versions of this process, and the runs' data files."""
    code = {
        name: parts
        for run in plan
        for name, parts in run.code.items()
        if parts is not None and "service" not in parts
    }
    return Requirements(
        {**run_probe({}, [CODE + name for name in code])["versions"], "model": str(MODEL_VERSION)},
        {key: (file["path"], file["sha256"]) for key, file in facts_of(plan).inputs.items()},
    )


def probe_arguments(requirements: Requirements) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the arguments of the probe (see `probe_function`)."""
    return probed_names(requirements), {key: path for key, (path, _) in requirements.files.items()}


def probed_names(requirements: Requirements) -> tuple[str, ...]:
    """Return the packages and the code whose versions a worker is asked for."""
    code = (name for name in requirements.versions if name.startswith(CODE))
    return (*SAME_VERSION, *SAME_IF_PRESENT, *code)


def run_probe(paths: Mapping[str, str], code: Sequence[str] = ()) -> dict[str, Any]:
    """Return the probe's answer in this process. code: names that start with `CODE`."""
    return probe_function()((*SAME_VERSION, *SAME_IF_PRESENT, *code), dict(paths))


def check_here(requirements: Requirements) -> dict[str, Any]:
    """Return the probe's answer of this process to what a study requires."""
    return probe_function()(*probe_arguments(requirements))


def mismatches(requirements: Requirements, answer: Mapping[str, Any]) -> list[str]:
    """Return how a worker's answer differs from what the study requires, one sentence each."""
    theirs, wrong = answer["versions"], []
    for name, here in requirements.versions.items():
        other = theirs.get(name)
        if other == here or (name in SAME_IF_PRESENT and None in (here, other)):
            continue
        # Another version of echodrift has another model and other code, too; one sentence is enough.
        if name in ("model", "code") and theirs.get("echodrift") != requirements.versions.get("echodrift"):
            continue
        if name == "code" and theirs.get("model") != requirements.versions.get("model"):
            continue
        what = {
            "python": "Python",
            "model": "echodrift's model version",
            "code": "the code of echodrift (SHA-256 of its files, the version being the same)",
        }.get(name, f"the {name} (SHA-256 of its source)" if name.startswith(CODE) else name)
        wrong.append(f"{what} is {here or 'missing'} here, {other or 'missing'} there")
    for key, (path, digest) in requirements.files.items():
        if key in answer["problems"]:
            wrong.append(f"{key}: {path} cannot be read there: {answer['problems'][key]}")
        elif answer["files"].get(key) != digest:
            wrong.append(f"{key}: {path} has other content there")
    return wrong
