"""Values of options that cannot be read, in the words of everything else that is wrong."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import did_you_mean


class Commands(TyperGroup):
    """The commands; a wrong value is told as a study's are, whatever library found it."""

    def invoke(self, ctx: Any) -> Any:
        """Run what was typed."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = in_words(error)
            raise


def in_words(error: typer.BadParameter) -> str:
    """Return what is wrong with the value of an option: what it must be, what it is, the closest that is allowed."""
    cause: Any = error.__cause__
    if not hasattr(cause, "errors"):
        return error.message
    from ..complaints import KINDS

    detail = cause.errors()[0]
    given = detail.get("input")
    described = getattr(error.param, "type_descriptor", None) or getattr(error.param, "type", None)
    choices = [str(getattr(choice, "value", choice)) for choice in getattr(described, "choices", None) or ()]
    if detail["type"] in KINDS:
        return f"must be {KINDS[detail['type']]}, but is {given!r}."
    if choices:
        allowed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
        return f"must be {allowed}, but is {given!r}.{did_you_mean(str(given), choices)}"
    return error.message.removeprefix("Value error, ")
