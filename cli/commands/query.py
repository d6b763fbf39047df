"""`echodrift query`: run SQL over the tables of a results folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...disk import write_atomically
from ...errors import BadInput
from ..messages import print_notes, print_stderr
from ..study_options import Debug

if TYPE_CHECKING:
    import pyarrow as pa

    from ...scenarios.inspection.query import Query

SHOWN = 50
"""Maximum rows on a terminal; pipes and files get all rows."""


def query(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study's results.")],
    sql: Annotated[
        str | None, typer.Argument(metavar="[SQL]", help="One SELECT; without it the tables are listed.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per row.")] = False,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Into a Parquet file.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Into a file: .csv, .json or .parquet by its name, else as text."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Ask the results of a study in SQL (DuckDB), also while it runs. Tables: rounds, runs, lorenz, …"""
    from ...scenarios.inspection.query import Query
    from ...wording import counted
    from ..query_output import as_bytes, output_format, refuse_result_file, text_of

    form = output_format(csv, as_json, parquet, out)
    target = parquet or out
    if target is not None:
        refuse_result_file(folder, target)
    if sql is None and (target is not None or csv):
        raise BadInput('query: name what to write, for example "select * from runs"')
    results = Query(folder)
    if sql is None:
        _list(results, as_json)
    else:
        table = results.table(sql)
        if target is not None:
            write_atomically(target, as_bytes(table, form))
            print_stderr(f"{target}: {counted(table.num_rows, 'row')}")
        elif form == "text":
            _show(table) if sys.stdout.isatty() else print(text_of(table))
        else:
            sys.stdout.write(as_bytes(table, form).decode())
    if results.note:
        print_notes([results.note])


def _list(results: Query, as_json: bool) -> None:
    views = results.views()
    if as_json:
        import json

        print(json.dumps(views, indent=2, ensure_ascii=False))
        return
    for number, (name, columns) in enumerate(views.items()):
        width = max(map(len, columns), default=0)
        print(("\n" if number else "") + name)
        for column, kind in columns.items():
            print(f"  {column:<{width}}  {kind.lower()}")


def _show(table: pa.Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..query_output import short

    shown = Table(box=box.SIMPLE_HEAD)
    for field in table.schema:
        number = str(field.type).startswith(("int", "uint", "float", "double", "decimal"))
        shown.add_column(Text(field.name), justify="right" if number else "left", overflow="fold")
    for row in table.slice(0, SHOWN).to_pylist():
        shown.add_row(*(Text(short(value)) for value in row.values()))
    console = Console()
    console.print(shown)
    if table.num_rows > SHOWN:
        console.print(
            f"{SHOWN} of {table.num_rows:,} rows; --csv, --json or --parquet FILE give all", highlight=False
        )
