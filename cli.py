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

from .errors import BadInput, EchodriftError, ExitCode, did_you_mean, was_interrupted

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

LogArgument = Annotated[str | None, typer.Argument(metavar="[LOG]", help="Interactions, to be split.")]
Train = Annotated[str | None, typer.Option(help="Training interactions, where they come split.")]
Test = Annotated[str | None, typer.Option(help="Held-out interactions.")]
Negatives = Annotated[
    str | None,
    typer.Option(help="Rank every test pair among these: (user,item)<tab>negative<tab>… per line."),
]
SplitOption = Annotated[
    str | None,
    typer.Option(help="leave-one-out, random:0.2 (the default), temporal:0.2, or users:0.1 (fold-in)."),
]
Items = Annotated[str | None, typer.Option(help="Item file with genres.")]
Tags = Annotated[str | None, typer.Option(help="Item-tag pairs, to learn topics from.")]
Social = Annotated[str | None, typer.Option(help="Edge list of users.")]
UserColumn = Annotated[str | None, typer.Option(help="Column of user ids, where it is not recognized.")]
ItemColumn = Annotated[str | None, typer.Option(help="Column of item ids, where it is not recognized.")]
RatingColumn = Annotated[str | None, typer.Option(help="Column of ratings, where it is not recognized.")]
TimeColumn = Annotated[str | None, typer.Option(help="Column of timestamps, where it is not recognized.")]
MinRating = Annotated[float | None, typer.Option(help="Keep only interactions with at least this rating.")]
UserCore = Annotated[int, typer.Option(help="Keep users with at least this many items.")]
ItemCore = Annotated[int, typer.Option(help="Keep items with at least this many users.")]
Topics = Annotated[str, typer.Option(help="Number of topics where they are learned, or auto.")]
NoMask = Annotated[
    bool, typer.Option("--no-mask", help="Recommend and count what a user took in training, too.")
]
ColdUsers = Annotated[
    bool, typer.Option("--cold-users", help="Evaluate users without training history, too.")
]
KnownItems = Annotated[
    bool, typer.Option("--known-items", help="Leave out test items that nobody took in training.")
]
Jobs = Annotated[int, typer.Option(help="Policies (or trials) at a time; -1 = one per core.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")]


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


def _tell(notes: list[str]) -> None:
    for note in notes:
        _say(note if note.startswith("warning: ") else f"note: {note}")


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
        _tell(result.manifest["notes"])
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
def describe(
    study: Annotated[
        str, typer.Argument(metavar="[STUDY | KIND]", help="A study, or the kind of a policy or reranker.")
    ] = "default",
    changes: Set = None,
    debug: Debug = False,
) -> None:
    """Say what a study does (arms, runs, world, every setting), or a policy or reranker (every field)."""
    from .scenarios.catalog import describe
    from .scenarios.component_help import describe_component
    from .scenarios.files import library, load_study

    page = None if study in library() or study.endswith(".toml") else describe_component(study)
    if page is None and not changes and study not in library() and "." not in study and "/" not in study:
        from .scenarios.component_help import everything

        raise BadInput(
            f'there is no study, policy or reranker "{study}".{did_you_mean(study, [*library(), *everything()])} '
            "See echodrift list studies | policies | rerankers; a path to a study ends in .toml"
        )
    if page is not None and changes:
        raise BadInput(f"--set changes a study, and {study} is a kind")
    print(page or describe(load_study(study, _overrides(changes))))


@app.command()
@_guarded
def check(study: StudyArgument = "default", changes: Set = None, debug: Debug = False) -> None:
    """Check a study without running it, and warn where its conclusions would stand on little."""
    from .scenarios.catalog import warnings
    from .scenarios.files import load_study
    from .scenarios.plan import expand

    overrides = _overrides(changes)
    chosen = load_study(study, overrides)
    _tell(_checked(chosen, overrides))
    runs = len(expand(chosen))
    for warning in warnings(chosen):
        print(f"warning: {warning}")
    print(f'"{chosen.name}" is fine: {len(chosen.arms)} arms, {runs} runs of {chosen.rounds} rounds.')


