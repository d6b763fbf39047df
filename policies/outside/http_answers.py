"""Validation of a service's answers to POST /recommend, as strict as for the rankings of any policy."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import PolicyError, did_you_mean
from ...wording import clean, short
from ..interactions import FloatArray, IntArray

FIELDS = ("users", "items", "scores")
MAX_SCORE = float(np.finfo(np.float32).max)


def read_slates(
    answer: bytes,
    users: IntArray,
    n: int,
    available: NDArray[np.bool_],
    live: NDArray[np.bool_],
    where: str,
    scores_needed: bool = False,
) -> tuple[IntArray, FloatArray]:
    """Return items and scores, both (B, n); PolicyError names the first violation.

    available (B, items): what each user may be shown. Without scores, an item's score is n − its position.
    """
    answered = _Answer(where)
    table = answered.table(answer)
    answered.users(table["users"], users)
    rows = answered.rows(table["items"], "items", users)
    given = table.get("scores")
    if given is not None:
        answered.rows(given, "scores", users)
    elif scores_needed:
        answered.fail('the answer lacks the field "scores", which scores = true promises')
    items = np.full((users.size, n), -1, np.int32)
    scores = np.full((users.size, n), -np.inf, np.float32)
    for row, user in enumerate(users):
        size = len(rows[row])
        items[row, :size] = answered.slate(rows[row], int(user), row, n, available[row], live)
        if given is None:
            scores[row, :size] = np.arange(n - 1, n - 1 - size, -1)
        else:
            scores[row, :size] = answered.scores(given[row], int(user), row, size)
    return items, scores


class _Answer:
    """Checks for the parts of one answer."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, problem: str) -> NoReturn:
        raise PolicyError(f"{self.where}: {clean(problem)}")

    def table(self, answer: bytes) -> dict[str, Any]:
        """Return the parsed answer, a JSON object with the required fields."""
        try:
            table = json.loads(answer.decode("utf-8"), parse_constant=_refused, object_pairs_hook=_table)
        except RecursionError:
            self.fail("the answer is not valid JSON: nested too deeply")
        except ValueError as error:
            start = answer[:80].decode("utf-8", "replace")
            self.fail(f"the answer is not valid JSON: {error}. It starts with {start!r}")
        if not isinstance(table, dict):
            self.fail(f'the answer must be a JSON object with "users" and "items", got {_kind(table)}')
        for name in table:
            if name not in FIELDS:
                self.fail(
                    f'the answer has a field "{name[:40]}".{did_you_mean(name, FIELDS)} '
                    f"Allowed: {', '.join(FIELDS)}"
                )
        for name in ("users", "items"):
            if name not in table:
                self.fail(f'the answer lacks the field "{name}"')
        return table

    def users(self, found: Any, users: IntArray) -> None:
        """Check that the users are those of the request, in the same order."""
        if not isinstance(found, list):
            self.fail(f'"users" must be a list of the user ids that were asked for, got {_kind(found)}')
        for place, user in enumerate(found):
            if type(user) is not int:
                self.fail(f'"users", position {place + 1}: {_shown(user)} is not a whole number')
        wanted = users.tolist()
        if found == wanted:
            return
        for user in found:
            if user not in wanted:
                self.fail(f'"users" has user {_shown(user)}, who was not asked for')
        if len(set(found)) < len(found):
            twice = next(user for user in found if found.count(user) > 1)
            self.fail(f'"users" has user {twice} more than once')
        missing = set(wanted) - set(found)
        if missing:
            self.fail(f'"users" lacks user {min(missing)}: {len(found)} of {len(wanted)} users are answered')
        self.fail('"users" is in another order than in the question')

    def rows(self, found: Any, name: str, users: IntArray) -> list[list[Any]]:
        """Return one list per user."""
        if not isinstance(found, list):
            self.fail(f'"{name}" must be a list of lists, one per user, got {_kind(found)}')
        if len(found) != users.size:
            self.fail(f'"{name}" has {len(found)} rows for {users.size} users')
        for row, values in enumerate(found):
            if not isinstance(values, list):
                self.fail(f'"{name}", user {users[row]}: must be a list, got {_kind(values)}')
        return found

    def slate(
        self,
        row: list[Any],
        user: int,
        number: int,
        n: int,
        available: NDArray[np.bool_],
        live: NDArray[np.bool_],
    ) -> list[int]:
        """Return a user's items after checking that all may be shown, none is listed twice, and none is missing."""
        listed: set[int] = set()
        for place, item in enumerate(row):
            here = f'"items", user {user} (row {number}), position {place + 1}'
            if type(item) is not int:
                self.fail(f"{here}: {_shown(item)} is not a whole number: items are listed by their ids")
            if not 0 <= item < available.size:
                self.fail(
                    f"{here}: item {_shown(item)} does not exist: ids run from 0 to {available.size - 1}"
                )
            if item in listed:
                self.fail(f"{here}: item {item} is listed twice")
            if not live[item]:
                self.fail(f'{here}: item {item} is not live: it is in "not_live" of the last /observe')
            if not available[item]:
                self.fail(
                    f"{here}: item {item} must not be shown to this user: it was taken a short while ago and is "
                    'in "blocked"'
                )
            listed.add(item)
        wanted = min(n, int(available.sum()))
        if len(row) > n:
            self.fail(f'"items", user {user} (row {number}): {len(row)} items where {n} were asked for')
        if len(row) < wanted:
            self.fail(
                f'"items", user {user} (row {number}): {len(row)} items, although {wanted} of the {n} asked for are '
                "available. Fill up with any others that may be shown"
            )
        return row

    def scores(self, row: list[Any], user: int, number: int, size: int) -> list[float]:
        """Return a user's scores after checking that there is a finite one per item and that they do not rise."""
        if len(row) != size:
            self.fail(f'"scores", user {user} (row {number}): {len(row)} scores for {size} items')
        for place, score in enumerate(row):
            here = f'"scores", user {user} (row {number}), position {place + 1}'
            if type(score) not in (int, float) or not abs(score) <= MAX_SCORE:
                self.fail(f"{here}: {_shown(score)} is not a finite number that a float32 can hold")
            if place and score > row[place - 1]:
                self.fail(
                    f"{here}: {_shown(score)} is above the score before it: list the best item first, or leave "
                    '"scores" out'
                )
        return row


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a JSON object, none of them twice: which one counts would be a guess."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the field "{short(twice)}" is there twice')
    return table


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # A whole number with thousands of digits
        return "a number beyond all bounds"
    return short(text)
