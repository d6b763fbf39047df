"""Atomic file writes: a file appears complete or not at all. Also file hashes and the errors of failed writes."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import BadInput, StorageError


def bytes_digest(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises OSError, also for pipes and devices."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_file(path: Path) -> bytes:
    """Return a file's content; raises OSError, also for pipes and devices, which may not end."""
    check_regular(path)
    return path.read_bytes()


CHANGED = "was changed or cut off"
"""What is wrong with a file whose content does not match its hash."""


def damage(path: Path, digest: str) -> str:
    """Return what is wrong with a file, as a predicate ("is missing"); empty if its content has this SHA-256."""
    try:
        return "" if file_digest(path) == digest else CHANGED
    except OSError as error:
        return describe_unreadable(error)
    except ValueError:
        return "has no name that a file can have"


def describe_unreadable(error: OSError) -> str:
    """Return why a file cannot be read, as a predicate."""
    return (
        "is missing"
        if isinstance(error, FileNotFoundError)
        else f"cannot be read ({error.strerror or error})"
    )


def check_regular(path: Path) -> None:
    """Raise OSError for a path that is neither a file nor a folder: reading it could wait forever."""
    mode = path.stat().st_mode
    kinds = {
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), "")
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, not a file; save its content in a file, and name that")


def input_digest(path: Path) -> str:
    """Return the SHA-256 of a data file that a person named; raises BadInput."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name the file in it")
    try:
        return file_digest(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None


def json_digest(value: Any) -> str:
    """Return the SHA-256 of plain data; the order of keys does not count."""
    return bytes_digest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data for a JSON file with its SHA-256 in front, as "sha256"; `unsealed` checks it."""
    return {"sha256": json_digest(content), **content}


def unsealed(data: bytes, *, always: bool = False) -> dict[str, Any]:
    """Return the content of a JSON file that was written `sealed`; raises ValueError if it was changed.

    A file of an older echodrift, which has no hash, is returned as it is, unless it must have one (`always`).
    """
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  Callers expect what bad JSON raises.
    name, digest = next(iter(found.items()), ("", None))
    # The length: a changed letter in the name "sha256" does not make a file one without a hash.
    if name == "sha256" or isinstance(digest, str) and len(digest) == 64:
        content = {key: value for key, value in found.items() if key != name}
        if name != "sha256" or digest != json_digest(content):
            raise ValueError("its content does not match its hash")
        return content
    if always:
        raise ValueError("it has no hash")
    return found


TEMPORARY = ".unfinished-"
"""Prefix of the names of files and folders that are still being written."""


_COUNTER = itertools.count()


def temporary_for(place: Path) -> Path:
    """Return a path beside a file or folder to write it at, before it is moved to its place."""
    return place.with_name(f"{TEMPORARY}{place.name}-{os.getpid()}-{next(_COUNTER)}")


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on disk (fsync)."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_new(path: Path, data: bytes) -> None:
    """Write a new file; raise StorageError and leave nothing behind if it cannot be written."""
    try:
        write_synced(path, data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def move_in(path: Path, place: Path) -> None:
    """Move a finished file to its final path in one atomic step; raise StorageError on failure."""
    try:
        os.replace(path, place)
        sync_folder(place.parent)
    except OSError as error:
        raise cannot_write(place, error) from error


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file by new content in one step; raises OSError and leaves the old file as it was."""
    temporary = temporary_for(path)
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file of results in one step; raises StorageError and leaves the old file as it was."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the StorageError for a path that could not be written: the reason, then what to do."""
    what = "Choose another folder with --out."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        why = "the disk is full"
        what = "Make room (or choose another folder with --out)."
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        why = "it is read-only or belongs to another user"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        why = "a file is in the way"
        what = "Move it away, or choose another folder with --out."
    elif error.errno in (errno.EISDIR, errno.ENOTEMPTY):
        why = "a folder is in the way"
        what = "Move it away, or choose another folder with --out."
    else:
        why = "the system refused"
    return StorageError(f"cannot write {path}: {why} ({error.strerror or error})\n{what}")


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
