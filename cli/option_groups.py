"""Commands that take groups of options as dataclasses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any


def expand_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Return a command with every dataclass parameter replaced by its fields, so that Typer sees single options."""
    groups: dict[str, Any] = {}
    expanded: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            expanded += inspect.signature(groups[parameter.name], eval_str=True).parameters.values()
        else:
            expanded.append(parameter)

    @functools.wraps(command)
    def wrapped(**options: Any) -> int | None:
        for name, group in groups.items():
            options[name] = group(**{field: options.pop(field) for field in group.__dataclass_fields__})
        return command(**options)

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in expanded]
    wrapped.__signature__ = inspect.Signature(keywords, return_annotation=int)  # type: ignore[attr-defined]
    return wrapped
