"""Render HTML pages from templates and write them into a study's folder."""

from __future__ import annotations

import errno
import json
import shlex
from pathlib import Path
from typing import Any

from ...disk import bytes_digest, file_digest, read_file, replace_file, sealed, unsealed
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


HASHES = "report.json"
"""File → hashes of its content and of the manifest that it was made with, for the report's pages and figures."""


class ReportFiles:
    """Writes the files of a report and then their hashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = folder / "manifest.json"
        self._manifest = file_digest(manifest) if manifest.is_file() else ""
        self._hashes: dict[str, dict[str, str]] = {}

    def write(self, name: str, content: bytes) -> Path:
        """Replace a file, named by its path in the study's folder; raises StorageError. Returns its path."""
        path = self.folder / name
        _write(path, content, self.folder)
        self._hashes[name] = {"sha256": bytes_digest(content), "manifest": self._manifest}
        return path

    def write_hashes(self) -> None:
        """Record the hashes of these files, beside those that were recorded before; raises StorageError."""
        try:
            before = dict(unsealed(read_file(self.folder / HASHES))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            before = {}
        content = sealed({"files": {**before, **self._hashes}})
        _write(self.folder / HASHES, json.dumps(content, indent=1).encode(), self.folder)


def _write(path: Path, content: bytes, study: Path) -> None:
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
