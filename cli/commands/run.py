"""`echodrift run` (run a study) and `echodrift report` (make its page again)."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import BadInput, EchodriftError, ExitCode
from ..messages import print_notes, print_stderr, print_unfinished_note
from ..study_options import (
    Debug,
    Interactive,
    StudyArgument,
    StudyOptions,
    check_beyond_schema,
    full_study,
    overrides_of,
    stopping_rule,
)

if TYPE_CHECKING:
    from ...scenarios.result import Result


ROWS = 24
"""Maximum rows of the table of differences: those of the default study."""


def run(
    *,
    study: StudyArgument = "default",
    options: StudyOptions,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
    debug: Debug = False,
) -> int:
    """Run a study (or go on with it) and write tables, figures and a report."""
    result = run_and_report(study, options, quiet=quiet, debug=debug)
    if not quiet:
        _print_differences(result)
        _print_verdict(result)
    return print_failures(result)


def run_and_report(study: str, options: StudyOptions, *, quiet: bool, debug: bool) -> Result:
    """Run a study, write its report, and say where both are."""
    from ...scenarios.design.changes import describe_changes
    from ...scenarios.design.load import load_study
    from ...scenarios.execution.progress import progress_display
    from ...scenarios.runner import RunOptions, default_folder, run_study

    _check(options.interactive)
    options = options.with_absolute_out()
    overrides = overrides_of(options.changes, options.rounds, options.seeds)
    chosen = load_study(study, overrides, no_code=options.no_code)
    run_options = RunOptions(
        jobs=options.jobs,
        backend=options.backend.value,
        scheduler=options.scheduler,
        checkpoint_every=options.checkpoint_every,
        keep_state=options.keep_state,
        timings=options.timings,
        run_timeout=options.run_timeout,
        max_runs=options.max_runs,
        until=stopping_rule(options, chosen, overrides, study),
        progress=progress_display(not quiet),
        command=["echodrift", *sys.argv[1:]],
        changed=describe_changes(study, overrides, chosen),
    )
    full, stops = full_study(run_options, chosen, overrides, study), run_options.until is not None
    _print_gate_warnings(check_beyond_schema(full, overrides, study, stops), quiet)
    folder = run_study(chosen, options.out or default_folder(chosen).absolute(), run_options)
    from ...scenarios.result import Result

    result = Result(folder.path)
    if not quiet:
        print_notes(result.manifest["notes"])
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
    return result


def _print_differences(result: Result) -> None:
    from ..differences import lines

    if len(result.failed) < len(result.runs):
        table = result.compare()
        found = lines(result, table, result.study.reference or result.study.arms[0].name, ROWS)
        if found:
            print("\n".join(["", *found]))


def _print_verdict(result: Result) -> None:
    """Print the verdict of the study's gate, if it has one, and how to see all of it."""
    from ...analysis.gate.words import summary
    from ...scenarios.gate_results import judge_folder

    if result.study.gate is None:
        return
    try:
        found = summary(judge_folder(result.folder, over_behaviors=False))
    except BadInput as error:
        found = [f"Gate: cannot be judged: {error}"]
    print("\n".join(["", *found, f"All of it: echodrift gate {shlex.quote(str(result.folder))}"]))


def print_failures(result: Result) -> ExitCode:
    """Name the errors of failed runs on stderr; return the exit code that they make."""
    from ...wording import counted

    failed = result.failed
    if len(failed):
        print_stderr(
            f"error: {len(failed)} of {counted(len(result.runs), 'run')} failed; the same command tries them again."
        )
        for error, rows in failed.groupby("error", sort=False):
            first = rows.iloc[0]
            print_stderr(f'error: {len(rows)}×, first in arm "{first["arm"]}", seed {first["seed"]}: {error}')
        return ExitCode.RUN_FAILED
    return ExitCode.OK


def _check(interactive: bool) -> None:
    """Raise BadInput for a missing extra before any work starts."""
    if interactive:
        from ...analysis.report.interactive import check_interactive

        check_interactive()


def _print_gate_warnings(notes: list[str], quiet: bool) -> None:
    """Print notes about an undecidable gate before the study is run; other notes come with the results."""
    if not quiet:
        print_notes([note for note in notes if note.startswith("warning: gate")])


def _report(result: Result, debug: bool, interactive: bool = False) -> Path:
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
    print_unfinished_note(folder)
    print(f"Report: {_report(result, debug)}")
    if interactive:
        print(f"Interactive page: {_report(result, debug, interactive)}")
