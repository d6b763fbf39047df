"""Commands whose options come as dataclasses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any


def flat(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Return a command that takes, in place of every dataclass that `command` takes, its fields one by one."""
    groups: dict[str, Any] = {}
    taken: list[inspect.Parameter] = []
    for each in inspect.signature(command, eval_str=True).parameters.values():
        if is_dataclass(each.annotation):
            groups[each.name] = each.annotation
            taken += inspect.signature(groups[each.name], eval_str=True).parameters.values()
        else:
            taken.append(each)

    @functools.wraps(command)
    def called(**given: Any) -> int | None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in group.__dataclass_fields__})
        return command(**given)

    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in taken]
    called.__signature__ = inspect.Signature(keywords, return_annotation=int)  # type: ignore[attr-defined]
    return called
