"""`echodrift evaluate`."""

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
    data = same_named(locals())
    from ...scenarios.offline.evaluate import evaluate as compare
    from ...scenarios.offline.metric_list import DEFAULT
    from ...scenarios.offline.results.table import show
    from ...wording import counted

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
    say_notes(result.notes, out, quiet)
    for (name, error), rows in result.failed.groupby(["policy", "error"], sort=False):
        say(f'error: "{name}", {len(rows)} of {counted(len(result.seeds), "seed")}: {error}')
    return ExitCode.RUN_FAILED if len(result.failed) else ExitCode.OK
