"""Bounds and horizons as people write them."""

from __future__ import annotations

import math
import re

import pytest
from echodrift.analysis.gate.bounds import parse_bound, parse_horizon
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("written", "factor", "offset"),
    [
        (0.2, 0, 0.2), ("0.2", 0, 0.2), ("-1e-3", 0, -0.001), ("baseline", 1, 0), ("Baseline", 1, 0),
        ("baseline - 0.01", 1, -0.01), ("baseline-.01", 1, -0.01), ("baseline − 0.01", 1, -0.01),
        ("baseline + 0.05", 1, 0.05), ("baseline * 0.95", 0.95, 0), ("0.95 * baseline", 0.95, 0),
        ("baseline × 0.9 - 0.01", 0.9, -0.01), (" baseline  +  1e-2 ", 1, 0.01),
    ],
)  # fmt: skip
def test_bounds(written: float | str, factor: float, offset: float) -> None:
    bound = parse_bound(written)
    assert (bound.factor, bound.offset) == (factor, offset)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("basline - 0.01", 'write 0.2, "baseline", "baseline - 0.01"'),
        ("production - 0.01", "is not a bound"),
        ("baseline - 5%", '"baseline * 0.95" is 5 % less'),
        ("baseline * -1", "is not a bound"),
        ("baseline * 0", "write the number alone: 0"),
        ("baseline - 1e999", "too large"),
        ("baseline - 0.01 - 0.02", "is not a bound"),
        ("", "is not a bound"),
    ],
)  # fmt: skip
def test_bounds_that_cannot_be_read(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_bound(written)


@given(
    st.floats(0.001, 1e6), st.floats(0, 1e6), st.sampled_from("+-"), st.text(" \t", max_size=2), st.booleans()
)
def test_any_spelling_of_a_bound_is_read_as_meant(
    factor: float, offset: float, sign: str, space: str, first: bool
) -> None:
    times = f"{factor!r}{space}*{space}baseline" if first else f"baseline{space}*{space}{factor!r}"
    bound = parse_bound(f"{space}{times}{space}{sign}{space}{offset!r}{space}")
    assert bound.factor == factor and bound.offset == (offset if sign == "+" else -offset)


@given(st.text() | st.from_regex(r"baseline *[*+-]? *[0-9.e+-]*", fullmatch=True))
def test_any_text_is_a_bound_or_is_told_why_not(text: str) -> None:
    try:
        bound = parse_bound(text)
    except ValueError as error:
        assert text in str(error)
    else:
        assert math.isfinite(bound.factor) and math.isfinite(bound.offset) and bound.factor >= 0
    try:
        parse_horizon(text)
    except ValueError as error:
        assert text in str(error)


@pytest.mark.parametrize(
    ("written", "window"),
    [
        ("last 20 rounds", (80, 99)), ("last round", (99, 99)), ("Last 1 rounds", (99, 99)),
        ("rounds 50 to 99", (50, 99)), ("rounds 0-9", (0, 9)), ("rounds 0–9", (0, 9)), ("round 7", (7, 7)),
        ("all rounds", (0, 99)), ("last 100 rounds", (0, 99)),
    ],
)  # fmt: skip
def test_horizons(written: str, window: tuple[int, int]) -> None:
    horizon = parse_horizon(written)
    assert horizon.window(100) == window
    assert parse_horizon(str(horizon)) == horizon


@pytest.mark.parametrize(
    "written", ["last 0 rounds", "rounds 9 to 5", "first 20 rounds", "20", "last 9999999999 rounds"]
)
def test_horizons_that_cannot_be_read(written: str) -> None:
    with pytest.raises(ValueError, match=re.escape(written)):
        parse_horizon(written)


@pytest.mark.parametrize("written", ["last 101 rounds", "rounds 50 to 100", "round 100"])
def test_horizons_outside_of_the_rounds(written: str) -> None:
    with pytest.raises(ValueError, match="100"):
        parse_horizon(written).window(100)
