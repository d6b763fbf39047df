"""The command line. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import BadInput, EchodriftError, ExitCode, was_interrupted

EPILOG = (
    "Exit codes: 0 done; 1 unforeseen error; 2 bad input, nothing started; 3 gate failed; 4 gate undecided; "
    "5 a run failed (a row with its error, the others are done); 6 the output folder cannot be used or written; "
    "130 interrupted (finished runs are kept, the same command goes on)."
)

app = typer.Typer(
    help="What a recommender does to taste, before you ship it: simulate recommender feedback loops.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StudyArgument = Annotated[
    str, typer.Argument(metavar="[STUDY]", help="A study file, or a name from `list studies`.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Put over the study, e.g. world.users=500 (repeat as needed)."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


class Backend(StrEnum):
    """How runs are spread."""

    loky = "loky"
    threading = "threading"


class Listed(StrEnum):
    """What can be listed."""

    policies = "policies"
    rerankers = "rerankers"
    measures = "measures"
    studies = "studies"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors into one clear message and an exit code."""

    @functools.wraps(command)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            code = command(*args, **options) or ExitCode.OK
        except KeyboardInterrupt as stop:
            _say(str(stop) or "Stopped.")
            code = ExitCode.INTERRUPTED
        except BrokenPipeError:
            # The reader of a pipe (say `head`) has left; there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = ExitCode.OK
        except Exception as error:
            if was_interrupted(error):
                _say("Stopped.")
                raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
            if options.get("debug"):
                raise
            if isinstance(error, EchodriftError):
                _say("error: " + "\n       ".join(str(error).splitlines()))
                code = error.exit_code
            else:
                _say(f"error: {type(error).__name__}: {error}".splitlines()[0])
                _say("This was not foreseen; run again with --debug to see where it happened.")
                code = ExitCode.BUG
        raise typer.Exit(int(code))

    return guarded


def _overrides(changes: list[str] | None, rounds: int | None = None, seeds: int | None = None) -> list[Any]:
    from .scenarios.files import parse_set

    overrides = [parse_set(text) for text in changes or []]
    if rounds is not None:
        overrides.append((f"--rounds {rounds}", "rounds", rounds))
    if seeds is not None:
        overrides.append((f"--seeds {seeds}", "seeds", seeds))
    return overrides


def _checked(study: Any, overrides: list[Any]) -> list[str]:
    """Check a study beyond its schema; a mistake about the key of an option names the option."""
    from .scenarios.changes import blamed
    from .scenarios.study import check_runnable

    try:
        return check_runnable(study)
    except BadInput as error:
        raise blamed(error, overrides) from None


@app.command()
@_guarded
def run(
    study: StudyArgument = "default",
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; out/<name of the study> when omitted.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time; -1 = one per core.")] = -1,
    backend: Annotated[Backend, typer.Option(help="Processes (loky) or threads.")] = Backend.loky,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of every run.")] = None,
    changes: Set = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write the tables only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
    debug: Debug = False,
) -> int:
    """Run a study (or go on with it) and write tables, figures and a report."""
    from .scenarios.changes import changed
    from .scenarios.files import load_study
    from .scenarios.progress import progress
    from .scenarios.study import default_folder, run_study

    overrides = _overrides(changes, rounds, seeds)
    chosen = load_study(study, overrides)
    folder = run_study(
        chosen,
        out or default_folder(chosen),
        jobs=jobs,
        backend=backend.value,
        progress=progress(not quiet),
        checker=lambda whole: _checked(whole, overrides),
        command=["echodrift", *sys.argv[1:]],
        changed=changed(study, overrides, chosen),
    )
    from .scenarios.result import Result

    result = Result(folder.path)
    if not quiet:
        for note in result.manifest["notes"]:
            _say(f"note: {note}")
    if not no_report:
        page = _report(result, debug)
        if not quiet:
            print(f"Report: {page}")
    if not quiet:
        print(f"Tables: {folder.path}")
    failed = result.failed
    if len(failed):
        _say(f"error: {len(failed)} of {len(result.runs)} runs failed; the same command tries them again.")
        for error, rows in failed.groupby("error", sort=False):
            first = rows.iloc[0]
            _say(f'error: {len(rows)}×, first in arm "{first["arm"]}", seed {first["seed"]}: {error}')
        return ExitCode.RUN_FAILED
    return ExitCode.OK


def _report(result: Any, debug: bool) -> Path:
    try:
        return result.report()
    except EchodriftError:
        raise
    except Exception as error:
        if debug:
            raise
        raise RuntimeError(
            f"the tables are complete in {result.folder}, but the report failed: {type(error).__name__}: {error}. "
            f"Try again with: echodrift report {result.folder}"
        ) from error


@app.command()
@_guarded
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished study.")],
    debug: Debug = False,
) -> None:
    """Rebuild figures and page from the tables of a finished study."""
    from .scenarios.result import Result

    print(f"Report: {_report(Result(folder), debug)}")


@app.command("list")
@_guarded
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")],
    debug: Debug = False,
) -> None:
    """List policies, rerankers, measures, or the studies that come with echodrift."""
    from .scenarios import catalog

    rows = {
        Listed.policies: catalog.policies,
        Listed.rerankers: catalog.rerankers,
        Listed.measures: catalog.measures,
        Listed.studies: catalog.studies,
    }[what]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name:<{width}}  {text}".rstrip())


@app.command()
@_guarded
def schema(debug: Debug = False) -> None:
    """Print the JSON Schema of study files, for editors."""
    import json

    from .scenarios.spec import Study

    print(json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False))


@app.command()
@_guarded
def describe(study: StudyArgument = "default", changes: Set = None, debug: Debug = False) -> None:
    """Say what a study does: arms, grid, number of runs, world, every setting, size of the results."""
    from .scenarios.catalog import describe
    from .scenarios.files import load_study

    print(describe(load_study(study, _overrides(changes))))


@app.command()
@_guarded
def check(study: StudyArgument = "default", changes: Set = None, debug: Debug = False) -> None:
    """Check a study without running it, and warn where its conclusions would stand on little."""
    from .scenarios.catalog import warnings
    from .scenarios.files import load_study
    from .scenarios.plan import expand

    overrides = _overrides(changes)
    chosen = load_study(study, overrides)
    for note in _checked(chosen, overrides):
        _say(f"note: {note}")
    runs = len(expand(chosen))
    for warning in warnings(chosen):
        print(f"warning: {warning}")
    print(f'"{chosen.name}" is fine: {len(chosen.arms)} arms, {runs} runs of {chosen.rounds} rounds.')


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(version("echodrift"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the `echodrift` command."""
    # Numerical libraries read these when they are loaded, which has not happened yet: runs use one
    # thread each, so that results do not depend on the number of cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    try:
        app()
    except KeyboardInterrupt:
        _say("Stopped.")
        sys.exit(int(ExitCode.INTERRUPTED))
