"""A command with all options of another one besides its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def with_options_of(base: Callable[..., Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator: the command takes what `base` takes, handed on to it in **options, and its own.

    Its own parameters are those it names; the order is that of `base`, then its own.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        mine = inspect.signature(command, eval_str=True).parameters
        own = [each for each in mine.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        named = {each.name: each for each in own}
        theirs = inspect.signature(base, eval_str=True).parameters
        merged = [named.get(name, each) for name, each in theirs.items()]
        merged += [each for each in own if each.name not in theirs]
        command.__signature__ = inspect.Signature(merged, return_annotation=int)  # type: ignore[attr-defined]
        return command

    return decorate
