"""`echodrift run` and `echodrift report`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import EchodriftError, ExitCode
from ..messages import say, tell, tell_under_way
from ..study_options import Debug, Set, StudyArgument, checked, overrides_of, stopping


class Backend(StrEnum):
    """How runs are spread."""

    loky = "loky"
    threading = "threading"
    dask = "dask"
    ray = "ray"


class Stop(StrEnum):
    """When a study stops before its last seed."""

    decided = "decided"


Interactive = Annotated[
    bool, typer.Option("--interactive", help="Also write interactive.html: hover, arm toggles; offline.")
]


def run(
    study: StudyArgument = "default",
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; out/<name of the study> when omitted.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time; -1 = one per core.")] = -1,
    backend: Annotated[
        Backend, typer.Option(help="Processes (loky), threads, or workers of Dask or Ray.")
    ] = Backend.loky,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Join a running Dask or Ray cluster, e.g. tcp://10.0.0.5:8786."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of every run.")] = None,
    until: Annotated[
        Stop | None,
        typer.Option(
            help="decided: run seeds in batches until the gate, or the primary measures, are decided."
        ),
    ] = None,
    max_seeds: Annotated[
        int | None, typer.Option(help="With --until: most seeds to run; the study's own number when omitted.")
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option(help="Rounds after which a run leaves a checkpoint to go on from; 0 = never.")
    ] = 250,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep the end of every run, to go on with more rounds later.")
    ] = False,
    changes: Set = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write the tables only.")] = False,
    interactive: Interactive = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
    debug: Debug = False,
) -> int:
    """Run a study (or go on with it) and write tables, figures and a report."""
    from ...scenarios.design.changes import changed
    from ...scenarios.design.load import load_study
    from ...scenarios.execution.progress import progress
    from ...scenarios.study import default_folder, run_study

    _check(interactive)
    overrides = overrides_of(changes, rounds, seeds)
    chosen = load_study(study, overrides)
    stop = stopping(until and until.value, chosen, overrides, study, seeds, max_seeds)
    _warned(checked(stop.study if stop else chosen, overrides, study), quiet)
    folder = run_study(
        chosen,
        out or default_folder(chosen),
        jobs=jobs,
        backend=backend.value,
        scheduler=scheduler,
        progress=progress(not quiet),
        command=["echodrift", *sys.argv[1:]],
        changed=changed(study, overrides, chosen),
        until=stop,
        checkpoint_every=checkpoint_every,
        keep_state=keep_state,
    )
    from ...scenarios.result import Result
    from ...wording import counted

    result = Result(folder.path)
    if not quiet:
        tell(result.manifest["notes"])
    if not no_report:
        page = _report(result, debug)
        if not quiet:
            print(f"Report: {page}")
    if interactive:
        page = _report(result, debug, interactive)
        if not quiet:
            print(f"Interactive page: {page}")
    if not quiet:
        print(f"Tables: {folder.path}")
    failed = result.failed
    if len(failed):
        say(
            f"error: {len(failed)} of {counted(len(result.runs), 'run')} failed; the same command tries them again."
        )
        for error, rows in failed.groupby("error", sort=False):
            first = rows.iloc[0]
            say(f'error: {len(rows)}×, first in arm "{first["arm"]}", seed {first["seed"]}: {error}')
        return ExitCode.RUN_FAILED
    return ExitCode.OK


def _check(interactive: bool) -> None:
    """Complain about a missing extra before any work starts."""
    if interactive:
        from ...analysis.report.interactive import check_interactive

        check_interactive()


def _warned(notes: list[str], quiet: bool) -> None:
    """Say what makes a gate's answer undecided before the study is run; the other notes come with its results."""
    if not quiet:
        tell([note for note in notes if note.startswith("warning: gate")])


def _report(result: Any, debug: bool, interactive: bool = False) -> Path:
    try:
        if interactive:
            from ...analysis.report.interactive import build_interactive

            return build_interactive(result.folder)
        return result.report()
    except EchodriftError:
        raise
    except Exception as error:
        if debug:
            raise
        raise RuntimeError(
            f"the tables are complete in {result.folder}, but the report failed: {type(error).__name__}: {error}. "
            f"Try again with: echodrift report {result.folder}{' --interactive' if interactive else ''}"
        ) from error


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished study.")],
    interactive: Interactive = False,
    debug: Debug = False,
) -> None:
    """Rebuild figures and page from the tables of a finished study."""
    from ...scenarios.result import Result

    _check(interactive)
    result = Result(folder)
    tell_under_way(folder)
    print(f"Report: {_report(result, debug)}")
    if interactive:
        print(f"Interactive page: {_report(result, debug, interactive)}")
