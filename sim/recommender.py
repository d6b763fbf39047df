"""Recommenders, which turn an Observation into slates: a policy with its rerankers, an oracle, or none."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..agents.dynamics.choice import Objective
from ..agents.world import World
from ..config import Config
from ..errors import PolicyError
from ..policies.base import Component, FactorPolicy, LogTransform, Policy, Reranker
from ..policies.factors.spectrum import effective_rank
from ..policies.interactions import Observation
from ..policies.rerankers.candidates import append_rest
from ..policies.validation import validate_ranking
from .oracles import oracle_items, oracle_slates
from .state import State, add_prefix, select_prefix
from .streams import Streams

_OWN = f"{__name__.partition('.')[0]}."
BLOCK = 256
"""Users that an oracle values at once: bounds memory to block × tastes × items."""


class Recommender(ABC):
    """Fills slates. Only the oracles read the world."""

    @property
    def remarks(self) -> list[str]:
        """Notes for the user about the fits so far, without repeats."""
        return []

    def fit(self, seen: Observation, streams: Streams) -> None:
        """Fit to the observation; called when a refit is due."""

    @abstractmethod
    def slates(
        self, world: World, seen: Observation, users: NDArray[np.int32], n: int, streams: Streams
    ) -> NDArray[np.int32]:
        """Return slates (B, n), −1 where no items were left."""

    def serves(self, round: int, users: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return (B,): the users it recommends to in a round; the visits of the others are organic."""
        return np.ones(users.size, bool)

    def lengths(self, round: int, users: NDArray[np.int32], n: int) -> NDArray[np.int32] | None:
        """Return (B,): the slate length of each user in a round; None if all have the platform's n slots."""
        return None

    def refit_due(self, round: int, every: int) -> bool:
        """Return whether to refit in a round, if the platform refits every `every` rounds."""
        return round % every == 0

    def prepare_round(self, seen: Observation, streams: Streams, due: bool) -> None:
        """Prepare for a new round: fit if a refit is due."""
        if due:
            self.fit(seen, streams)

    def purges(self, round: int) -> tuple[LogTransform, ...]:
        """Return the transforms that permanently change the log in a round."""
        return ()

    def summaries(self, seen: Observation) -> dict[str, float]:
        """Return numbers about the last fit, for the table of runs; `seen`: the last observation."""
        return {}

    def state(self) -> State | None:
        """Return the state for a checkpoint; None if it cannot be exported, so that a run restarts from round 0."""
        return {}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned."""


class PolicyRecommender(Recommender):
    """A policy followed by rerankers, in order.

    transforms: applied to the log before each fit; ranking sees the log unchanged.
    """

    @property
    def remarks(self) -> list[str]:
        return list(self._remarks.values())

    def summaries(self, seen: Observation) -> dict[str, float]:
        """Return the effective rank of the scores of a built-in factor model, over users and items of the log."""
        policy = self.policy
        if not isinstance(policy, FactorPolicy) or not type(policy).__module__.startswith(_OWN):
            return {}
        users = np.unique(seen.log.user)
        of_users, of_items = policy.factors(seen, users)
        return {"effective_rank": effective_rank(of_users, of_items[seen.popularity > 0])}

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
            seen = transform.prepare(_given_to(transform, seen))
        self.policy.fit(_given_to(self.policy, seen), streams("policy.fit", seen.round))
        self._fitted = True
        remarks = [remark for transform in self.transforms for remark in transform.remarks()]
        for remark in remarks + self.policy.remarks():
            # After a later fit, the same remark with other numbers replaces the earlier one.
            self._remarks[re.sub(r"\d+", "#", remark)] = remark

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        wanted = [max(n, reranker.candidates) for reranker in self.rerankers]
        # Each stage must pass on as many candidates as any later stage chooses from.
        lengths = [min(max(wanted[i:], default=n), seen.n_items) for i in range(len(wanted))] + [n]
        given = _given_to(self.policy, seen)
        ranking = self.policy.rank(given, users.copy(), lengths[0], streams("policy.rank", seen.round))
        validate_ranking(ranking, seen, users, lengths[0])
        for place, reranker in enumerate(self.rerankers):
            rng = streams(f"rerank.{place}", seen.round)
            depth = lengths[place + 1]
            # The list is built for the slots that users see, even if a later stage chooses from more candidates.
            length = depth if reranker.rescores else min(n, depth)
            reranked = reranker.rerank(ranking, _given_to(reranker, seen), length, rng)
            validate_ranking(reranked, seen, users, length)
            ranking = append_rest(reranked, ranking, depth) if length < depth else reranked
        for reranker in self.rerankers:
            reranker.shown(_given_to(reranker, seen), users, ranking.items.copy())
        return ranking.items

    def state(self) -> State | None:
        if not self.policy.keeps_state:
            return None
        policy = self.policy.state() if self._fitted else {}
        if policy is None:
            return None
        kept = add_prefix("policy", policy) | {"fitted": np.array(self._fitted)}
        for place, reranker in enumerate(self.rerankers):
            kept |= add_prefix(f"rerank.{place}", reranker.state())
        for name, texts in (("kinds", self._remarks.keys()), ("remarks", self._remarks.values())):
            kept[name] = np.array(list(texts), np.str_)
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        self._fitted = bool(kept["fitted"])
        if self._fitted:
            self.policy.restore(select_prefix("policy", kept))
        for place, reranker in enumerate(self.rerankers):
            reranker.restore(select_prefix(f"rerank.{place}", kept))
        self._remarks = dict(zip(kept["kinds"].tolist(), kept["remarks"].tolist(), strict=True))


def _given_to(component: Component, seen: Observation) -> Observation:
    """Return what a component is given: one that is not echodrift's own gets an observation of its own.

    Its arrays are read-only, except the matrix of counts: libraries refuse a read-only one. Of that, it has its own.
    """
    return seen if type(component).__module__.startswith(_OWN) else replace(seen)


class NoRecommender(Recommender):
    """No recommender, for the organic reference arm: every visit is organic."""

    def serves(self, round, users) -> NDArray[np.bool_]:
        return np.zeros(users.size, bool)

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        raise PolicyError("the organic arm has no slates: every visit is organic")


class OracleItemConfig(Config):
    """No fields."""


class OracleItem(Recommender):
    """Ranks by each item's own true probability of being taken: the best possible item-wise relevance."""

    Config = OracleItemConfig

    def __init__(self, **fields) -> None:
        self.config = self.Config(**fields)

    def slates(self, world, seen, users, n, streams) -> NDArray[np.int32]:
        return _in_blocks(users, lambda part: oracle_items(world, part, n, seen.available(part)))


class OracleSlateConfig(Config):
    """The objective that the slate maximizes."""

    objective: Literal["hit", "surplus"] = Field(default="hit")
    """ "hit": the chance that something is taken; "surplus": the expected value of the best item taken."""


class OracleSlate(Recommender):
    """Optimizes the slate as a whole: covers a user's tastes by what each still gains."""

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
"""Arms that may read the hidden state: kind → (configuration, recommender, description)."""
