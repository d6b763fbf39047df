"""Render HTML pages from templates and write them into a study's folder."""

from __future__ import annotations

import errno
import shlex
from pathlib import Path
from typing import Any

from ...disk import replace_file
from ...errors import StorageError


def environment() -> Any:
    """Return the Jinja environment: templates of this folder, autoescaped, undefined variables are errors."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(path: Path, content: bytes, study: Path) -> None:
    """Replace a file in a study's folder atomically; StorageError if it cannot be written."""
    try:
        path.parent.mkdir(exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}). The tables of the study are untouched; "
            f"{_way_out(error)}, then type: echodrift report {shlex.quote(str(study))}"
        ) from error


def _way_out(error: OSError) -> str:
    """Return advice on how to resolve a write error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "give yourself write permission to the folder"
    if error.errno == errno.EROFS:
        return "make the file system writable (or copy the folder to one that is, and name the copy)"
    return "put that right"
