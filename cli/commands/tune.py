"""`echodrift tune`: search for a policy's settings on a validation part of a log."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import BadInput, ExitCode
from ..log_options import LogFiles, LogOptions, Quiet, SplitOption, print_notes_and_folder
from ..messages import print_stderr
from ..study_options import Debug


def tune(
    *,
    files: LogFiles,
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
    options: LogOptions,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Search for a policy's settings on a validation part of the training data, within a budget."""
    from ...scenarios.offline.tune import tune as search_for

    if policy is None:
        raise BadInput("name the policy to tune, for example --policy kind=matrix_factorization")
    result = search_for(
        **vars(files),
        policy=policy,
        metric=metric,
        minutes=minutes,
        trials=trials,
        search=search or [],
        split=split,
        seeds=seeds,
        progress=not quiet,
        **options.keywords(),
    )
    print(result)
    print_notes_and_folder(result.notes, options.out, quiet)
    broken = [error for _, outcome in result.test if (error := outcome.error)]
    if result.best is None:
        broken = [str(result.failed["error"].iloc[0])]
    for error in dict.fromkeys(broken):
        print_stderr(f"error: {error}")
    return ExitCode.RUN_FAILED if broken else ExitCode.OK
