"""Plain data made into a model, or one line per mistake: where it came from, key, what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from ...complaints import complaints
from ...errors import BadInput
from ...keys import Step, format_key
from .study import Study


def validate(
    model: type[BaseModel],
    data: dict[str, Any],
    label: str,
    placed: list[tuple[list[Step], str]] | None = None,
) -> Any:
    """Return `model` filled from plain data, strictly typed, or raise BadInput with one line per mistake.

    placed: ways that options wrote to, so that a mistake there names the option instead of the file.
    """
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        lines = [_line(label, way, text, data, placed or ()) for way, text in complaints(error, model)]
    except (RecursionError, ValueError) as error:
        lines = [f"{label or 'a value'}: too deep or too long ({error})"]
    raise BadInput("\n".join(lines))


def _line(
    label: str, way: list[Step], text: str, data: dict[str, Any], placed: Iterable[tuple[list[Step], str]]
) -> str:
    """Return a mistake with what it came from: the last option that can be behind it, else the file."""
    options = [option for to, option in placed if _is_behind(to, way, text)]
    key = _by_name(way, data) if options else format_key(way)
    return ": ".join(part for part in (options[-1] if options else label, key, text) if part)


def _is_behind(to: list[Step], way: list[Step], text: str) -> bool:
    """Whether an option that wrote to one place can be behind a mistake found at another."""
    if way[: len(to)] == to:
        return True
    if to[: len(way)] == way:
        # Found further up: the option made a table of an unknown name, or the text names its key.
        return (
            text.startswith("unknown key")
            or re.search(rf"\b{re.escape(str(to[len(way)]))}\b", text) is not None
        )
    return text.startswith("is missing") and to[:-1] == way[:-1]


def _by_name(way: list[Step], data: dict[str, Any]) -> str:
    """Return steps as a dotted key, an arm by its name."""
    arms = data.get("arms")
    if len(way) > 1 and way[0] == "arms" and isinstance(arms, list) and isinstance(way[1], int):
        arm = arms[way[1]]
        if isinstance(arm, dict) and isinstance(arm.get("name"), str):
            return format_key([f"arms[{arm['name']}]", *way[2:]])
    return format_key(way)


def in_arm(
    error: BadInput, label: str, way: list[Step], study: Study, placed: Iterable[tuple[list[Step], str]]
) -> BadInput:
    """Return an error whose lines begin with a key inside `way`, told as one about the study."""
    placed = list(placed)
    arms = {"arms": [{"name": arm.name} for arm in study.arms]}
    lines = []
    for line in str(error).splitlines():
        key, _, text = line.partition(": ")
        inner: list[Step] = [
            int(step[1:-1]) if step.startswith("[") else step for step in re.findall(r"\[\d+\]|[^.\[]+", key)
        ]
        lines.append(_line(label, [*way, *inner], text, arms, placed))
    return BadInput("\n".join(lines))
