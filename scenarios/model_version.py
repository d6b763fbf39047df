"""The versions of the model and of the program, importable without loading the model."""

from functools import lru_cache
from importlib import metadata

MODEL_VERSION = 4
"""Increase it with every change of code that changes results: runs of older versions are not reused."""


@lru_cache(maxsize=1)
def version() -> str:
    """Return the installed version of echodrift."""
    try:
        return metadata.version("echodrift")
    except metadata.PackageNotFoundError:
        return "unknown"
