"""Messages for invalid option values, worded like all other error messages."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import did_you_mean


class Commands(TyperGroup):
    """The group of commands; an invalid value is reported like one in a study."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = explain(error)
            raise


def explain(error: typer.BadParameter) -> str:
    """Return what an option must be, what it is, and the closest allowed value."""
    cause: Any = error.__cause__
    if not hasattr(cause, "errors"):
        return error.message
    from ..complaints import KINDS

    detail = cause.errors()[0]
    value = detail.get("input")
    described = getattr(error.param, "type_descriptor", None) or getattr(error.param, "type", None)
    choices = [str(getattr(choice, "value", choice)) for choice in getattr(described, "choices", None) or ()]
    if detail["type"] in KINDS:
        return f"must be {KINDS[detail['type']]}, but is {value!r}."
    if choices:
        allowed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
        return f"must be {allowed}, but is {value!r}.{did_you_mean(str(value), choices)}"
    return error.message.removeprefix("Value error, ")
