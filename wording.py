"""Format text for messages and file names: counts, TOML values, components, slugs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any


def slug(text: str) -> str:
    """Return a file name for a title: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "study"


def counted(count: int, noun: str) -> str:
    """Return "1 run", "2 runs", "1,000 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(text: str, most: int = 60) -> str:
    """Return a text cut to at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
"""Control sequences of terminals: colors, moves of the cursor, titles of the window."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and newline, and those that change the direction of text."""
_NOT_UNICODE = re.compile("[\ud800-\udfff\ufffe\uffff]")


def clean(text: str, most: int = 1_000) -> str:
    """Return text of others so that it can be stored and shown anywhere, cut to about `most` characters.

    Control characters are removed, and what UTF-8 and XML cannot represent is replaced. Of a longer text, the
    first two thirds and the end are kept, with the number of characters left out in between.
    """
    text = _NOT_UNICODE.sub("\ufffd", _CONTROL.sub("", _TERMINAL.sub("", text)))
    if len(text) <= most:
        return text
    head, tail = most - most // 3, most // 3
    return f"{text[:head]} … ({len(text) - most:,} characters left out) … {text[-tail:]}"


def toml(value: Any) -> str:
    """Return a value as TOML on one line; None, which TOML does not have, is "nothing"."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:
            return "a number with thousands of digits"
    if isinstance(value, Mapping):
        return f"{{ {settings(value)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    # TOML does not allow DEL in text, but JSON does.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: str) -> str:
    """Return a TOML key, quoted if necessary."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml(key)


def unquoted(value: Any) -> str:
    """Return a value as TOML, but text without quotes."""
    return value if isinstance(value, str) else toml(value)


def settings(fields: Mapping[str, Any]) -> str:
    """Return fields as `dim = 16, model = "als"`."""
    return ", ".join(f"{toml_key(key)} = {toml(value)}" for key, value in fields.items())


def format_key(path: Sequence[str | int]) -> str:
    """Return steps into a study as a dotted key: `arms[2].policy.dim`; an element by its name is a step "[MF]"."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text and step[:1] != "[" else step
    return text


def component(spec: Mapping[str, Any], hidden: Container[str] = ()) -> str:
    """Return a policy, reranker or log transform as `ease (l2 = 300)`; without a kind its fields alone.

    hidden: fields to leave out.
    """
    kind = spec.get("kind", "")
    fields = settings({key: value for key, value in spec.items() if key != "kind" and key not in hidden})
    return f"{kind} ({fields})" if kind and fields else kind or fields
