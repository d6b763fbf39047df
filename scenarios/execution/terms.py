"""What a worker must have in common with the study that sends it runs: versions, and the study's data files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..design.plan import MODEL_VERSION
from ..design.run import PlannedRun
from ..storage.ledger import facts_of

COMPARED = (
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
"""Packages that must have the same version everywhere: results depend on them, or runs are described in them."""
WHERE_PRESENT = ("jax", "jaxlib", "optax")
"""The same, where a worker has them at all: only some policies need them."""


@dataclass(frozen=True)
class Terms:
    """What every worker is held against."""

    versions: dict[str, str | None]
    """"python", "model", "code" (a hash) and packages → version, None where missing."""
    files: dict[str, tuple[str, str]]
    """Dotted key → (path, SHA-256) of the data files of all runs, those that a grid or a prior names among them."""


def probe() -> Callable[..., dict[str, Any]]:
    """Return the function that a worker answers with what it has.

    It is made here, and imports what it needs by itself, so that it travels by value: a worker with
    another echodrift, or with none, can run it.
    """

    def found(packages: tuple[str, ...], paths: dict[str, str]) -> dict[str, Any]:
        import hashlib
        import importlib
        import os
        import pathlib
        import platform
        import sys
        from importlib import metadata

        versions: dict[str, str | None] = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
        for name in packages:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                versions[name] = None
        # Two copies of one version may differ; what lies beside the package without being part of it does not count.
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
        except Exception:  # noqa: BLE001  no echodrift there, or one that cannot be read
            versions["code"] = None
        try:
            versions["model"] = str(importlib.import_module("echodrift.scenarios.design.plan").MODEL_VERSION)
        except Exception:  # noqa: BLE001  whatever stands in its place, it is not ours
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

    return found


def terms_of(plan: Sequence[PlannedRun]) -> Terms:
    """Return what this process has, for the runs of a study."""
    return Terms(
        {**ask({})["versions"], "model": str(MODEL_VERSION)},
        {key: (file["path"], file["sha256"]) for key, file in facts_of(plan).inputs.items()},
    )


def question(paths: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the arguments of the probe."""
    return COMPARED + WHERE_PRESENT, dict(paths)


def ask(paths: Mapping[str, str]) -> dict[str, Any]:
    """Answer the probe in this process."""
    return probe()(*question(paths))


def complaints(terms: Terms, answer: Mapping[str, Any]) -> list[str]:
    """Return what of a worker's answer does not go with the study, one sentence each."""
    there, wrong = answer["versions"], []
    for name, here in terms.versions.items():
        other = there.get(name)
        if other == here or (name in WHERE_PRESENT and None in (here, other)):
            continue
        # Of another echodrift the model and the code are others too; one sentence says it.
        if name in ("model", "code") and there.get("echodrift") != terms.versions.get("echodrift"):
            continue
        if name == "code" and there.get("model") != terms.versions.get("model"):
            continue
        what = {
            "python": "Python",
            "model": "echodrift's model version",
            "code": "the code of echodrift (SHA-256 of its files, the version being the same)",
        }.get(name, name)
        wrong.append(f"{what} is {here or 'missing'} here, {other or 'missing'} there")
    for key, (path, digest) in terms.files.items():
        if key in answer["problems"]:
            wrong.append(f"{key}: {path} cannot be read there: {answer['problems'][key]}")
        elif answer["files"].get(key) != digest:
            wrong.append(f"{key}: {path} has other content there")
    return wrong
