"""Options of every command that takes a study."""

from __future__ import annotations

from typing import Annotated, Any

import typer

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
    from ..scenarios.specs.overrides import parse_set

    overrides = [parse_set(text) for text in changes or []]
    if rounds is not None:
        overrides.append((f"--rounds {rounds}", "rounds", rounds))
    if seeds is not None:
        overrides.append((f"--seeds {seeds}", "seeds", seeds))
    return overrides


def checked(study: Any, overrides: list[Any], source: str) -> list[str]:
    """Check a study beyond its schema; a mistake names the option that wrote its key, or the file."""
    from ..scenarios.design.changes import told_where
    from ..scenarios.study import check_runnable

    with told_where(source, overrides, study):
        return check_runnable(study)


def decidable(study: Any, overrides: list[Any], source: str, most: int | None = None) -> None:
    """Refuse a study whose gate no run of it can decide; a mistake names the option that wrote its key, or the file."""
    from ..scenarios.design.changes import told_where
    from ..scenarios.design.check_gate import check_decidable

    with told_where(source, overrides, study):
        check_decidable(study, most)


def stopping(
    rule: str | None, study: Any, overrides: list[Any], source: str, seeds: int | None, most: int | None
) -> Any:
    """Return how a study stops before its last seed; a mistake names the option that wrote its key, or the file."""
    from ..scenarios.design.changes import told_where
    from ..scenarios.until import until_of

    with told_where(source, overrides, study):
        return until_of(rule, study, seeds, most)
