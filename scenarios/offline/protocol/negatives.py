"""Sampled negatives in the form of the NCF data: `(user,item)<tab>negative<tab>negative…`, a line per test pair."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ....disk import read_file
from ....errors import BadInput

_PAIR = re.compile(r"\s*\(\s*([^,()]+?)\s*,\s*([^()]+?)\s*\)\s*(.*)")


@dataclass(frozen=True)
class Negatives:
    """The negatives of each test pair; original ids."""

    users: list[str]
    items: list[str]
    """The positive of each case."""
    against: list[list[str]]
    """Its negatives: at least one, without repetitions, without the positive."""
    lines: list[int]
    """1-based line in the file."""
    path: Path
    notes: tuple[str, ...]


def read_negatives(path: str | Path, option: str = "--negatives") -> Negatives:
    """Read the file; raises BadInput with the line number for anything not in this form."""
    path = Path(path)
    try:
        text = read_file(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f'{option} "{path}": there is no such file.') from None
    except UnicodeDecodeError:
        raise BadInput(f'{option} "{path}" is not a UTF-8 text file.') from None
    except OSError as error:
        raise BadInput(f'{option} "{path}" cannot be read: {error.strerror or error}.') from None
    found = Negatives([], [], [], [], path, ())
    first: dict[tuple[str, str], int] = {}
    repeated = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _PAIR.fullmatch(line)
        if match is None:
            raise BadInput(
                f"{path}, line {number}: a line must look like (user,item)<tab>negative<tab>negative…, "
                f"got {line.strip()[:60]!r}."
            )
        user, item = plain_id(match[1]), plain_id(match[2])
        words = [plain_id(word) for word in re.split(r"\t|,|\s+", match[3]) if word.strip()]
        if (user, item) in first:
            raise BadInput(
                f"{path}, line {number}: the pair ({user},{item}) is already on line {first[user, item]}."
            )
        first[user, item] = number
        kept = list(dict.fromkeys(word for word in words if word != item))
        repeated += len(words) - len(kept)
        if not kept:
            raise BadInput(f"{path}, line {number}: the pair ({user},{item}) has no negatives.")
        found.users.append(user)
        found.items.append(item)
        found.against.append(kept)
        found.lines.append(number)
    if not found.users:
        raise BadInput(f'{option} "{path}": the file is empty.')
    notes = ()
    if repeated:
        notes = (
            f"{repeated:,} negatives that were listed twice on a line, or equal its positive, count once.",
        )
    return Negatives(found.users, found.items, found.against, found.lines, path, notes)


def plain_id(word: str) -> str:
    """Return an id in the form of logs: whole numbers without padding or decimals (see `tables.Table.ids`)."""
    word = word.strip().strip("\"'")
    try:
        number = float(word)
    except ValueError:
        return word
    return str(int(number)) if abs(number) < 2**53 and number == round(number) else word
