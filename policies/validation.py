"""Validation of the rankings that policies return, fast enough for every round of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..bits import is_set
from ..errors import PolicyError
from .base import Ranking
from .interactions import Observation

_RULES = (
    "",
    "item {item} does not exist: ids run from 0 to {last}, and -1 pads the end",
    "item {item} follows a -1: padding belongs at the end of a row",
    "item {item} is not live: rank only items with seen.live",
    "item {item} is in its cool-down for this user: rank only items in seen.available(users)",
    "item {item} is listed twice",
    "the score of item {item} is {score}: scores of ranked items are finite numbers; a policy that only knows "
    + "an order returns minus the rank as score and sets gives_scores = False",
)


def validate_ranking(ranking: Ranking, seen: Observation, users: NDArray[Any], n: int) -> None:
    """Raise PolicyError unless `ranking` is what was asked for: n items for each of `users`.

    Checked: type, users, shapes (B, n), dtypes (int32, float32), ids, padding, live, cool-downs, duplicates,
    finite scores. A short row is not an error: a policy may have fewer than n items to offer.
    """
    if not isinstance(ranking, Ranking):
        raise PolicyError(f"rank() must return an echodrift.policies.Ranking, got {type(ranking).__name__}")
    shape = (len(users), n)
    for name, kind in (("items", np.int32), ("scores", np.float32)):
        array = getattr(ranking, name)
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != kind:
            raise PolicyError(
                f"ranking.{name} must be an array of shape (users, n) = {shape} and type {kind.__name__}, "
                f"got {_described(array)}"
            )
    if not np.array_equal(ranking.users, users):
        raise PolicyError("ranking.users must be the users that were asked for, in the same order")
    ids = np.ascontiguousarray(users, np.int32)
    rule, row, column = _first_breach(ranking.items, ranking.scores, ids, seen.live, seen.blocked.bits)
    if rule:
        item, score = ranking.items[row, column], ranking.scores[row, column]
        text = _RULES[rule].format(item=item, score=score, last=seen.n_items - 1)
        raise PolicyError(f"ranking of user {ids[row]}, position {column + 1}: {text}")


def _described(array: Any) -> str:
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    return f"{array.shape} of {array.dtype}"


@njit(cache=True)
def _first_breach(items, scores, users, live, bits):
    """Return (rule, row, column) of the first breach, or rule 0."""
    rows, n = items.shape
    listed = np.full(live.size, -1, np.int64)
    for b in range(rows):
        ended = False
        for r in range(n):
            item = items[b, r]
            if item == -1:
                ended = True
                continue
            if item < -1 or item >= live.size:
                return 1, b, r
            if ended:
                return 2, b, r
            if not live[item]:
                return 3, b, r
            if is_set(bits, users[b], item):
                return 4, b, r
            if listed[item] == b:
                return 5, b, r
            listed[item] = b
            if not np.isfinite(scores[b, r]):
                return 6, b, r
    return 0, 0, 0
