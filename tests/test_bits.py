"""Sets of bits against sets of pairs."""

from __future__ import annotations

import numpy as np
from echodrift.bits import clear_bits, is_set, no_bits, set_bits, unpacked
from hypothesis import given
from hypothesis import strategies as st

ROWS, COLUMNS = 3, 19
PAIRS = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1)), max_size=30)


@given(batches=st.lists(st.tuples(st.booleans(), PAIRS), max_size=6))
def test_bits_are_a_set_of_pairs(batches: list[tuple[bool, list[tuple[int, int]]]]) -> None:
    bits, pairs = no_bits(ROWS, COLUMNS), set()
    assert bits.shape == (ROWS, 3)
    for put, batch in batches:
        rows, columns = np.array(batch, np.int32).reshape(-1, 2).T
        (set_bits if put else clear_bits)(bits, rows, columns)
        pairs = pairs | set(batch) if put else pairs - set(batch)
        found = {
            (row, column) for row in range(ROWS) for column in range(COLUMNS) if is_set(bits, row, column)
        }
        assert (
            found
            == pairs
            == {(int(row), int(column)) for row, column in np.argwhere(unpacked(bits, COLUMNS))}
        )
