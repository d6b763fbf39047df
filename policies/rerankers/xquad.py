"""xQuAD: slates that cover the user's topics, or niche and other items, favoring what is not covered yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from ..base import Ranking
from ..interactions import IntArray, Observation
from ..profiles import sparse_tags
from .candidates import FromCandidates, select
from .item_groups import niche_items
from .relevance import Scale, scaled
from .targets import TargetConfig, targets


class XQuAD(FromCandidates):
    """xQuAD: covers the topics that the user wants, or niche items and the others.

    Greedy: append argmax_i (1 − weight)·s(i) + weight·Σ_c p(c|u) p(i|c) Π_{j in slate} (1 − p(j|c)).

    p(i|c) = success·tag(i, c): the chance that i serves a user who wants c. p(c|u): the profile of the history.
    With aspects = "popularity" there are two classes, niche items and the others, and p(c|u) is the user's
    share of each. The objective, (1 − weight)·Σ s + weight·Σ_c p(c|u)(1 − Π(1 − p(j|c))), is monotone
    submodular: greedy is within 1 − 1/e of the best slate, and exact where every item has one aspect. With
    success = 1 one item covers its aspect completely. Scores are returned unchanged.

    After Santos, Macdonald and Ounis, WWW 2010; with two classes after Abdollahpouri, Burke and Mobasher, FLAIRS 2019.
    `success` is ours. Cost: O(n·candidates·topics of an item) per user, less by upper bounds.
    """

    kind = "xquad"

    class Config(TargetConfig):
        weight: float = Field(default=0.5, ge=0, le=1)
        """λ: 0 keeps the order of the scores, 1 considers coverage only."""
        aspects: Literal["topics", "popularity"] = "topics"
        """What to cover: topics (tags), or two classes of items, niche and others."""
        success: float = Field(default=0.5, gt=0, le=1)
        """Probability that an item satisfies a user who wants its aspect."""
        niche_share: float = Field(default=0.8, gt=0, lt=1)
        """aspects = "popularity": share of the live items, those taken least, that are niche."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

    config: Config

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        if config.aspects == "topics":
            wanted, tags = targets(seen, ranking.users, config), seen.tags
        else:
            wanted, tags = self._classes(seen, ranking.users)
        scores = scaled(ranking.scores, ranking.items, config.scale)
        return select(
            ranking,
            _greedy(ranking.items, scores, wanted, *sparse_tags(tags), n, config.weight, config.success),
        )

    def _classes(self, seen: Observation, users: IntArray) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return what each user wants of niche items and of the others (B, 2), and each item's class (items, 2)."""
        niche = niche_items(seen, self.config.niche_share, None)
        tags = np.ascontiguousarray(np.stack([niche, ~niche], axis=1), np.float32)
        # Class profiles are computed like topic profiles.
        return targets(replace(seen, tags=tags), users, self.config), tags


@njit(cache=True)
def _greedy(items, scores, wanted, indptr, topics, values, n, weight, success):
    rows, width = items.shape
    chosen = np.full((rows, n), -1, np.int64)
    for b in range(rows):
        open_part = wanted[b].copy()
        bound = np.full(width, np.inf)
        for r in range(n):
            best, pick = -np.inf, -1
            for c in range(width):
                item = items[b, c]
                # Gains never increase from step to step (submodularity), so an old gain is an upper bound.
                if item < 0 or bound[c] <= best:
                    continue
                gain = 0.0
                for at in range(indptr[item], indptr[item + 1]):
                    gain += open_part[topics[at]] * success * values[at]
                bound[c] = (1 - weight) * scores[b, c] + weight * gain
                if bound[c] > best:
                    best, pick = bound[c], c
            if pick < 0:
                break
            chosen[b, r] = pick
            bound[pick] = -np.inf
            item = items[b, pick]
            for at in range(indptr[item], indptr[item + 1]):
                open_part[topics[at]] *= 1 - success * values[at]
    return chosen
