"""The base class of all configuration models: frozen, validated, documented, and readable from and writable to TOML."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A pydantic model that is frozen and rejects unknown keys; docstrings under fields appear in the JSON Schema."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )
