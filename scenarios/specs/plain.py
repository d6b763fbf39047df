"""Values that can be part of a study: what survives being written to a file and read again."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ...errors import BadInput


def plain(value: Any, where: str) -> Any:
    """Return nested tables, lists, texts, numbers and truth values only, as new objects.

    Dates become text, numpy numbers and arrays become plain ones. Raises BadInput for anything else:
    a study must survive being written to a file.
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise BadInput(f"{where}: nested too deeply") from None


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path):
        text = str(value)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BadInput(f"{where}: {text!r} is not valid Unicode text")
        return text
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(exclude_none=True), where)
    if isinstance(value, Mapping):
        # What is None is as good as not written.
        known = {key: inside for key, inside in value.items() if inside is not None}
        return {_key(key, where): _plain(inside, f"{where}: {key}") for key, inside in known.items()}
    if isinstance(value, list | tuple):
        return [_plain(inside, where) for inside in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    to_list = getattr(value, "tolist", None)
    if to_list is not None:
        return _plain(to_list(), where)
    raise BadInput(
        f"{where}: a {type(value).__name__} cannot be part of a study, since a study must survive being written to a"
        ' file; name code by kind = "package.module:Class"'
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise BadInput(f"{where}: the key {key!r} is not text")
    return _plain(key, where)


def one_type(values: list[Any]) -> list[Any]:
    """Return values that a column can hold: of one type, other things than text and numbers as JSON."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return [float(value) for value in values]
    if len(kinds) == 1 and kinds <= {int, float, bool, str}:
        return values
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
