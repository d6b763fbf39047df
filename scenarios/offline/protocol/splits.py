"""Split a log: hold out each user's last or a random share of items, all after a date, or whole users."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ....errors import BadInput, did_you_mean

Rows = NDArray[np.int64]
"""Row numbers of the log, ascending, so that time order is kept."""

KINDS = ("leave-one-out", "random", "temporal", "users")
FOLD_IN = 0.8
"""Share of a held-out user's items that the policy gets at ranking time (strong generalization)."""


@dataclass(frozen=True)
class Split:
    """A way to hold out a part of a log."""

    kind: Literal["leave-one-out", "random", "temporal", "users"]
    share: float = 0.0
    """Of each user's items, of all interactions, or of the users; unused by leave-one-out."""

    def __str__(self) -> str:
        return self.kind if self.kind == "leave-one-out" else f"{self.kind}:{self.share:g}"

    def is_drawn(self, timed: bool) -> bool:
        """Return whether the split depends on the seed; timed: the log has timestamps."""
        return self.kind in ("random", "users") or (self.kind == "leave-one-out" and not timed)


@dataclass(frozen=True)
class Parts:
    """Rows of a log for training, folding in and testing."""

    train: Rows
    """Rows that policies are fitted on."""
    fold_in: Rows
    """Histories of held-out users, known when ranking and not when fitting; empty for other splits."""
    test: Rows
    """Held-out rows."""


def parse_split(text: str, option: str = "--split") -> Split:
    """Read `leave-one-out`, `random:0.2`, `temporal:0.2` or `users:0.1`."""
    kind, colon, share = text.strip().partition(":")
    if kind not in KINDS:
        allowed = "leave-one-out, random:0.2, temporal:0.2, users:0.1"
        raise BadInput(f'{option}: there is no split "{text}".{did_you_mean(kind, KINDS)} Allowed: {allowed}')
    if kind == "leave-one-out":
        if colon:
            raise BadInput(f'{option}: leave-one-out has no share; write "leave-one-out" instead of "{text}"')
        return Split("leave-one-out")
    if not colon:
        raise BadInput(f'{option}: "{text}" needs a share, for example "{kind}:0.2"')
    number = float(share) if re.fullmatch(r"\s*[0-9]*\.?[0-9]+\s*", share) else float("nan")
    if not 0 < number < 1:
        raise BadInput(
            f'{option}: "{text}": the share must be a number between 0 and 1, for example "{kind}:0.2"'
        )
    return Split(kind, number)  # type: ignore[arg-type]


def divide(
    split: Split,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    time: NDArray[np.float64] | None,
    rows: Rows,
    rng: Generator,
) -> Parts:
    """Split `rows` of a log; user, item, time are those of the whole log, in time order, pairs distinct.

    random, users: shares of a count are rounded down, so a user with few items may have none held out.
    Raises BadInput if one side is empty.
    """
    of_user = user[rows]
    none = rows[:0]
    if split.kind == "temporal":
        if time is None:
            raise BadInput(
                f"the split {split} needs timestamps, and the log has none; take random:{split.share:g}"
            )
        when = time[rows]
        cut = when[int((1 - split.share) * when.size)] if when.size else 0.0
        parts = Parts(rows[when < cut], none, rows[when >= cut])
    elif split.kind == "users":
        parts = _by_users(split.share, user, item, rows, rng)
    else:
        count = np.bincount(of_user)[of_user]
        if split.kind == "leave-one-out":
            position = _newest_first(of_user) if time is not None else _place(user, item, rows, rng)
            held_out = (position < 1) & (count > 1)
        else:
            held_out = _place(user, item, rows, rng) < np.floor(split.share * count + 1e-9)
        parts = Parts(rows[~held_out], none, rows[held_out])
    for side, name in ((parts.train, "to train on"), (parts.test, "to test on")):
        if not side.size:
            most = int(np.bincount(of_user).max(initial=0))
            raise BadInput(
                f"the split {split} leaves nothing {name}: there are {rows.size:,} interactions of "
                f"{np.unique(of_user).size:,} users, at most {most:,} of one. Choose another share or another split"
            )
    return parts


def _by_users(share: float, user: NDArray, item: NDArray, rows: Rows, rng: Generator) -> Parts:
    """Hold out whole users. Only items taken in training count; 1 − `FOLD_IN` of a user's are targets."""
    everyone = np.unique(user[rows])
    count = int(share * everyone.size)
    chosen = np.zeros(int(everyone.max(initial=0)) + 1, bool)
    chosen[rng.permutation(everyone)[:count]] = True
    out = chosen[user[rows]]
    train, others = rows[~out], rows[out]
    known = np.zeros(int(item.max(initial=0)) + 1, bool)
    known[item[train]] = True
    others = others[known[item[others]]]
    of_user = user[others]
    target = _place(user, item, others, rng) < np.floor((1 - FOLD_IN) * np.bincount(of_user)[of_user] + 1e-9)
    return Parts(train, others[~target], others[target])


def _place(user: NDArray, item: NDArray, rows: Rows, rng: Generator) -> NDArray[np.int64]:
    """Return (rows,) each row's position, from 0, in a random order of its user's rows.

    Draws go by user and item, not by the order of the file.
    """
    of_user = user[rows]
    draw = np.empty(rows.size)
    draw[np.lexsort((item[rows], of_user))] = rng.random(rows.size)
    order = np.lexsort((draw, of_user))
    place = np.empty(rows.size, np.int64)
    place[order] = np.arange(rows.size) - np.searchsorted(of_user[order], of_user[order])
    return place


def _newest_first(of_user: NDArray) -> NDArray[np.int64]:
    """Return each row's position from the end among its user's rows, which are in time order."""
    order = np.lexsort((-np.arange(of_user.size), of_user))
    place = np.empty(of_user.size, np.int64)
    place[order] = np.arange(of_user.size) - np.searchsorted(of_user[order], of_user[order])
    return place
