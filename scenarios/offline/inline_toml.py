"""Parse and write one-line tables of command-line options: `kind=ease,l2=300`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from ...errors import BadInput
from ...wording import toml, toml_key
from ..specs.overrides import toml_value

_WORD = r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s,=\[\]{}"'#]+(?:[ ]+[^\s,=\[\]{}"'#]+)*"""
"""Regular expression of quoted text or bare words."""
_TOKEN = re.compile(rf"{_WORD}|\S")


def parse_inline(text: str, option: str) -> dict[str, Any]:
    """Read the body of a TOML inline table, braces optional; a value that is a bare word is text.

    Numbers, true/false, "text", [lists] and {tables} are as in TOML, and keys may be dotted. `option` is what
    the message of a BadInput starts with.
    """
    reader = _Reader(text, option)
    try:
        table = reader.table("}" if reader.accept("{") else "")
    except RecursionError:
        reader.fail("nested too deeply")
    if reader.peek:
        reader.fail(f'"{reader.peek}" is one too many')
    return table


class _Reader:
    """A recursive-descent parser over the tokens of a text."""

    def __init__(self, text: str, option: str) -> None:
        self.option = option
        found = [(match[0], match.start()) for match in _TOKEN.finditer(text)]
        self.left = [("", len(text)), *reversed(found)]

    @property
    def peek(self) -> str:
        return self.left[-1][0]

    def fail(self, what: str) -> NoReturn:
        raise BadInput(
            f"{self.option}: {what} (character {self.left[-1][1] + 1}). Write it as key=value,key=value, "
            'for example kind=matrix_factorization,dim=32; text with special characters needs "…"'
        )

    def accept(self, mark: str) -> bool:
        return self.peek == mark and bool(self.left.pop())

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            self.fail(f'a "{mark}" is missing')

    def word(self, what: str) -> tuple[str, Any]:
        """Return a word as typed, and its value."""
        word = self.peek
        if not re.fullmatch(_WORD, word):
            self.fail(f"a {what} is missing")
        try:
            value = _parse_word(word)
        except ValueError as error:
            self.fail(f"{word} is not valid text ({error})")
        self.left.pop()
        return word, value

    def read_list(self, end: str, read: Callable[[], None]) -> None:
        """Read comma-separated items up to `end`; "" is the end of the text."""
        while self.peek not in ("", end):
            read()
            if not self.accept(","):
                break
        if end:
            self.expect(end)

    def table(self, end: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.read_list(end, lambda: self.pair(found))
        return found

    def pair(self, table: dict[str, Any]) -> None:
        word, key = self.word("key")
        *way, last = [key] if word[0] in "\"'" else [part.strip() for part in word.split(".")]
        if not all([*way, last]):
            self.fail(f'"{word}" is not a key')
        self.expect("=")
        for part in way:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                self.fail(f'"{part}" is a value and a table at once')
        if last in table:
            self.fail(f'"{word}" is given twice')
        table[last] = self.value()

    def value(self) -> Any:
        if self.accept("{"):
            return self.table("}")
        if self.accept("["):
            items: list[Any] = []
            self.read_list("]", lambda: items.append(self.value()))
            return items
        return self.word("value")[1]


def _parse_word(word: str) -> Any:
    """Return the value of a word: quoted text, a number or boolean of TOML, else the word itself as text."""
    try:
        value = toml_value(word)
    except ValueError:
        if word[0] in "\"'":
            raise
        return word
    return value if isinstance(value, bool | int | float | str) else word


def write_option(table: dict[str, Any]) -> str:
    """Return `key=value,…` for the command line; the shell needs quotes around it if it contains quotes."""
    return ",".join(f"{toml_key(key)}={_written(value)}" for key, value in table.items())


def _written(value: Any) -> str:
    """Return a value as TOML, but words without quotes."""
    if isinstance(value, dict):
        return "{" + write_option(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    is_word = (
        isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.:/-]*", value) and _parse_word(value) == value
    )
    return value if is_word else toml(value)
