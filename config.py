"""The base class of all configuration models: frozen, validated, documented, and readable from and writable to TOML."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from .errors import BadInput


class Config(BaseModel):
    """A pydantic model that is frozen and rejects unknown keys; docstrings under fields appear in the JSON Schema."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )


def plain(value: Any, where: str) -> Any:
    """Return nested tables, lists, texts, numbers and truth values only, as new objects.

    Dates and paths become text, numpy numbers and arrays become plain ones; what is None in a table is as good
    as not written. Raises BadInput for anything else: settings must survive being written to a file and the
    way to another process.
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise BadInput(f"{where}: nested too deeply") from None


def _plain(value: Any, where: str) -> Any:
    to_list = getattr(value, "tolist", None)
    if to_list is not None:
        value = to_list()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadInput(f"{where} is a whole number beyond 64 bits, more than TOML allows")
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path):
        return _text(str(value), where)
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        known = {key: inside for key, inside in value.items() if inside is not None}
        return {_key(key, where): _plain(inside, f"{where}: {key}") for key, inside in known.items()}
    if isinstance(value, list | tuple):
        return [_plain(inside, f"{where}[{number}]") for number, inside in enumerate(value)]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    what = "None" if value is None else "a function" if callable(value) else f"a {type(value).__name__}"
    raise BadInput(
        f"{where} is {what}, which cannot be written to a study file or sent to another process. Allowed: "
        "numbers, text, true/false, lists and tables. For code of your own, write a class and name it with "
        'kind = "package.module:Class"'
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str | int | float):
        raise BadInput(f"{where}: the key {key!r} is not text")
    return _text(str(key), where)


def _text(text: str, where: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadInput(f"{where}: {text!r} is not valid Unicode text")
    return text
