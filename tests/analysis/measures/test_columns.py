"""Columns as figures and tables name them, and their values as they are written."""

import pytest
from echodrift.analysis.measures.columns import describe, write_difference, write_value


@pytest.mark.parametrize(
    ("column", "value", "written", "difference"),
    [
        ("niche_exposure", 0.1234, "12.3 %", "+12.3 pp"),
        ("niche_exposure", -0.0002, "−0.0 %", "−0.02 pp"),
        ("welfare", 0.5, "0.500", "+0.500"),
        ("welfare", 12345.6, "12,346", "+12,346"),
        ("welfare", 0.00001234, "1.2e−05", "+1.2e−05"),
        ("welfare", float("nan"), "–", "–"),
        ("welfare", 0.0, "0", "0"),
    ],
)
def test_values_are_written_with_their_unit(column, value, written, difference):
    assert write_value(describe(column), value) == written
    assert write_difference(describe(column), value) == difference
