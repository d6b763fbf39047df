"""What tests of several parts of the analysis share."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def peak_memory() -> Callable[..., int]:
    """Return a meter: peak_memory(what) is the most bytes that a call of `what` holds at once."""

    def of(what: Callable[[], Any]) -> int:
        tracemalloc.start()
        try:
            what()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return of
