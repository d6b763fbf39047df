"""Notes of runs are told once, with the arms that they are about."""

from __future__ import annotations

import pytest
from echodrift.analysis.notes import gathered, is_warning


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        ([("a", "x"), ("b", "x"), ("a", "x")], {"x": ["a", "b"]}),
        # From seed to seed
        ([("a", "rank 3.81; 2,000 users"), ("a", "rank 10.9; 90 users"), ("b", "rank 1e-05; 7 users")],
         {"rank 3.81; 2,000 users": ["a"], "rank 1e-05; 7 users": ["b"]}),
        # From arm to arm, other numbers are another note
        ([("MF 8", "dim = 8"), ("MF 64", "dim = 64"), ("MF 8", "dim = 9")], {"dim = 8": ["MF 8"], "dim = 64": ["MF 64"]}),
    ],
)  # fmt: skip
def test_gathered(notes, found):
    assert gathered(notes) == found


def test_is_warning():
    assert is_warning("warning: x") and is_warning("Warning: x") and not is_warning("a warning: x")
