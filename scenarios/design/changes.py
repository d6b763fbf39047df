"""What options put over a study: which of them a mistake came from, and what they changed in the end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import BadInput, EchodriftError
from ...keys import Step, format_key
from ..specs.overrides import Override
from ..specs.study import Study
from .load import label_of, load_study

_KEYED = re.compile(rf'(?:{"|".join(Study.model_fields)})(?:[.\[:]| = )|arm "')
"""How a line begins that is about a key of the study."""


def changed(
    source: str | Path | Mapping[str, Any] | Study, overrides: Iterable[Override], study: Study
) -> list[str]:
    """Return what differs between a study as written and as run: "key: old → new", one per key.

    Where the study cannot be read without its options, what they say is all that is known.
    """
    overrides = list(overrides)
    if not overrides:
        return []
    try:
        before = load_study(source)
    except EchodriftError:
        return [f"{key}: → {_short(value)}" for _, key, value in overrides]
    return _differences(_by_name(before), _by_name(study))


@contextmanager
def told_where(
    source: str | Path | Mapping[str, Any] | Study, overrides: Iterable[Override]
) -> Iterator[None]:
    """Say of every mistake inside, which begins with its key, where that was written: an option, or the file."""
    try:
        yield
    except BadInput as error:
        raise _blamed(error, list(overrides), label_of(source)) from None


def _blamed(error: BadInput, overrides: list[Override], label: str) -> BadInput:
    """Return the error with the option before every line that is about its key, the file before those of other keys."""
    lines = []
    for line in str(error).splitlines():
        told = line.startswith(("--", f"{label}: ")) or any(option in line for option, _, _ in overrides)
        options = [
            option for option, key, _ in overrides if re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", line)
        ]
        if not told and options:
            line = f"{options[0]}: {line}"
        elif not told and _KEYED.match(line):
            line = f"{label}: {line}"
        lines.append(line)
    return type(error)("\n".join(lines))


def _by_name(study: Study) -> dict[str, Any]:
    """Return a study's fields, with its arms and groups under their names."""
    data = study.model_dump(mode="json", exclude_none=True)
    for holder, key in ((data, "arms"), (data["world"], "groups")):
        if isinstance(holder.get(key), list):
            holder[key] = {f"[{part['name']}]": part for part in holder[key]}
    return data


def _differences(one: Any, other: Any, way: tuple[Step, ...] = ()) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in dict.fromkeys([*one, *other])
            for line in _differences(one.get(key), other.get(key), (*way, key))
        ]
    if one == other:
        return []
    return [f"{format_key(way).replace('.[', '[')}: {_short(one)} → {_short(other)}"]


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
