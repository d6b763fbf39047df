"""Content-based ranking: more of the topics that a user has taken before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from ..config import Config as BaseConfig
from ..errors import PolicyError
from .base import FactorPolicy, State
from .interactions import FloatArray, IntArray, Observation
from .profiles import topic_profiles
from .size import Size
from .ties import tie_key, tie_order

TIE = 1e-4
"""Weight of the random order among items that are equal in topics and popularity."""


class Content(FactorPolicy):
    """Content-based: items whose tags match the topics that the user took; popularity decides among the alike.

    score(u, i) = Σ_g p(g|u)·tag(i, g) + popularity·log(1 + taken_i)/log(1 + max taken) + 1e-4·tie_i.

    p(g|u) is the profile of the user's history (`profiles.topic_profiles`); a user without history has the
    population's. There are few distinct tags, so most items tie on topics: popularity orders them, and a
    random order drawn at every fit decides among the equally popular. Cost: O(log·tags) per fit, ranking as a
    factor model with topics + 1 dimensions.
    """

    kind = "content"
    weighs_entries = True
    reads_tags = True
    bias_columns = 1  # Popularity and the tie-breaker

    class Config(BaseConfig):
        window: int | None = Field(default=None, ge=1)
        """Profile and popularity from the last so many rounds only; all time when omitted."""
        half_life: float | None = Field(default=None, ge=0.001)
        """Rounds after which an entry counts half in the profile; no decay when omitted."""
        popularity: float = Field(default=0.05, ge=0, le=1)
        """Weight of the popularity prior, against a topic match of 0 to 1."""

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._profiles: FloatArray | None = None
        self._prior = np.empty(0)
        self._key = np.uint64(0)

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Average the tags of each user's history."""
        window, half_life = self.config.window, self.config.half_life
        self._profiles = topic_profiles(seen, window=window, half_life=half_life).astype(np.float32)
        log = seen.last(window)
        taken = np.log1p(np.bincount(log.item, log.weight, seen.n_items))
        self._prior = taken / max(taken.max(initial=0.0), np.log(2.0))
        self._key = tie_key(rng)

    def factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return profiles (B, topics + 1) and tags (n_items, topics + 1); the last column is the tie-breaker."""
        if self._profiles is None:
            raise PolicyError("content: rank() before fit()")
        breaker = TIE * tie_order(self._key, seen.n_items)
        breaker[: self._prior.size] += self.config.popularity * self._prior
        of_items = np.column_stack([seen.tags, breaker]).astype(np.float32)
        of_users = np.column_stack([self._profiles[users], np.ones(len(users), np.float32)])
        return of_users, of_items

    def memory(self, size: Size) -> float:
        """Return the bytes of one profile per user."""
        return size.small_tables

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Average the tags of these users' histories."""
        if self._profiles is not None:
            window, half_life = self.config.window, self.config.half_life
            fresh = topic_profiles(seen, window=window, half_life=half_life)
            self._profiles = self._profiles.copy()
            self._profiles[users] = fresh[users]

    def state(self) -> State:
        """Return profiles, popularity prior and the key of the tie order."""
        if self._profiles is None:
            return {}
        return {"profiles": self._profiles, "prior": self._prior, "key": np.array(self._key)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        if state:
            self._profiles, self._prior = np.array(state["profiles"]), np.array(state["prior"])
            self._key = np.uint64(state["key"])
