"""`echodrift tune`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import BadInput, ExitCode
from ..log_options import (
    ColdUsers,
    ItemColumn,
    ItemCore,
    Items,
    Jobs,
    KnownItems,
    LogArgument,
    MinRating,
    Negatives,
    NoMask,
    Out,
    Quiet,
    RatingColumn,
    Social,
    SplitOption,
    Tags,
    Test,
    TimeColumn,
    Topics,
    Train,
    UserColumn,
    UserCore,
    same_named,
    say_notes,
)
from ..messages import say
from ..study_options import Debug


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
    data = same_named(locals())
    from ...scenarios.offline.tune import tune as search_for

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
    say_notes(result.notes, out, quiet)
    broken = [error for _, outcome in result.test if (error := outcome.error)]
    if result.best is None:
        broken = [str(result.failed["error"].iloc[0])]
    for error in dict.fromkeys(broken):
        say(f"error: {error}")
    return ExitCode.RUN_FAILED if broken else ExitCode.OK
