"""Dotted keys into a study: `behavior.reinforcement`, `arms[MF].policy.dim`, `world.groups[0].share`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .errors import BadInput, KeyPath, did_you_mean
from .wording import format_key

_NAME = re.compile(r"[^.\[\]]+")
_NUMBER = re.compile(r"\[(\d{1,6})\]")


def parse_key(data: Any, key: str) -> KeyPath:
    """Return the path through `data` that a dotted key names.

    A bracket selects an element of a list: by its `name` (an arm, a group), otherwise by its index from 0.
    Tables on the path need not exist yet; list elements must. What follows `grid.`,
    `zip[0].` or `uncertainty.priors.` is one key, dots included. Raises BadInput, which does not name the file
    or option of the key.
    """
    path: list[str | int] = []
    here, rest = data, key
    while True:
        if path in (["grid"], ["uncertainty", "priors"]) or len(path) == 2 and path[0] == "zip":
            return *path, rest
        match = _NAME.match(rest)
        if match is None:
            raise BadInput(
                f'"{key}" is not a dotted key; write it like behavior.reinforcement or arms[MF].policy.dim'
            )
        if not isinstance(here, dict):
            raise BadInput(f'"{key}": {format_key(path)} is not a table, so it has no key "{match[0]}"')
        path.append(match[0])
        here, rest = here.get(match[0], {}), rest[match.end() :]
        while rest.startswith("["):
            index, rest = _element(here, rest, key, path)
            path.append(index)
            here = here[index]
        if not rest:
            return tuple(path)
        if not rest.startswith(".") or len(rest) == 1:
            raise BadInput(f'"{key}" is not a dotted key: "{rest}" was not expected after {format_key(path)}')
        rest = rest[1:]


def expand_key(data: Any, key: str) -> list[str]:
    """Return the keys that a key with `arms[*]` stands for: one per arm that has a value there.

    A key without `[*]` stands for itself. Raises BadInput if no arm has a value there.
    """
    name, star, rest = key.partition("[*]")
    if not star:
        return [key]
    elements = data.get(name) if isinstance(data, dict) else None
    if not isinstance(elements, list):
        raise BadInput(f'"{key}": {name} is not a list, so it has no elements to pick with [*]')
    keys = [f"{name}[{number}]{rest}" for number in range(len(elements))]
    found = [one for one in keys if _has(data, one)]
    if not found:
        raise BadInput(f'"{key}": none of {name} has a value there')
    return found


def _has(data: Any, key: str) -> bool:
    try:
        path = parse_key(data, key)
    except BadInput:
        return False
    for step in path:
        if isinstance(data, dict) and step not in data:
            return False
        data = data[step]
    return True


def _element(here: Any, rest: str, key: str, path: Sequence[str | int]) -> tuple[int, str]:
    if not isinstance(here, list):
        raise BadInput(f'"{key}": {format_key(path)} is not a list, so it has no elements to pick with [ ]')
    names = {
        part["name"]: i for i, part in enumerate(here) if isinstance(part, dict) and _text(part.get("name"))
    }
    for name in sorted(names, key=len, reverse=True):
        if rest.startswith(f"[{name}]"):
            return names[name], rest[len(name) + 2 :]
    number = _NUMBER.match(rest)
    if number and int(number[1]) < len(here):
        return int(number[1]), rest[number.end() :]
    wanted = rest[1:].split("]")[0]
    choices = (
        ", ".join(f"[{name}]" for name in names) or f"[0] to [{len(here) - 1}]"
        if here
        else "none, it is empty"
    )
    raise BadInput(
        f'"{key}": {format_key(path)} has no element [{wanted}]; it has {choices}.{did_you_mean(wanted, names)}'
    )


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def set_value(data: dict[str, Any], key: str, value: Any) -> KeyPath:
    """Set the value of a dotted key, creating missing tables; return its path."""
    path = parse_key(data, key)
    here: Any = data
    for step in path[:-1]:
        here = here.setdefault(step, {}) if isinstance(step, str) else here[step]
    if isinstance(here, dict | list):
        here[path[-1]] = value  # type: ignore[index]
        return path
    raise BadInput(f'"{key}": {format_key(path[:-1])} is not a table')


def differences(one: Any, other: Any, path: KeyPath = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield every dotted key in which two plain structures differ, with both values; None for a missing one.

    Tables are compared key by key, and lists of tables of the same length element by element.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from differences(one.get(key), other.get(key), (*path, key))
    elif _tables(one) and _tables(other) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from differences(first, second, (*path, number))
    elif one != other:
        yield format_key(path), one, other


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