@app.command()
@_guarded
def evaluate(
    log: LogArgument = None,
    train: Train = None,
    test: Test = None,
    negatives: Negatives = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="kind=ease,l2=300 or @file.toml (repeat to compare)."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="For example recall@20,ndcg@100,hr@10,map@10,mrr@10,ncrr,auc,arp@20.")
    ] = None,
    split: SplitOption = None,
    seeds: Annotated[
        int | None, typer.Option(help="Splits and fits; 5 where the split is drawn, else 1.")
    ] = None,
    items: Items = None,
    tags: Tags = None,
    social: Social = None,
    user_column: UserColumn = None,
    item_column: ItemColumn = None,
    rating_column: RatingColumn = None,
    time_column: TimeColumn = None,
    min_rating: MinRating = None,
    user_core: UserCore = 0,
    item_core: ItemCore = 0,
    topics: Topics = "auto",
    no_mask: NoMask = False,
    cold_users: ColdUsers = False,
    known_items: KnownItems = False,
    jobs: Jobs = -1,
    out: Out = None,
    per_user: Annotated[bool, typer.Option("--per-user", help="Write a value for every user, too.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Compare policies on held-out interactions of a log (docs/offline-evaluation.md)."""
    data = _same_named(locals())
    from .scenarios.offline.evaluate import evaluate as compare
    from .scenarios.offline.metric_list import DEFAULT
    from .scenarios.offline.table import show

    if per_user and out is None:
        raise BadInput("--per-user writes a table: say where with --out DIR")
    result = compare(
        log,
        policies=policy or [],
        metrics=DEFAULT if metrics is None else metrics,
        seeds=seeds,
        mask=not no_mask,
        jobs=jobs,
        out=out,
        per_user=per_user,
        progress=not quiet,
        **data,
    )
    show(result)
    _notes(result.notes, out, quiet)
    for (name, error), rows in result.failed.groupby(["policy", "error"], sort=False):
        _say(f'error: "{name}", {len(rows)} of {len(result.seeds)} seeds: {error}')
    return ExitCode.RUN_FAILED if len(result.failed) else ExitCode.OK


_SAME_NAMED = (
    *(
        "train",
        "test",
        "negatives",
        "split",
        "cold_users",
        "known_items",
        "items",
        "tags",
        "social",
        "topics",
    ),
    *("user_column", "item_column", "rating_column", "time_column", "min_rating", "user_core", "item_core"),
)
"""Options of `evaluate` and `tune` that are handed on as they are."""


def _same_named(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _SAME_NAMED}


def _notes(notes: list[str], out: Path | None, quiet: bool) -> None:
    if quiet:
        return
    _tell(notes)
    if out is not None:
        print(f"Tables: {out}")


@app.command()
@_guarded
def tune(
    log: LogArgument = None,
    train: Train = None,
    test: Test = None,
    negatives: Negatives = None,
    policy: Annotated[str | None, typer.Option(help="kind=ease; what is given here stays as it is.")] = None,
    metric: Annotated[str, typer.Option(help="What is to be improved on the validation part.")] = "ndcg@10",
    split: SplitOption = None,
    minutes: Annotated[
        float | None, typer.Option(help="No trial begins after this; 10 when omitted.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Most trials, the default settings included.")] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(help="l2=10:1000 (log scale; l2=10:1000:linear) or dim=8,16,32 (repeat as needed)."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Validation splits that every trial is averaged over.")] = 1,
    items: Items = None,
    tags: Tags = None,
    social: Social = None,
    user_column: UserColumn = None,
    item_column: ItemColumn = None,
    rating_column: RatingColumn = None,
    time_column: TimeColumn = None,
    min_rating: MinRating = None,
    user_core: UserCore = 0,
    item_core: ItemCore = 0,
    topics: Topics = "auto",
    no_mask: NoMask = False,
    cold_users: ColdUsers = False,
    known_items: KnownItems = False,
    jobs: Jobs = -1,
    out: Out = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Search for a policy's settings on a validation part of the training data, within a budget."""
    data = _same_named(locals())
    from .scenarios.offline.tune import tune as search_for

    if policy is None:
        raise BadInput("name the policy to tune, for example --policy kind=matrix_factorization")
    result = search_for(
        log,
        policy=policy,
        metric=metric,
        minutes=minutes,
        trials=trials,
        search=search or [],
        seeds=seeds,
        mask=not no_mask,
        jobs=jobs,
        out=out,
        progress=not quiet,
        **data,
    )
    print(result)
    _notes(result.notes, out, quiet)
    broken = [error for _, outcome in result.test if (error := outcome.error)]
    if result.best is None:
        broken = [str(result.failed["error"].iloc[0])]
    for error in dict.fromkeys(broken):
        _say(f"error: {error}")
    return ExitCode.RUN_FAILED if broken else ExitCode.OK


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
