"""Shared parts of rerankers that select from a list of candidates: its depth, selection, and leftover items."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ...config import Config
from ..base import Ranking, Reranker

MAX_CANDIDATES = 100_000
"""Largest number of candidates that a configuration may ask for."""
WHOLE_CATALOG = int(np.iinfo(np.int32).max)
"""More than there can be items: asking for this many returns all of them."""

Depth = Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | Literal["all"]


class CandidatesConfig(Config):
    """How deep the list of candidates is."""

    candidates: Depth = 200
    """How many ranked items to choose from, per user; "all" for every available item."""

    @field_validator("candidates", mode="before")
    @classmethod
    def _in_range(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value != "all" and not (whole and 1 <= value <= MAX_CANDIDATES):
            raise ValueError(f'must be a whole number from 1 to {MAX_CANDIDATES}, or "all"')
        return value


class FromCandidates(Reranker, ABC):
    """A reranker with a field `candidates`."""

    Config = CandidatesConfig
    config: Any

    @property
    def candidates(self) -> int:
        """How many ranked items it wants to choose from."""
        depth = self.config.candidates
        return WHOLE_CATALOG if depth == "all" else depth


def select(
    ranking: Ranking, columns: NDArray[np.int64], scores: NDArray[np.float32] | None = None
) -> Ranking:
    """Return the items in `columns` (B, n) of the ranking, −1 for none, with `scores` (B, C) or their own."""
    found = columns >= 0
    at = np.where(found, columns, 0)
    of_candidates = ranking.scores if scores is None else scores
    if ranking.items.shape[1] == 0:
        return Ranking(
            ranking.users, np.full(columns.shape, -1, np.int32), np.full(columns.shape, -np.inf, np.float32)
        )
    items = np.where(found, np.take_along_axis(ranking.items, at, axis=1), np.int32(-1))
    values = np.where(found, np.take_along_axis(of_candidates, at, axis=1), np.float32(-np.inf))
    return Ranking(ranking.users, items, values)


def append_rest(built: Ranking, before: Ranking, depth: int) -> Ranking:
    """Return `built`, extended up to `depth` by the remaining items of `before` in their order, scores unchanged."""
    items = np.full((len(before.users), depth), -1, np.int32)
    scores = np.full(items.shape, -np.inf, np.float32)
    marks = np.full(int(before.items.max(initial=-1)) + 1, -1, np.int64)
    _append_rest(built.items, built.scores, before.items, before.scores, marks, items, scores)
    return Ranking(before.users, items, scores)


@njit(cache=True)
def _append_rest(built, of_built, before, of_before, marks, items, scores):
    for b in range(items.shape[0]):
        r = 0
        for c in range(built.shape[1]):
            if built[b, c] >= 0:
                items[b, r], scores[b, r] = built[b, c], of_built[b, c]
                marks[built[b, c]] = b
                r += 1
        for c in range(before.shape[1]):
            if r == items.shape[1]:
                break
            if before[b, c] >= 0 and marks[before[b, c]] != b:
                items[b, r], scores[b, r] = before[b, c], of_before[b, c]
                r += 1
