"""The table of `echodrift run --timings`: seconds per phase and arm."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def print_timings(timings: Mapping[str, Any], runs: int) -> None:
    """Print the `timings` of a manifest: a row per phase, a column per arm, seconds per run. runs: in the study."""
    from rich.console import Console

    from ..scenarios.offline.results.layout import Columns, parts, table

    if not timings:
        print(
            "No run was timed: they had finished before, or failed. A new folder (--out) runs and times them again."
        )
        return
    phases = list(next(iter(timings.values()))["seconds"])
    columns: Columns = {"seconds of one run": [*phases, "all"]}
    for arm, found in timings.items():
        seconds = [found["seconds"].get(phase, 0.0) for phase in phases]
        columns[arm] = [f"{value:.3f}" for value in [*seconds, sum(seconds)]]
    console = Console() if sys.stdout.isatty() else Console(width=120)
    for part in parts(columns, console.width):
        console.print(table(part))
    timed = sum(found["runs"] for found in timings.values())
    if timed < runs:
        console.print(
            f"Means of {timed} of {runs} runs; the others had finished before, or failed.", highlight=False
        )
