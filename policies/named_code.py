"""Which code outside echodrift a component names: classes, models of adapters, services, and files in its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .registry import Category, is_built_in, target_of


@dataclass
class NamedCode:
    """Everything outside echodrift that the components of an arm name, without repeats."""

    targets: dict[str, None] = field(default_factory=dict)
    """"module:Name" of classes, and of the models of adapters."""
    files: dict[str, None] = field(default_factory=dict)
    """Existing files and folders that are named in their options."""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Address, with the version that the study names → fields of the policy that asks it."""

    def add(self, category: Category, spec: Mapping[str, Any]) -> None:
        """Add what a component names, with the components inside it."""
        kind = spec.get("kind")
        if not isinstance(kind, str):
            return
        fields = {name: value for name, value in spec.items() if name != "kind"}
        outside = not is_built_in(category, kind)
        if kind == "http" and category == "policies":
            version = fields.get("version")
            address = str(fields.get("url"))
            self.services[address if version is None else f"{address} (version {version})"] = fields
        elif kind == "adapter" and category == "policies":
            self.targets[str(fields.get("model"))] = None
            outside = True
        elif outside:
            self.targets[target_of(category, kind)] = None
        for value in _inside(fields):
            if isinstance(value, Mapping):
                self.add("policies", value)
            elif outside and isinstance(value, str) and _exists(value):
                self.files[value] = None


def targets_in(value: Any) -> Iterator[str]:
    """Yield every "module:Name" that a study's value names as a kind or as the model of an adapter.

    Nothing is imported, and the value need not be valid.
    """
    for each in (value, *_inside(value)):
        if isinstance(each, Mapping):
            kind, model = each.get("kind"), each.get("model")
            if isinstance(kind, str) and ":" in kind:
                yield kind
            elif kind == "adapter" and isinstance(model, str):
                yield model


def _inside(value: Any) -> Iterator[Any]:
    """Yield everything inside tables and lists, at any depth."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for part in parts:
        yield part
        yield from _inside(part)


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
