"""Options of every command that takes a study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

StudyArgument = Annotated[
    str, typer.Argument(metavar="[STUDY]", help="A study file, or a name from `list studies`.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the study, e.g. world.users=500 (repeat as needed).",
    ),
]
NoCode = Annotated[
    bool, typer.Option("--no-code", help="Refuse a study that names code (classes, models of adapters).")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Interactive = Annotated[
    bool, typer.Option("--interactive", help="Also write interactive.html: hover, arm toggles; offline.")
]


class Backend(StrEnum):
    """Where runs are executed."""

    loky = "loky"
    threading = "threading"
    dask = "dask"
    ray = "ray"


class Stop(StrEnum):
    """When a study stops before its last seed."""

    decided = "decided"


@dataclass(frozen=True)
class StudyOptions:
    """Options of `run` and `gate`."""

    out: Annotated[
        Path | None, typer.Option(help="Folder of results; out/<name of the study> when omitted.")
    ] = None
    jobs: Annotated[int, typer.Option(help="Runs at a time; -1 = one per core.")] = -1
    backend: Annotated[
        Backend, typer.Option(help="Processes (loky), threads, or workers of Dask or Ray.")
    ] = Backend.loky
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Join a running Dask or Ray cluster, e.g. tcp://10.0.0.5:8786."),
    ] = None
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.")] = None
    rounds: Annotated[int | None, typer.Option(help="Rounds of every run.")] = None
    until: Annotated[
        Stop | None,
        typer.Option(
            help="decided: run seeds in batches until the gate, or the primary measures, are decided."
        ),
    ] = None
    max_seeds: Annotated[
        int | None, typer.Option(help="With --until: most seeds to run; the study's own number when omitted.")
    ] = None
    checkpoint_every: Annotated[
        int, typer.Option(help="Rounds after which a run leaves a checkpoint to go on from; 0 = never.")
    ] = 250
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep the end of every run, to go on with more rounds later.")
    ] = False
    max_runs: Annotated[
        int, typer.Option(metavar="N", help="A study with more runs than this is refused.")
    ] = 100_000
    run_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Most seconds for a run; one that takes longer is a failed run."
        ),
    ] = None
    timings: Annotated[
        bool, typer.Option("--timings", help="Time the phases of a round; print and keep them per arm.")
    ] = False
    changes: Set = None
    no_code: NoCode = False
    no_report: Annotated[bool, typer.Option("--no-report", help="Write the tables only.")] = False
    interactive: Interactive = False

    def with_absolute_out(self) -> StudyOptions:
        """Return the options with an absolute folder: code of the study may change the current directory."""
        return self if self.out is None else replace(self, out=self.out.absolute())


def overrides_of(changes: list[str] | None, rounds: int | None = None, seeds: int | None = None) -> list[Any]:
    """Return the changes that options make to a study."""
    from ..scenarios.specs.overrides import parse_set

    overrides = [parse_set(text) for text in changes or []]
    if rounds is not None:
        overrides.append((f"--rounds {rounds}", "rounds", rounds))
    if seeds is not None:
        overrides.append((f"--seeds {seeds}", "seeds", seeds))
    return overrides


def check_beyond_schema(
    study: Any, overrides: list[Any], source: str, stops: bool = False, most_draws: int | None = None
) -> list[str]:
    """Check what the schema cannot; errors name the option that set the key, or the file.

    stops: a stopping rule decides on the number of seeds. most_draws: as in `check_runnable`.
    """
    from ..scenarios.design.changes import trace_mistakes
    from ..scenarios.runner import check_runnable

    with trace_mistakes(source, overrides, study):
        return check_runnable(study, stops, most_draws)


def full_study(run_options: Any, study: Any, overrides: list[Any], source: str) -> Any:
    """Return the study with all seeds that may be run; errors name the option that set the key, or the file."""
    from ..scenarios.design.changes import trace_mistakes

    with trace_mistakes(source, overrides, study):
        return run_options.full_study(study)


def check_gate_decidable(study: Any, overrides: list[Any], source: str, most: int | None = None) -> None:
    """Raise BadInput if no number of seeds can decide the gate; errors name the option that set the key, or the file."""
    from ..scenarios.design.changes import trace_mistakes
    from ..scenarios.design.check_gate import check_decidable

    with trace_mistakes(source, overrides, study):
        check_decidable(study, most)


def stopping_rule(options: StudyOptions, study: Any, overrides: list[Any], source: str) -> Any:
    """Return the stopping rule, if any; errors name the option that set the key, or the file."""
    from ..scenarios.design.changes import trace_mistakes
    from ..scenarios.until import parse_until

    with trace_mistakes(source, overrides, study):
        return parse_until(options.until, study, options.seeds, options.max_seeds)
