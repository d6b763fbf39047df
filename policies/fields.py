"""From fields as a person wrote them to a component's configuration, or one line on what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from ..config import Config
from ..errors import BadInput, did_you_mean
from ..wording import short, toml

C = TypeVar("C", bound=Config)


def validated(kind: str, config: type[C], fields: Mapping[str, Any]) -> C:
    """Return `config(**fields)`; raise BadInput that names the component, the field and what is allowed."""
    try:
        return config(**{name: plain(value, f"{kind}.{name}") for name, value in fields.items()})
    except ValidationError as error:
        raise BadInput(_explain(kind, config, error)) from None


def plain(value: Any, where: str) -> Any:
    """Return a value that survives TOML, JSON and the way to another process; else raise BadInput."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(part, f"{where}[{at}]") for at, part in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): plain(part, f"{where}.{key}") for key, part in value.items()}
    what = "a function" if callable(value) else f"a {type(value).__name__}"
    raise BadInput(
        f"{where} is {what}, which cannot be written to a study file or sent to another process. Allowed: "
        "numbers, text, true/false, lists and tables. For code of your own, write a class and name it with "
        'kind = "package.module:Class"'
    )


def _explain(kind: str, config: type[Config], error: ValidationError) -> str:
    """Say all that is wrong: one sentence per field, then what is allowed."""
    allowed = sorted(config.model_fields)
    sentences, unknown = [], False
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"]) or "the configuration"
        if problem["type"] == "extra_forbidden":
            sentences.append(f'{kind} has no field "{name}".{did_you_mean(name, allowed)}')
            unknown = True
        elif problem["type"] == "missing":
            sentences.append(f'{kind} needs the field "{name}".')
        else:
            reason = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
            sentences.append(f"{kind}: {name} = {short(toml(problem['input']))} is not allowed: {reason}.")
    if unknown:
        sentences.append(f"Allowed fields: {', '.join(allowed) or 'none'}.")
    return " ".join(sentences)
