"""The data files that a study refers to: which keys name them, and their absolute paths."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .presets import is_preset_path
from .study import LogConfig, Study

FILES = ("log", "items", "social", "tags")
"""Fields of a log world that name files."""
KEYS = (*(f"world.{name}" for name in FILES), "world.graph.path")
"""Dotted keys that name files."""


def with_absolute_paths(data: dict[str, Any], base: Path) -> dict[str, Any]:
    """Make the file paths of a raw study absolute, in place: in its world, its grid, zip tables and priors."""
    _in_world(data.get("world"), base)
    zipped, uncertainty = data.get("zip"), data.get("uncertainty")
    for table in [data.get("grid"), *(zipped if isinstance(zipped, list) else ())]:
        for key, values in table.items() if isinstance(table, dict) else ():
            if isinstance(values, list):
                table[key] = [_value(key, value, base) for value in values]
    if isinstance(uncertainty, dict) and isinstance(uncertainty.get("sample"), str):
        uncertainty["sample"] = _absolute(uncertainty["sample"], base)
    priors = uncertainty.get("priors") if isinstance(uncertainty, dict) else None
    for key, prior in priors.items() if isinstance(priors, dict) else ():
        for shape in ("choice", "sample"):
            if isinstance(prior, dict) and isinstance(prior.get(shape), list):
                prior[shape] = [_value(key, value, base) for value in prior[shape]]
    return data


def _value(key: str, value: Any, base: Path) -> Any:
    """Return a value of a varied key with absolute paths; tables (`world`, `world.graph`) may contain some, too."""
    if key in KEYS and isinstance(value, str):
        return _absolute(value, base)
    if key in ("world", "world.graph"):
        _in_world(value if key == "world" else {"graph": value}, base)
    return value


def _in_world(world: Any, base: Path) -> None:
    if isinstance(world, dict):
        preset = world.get("preset")
        if isinstance(preset, str) and is_preset_path(preset):
            world["preset"] = _absolute(preset, base)
        graph = world.get("graph")
        for table, key in [*((world, name) for name in FILES if "log" in world), (graph, "path")]:
            if isinstance(table, dict) and isinstance(table.get(key), str):
                table[key] = _absolute(table[key], base)


def _absolute(path: str, base: Path) -> str:
    # Path.expanduser raises an error for an unknown user.
    return os.path.abspath(base / os.path.expanduser(path))


def input_files(study: Study) -> dict[str, str]:
    """Return the data files that a study reads: dotted key → absolute path."""
    if isinstance(study.world, LogConfig):
        named = {f"world.{field}": getattr(study.world, field) for field in FILES}
    else:
        named = {"world.graph.path": getattr(study.world.graph, "path", None)}
    return {key: path for key, path in named.items() if path is not None}
