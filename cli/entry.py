"""The `echodrift` command: its subcommands in the order of the help text."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..errors import ExitCode
from ..processes import current_directory
from .commands.calibrate import calibrate
from .commands.check import check
from .commands.check_policy import check_policy
from .commands.compare import compare
from .commands.evaluate import evaluate
from .commands.gate import gate
from .commands.lookup import describe, list_, schema
from .commands.plot import plot
from .commands.query import query
from .commands.run import report, run
from .commands.status import status
from .commands.tune import tune
from .commands.verify import verify
from .guard import guarded
from .messages import print_stderr
from .option_groups import expand_options
from .supervise import supervised
from .usage import Commands

EPILOG = (
    "Exit codes: 0 done; 1 unforeseen error; 2 bad input, nothing started; 3 gate failed; 4 gate undecided; "
    "5 a run failed (a row with its error, the others are done); 6 the folder of results cannot be used or written, or is damaged; "
    "130 interrupted (finished runs are kept, the same command goes on)."
)

app = typer.Typer(
    cls=Commands,
    help="What a recommender does to taste, before you ship it: simulate recommender feedback loops.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name, command in (
    ("run", run),
    ("gate", gate),
    ("compare", compare),
    ("report", report),
    ("plot", plot),
    ("status", status),
    ("verify", verify),
    ("query", query),
    ("list", list_),
    ("schema", schema),
    ("describe", describe),
    ("check", check),
    ("check-policy", check_policy),
    ("evaluate", evaluate),
    ("tune", tune),
    ("calibrate", calibrate),
):
    app.command(name)(guarded(expand_options(command)))


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
    # Numerical libraries read these when they are loaded, which has not happened yet. Runs use one
    # thread each, so that results do not depend on the number of cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    # A class in a file of the current directory can be named wherever a kind is expected.
    sys.path.append(current_directory() or "")
    sys.exit(int(supervised(_run)))


def _run() -> int:
    """Run the command of the command line and return its exit code."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK if end.code is None else ExitCode.BUG
    except KeyboardInterrupt:
        print_stderr("Stopped.")
        return ExitCode.INTERRUPTED
    return ExitCode.OK
