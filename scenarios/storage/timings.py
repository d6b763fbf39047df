"""Mean seconds per phase and arm of a study, from the runs that were timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..design.run import PlannedRun
from .store import Record


def timings_of(plan: Sequence[PlannedRun], records: Mapping[str, Record]) -> dict[str, Any]:
    """Return arm → {"runs": timed runs, "seconds": phase → mean}; arms without a timed run are left out.

    Stored in the manifest. Phases are in the order of a round, "build" (world, warm-up, recorder) first.
    """
    found: dict[str, Any] = {}
    for arm in dict.fromkeys(run.arm.name for run in plan):
        keys = dict.fromkeys(run.key for run in plan if run.arm.name == arm)
        timed = [records[key].phases for key in keys if key in records and records[key].phases]
        if timed:
            mean = {phase: sum(each[phase] for each in timed) / len(timed) for phase in timed[0]}
            found[arm] = {"runs": len(timed), "seconds": {phase: round(s, 4) for phase, s in mean.items()}}
    return found
