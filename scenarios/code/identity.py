"""Identify the code outside echodrift that runs execute: source by its content, installed packages by their version."""

from __future__ import annotations

import ast
import importlib.util
import json
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from ...disk import file_digest, json_digest
from ...errors import PolicyError

Parts = Mapping[str, str]
"""What identifies a piece of code: "module NAME" or "file NAME" → SHA-256, "package NAME" or "service" → version."""
Identities = Mapping[str, Parts | None]
"""Target, file or address as a study names it → its parts; None where nothing identifies it."""

MOST_FILES = 1000
"""Files of a folder named in an option; a larger folder is not read, so nothing identifies it."""


def identify(name: str) -> Parts | None:
    """Return what identifies a "module:Name", or a file or folder named in an option; None if nothing does.

    A module counts with every module that it imports, as far as its source tells by name. Modules from a package that
    pip installed from an index count as the package and its version; those of an editable install, or of one from a
    local folder, count by content. The standard library and echodrift itself are left out. Nothing is executed.
    """
    module, colon, attribute = name.partition(":")
    if not colon or Path(name).exists():
        return _of_file(Path(name).expanduser())
    if "<locals>" in attribute:
        return None  # Made by a function: what it was made with is not in any source.
    return _of_module(module)


def short_digest(name: str) -> str | None:
    """Return a short hash of what identifies a name; None if nothing does."""
    parts = identify(name)
    return None if parts is None else json_digest(parts)[:12]


def changed_parts(before: Parts | None, now: Parts | None) -> list[str]:
    """Return the names of the parts that differ, in order of appearance; empty if one of them is unknown."""
    if before is None or now is None:
        return []
    return [part for part in {**before, **now} if before.get(part) != now.get(part)]


def check_unchanged(planned: Identities) -> None:
    """Raise PolicyError if this process would execute other code than a run was planned with.

    That is so if a file was changed since, or if this process had imported a module before its file was changed.
    """
    for name, before in planned.items():
        if before is None or "service" in before:
            continue
        parts = changed_parts(before, identify(name))
        if parts:
            raise PolicyError(
                f"the code of {name} was changed while the study ran ({', '.join(parts)}). The same command runs it as "
                "it is now"
            )
        old = next((part for part in before if _is_stale(part, before[part])), None)
        if old is not None:
            raise PolicyError(
                f"{old} was changed after this process had imported it, so that the old code would run. Restart "
                "Python, or reload the module with importlib.reload()"
            )


_IMPORTED: dict[str, tuple[ModuleSpec, str]] = {}
"""Module that this process has imported → (its spec, which a reload replaces; SHA-256 of its source at that time)."""


def _is_stale(part: str, digest: str) -> bool:
    """Return whether this process imported a module when its source was another one, as far as was seen."""
    name = part.removeprefix("module ")
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if name == part or spec is None:
        return False
    known = _IMPORTED.get(name)
    if known is None or known[0] is not spec:
        _IMPORTED[name] = spec, digest
        return False
    return known[1] != digest


def _of_file(path: Path) -> Parts | None:
    try:
        if not path.is_dir():
            return {f"file {path.name}": file_digest(path)} if path.is_file() else None
        files = [each for each, _ in zip(_walk(path), range(MOST_FILES + 1), strict=False)]
        if len(files) > MOST_FILES:
            return None
        return {f"file {path.name}/{each.relative_to(path).as_posix()}": file_digest(each) for each in files}
    except OSError:
        return None


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _of_module(name: str) -> Parts | None:
    parts: dict[str, str] = {}
    waiting, seen = [name], {name}
    while waiting:
        module = waiting.pop()
        top = module.partition(".")[0]
        if top == "echodrift" and module != name or _is_standard(top):
            continue
        packages = _installed_packages(top)
        if packages:
            parts |= packages
            continue
        source = _source(module)
        if source is None:
            if module == name:
                return None
            continue
        path, package = source
        parts[f"module {module}"] = file_digest(path)
        # The folders above are packages, whose __init__ is executed too.
        parents = [module[:at] for at, letter in enumerate(module) if letter == "."]
        for each in (*parents, *_imports(path, package)):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return dict(sorted(parts.items())) or None


def _is_standard(top: str) -> bool:
    return top in sys.stdlib_module_names and top != "__main__"


def _source(module: str) -> tuple[Path, str] | None:
    """Return the file of a module and the name of the package that its relative imports start from.

    None if there is none: an attribute rather than a module, a package without __init__, something in memory only.
    """
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        return (Path(file), "") if file and Path(file).is_file() else None
    top, *rest = module.split(".")
    spec = _spec(top)
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        # Not importlib.util.find_spec, which would import the packages above. Only the last part of the name: with the
        # whole of it, a folder without __init__ is only found once the packages above are imported.
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations))
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return None
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    return Path(spec.origin), package


def _spec(top: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


def _imports(path: Path, package: str) -> Iterator[str]:
    """Yield the names of modules that a source file imports, and names that may be modules or attributes."""
    if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            named = getattr(node.args[0], "value", None)
            if called in ("import_module", "__import__") and isinstance(named, str) and named[:1] != ".":
                yield named


def _installed_packages(top: str) -> dict[str, str]:
    """Return "package NAME" → version of the installed packages that a top-level module is from.

    Empty for source: outside of the folders of installed packages, or installed from a local folder or file, where
    the same version may hold other code tomorrow.
    """
    spec = _spec(top)
    places = [spec.origin] if spec is not None and spec.origin else []
    if spec is not None and spec.submodule_search_locations:
        places += list(spec.submodule_search_locations)
    if not any(_is_in_packages(place) for place in places):
        return {}
    found = {}
    for name in sorted(set(_distributions().get(top, []))):
        distribution = metadata.distribution(name)
        origin = _origin(distribution)
        if origin is not None and "vcs_info" not in origin:
            return {}
        commit = f" ({origin['vcs_info'].get('commit_id', '')[:12]})" if origin else ""
        found[f"package {name}"] = f"{distribution.version}{commit}"
    return found


def _origin(distribution: metadata.Distribution) -> dict[str, Any] | None:
    """Return what pip noted about an installation that is not from an index (PEP 610)."""
    try:
        text = distribution.read_text("direct_url.json")
        found = json.loads(text) if text else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@lru_cache(maxsize=1)
def _package_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    found = [paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()]
    # Those of another environment that this one includes, in PYTHONPATH or a .pth file.
    found += [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return tuple(dict.fromkeys(Path(path).resolve() for path in found))


def _is_in_packages(place: str) -> bool:
    path = Path(place).resolve()
    return any(folder in path.parents for folder in _package_folders())
