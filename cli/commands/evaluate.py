"""`echodrift evaluate`: compare policies on held-out interactions of a log."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import BadInput, ExitCode
from ..log_options import LogFiles, LogOptions, Quiet, SplitOption, print_notes_and_folder
from ..messages import print_stderr
from ..study_options import Debug


def evaluate(
    *,
    files: LogFiles,
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
    options: LogOptions,
    per_user: Annotated[bool, typer.Option("--per-user", help="Write a value for every user, too.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Compare policies on held-out interactions of a log (docs/offline-evaluation.md)."""
    from ...scenarios.offline.evaluate import evaluate as compare
    from ...scenarios.offline.metric_list import DEFAULT
    from ...scenarios.offline.results.table import show
    from ...wording import counted

    if per_user and options.out is None:
        raise BadInput("--per-user writes a table: say where with --out DIR")
    result = compare(
        **vars(files),
        policies=policy or [],
        metrics=DEFAULT if metrics is None else metrics,
        split=split,
        seeds=seeds,
        per_user=per_user,
        progress=not quiet,
        **options.keywords(),
    )
    show(result)
    print_notes_and_folder(result.notes, options.out, quiet)
    for (name, error), rows in result.failed.groupby(["policy", "error"], sort=False):
        print_stderr(f'error: "{name}", {len(rows)} of {counted(len(result.seeds), "seed")}: {error}')
    return ExitCode.RUN_FAILED if len(result.failed) else ExitCode.OK
