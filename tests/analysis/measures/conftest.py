"""How tests of measures read their values."""

from __future__ import annotations

import pytest
from echodrift.analysis.measures import build


@pytest.fixture(scope="session")
def last_values():
    """Return what measures give in the last of some rounds: last_values(setup, rounds, *columns)."""

    def of(setup, rounds, *columns):
        measures = build(setup, columns)
        for round in rounds:
            values = measures.update(round)
        return values

    return of
