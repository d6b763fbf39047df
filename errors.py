"""Errors whose message tells users what to fix, and the exit codes of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum

from .wording import clean, format_key

Key = str | Sequence[str | int]
"""A key of a study: its path, or a dotted text if the path has names only."""
MOST_SHOWN = 50
"""Mistakes that the text of a `BadInput` lists; the rest are counted."""
KeyPath = tuple[str | int, ...]
"""Names and list indices that lead from a study, or from a part of it, to a value."""


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
    """The output folder cannot be used: read-only, full, damaged, or it contains another study."""
    INTERRUPTED = 130
    """Ctrl-C: finished runs are kept, and the same command continues from there."""


class EchodriftError(Exception):
    """Base of all errors that carry one clear message for the user.

    The message states what is wrong, where (file, key, row), what is allowed, and what to type.
    """

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Mistake:
    """One line of a `BadInput`, and the keys that it is about."""

    text: str
    path: KeyPath = ()
    """The key that is wrong; printed before the text."""
    about: tuple[KeyPath, ...] = ()
    """The keys that may have caused it, if not `path` alone."""
    is_missing: bool = False
    """Whether the key is missing: then an option that wrote to the same table may have caused it."""
    source: str = ""
    """The option or file that it was traced to; printed before the key."""

    def __str__(self) -> str:
        parts = (clean(self.source), clean(format_key(self.path)), clean(self.text, 4_000))
        return ": ".join(part for part in parts if part)

    def inside(self, *path: str | int) -> Mistake:
        """Return the mistake with its keys prefixed by the path of the part in which it was found."""
        return replace(self, path=(*path, *self.path), about=tuple((*path, *each) for each in self.about))


def key_path(key: Key) -> KeyPath:
    """Return the path of a key."""
    return tuple(key.split(".") if isinstance(key, str) else key)


MANY = 4
"""Mistakes of the same source and text from which on they are one line."""


def _lines(mistakes: Sequence[Mistake]) -> list[str]:
    """Return one line per mistake; many that say the same of different keys are one."""
    alike: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in mistakes:
        alike.setdefault((mistake.source, mistake.text), []).append(mistake)
    lines = []
    for same in alike.values():
        if len(same) < MANY:
            lines += map(str, same)
            continue
        lines.append(f"{same[0]} (the same at {len(same) - 1} other keys, e.g. {format_key(same[1].path)})")
    return lines


class BadInput(EchodriftError):
    """A study, option, file or component that cannot be used as given.

    It stores the keys that it is about, so that the option that caused it can be found without parsing the
    message.
    """

    def __init__(self, *mistakes: str | Mistake, about: Iterable[Key] = ()) -> None:
        """mistakes: one per line. about: the keys of mistakes that are given as text."""
        paths = tuple(map(key_path, about))
        self.mistakes = tuple(
            Mistake(each, about=paths) if isinstance(each, str) else each for each in mistakes
        )
        lines = _lines(self.mistakes)
        more = len(lines) - MOST_SHOWN
        super().__init__("\n".join([*lines[:MOST_SHOWN], *([f"… and {more:,} more"] if more > 0 else [])]))

    def inside(self, *path: str | int) -> BadInput:
        """Return the error with its keys prefixed by the path of the part in which it was found."""
        return BadInput(*(mistake.inside(*path) for mistake in self.mistakes))


class Mistakes:
    """The mistakes of several checks that do not depend on each other, to report them together."""

    def __init__(self) -> None:
        self.found: dict[Mistake, None] = {}
        """Without repeats, in order."""

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Add the mistakes of a BadInput that is raised inside, and go on after the block."""
        try:
            yield
        except BadInput as error:
            self.found |= dict.fromkeys(error.mistakes)

    def report(self) -> None:
        """Raise BadInput if any mistake was added."""
        if self.found:
            raise BadInput(*self.found)


class WrongFields(ValueError):
    """Raised by a validator of a configuration about several of its fields.

    pydantic reports only the model of the validator; without these keys, any option that wrote to that model
    would be blamed. about: keys inside the configuration.
    """

    def __init__(self, text: str, *about: Key) -> None:
        super().__init__(text)
        self.about = tuple(map(key_path, about))


class StorageError(EchodriftError):
    """An output folder that cannot be used."""

    exit_code = ExitCode.STORAGE


class ClusterError(EchodriftError):
    """A cluster that was lost during a study, or a worker that does not match the client; finished runs are kept."""

    exit_code = ExitCode.RUN_FAILED


class PolicyError(EchodriftError):
    """A policy or reranker broke its contract (wrong shape, unavailable item, NaN)."""

    exit_code = ExitCode.RUN_FAILED


def describe(error: BaseException, most: int = 1_000) -> str:
    """Return "type: message" of any exception, cleaned and cut (see `wording.clean`); never raises."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001  A user's __str__ may do anything.
        text = f"(its message cannot be shown: __str__ raised {type(second).__name__})"
    return clean(f"{name}: {text}", most)


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
