"""`echodrift compare`: the differences between the arms of a study, with intervals and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import BadInput
from ..messages import print_unfinished_note
from ..study_options import Debug

ROWS = 40
"""Maximum rows unless all are asked for."""


def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study's results.")],
    vs: Annotated[
        str | None,
        typer.Option(
            metavar="ARM", help="Arm that the others are compared with; the study's own when omitted."
        ),
    ] = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--measures",
            metavar="NAME",
            help="What to compare (repeat); the primary measures when omitted.",
        ),
    ] = None,
    all_rows: Annotated[bool, typer.Option("--all-rows", help=f"All rows, not the first {ROWS}.")] = False,
    all_columns: Annotated[
        bool,
        typer.Option(
            "--all-columns", help="All rows, and all columns: both means, p-values, missing seeds, …"
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per row.")] = False,
    debug: Debug = False,
) -> None:
    """Compare every arm of a study with one of them, paired by seed: difference, interval, verdict."""
    import pyarrow as pa

    from ...scenarios.result import Result
    from ..differences import lines
    from ..query_output import as_bytes, text_of

    result = Result(folder)
    print_unfinished_note(folder)
    names = [name for text in measures or [] for name in text.split(",") if name]
    if len(result.failed) == len(result.runs):
        raise BadInput(f"every run of the study in {folder} failed, so there is nothing to compare")
    if not names and not set(result.study.primary) & set(result.runs):
        raise BadInput(
            "no primary measure is in these results; name others with --measures (echodrift list measures)"
        )
    reference = vs or result.study.reference or result.study.arms[0].name
    table = result.compare(*names, reference=reference, all_columns=all_columns)
    if table.empty:
        raise BadInput(f'"{reference}" is the only arm, so there is nothing to compare with it')
    if as_json or all_columns:
        found = pa.Table.from_pandas(table, preserve_index=False)
        print(as_bytes(found, "json").decode() if as_json else text_of(found), end="" if as_json else "\n")
    else:
        print("\n".join(lines(result, table, reference, None if all_rows else ROWS)))
