"""Options that override a study: parsed from `key=value` and written into the tables of the study."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ...agents.settings import WorldConfig
from ...config import plain
from ...errors import BadInput, KeyPath
from ...keys import parse_key, set_value
from .study import LogConfig

Override = tuple[str, str, Any]
"""Option as typed (for messages), dotted key, value."""


def parse_set(text: str) -> Override:
    """Parse `key=value` with the value in TOML syntax; a bare word or path is read as text."""
    option = f"--set {text}"
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not value:
        raise BadInput(f"{option}: write it as key=value, for example --set behavior.reinforcement=0.02")
    try:
        return option, key, toml_value(value)
    except ValueError as error:
        if value[0] in "[{\"'" or not value.isprintable() or "#" in value:
            raise BadInput(
                f'{option}: the value is not valid TOML ({error}); text with special characters needs "…"'
            ) from None
    return option, key, value


def toml_value(text: str) -> Any:
    """Return the value of a text in TOML; raises ValueError if it is not exactly one value."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if list(parsed) != ["value"]:
        raise ValueError("more than one value")
    return parsed["value"]


def apply_overrides(
    data: dict[str, Any], overrides: Iterable[Override], label: str
) -> list[tuple[KeyPath, str]]:
    """Write options into the tables of a study, in order; return (path, option as typed) of each."""
    before = data.get("world")
    before = dict(before) if isinstance(before, dict) else {}
    placed: list[tuple[KeyPath, str]] = []
    for option, key, value in overrides:
        try:
            placed.append((set_value(data, key, plain(value, option)), option))
        except BadInput as error:
            raise BadInput(f"{option}: {error}") from None
    _check_kind_of_world(before, data.get("world"), placed, label)
    return placed


def overridden_paths(data: dict[str, Any], overrides: Iterable[Override]) -> list[tuple[KeyPath, str]]:
    """Return (path, option as typed) of each option, in the tables of a study that was loaded with them."""
    placed: list[tuple[KeyPath, str]] = []
    for option, key, _ in overrides:
        with suppress(BadInput):  # a later option may have renamed the arm
            placed.append((parse_key(data, key), option))
    return placed


def _check_kind_of_world(
    before: dict[str, Any], world: Any, placed: list[tuple[KeyPath, str]], label: str
) -> None:
    """Raise BadInput if options mix a generated world with one from a log."""
    if not isinstance(world, dict) or "log" not in world:
        return
    generated, from_log = set(WorldConfig.model_fields), set(LogConfig.model_fields)
    options = [(to, option) for to, option in placed if len(to) > 1 and to[0] == "world"]
    left = [
        key
        for key, value in before.items()
        if key in world
        and world[key] == value
        and (key not in from_log or key == "items" and _is_number(value))
    ]
    if "log" not in before and left:
        log = next((option for to, option in options if to[1] == "log"), "world.log")
        raise BadInput(
            f"{log}: world.log makes this a world from a log, but {label} describes a generated one "
            f"({', '.join(left)}). Type: echodrift run movielens --set world.log={world['log']} --set world.items=…"
        )
    for to, option in options:
        if to[1] in generated - from_log:
            raise BadInput(
                f'{option}: a world from a log has no "{to[1]}": users, items and tastes come from the log. '
                f"Allowed: {', '.join(sorted(from_log))}."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
