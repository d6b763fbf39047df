"""Errors whose message tells users what to fix, and the exit codes of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line (table in docs/exit-codes.md)."""

    OK = 0
    BUG = 1
    """An error that echodrift did not foresee; `--debug` shows the traceback."""
    BAD_INPUT = 2
    """A wrong key, value, file or name: nothing was started or written."""
    GATE_FAILED = 3
    GATE_UNDECIDED = 4
    RUN_FAILED = 5
    """The study finished, but at least one of its runs failed and is recorded with its error."""
    STORAGE = 6
    """The output folder cannot be used: read-only, full, or it contains another study."""
    INTERRUPTED = 130
    """Ctrl-C: finished runs are kept, and the same command continues from there."""


class EchodriftError(Exception):
    """Base of all errors that carry one clear message for the user.

    The message states what is wrong, where (file, key, row), what is allowed, and what to type.
    """

    exit_code = ExitCode.BAD_INPUT


class BadInput(EchodriftError):
    """A study, option, file or component that cannot be used as given."""


class StorageError(EchodriftError):
    """An output folder that cannot be used."""

    exit_code = ExitCode.STORAGE


class ClusterError(EchodriftError):
    """A cluster that was lost during a study, or a worker that does not match the client; finished runs are kept."""

    exit_code = ExitCode.RUN_FAILED


class PolicyError(EchodriftError):
    """A policy or reranker broke its contract (wrong shape, unavailable item, NaN)."""

    exit_code = ExitCode.RUN_FAILED


def was_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused an exception: compiled code reports it as the cause of a SystemError."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return ' Did you mean "x"?' for the closest allowed name, or an empty string."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""
