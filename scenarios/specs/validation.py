"""Plain data made into a model, or one line per mistake: where it came from, key, what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from ...complaints import mistakes
from ...errors import BadInput, Mistake, Way
from .study import Study

Placed = Sequence[tuple[Way, str]]
"""What options wrote: (way they wrote to, option as typed), in order."""


def validate(model: type[BaseModel], data: dict[str, Any]) -> Any:
    """Return `model` filled from plain data, strictly typed, or raise BadInput with one line per mistake."""
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise BadInput(*mistakes(error, model)) from None
    except (RecursionError, ValueError) as error:
        raise BadInput(Mistake(f"too deep or too long ({error})", about=((),))) from None


def validate_study(data: dict[str, Any], label: str, placed: Placed = ()) -> Study:
    """Return the study that plain data are; a mistake names the option that is behind it, else the label."""
    try:
        return validate(Study, data)
    except BadInput as error:
        arms = data.get("arms")
        listed = arms if isinstance(arms, list) else []
        names = [arm.get("name") if isinstance(arm, dict) else None for arm in listed]
        raise traced(error, label, placed, names) from None


def traced(error: BadInput, label: str, placed: Placed = (), arms: Sequence[Any] = ()) -> BadInput:
    """Return an error with the option before every mistake that one is behind, else the label of the file.

    Mistakes that were traced already, or are about no key, stay as they are. arms: names of the study's arms,
    by which an option speaks of them.
    """
    return BadInput(*(_traced(mistake, label, placed, arms) for mistake in error.mistakes))


def _traced(mistake: Mistake, label: str, placed: Placed, arms: Sequence[Any]) -> Mistake:
    if mistake.source or not (mistake.way or mistake.about):
        return mistake
    option = _behind(mistake, placed)
    if option is None:
        return replace(mistake, source=label)
    return replace(mistake, source=option, way=_by_name(mistake.way, arms))


def _behind(mistake: Mistake, placed: Placed) -> str | None:
    """Return the option that is behind a mistake: the last that wrote to, into or around the first key it is about."""
    latest = placed[::-1]
    for way in mistake.about or (mistake.way,):
        for to, option in latest:
            if _is_part(to, way) or _is_part(way, to):
                return option
    beside = (option for to, option in latest if mistake.lacks and to[:-1] == mistake.way[:-1])
    return next(beside, None)


def _is_part(way: Way, whole: Way) -> bool:
    return way[: len(whole)] == whole


def _by_name(way: Way, arms: Sequence[Any]) -> Way:
    """Return a way with the arm by its name."""
    if len(way) < 2 or way[0] != "arms" or not isinstance(way[1], int):
        return way
    name = arms[way[1]] if way[1] < len(arms) else None
    return (f"arms[{name}]", *way[2:]) if isinstance(name, str) else way
