"""Validate plain data into a model; mistakes name the option or file that they come from, the key and the problem."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from ...complaints import mistakes
from ...errors import BadInput, KeyPath, Mistake
from .study import Study

Placed = Sequence[tuple[KeyPath, str]]
"""(path that was written, option as typed) of every option, in order."""


def validate(model: type[BaseModel], data: dict[str, Any]) -> Any:
    """Return `model` validated from plain data with strict types, or raise BadInput with one line per mistake."""
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise BadInput(*mistakes(error, model)) from None
    except (RecursionError, ValueError) as error:
        raise BadInput(Mistake(f"too deep or too long ({error})", about=((),))) from None


def validate_study(data: dict[str, Any], label: str, placed: Placed = ()) -> Study:
    """Return the study of plain data; a mistake names the option that caused it, otherwise the label."""
    try:
        return validate(Study, data)
    except BadInput as error:
        raise traced(error, label, placed, arm_names(data)) from None


def arm_names(data: dict[str, Any]) -> list[Any]:
    """Return the names of the arms of a study that may be invalid; None for an arm without one."""
    arms = data.get("arms")
    listed = arms if isinstance(arms, list) else []
    return [arm.get("name") if isinstance(arm, dict) else None for arm in listed]


def traced(error: BadInput, label: str, placed: Placed = (), arms: Sequence[Any] = ()) -> BadInput:
    """Return an error whose mistakes start with the option that caused them, otherwise the label of the file.

    Mistakes that are already traced, or not about a key, stay as they are. arms: names of the study's arms, which
    replace their indices in keys.
    """
    return BadInput(*(_traced(mistake, label, placed, arms) for mistake in error.mistakes))


def _traced(mistake: Mistake, label: str, placed: Placed, arms: Sequence[Any]) -> Mistake:
    if mistake.source or not (mistake.path or mistake.about):
        return mistake
    option = _option_of(mistake, placed)
    if option is None:
        return replace(mistake, source=label)
    return replace(mistake, source=option, path=_by_name(mistake.path, arms))


def _option_of(mistake: Mistake, placed: Placed) -> str | None:
    """Return the option that caused a mistake: the last one that wrote to, into or around the first key it is about."""
    latest = placed[::-1]
    for path in mistake.about or (mistake.path,):
        for to, option in latest:
            if _is_part(to, path) or _is_part(path, to):
                return option
    beside = (option for to, option in latest if mistake.is_missing and to[:-1] == mistake.path[:-1])
    return next(beside, None)


def _is_part(path: KeyPath, whole: KeyPath) -> bool:
    return path[: len(whole)] == whole


def _by_name(path: KeyPath, arms: Sequence[Any]) -> KeyPath:
    """Return a path with the name of an arm instead of its index."""
    if len(path) < 2 or path[0] != "arms" or not isinstance(path[1], int):
        return path
    name = arms[path[1]] if path[1] < len(arms) else None
    return (f"arms[{name}]", *path[2:]) if isinstance(name, str) else path
