"""One BLAS thread for as long as a block of code runs, so that sums come out the same everywhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import scipy.linalg  # noqa: F401  loads scipy's own BLAS before the controller looks for libraries
from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    """Finding the loaded libraries takes milliseconds; setting their thread count takes microseconds."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS uses one thread."""
    return _controller().limit(limits=1, user_api="blas")
