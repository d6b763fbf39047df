"""The version of the model, in a file of its own: looking at results must not load the whole model."""

from functools import lru_cache
from importlib import metadata

MODEL_VERSION = 3
"""Raise it with every change of code that changes results: runs of an older one are not taken over."""


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version of this echodrift."""
    try:
        return metadata.version("echodrift")
    except metadata.PackageNotFoundError:
        return "unknown"
