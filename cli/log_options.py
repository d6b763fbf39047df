"""Options of every command that takes a log of interactions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .messages import print_notes

SplitOption = Annotated[
    str | None,
    typer.Option(help="leave-one-out, random:0.2 (the default), temporal:0.2, or users:0.1 (fold-in)."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")]


@dataclass(frozen=True)
class LogFiles:
    """The files, named as in `echodrift.evaluate` and `echodrift.tune`."""

    log: Annotated[str | None, typer.Argument(metavar="[LOG]", help="Interactions, to be split.")] = None
    train: Annotated[str | None, typer.Option(help="Training interactions, where they come split.")] = None
    test: Annotated[str | None, typer.Option(help="Held-out interactions.")] = None
    negatives: Annotated[
        str | None,
        typer.Option(help="Rank every test pair among these: (user,item)<tab>negative<tab>… per line."),
    ] = None


@dataclass(frozen=True)
class LogReading:
    """How a log and its accompanying files are read."""

    items: Annotated[str | None, typer.Option(help="Item file with genres.")] = None
    tags: Annotated[str | None, typer.Option(help="Item-tag pairs, to learn topics from.")] = None
    social: Annotated[str | None, typer.Option(help="Edge list of users.")] = None
    user_column: Annotated[
        str | None, typer.Option(help="Column of user ids, where it is not recognized.")
    ] = None
    item_column: Annotated[
        str | None, typer.Option(help="Column of item ids, where it is not recognized.")
    ] = None
    rating_column: Annotated[
        str | None, typer.Option(help="Column of ratings, where it is not recognized.")
    ] = None
    time_column: Annotated[
        str | None, typer.Option(help="Column of timestamps, where it is not recognized.")
    ] = None
    min_rating: Annotated[
        float | None, typer.Option(help="Keep only interactions with at least this rating.")
    ] = None
    topics: Annotated[str, typer.Option(help="Number of topics where they are learned, or auto.")] = "auto"


@dataclass(frozen=True)
class LogOptions(LogReading):
    """How the files are read and how policies are evaluated on them."""

    user_core: Annotated[int, typer.Option(help="Keep users with at least this many items.")] = 0
    item_core: Annotated[int, typer.Option(help="Keep items with at least this many users.")] = 0
    no_mask: Annotated[
        bool, typer.Option("--no-mask", help="Recommend and count what a user took in training, too.")
    ] = False
    cold_users: Annotated[
        bool, typer.Option("--cold-users", help="Evaluate users without training history, too.")
    ] = False
    known_items: Annotated[
        bool, typer.Option("--known-items", help="Leave out test items that nobody took in training.")
    ] = False
    jobs: Annotated[int, typer.Option(help="Policies (or trials) at a time; -1 = one per core.")] = -1
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.")] = None

    def keywords(self) -> dict[str, Any]:
        """Return the options as keyword arguments of `echodrift.evaluate` and `echodrift.tune`."""
        options = vars(self) | {"mask": not self.no_mask}
        del options["no_mask"]
        return options


def print_notes_and_folder(notes: list[str], out: Path | None, quiet: bool) -> None:
    """Print notes, and where the tables are."""
    if quiet:
        return
    print_notes(notes)
    if out is not None:
        print(f"Tables: {out}")
