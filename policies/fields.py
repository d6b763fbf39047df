"""Validation of a component's configuration: fields in, `Config` out, or one line on what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from ..complaints import mistakes
from ..config import Config, plain
from ..errors import BadInput

C = TypeVar("C", bound=Config)


def validated(kind: str, config: type[C], fields: Mapping[str, Any]) -> C:
    """Return `config(**fields)`; raise BadInput that names the component, the field and what is allowed."""
    given = {
        name: value if value is None else plain(value, f"{kind}.{name}") for name, value in fields.items()
    }
    try:
        return config(**given)
    except ValidationError as error:
        raise BadInput(f"{kind}: {'; '.join(map(str, mistakes(error, config)))}") from None
