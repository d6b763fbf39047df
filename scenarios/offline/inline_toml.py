"""One-line tables as people type them: `kind=ease,l2=300`, and back to TOML."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from ...errors import BadInput
from ...wording import toml, toml_key

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_BARE = re.compile(r"[^\s,=\[\]{}\"'#]+(?:[ ]+[^\s,=\[\]{}\"'#]+)*")
_DEEPEST = 20
"""Nested tables and lists, at most."""


def parse_inline(text: str, option: str) -> dict[str, Any]:
    """Read the body of a TOML inline table, braces optional; a value that is a bare word is text.

    Numbers, true/false, "text", [lists] and {tables} are as in TOML, and keys may be dotted. `option` is what
    the message of a BadInput starts with.
    """
    reader = _Reader(text, option)
    reader.skip()
    braced = reader.at("{")
    table = reader.table("}") if braced else reader.pairs("")
    reader.skip()
    if reader.place < len(text):
        reader.wrong(f'"{text[reader.place]}" is one too many')
    return table


class _Reader:
    """A cursor on the text."""

    def __init__(self, text: str, option: str) -> None:
        self.text, self.option, self.place, self.depth = text, option, 0, 0

    def wrong(self, what: str) -> None:
        raise BadInput(
            f"{self.option}: {what} (character {self.place + 1}). Write it as key=value,key=value, "
            'for example kind=matrix_factorization,dim=32; text with special characters needs "…"'
        )

    def skip(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def at(self, mark: str) -> bool:
        return self.place < len(self.text) and self.text[self.place] == mark

    def table(self, end: str) -> dict[str, Any]:
        self.place += 1
        self.depth += 1
        if self.depth > _DEEPEST:
            self.wrong("nested too deeply")
        found = self.pairs(end)
        self.expect(end)
        self.depth -= 1
        return found

    def expect(self, mark: str) -> None:
        self.skip()
        if not self.at(mark):
            self.wrong(f'a "{mark}" is missing')
        self.place += 1

    def pairs(self, end: str) -> dict[str, Any]:
        """Read key = value, … up to `end` (not included)."""
        found: dict[str, Any] = {}
        self.skip()
        while self.place < len(self.text) and not (end and self.at(end)):
            keys = self.key()
            self.expect("=")
            self.skip()
            here = found
            for part in keys[:-1]:
                here = here.setdefault(part, {})
                if not isinstance(here, dict):
                    self.wrong(f'"{part}" is a value and a table at once')
            if keys[-1] in here:
                self.wrong(f'"{".".join(keys)}" is given twice')
            here[keys[-1]] = self.value()
            self.skip()
            if not self.at(","):
                break
            self.place += 1
            self.skip()
        return found

    def key(self) -> list[str]:
        match = _QUOTED.match(self.text, self.place) or _BARE.match(self.text, self.place)
        if match is None:
            self.wrong("a key is missing")
            raise AssertionError
        self.place = match.end()
        word = match[0]
        parts = [self._toml(word)] if word[0] in "\"'" else [part.strip() for part in word.split(".")]
        if not all(parts):
            self.wrong(f'"{word}" is not a key')
        return parts

    def value(self) -> Any:
        if self.at("{"):
            return self.table("}")
        if self.at("["):
            return self.items()
        match = _QUOTED.match(self.text, self.place)
        if match is not None:
            self.place = match.end()
            return self._toml(match[0])
        match = _BARE.match(self.text, self.place)
        if match is None:
            self.wrong("a value is missing")
            raise AssertionError
        self.place = match.end()
        return _plain(match[0])

    def items(self) -> list[Any]:
        self.place += 1
        self.depth += 1
        if self.depth > _DEEPEST:
            self.wrong("nested too deeply")
        found = []
        self.skip()
        while not self.at("]"):
            found.append(self.value())
            self.skip()
            if not self.at(","):
                break
            self.place += 1
            self.skip()
        self.expect("]")
        self.depth -= 1
        return found

    def _toml(self, word: str) -> Any:
        try:
            return tomllib.loads(f"value = {word}")["value"]
        except tomllib.TOMLDecodeError as error:
            self.wrong(f"{word} is not valid text ({error})")


def _plain(word: str) -> Any:
    """Return a bare word as a number or truth value where TOML knows it as one, else as text."""
    try:
        value = tomllib.loads(f"value = {word}")
    except (tomllib.TOMLDecodeError, ValueError):
        return word
    number = value.get("value")
    return number if len(value) == 1 and isinstance(number, (bool, int, float)) else word


def write_option(table: dict[str, Any]) -> str:
    """Return `key=value,…` for the command line, to be put in quotes where it has any."""
    return ",".join(f"{toml_key(key)}={_written(value)}" for key, value in table.items())


def _written(value: Any) -> str:
    """Return a value as TOML writes it, but words without quotes."""
    if isinstance(value, dict):
        return "{" + write_option(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.:/-]*", value) and _plain(value) == value
    return value if is_word else toml(value)
