"""Preload module of the Dask workers that a study starts on its own machine."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C, which reaches all processes of a terminal: the study itself handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
