"""`echodrift check`: check a study and say what it needs, without running it."""

from __future__ import annotations

from ...errors import Mistakes
from ..messages import print_notes
from ..study_options import (
    Debug,
    NoCode,
    Set,
    StudyArgument,
    check_beyond_schema,
    check_gate_decidable,
    overrides_of,
)

CHECKED_DRAWS = 1000
"""Draws from priors that are checked, so that the answer takes seconds."""


def check(
    study: StudyArgument = "default", changes: Set = None, no_code: NoCode = False, debug: Debug = False
) -> None:
    """Check a study without running it, and warn about weak conclusions."""
    from ...scenarios.code.study_code import code_note
    from ...scenarios.design.drawn_studies import describe_design
    from ...scenarios.design.load import load_study
    from ...scenarios.design.size import MAX_RUNS, count_runs, count_seeds, multiplied
    from ...scenarios.execution.memory import describe_memory
    from ...wording import counted
    from ..catalog import warnings

    overrides = overrides_of(changes)
    chosen = load_study(study, overrides, no_code=no_code)
    wrong, notes = Mistakes(), []
    with wrong.collect():
        notes = check_beyond_schema(chosen, overrides, study, most_draws=CHECKED_DRAWS)
    if chosen.gate is not None:
        # Before the notes are printed, which would report the problem a second time, as a warning.
        with wrong.collect():
            check_gate_decidable(chosen, overrides, study)
    wrong.report()
    print_notes([*notes, *filter(None, [code_note(chosen)])])
    for warning in warnings(chosen):
        print(f"warning: {warning}")
    if count_runs(chosen) > MAX_RUNS:
        print(
            f"warning: {multiplied(chosen)} = {counted(count_runs(chosen), 'run')}: `run` refuses more than {MAX_RUNS:,} "
            f"without --max-runs {count_runs(chosen)}"
        )
    if chosen.uncertainty is not None and count_seeds(chosen) > CHECKED_DRAWS:
        print(
            f"note: the first {CHECKED_DRAWS:,} draws from the priors were checked; `run` checks all before it starts"
        )
    arms, runs = counted(len(chosen.arms), "arm"), counted(count_runs(chosen), "run")
    varied = describe_design(chosen)
    print(f'"{chosen.name}" is fine: {arms}, {varied}{runs} of {counted(chosen.rounds, "round")}.')
    if chosen.gate is not None:
        arms, lines = chosen.gate.describe()
        print(f"gate: {arms}\n      {lines}")
    print(describe_memory(chosen))
