"""What stands between an Observation and the slates: a policy with its rerankers, an oracle, or nothing."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..agents.dynamics.choice import Objective
from ..agents.world import World
from ..config import Config
from ..errors import PolicyError
from ..policies.base import LogTransform, Policy, Reranker
from ..policies.interactions import Observation
from ..policies.rerankers.candidates import append_rest
from ..policies.validation import validate_ranking
from .oracles import oracle_items, oracle_slates
from .state import State, part, under
from .streams import Streams

BLOCK = 256
"""Users that an oracle values at once: bounds memory to block × tastes × items."""


class Recommender(ABC):
    """Fills slates. Only the oracles look at the world."""

    @property
    def remarks(self) -> list[str]:
        """What a user should know about the fits so far, each sentence once."""
        return []

    def fit(self, seen: Observation, streams: Streams) -> None:
        """Learn from what has been seen; called when a refit is due."""

    @abstractmethod
    def slates(
        self, world: World, seen: Observation, users: NDArray[np.int32], n: int, streams: Streams
    ) -> NDArray[np.int32]:
        """Return slates (B, n), −1 where the catalog was exhausted."""

    def serves(self, round: int, users: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return (B,): whom it recommends to in a round; the visits of the others are organic."""
        return np.ones(users.size, bool)

    def lengths(self, round: int, users: NDArray[np.int32], n: int) -> NDArray[np.int32] | None:
        """Return (B,) how long the slates of users are in a round; None where all have the platform's n slots."""
        return None

    def refit_due(self, round: int, every: int) -> bool:
        """Return whether to refit in a round, when the platform refits every so many."""
        return round % every == 0

    def follow(self, seen: Observation, streams: Streams, due: bool) -> None:
        """Take note of a new round; fit when a refit is due."""
        if due:
            self.fit(seen, streams)

    def purges(self, round: int) -> tuple[LogTransform, ...]:
        """Return what is done to the log for good in a round."""
        return ()

    def state(self) -> State | None:
        """Return what a checkpoint must keep; None: it cannot say, and the run restarts from round 0."""
        return {}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""


class Recommended(Recommender):
    """A policy and the rerankers behind it, in order.

    transforms: what is done to the log before each fit; ranking sees the log as it is.
    """

    @property
    def remarks(self) -> list[str]:
        return list(self._remarks.values())

    def __init__(
        self, policy: Policy, rerankers: Sequence[Reranker] = (), transforms: Sequence[LogTransform] = ()
    ) -> None:
        self.policy = policy
        self.rerankers = list(rerankers)
        self.transforms = tuple(transforms)
        self._remarks: dict[str, str] = {}
        self._fitted = False

    def fit(self, seen: Observation, streams: Streams) -> None:
        for transform in self.transforms:
            seen = transform.prepare(seen)
        self.policy.fit(seen, streams("policy.fit", seen.round))
        self._fitted = True
        told = [remark for transform in self.transforms for remark in transform.remarks()]
        for remark in told + self.policy.remarks():
            # the same remark with other numbers, after a later fit, takes the place of the first
            self._remarks[re.sub(r"\d+", "#", remark)] = remark

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        wanted = [max(n, reranker.candidates) for reranker in self.rerankers]
        # What each stage must hand on: as much as any later stage wants to choose from.
        lengths = [min(max(wanted[i:], default=n), seen.n_items) for i in range(len(wanted))] + [n]
        ranking = self.policy.rank(seen, users, lengths[0], streams("policy.rank", seen.round))
        validate_ranking(ranking, seen, users, lengths[0])
        for place, reranker in enumerate(self.rerankers):
            rng = streams(f"rerank.{place}", seen.round)
            depth = lengths[place + 1]
            # A list is built for the slots that people see, however much a later stage wants to choose from.
            length = depth if reranker.rescores else min(n, depth)
            built = reranker.rerank(ranking, seen, length, rng)
            validate_ranking(built, seen, users, length)
            ranking = append_rest(built, ranking, depth) if length < depth else built
        for reranker in self.rerankers:
            reranker.shown(seen, users, ranking.items)
        return ranking.items

    def state(self) -> State | None:
        if not self.policy.keeps_state:
            return None
        policy = self.policy.state() if self._fitted else {}
        if policy is None:
            return None
        kept = under("policy", policy) | {"fitted": np.array(self._fitted)}
        for place, reranker in enumerate(self.rerankers):
            kept |= under(f"rerank.{place}", reranker.state())
        for name, texts in (("kinds", self._remarks.keys()), ("remarks", self._remarks.values())):
            kept[name] = np.array(list(texts), np.str_)
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        self._fitted = bool(kept["fitted"])
        if self._fitted:
            self.policy.restore(part("policy", kept))
        for place, reranker in enumerate(self.rerankers):
            reranker.restore(part(f"rerank.{place}", kept))
        self._remarks = dict(zip(kept["kinds"].tolist(), kept["remarks"].tolist(), strict=True))


class NoRecommender(Recommender):
    """The reference world: every visit is organic."""

    def serves(self, round, users) -> NDArray[np.bool_]:
        return np.zeros(users.size, bool)

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        raise PolicyError("the organic arm has no slates: every visit is organic")


class OracleItemConfig(Config):
    """No fields."""


class OracleItem(Recommender):
    """Ranks by each item's own probability of being taken: the best item-wise relevance can do."""

    Config = OracleItemConfig

    def __init__(self, **fields) -> None:
        self.config = self.Config(**fields)

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        return _in_blocks(users, lambda part: oracle_items(world, part, n, seen.available(part))[0])


class OracleSlateConfig(Config):
    """What the slate is built for."""

    objective: Literal["hit", "surplus"] = Field(default="hit")
    """ "hit": the chance that something is taken; "surplus": the expected value of the best item taken."""


class OracleSlate(Recommender):
    """Fills the slate as a whole: covers a user's tastes in proportion to what each still gains."""

    Config = OracleSlateConfig

    def __init__(self, **fields) -> None:
        self.config = self.Config(**fields)

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        objective: Objective = self.config.objective
        return _in_blocks(users, lambda part: oracle_slates(world, part, n, seen.available(part), objective))


def _in_blocks(users, fill) -> NDArray[np.int32]:
    parts = [fill(users[start : start + BLOCK]) for start in range(0, users.size, BLOCK)]
    return np.concatenate(parts)


class OrganicConfig(Config):
    """No fields."""


REFERENCE_ARMS = {
    "organic": (OrganicConfig, NoRecommender, "no recommender: every visit is organic"),
    "oracle_item": (OracleItemConfig, OracleItem, "ranks by each item's true probability of being taken"),
    "oracle_slate": (OracleSlateConfig, OracleSlate, "fills the whole slate at perfect knowledge of tastes"),
}
"""Arms that may read the truth: kind → (configuration, recommender, what it is)."""
