"""Text of others, made fit for files and terminals; the errors that carry it."""

from __future__ import annotations

import pytest
from echodrift.errors import describe
from echodrift.wording import clean
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(st.characters(exclude_categories=())), st.integers(10, 60))
def test_text_of_others_fits_everywhere(text: str, most: int) -> None:
    found = clean(text, most)
    found.encode("utf-8")
    assert not any(ord(each) < 32 and each not in "\t\n" for each in found)
    assert len(found) <= most or "characters left out" in found
    assert clean(text, len(text)) == clean(clean(text, len(text)), len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("50 %\r100 %\n\ttab", "50 %100 %\n\ttab"),
        ("\ud800 \ufffe", "\ufffd \ufffd"),
        ("naïve 音楽 🎵", "naïve 音楽 🎵"),
    ],
)
def test_what_is_removed(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_the_beginning_and_the_end_of_a_long_text_are_kept() -> None:
    assert clean("a" * 90 + "b" * 30, 60) == f"{'a' * 40} … (60 characters left out) … {'b' * 20}"


def test_an_exception_whose_text_raises() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise KeyError

    assert describe(Odd()) == "Odd: (its message cannot be shown: __str__ raised KeyError)"
    assert describe(ValueError("\x1b[1mx")) == "ValueError: x"
