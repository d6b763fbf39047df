"""Sets of (row, column) pairs as bit matrices: byte arrays (rows, ceil(columns / 8)), lowest bit first."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bits = NDArray[np.uint8]


def no_bits(rows: int, columns: int) -> Bits:
    """Return an empty set."""
    return np.zeros((rows, (columns + 7) // 8), np.uint8)


@njit(cache=True, inline="always")
def is_set(bits, row, column):
    """Return whether the bit of a pair is set; inlined into the calling loops."""
    return (bits[row, column >> 3] >> (column & 7)) & 1 != 0


@njit(cache=True)
def set_bits(bits, rows, columns):
    """Set the bits of the pairs rows[j], columns[j]."""
    for j in range(rows.size):
        bits[rows[j], columns[j] >> 3] |= np.uint8(1 << (columns[j] & 7))


@njit(cache=True)
def clear_bits(bits, rows, columns):
    """Clear the bits of the pairs rows[j], columns[j]."""
    for j in range(rows.size):
        bits[rows[j], columns[j] >> 3] &= np.uint8(255 ^ (1 << (columns[j] & 7)))


def unpacked(bits: Bits, columns: int) -> NDArray[np.bool_]:
    """Return the set as a dense array (rows, columns)."""
    return np.unpackbits(bits, axis=1, count=columns, bitorder="little").astype(bool)
