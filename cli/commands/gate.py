"""`echodrift gate`: judge whether a candidate arm may replace the baseline; the verdict as text, JSON, JUnit and Markdown."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import BadInput, ExitCode
from ..messages import print_notes, print_stderr, print_unfinished_note, stdout_to_stderr
from ..study_options import Debug, StudyOptions, check_gate_decidable, overrides_of, stopping_rule
from .run import print_failures, run_and_report

if TYPE_CHECKING:
    from ...analysis.gate.answer import Answer

StudyOrFolder = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|DIR",
        help="A study file, a name from `list studies`, or the folder of a finished study.",
    ),
]
JUnit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML; - = print it.")]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - = print it.")
]
Markdown = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a table for a pull request; - = print it.")
]


def gate(
    *,
    study: StudyOrFolder,
    options: StudyOptions,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress; the files and the exit code only.")
    ] = False,
    debug: Debug = False,
    junit: JUnit = None,
    as_json: Json = None,
    markdown: Markdown = None,
) -> int:
    """Run a study (or go on with it) and answer its gate: PASS (exit code 0), FAIL (3) or UNDECIDED (4)."""
    files = {"junit": junit, "json": as_json, "markdown": markdown}
    _check_files(files)
    files = {name: path if path in (None, Path("-")) else path.absolute() for name, path in files.items()}
    options = options.with_absolute_out()
    finished = _finished(study, options)
    with stdout_to_stderr() if Path("-") in files.values() else nullcontext():
        answer = _judged(finished, quiet) if finished else _run(study, options, quiet=quiet, debug=debug)
    _write(answer, files)
    if not quiet and Path("-") not in files.values():
        print(answer)
    if answer.exit_code is ExitCode.RUN_FAILED:
        print_stderr(
            f"error: runs of the two arms failed, so the gate cannot be judged ({answer.failed} of them); "
            "the same command tries them again."
        )
    return answer.exit_code


def _check_files(files: dict[str, Path | None]) -> None:
    printed = [f"--{name}" for name, path in files.items() if path == Path("-")]
    if len(printed) > 1:
        raise BadInput(
            f"{' and '.join(printed)}: only one of them can be printed (-); name a file for the others"
        )
    written: dict[Path, str] = {}
    for name, path in files.items():
        if path is None or path == Path("-"):
            continue
        before = written.setdefault(path.absolute(), name)
        if before != name:
            raise BadInput(f"--{before} and --{name} name the same file, {path}; name two")
        if path.is_dir():
            raise BadInput(f"--{name} {path}: is a folder; name a file in it")
        if not path.parent.is_dir():
            raise BadInput(f"--{name} {path}: there is no folder {path.parent}")


def _finished(study: str, options: StudyOptions) -> Path | None:
    """Return the results folder to judge, or None if a study is to be run."""
    place = Path(study)
    if not place.is_dir():
        if "/" in study.rstrip("/") and place.suffix != ".toml" and not place.exists():
            raise BadInput(
                f"{study}: there is no such folder of results; a path to a study file ends in .toml"
            )
        return None
    defaults = vars(StudyOptions())
    changed = [name for name, value in vars(options).items() if value != defaults[name] and name != "no_code"]
    if changed:
        given = ", ".join(f"--{name.replace('_', '-').replace('changes', 'set')}" for name in changed)
        raise BadInput(
            f"{place} is a folder of results, judged as it is; {given} would change what is run. "
            f"Type: echodrift gate STUDY --out {place} with the study's file"
        )
    return place


def _judged(folder: Path, quiet: bool) -> Answer:
    from ...scenarios.gate_results import judge_folder

    answer = judge_folder(folder)
    if not quiet:
        print_unfinished_note(folder)
    return answer


def _run(study: str, options: StudyOptions, *, quiet: bool, debug: bool) -> Answer:
    from ...scenarios.design.load import load_study
    from ...scenarios.design.plan import seeds_of
    from ...scenarios.gate_results import forecast_warnings, judge_folder
    from ...scenarios.runner import default_folder

    overrides = overrides_of(options.changes, options.rounds, options.seeds)
    chosen = load_study(study, overrides, no_code=options.no_code)
    stop = stopping_rule(options, chosen, overrides, study)
    check_gate_decidable(chosen, overrides, study, stop.most if stop else None)
    folder = options.out or default_folder(chosen).absolute()
    if not quiet:
        seeds = stop.most if stop else len(seeds_of(chosen))
        print_notes(forecast_warnings(chosen, folder, seeds, sequential=stop is not None))
    print_failures(run_and_report(study, options, quiet=quiet, debug=debug))
    return judge_folder(folder)


def _write(answer: Answer, files: dict[str, Path | None]) -> None:
    from ...disk import write_atomically

    for name, path in files.items():
        if path is None:
            continue
        text = getattr(answer, name)()
        if path == Path("-"):
            print(text, end="")
        else:
            write_atomically(path, text.encode())
