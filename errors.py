"""Errors whose message tells users what to fix, and the exit codes of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from .wording import format_key

Key = str | Sequence[str | int]
"""A key of a study: steps into it, or those of names alone as a dotted text."""
Way = tuple[str | int, ...]
"""Steps into a study, or into a part of it."""


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


@dataclass(frozen=True)
class Mistake:
    """One line of a `BadInput`, and what it is about."""

    text: str
    way: Way = ()
    """The key that is wrong; it is written before the text."""
    about: tuple[Way, ...] = ()
    """The keys that can be behind it, where that is not `way` alone."""
    lacks: bool = False
    """Whether the key is missing: then what was written beside it can be behind it, too."""
    source: str = ""
    """The option or file that it was traced to; it is written before the key."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, format_key(self.way), self.text) if part)

    def inside(self, *way: str | int) -> Mistake:
        """Return it as one of a whole, having been found in the part that these steps lead to."""
        return replace(self, way=(*way, *self.way), about=tuple((*way, *each) for each in self.about))


def way_of(key: Key) -> Way:
    """Return a key as steps."""
    return tuple(key.split(".") if isinstance(key, str) else key)


class BadInput(EchodriftError):
    """A study, option, file or component that cannot be used as given.

    It knows which keys of a study it is about, so that nobody has to read its message to find the option that
    is behind it.
    """

    def __init__(self, *mistakes: str | Mistake, about: Iterable[Key] = ()) -> None:
        """mistakes: one per line. about: the keys that a mistake given as text is about."""
        ways = tuple(map(way_of, about))
        self.mistakes = tuple(
            Mistake(each, about=ways) if isinstance(each, str) else each for each in mistakes
        )
        super().__init__("\n".join(map(str, self.mistakes)))

    def inside(self, *way: str | int) -> BadInput:
        """Return it as one about a whole, having been found in the part that these steps lead to."""
        return BadInput(*(mistake.inside(*way) for mistake in self.mistakes))


class WrongFields(ValueError):
    """What a validator of a configuration raises about several of its fields.

    pydantic says no more than where the validator belongs; without these, any option that wrote there is
    taken to be behind it. about: keys inside the configuration.
    """

    def __init__(self, text: str, *about: Key) -> None:
        super().__init__(text)
        self.about = tuple(map(way_of, about))


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
