"""A guaranteed minimum of niche items on each slate."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import Field

from ..base import Ranking
from ..interactions import Observation
from .candidates import CandidatesConfig, FromCandidates, select
from .item_groups import NICHE, niche_items


class NicheFloor(FromCandidates):
    """The best-ranked n items of which at least `slots` are niche, as far as the candidates allow.

    Niche: the `niche_share` of the live items that was taken least. Exact: no other slate with that many niche
    items has a larger sum of scores (which decrease with rank), since the floor only exchanges the last other
    items for the best niche items left out. Only the order of the candidates counts; scores are returned
    unchanged. Put it last: a later reranker can undo it. Cost: O(candidates) per user.
    """

    kind = "niche_floor"

    class Config(CandidatesConfig):
        slots: int = Field(default=3, ge=0, le=1000)
        """m: minimum number of niche items on the slate."""
        niche_share: float = Field(default=NICHE, gt=0, lt=1)
        """Share of the live items, those taken least, that are niche."""
        window: int | None = Field(default=None, ge=1)
        """Popularity in the last so many rounds; in all of the log when omitted."""
        placement: Literal["ranked", "spread"] = "ranked"
        """Items in their original order, which leaves the added niche items at the end, or the niche items spread
        evenly among the others."""

    config: Config

    @property
    def uses_scores(self) -> bool:
        """Whether it weighs scores: no, only the order counts."""
        return False

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        niche = niche_items(seen, config.niche_share, config.window)
        return select(ranking, _floored(ranking.items, niche, n, config.slots, config.placement == "spread"))


@njit(cache=True)
def _floored(items, niche, n, least, spread):
    rows, width = items.shape
    chosen = np.full((rows, n), -1, np.int64)
    for b in range(rows):
        found, all_niche = 0, 0
        for c in range(width):
            if items[b, c] >= 0:
                found += 1
                all_niche += niche[items[b, c]]
        size = min(n, found)
        need = min(least, all_niche, size)
        # In rank order, niche items may fill every slot, other items only those that the floor leaves.
        room, taken, of_niche = size - need, 0, 0
        inside = np.zeros(width, np.bool_)
        for c in range(width):
            if taken == size:
                break
            if items[b, c] < 0:
                continue
            if niche[items[b, c]]:
                inside[c] = True
                of_niche += 1
                taken += 1
                if of_niche > need:
                    room -= 1
            elif room > 0:
                inside[c] = True
                room -= 1
                taken += 1
        _order(inside, items[b], niche, of_niche, size, spread, chosen[b])
    return chosen


@njit(cache=True)
def _order(inside, items, niche, of_niche, size, spread, out):
    width = inside.size
    if not spread:
        r = 0
        for c in range(width):
            if inside[c]:
                out[r] = c
                r += 1
        return
    one, other, given = 0, 0, 0
    for r in range(size):
        # The j-th of m niche items is placed where (j − 1/2)/m of the slots precede it.
        due = (r + 1) * of_niche >= (given + 0.5) * size and given < of_niche
        due = due or r - given >= size - of_niche
        at = one if due else other
        while not inside[at] or niche[items[at]] != due:
            at += 1
        out[r] = at
        if due:
            one, given = at + 1, given + 1
        else:
            other = at + 1
