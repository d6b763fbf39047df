"""Run a command in a separate process and measure its wall time, processor time and peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Cost:
    """The cost of one process, from start to end."""

    wall: float
    """Seconds of wall time."""
    processor: float
    """Seconds of processor time, user and system, over all threads."""
    peak: float
    """Highest resident set, in MB (10^6 bytes)."""


def run(command: Sequence[str], extra: Mapping[str, str] | None = None, per_round: bool = False) -> Cost:
    """Run a command in an empty folder and return its cost; if it fails, the benchmark ends with its output.

    per_round: take the two times from the last line that the command prints, not from the process.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(extra or {})}, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n{text[-3000:]}")
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = usage.ru_maxrss * unit / 1e6
    if per_round:
        wall, processor = map(float, text.splitlines()[-1].split())
        return Cost(wall, processor, peak)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


def median(
    command: Sequence[str], repeats: int, extra: Mapping[str, str] | None = None, per_round: bool = False
) -> Cost:
    """Return the median of each figure over `repeats` runs."""
    costs = [run(command, extra, per_round) for _ in range(repeats)]
    return Cost(
        *(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "processor", "peak"))
    )
