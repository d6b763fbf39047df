"""Exploration on top of any policy: random slots, or a bonus for items that were rarely shown."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from ...philox import normal, uniform
from ..base import Ranking
from ..interactions import Observation, Source
from ..ties import tie_key
from .candidates import CandidatesConfig, FromCandidates, select
from .popularity_discount import best_of
from .relevance import Scale, scaled


class Explore(FromCandidates):
    """Exploration: slots drawn at random, or a bonus (UCB, Thompson) for items that were rarely shown.

    Slots drawn at random ("epsilon"), or the n items with the largest (1 − weight)·s(i) + weight·index_i.

    - "epsilon": each slot is, with probability epsilon, a candidate drawn uniformly from those not yet on the slate,
      and otherwise the best-ranked one not yet on it. Over the whole catalog with candidates = "all". Scores are
      returned as they came.
    - "ucb": index = m_i + exploration·sqrt(log(1 + Σ_j shown_j)/N_i), N_i = shown_i + prior_takes + prior_misses,
      m_i = (taken_i + prior_takes)/N_i.
    - "thompson": index = m_i + exploration·sqrt(m_i (1 − m_i)/(N_i + 1))·z, z a standard normal draw for each
      user and item: the mean and spread of a Beta posterior of the item's chance to be taken, in normal shape.

    shown_i and taken_i: slots in stored slates (see `platform.keep_exposures`), and takes from them; 0 with
    an organic or frozen log. "ucb" and "thompson" return the value above as the score. A user's draws
    depend on the call and the user only, not on who else is ranked. UCB after Auer, Cesa-Bianchi and
    Fischer 2002, with counts of all users together and a prior. Cost: O(candidates) per user.
    """

    kind = "explore"

    class Config(CandidatesConfig):
        strategy: Literal["epsilon", "ucb", "thompson"] = "epsilon"
        """How it explores."""
        epsilon: float = Field(default=0.1, ge=0, le=1)
        """epsilon: probability that a slot is drawn at random."""
        weight: float = Field(default=0.2, ge=0, le=1)
        """ucb, thompson: 0 keeps the order of the scores, 1 looks at the index only."""
        exploration: float = Field(default=1.0, ge=0)
        """ucb, thompson: weight of the uncertainty about an item in the index."""
        prior_takes: float = Field(default=1.0, gt=0)
        """ucb, thompson: prior number of takes of an item."""
        prior_misses: float = Field(default=9.0, gt=0)
        """ucb, thompson: prior number of shows of an item without a take."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

    config: Config

    @property
    def uses_scores(self) -> bool:
        """Whether it weighs scores: random slots need the order only."""
        return self.config.strategy != "epsilon"

    @property
    def rescores(self) -> bool:
        """Whether it only assigns new scores: random slots build a slate, bonuses are scores."""
        return self.config.strategy != "epsilon"

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        key = tie_key(rng)
        if config.strategy == "epsilon":
            return select(ranking, _random_slots(key, config.epsilon, ranking.users, ranking.items, n))
        shown, taken = shown_and_taken(seen)
        known = shown + config.prior_takes + config.prior_misses
        mean = (taken + config.prior_takes) / known
        value = (1 - config.weight) * scaled(ranking.scores, ranking.items, config.scale)
        if config.strategy == "ucb":
            spread, key = np.sqrt(np.log1p(shown.sum()) / known), np.uint64(0)
        else:
            spread = np.sqrt(mean * (1 - mean) / (known + 1))
        drawn = config.strategy == "thompson"
        _add_index(
            value, ranking.users, ranking.items, config.weight, mean, config.exploration * spread, key, drawn
        )
        return best_of(ranking, value, n)


def shown_and_taken(seen: Observation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (items,) each item's number of slots in the stored slates, and of takes from them."""
    shown = np.zeros(seen.n_items, np.int64)
    for past in seen.exposures:
        slates = past.slates[~past.organic]
        shown += np.bincount(slates[slates >= 0], minlength=seen.n_items)
    if not seen.exposures:
        return shown, shown.copy()
    log = seen.since(seen.exposures[0].round)
    taken = np.bincount(log.item[log.source == Source.SLATE], minlength=seen.n_items)
    # The log may hold takes from slates that are not stored: no item counts as taken more often than shown.
    return shown, np.minimum(taken, shown)


@njit(cache=True)
def _add_index(value, users, items, weight, mean, spread, key, drawn):
    for b in range(users.size):
        for c in range(items.shape[1]):
            item = items[b, c]
            if item >= 0:
                factor = normal(key, users[b], item) if drawn else 1.0
                value[b, c] += weight * (mean[item] + factor * spread[item])


@njit(cache=True)
def _random_slots(key, epsilon, users, items, n):
    rows = items.shape[0]
    chosen = np.full((rows, n), -1, np.int64)
    for b in range(rows):
        free = items[b] >= 0
        left, best = free.sum(), 0
        for r in range(min(n, left)):
            pick = best
            if uniform(key, 0, users[b], 2 * r) < epsilon:
                ahead, pick = int(uniform(key, 0, users[b], 2 * r + 1) * (left - r)), 0
                while ahead > 0 or not free[pick]:
                    ahead -= free[pick]
                    pick += 1
            else:
                while not free[pick]:
                    pick += 1
                best = pick
            chosen[b, r] = pick
            free[pick] = False
    return chosen
