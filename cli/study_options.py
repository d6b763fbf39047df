"""Options of every command that takes a study."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import BadInput

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


def overrides_of(changes: list[str] | None, rounds: int | None = None, seeds: int | None = None) -> list[Any]:
    """Return what options put over a study."""
    from ..scenarios.overrides import parse_set

    overrides = [parse_set(text) for text in changes or []]
    if rounds is not None:
        overrides.append((f"--rounds {rounds}", "rounds", rounds))
    if seeds is not None:
        overrides.append((f"--seeds {seeds}", "seeds", seeds))
    return overrides


def checked(study: Any, overrides: list[Any]) -> list[str]:
    """Check a study beyond its schema; a mistake about the key of an option names the option."""
    from ..scenarios.changes import blamed
    from ..scenarios.study import check_runnable

    try:
        return check_runnable(study)
    except BadInput as error:
        raise blamed(error, overrides) from None


def decidable(study: Any, overrides: list[Any], most: int | None = None) -> None:
    """Refuse a study whose gate no run of it can decide; a mistake about the key of an option names the option."""
    from ..scenarios.changes import blamed
    from ..scenarios.gate import check_decidable

    try:
        check_decidable(study, most)
    except BadInput as error:
        raise blamed(error, overrides) from None
