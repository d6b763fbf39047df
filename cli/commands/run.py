"""`echodrift run` and `echodrift report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import EchodriftError, ExitCode
from ..messages import say, tell, tell_under_way
from ..study_options import (
    Debug,
    Interactive,
    StudyArgument,
    StudyOptions,
    checked,
    overrides_of,
    stopping,
)


def run(
    *,
    study: StudyArgument = "default",
    options: StudyOptions,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
    debug: Debug = False,
) -> int:
    """Run a study (or go on with it) and write tables, figures and a report."""
    from ...scenarios.design.changes import changed
    from ...scenarios.design.load import load_study
    from ...scenarios.execution.progress import progress
    from ...scenarios.runner import RunOptions, default_folder, run_study

    _check(options.interactive)
    overrides = overrides_of(options.changes, options.rounds, options.seeds)
    chosen = load_study(study, overrides)
    how = RunOptions(
        jobs=options.jobs,
        backend=options.backend.value,
        scheduler=options.scheduler,
        checkpoint_every=options.checkpoint_every,
        keep_state=options.keep_state,
        timings=options.timings,
        until=stopping(options, chosen, overrides, study),
        progress=progress(not quiet),
        command=["echodrift", *sys.argv[1:]],
        changed=changed(study, overrides, chosen),
    )
    _warned(checked(how.whole(chosen), overrides, study), quiet)
    folder = run_study(chosen, options.out or default_folder(chosen), how)
    from ...scenarios.result import Result
    from ...wording import counted

    result = Result(folder.path)
    if not quiet:
        tell(result.manifest["notes"])
    if not options.no_report:
        page = _report(result, debug)
        if not quiet:
            print(f"Report: {page}")
    if options.interactive:
        page = _report(result, debug, interactive=True)
        if not quiet:
            print(f"Interactive page: {page}")
    if not quiet:
        print(f"Tables: {folder.path}")
    if options.timings:
        from ..timings import print_timings

        print_timings(result.manifest.get("timings", {}), len(result.runs))
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
