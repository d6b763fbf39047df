"""Loaded by the Dask workers that a study starts on its own machine."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the study: all processes of a terminal get it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
