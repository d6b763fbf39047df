"""How many runs a study has, multiplied out before any list of that length is made."""

from __future__ import annotations

import math

from ...errors import BadInput, Mistake
from ...wording import counted
from ..specs.study import Study

MAX_RUNS = 100_000
"""Most runs of a study, unless more are asked for."""


def count_points(study: Study) -> int:
    """Return the number of design points: every combination of the grid's values and the rows of the zip tables."""
    rows = [len(next(iter(table.values()), [])) for table in study.zip]
    return math.prod([*map(len, study.grid.values()), *rows])


def count_seeds(study: Study) -> int:
    """Return the number of seeds."""
    return study.seeds if isinstance(study.seeds, int) else len(study.seeds)


def count_runs(study: Study) -> int:
    """Return the number of runs: arms × design points × seeds; runs that are the same are counted each time."""
    return len(study.arms) * count_points(study) * count_seeds(study)


def multiplied(study: Study) -> str:
    """Return the numbers that multiply to the number of runs, as "4 arms × 10 design points × 20 seeds"."""
    points = count_points(study)
    parts = [counted(len(study.arms), "arm"), counted(count_seeds(study), "seed")]
    return " × ".join([parts[0], *([counted(points, "design point")] if points > 1 else []), parts[1]])


def check_runs(study: Study, most: int = MAX_RUNS) -> None:
    """Raise BadInput for a study with more runs than `most`."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise BadInput(f"max_runs = {most!r}: must be a whole number of at least 1")
    runs = count_runs(study)
    if runs > most:
        text = (
            f"{multiplied(study)} = {counted(runs, 'run')}, more than the {most:,} that are started without being asked "
            f"for. Take fewer values or seeds, or type --max-runs {runs} (max_runs={runs} in Python)"
        )
        raise BadInput(Mistake(text, ("seeds",), (("seeds",), ("grid",), ("zip",))))
