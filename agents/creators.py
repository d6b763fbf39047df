"""Content creators: the state of providers who respond to the exposure or consumption of their items.

How they make items, leave and enter is in `agents.production`. Sources of the idea: Mladenov, Creager, Ben-Porat,
Swersky, Zemel and Boutilier, "Optimizing long-term social welfare in recommender systems" (ICML 2020), where providers
need a certain level of engagement to remain viable; Hron, Krauth, Jordan, Kilbertus and Dean, "Modeling content creator
incentives on algorithm-curated platforms" (ICLR 2023), where they choose what to make for exposure. The providers in
those papers play best responses; these follow what worked lately, since they do not know the ranker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from ..errors import BadInput
from ..philox import uniforms
from .categorical import topic_weights
from .settings import CreatorConfig, WorldConfig


class Randomness(Protocol):
    """The part of `echodrift.sim.streams.Streams` that a world uses."""

    def __call__(self, name: str, round: int = 0) -> np.random.Generator: ...

    def key(self, name: str) -> np.uint64: ...


@dataclass
class Creators:
    """Struct of arrays over all providers of the run, including those yet to enter; ids are in order of entry."""

    config: WorldConfig
    """What new items look like and who retires."""
    creator_config: CreatorConfig
    """How providers respond."""
    streams: Randomness
    horizon: int
    """Number of rounds that the world is allocated for."""
    slate: int
    """The catalog never shrinks below this."""
    entered: NDArray[np.int32]
    """(providers,) first round in which it makes items; `CATALOG_BIRTH` for those of round 0."""
    left: NDArray[np.int32]
    """(providers,) first round in which it has stopped; `NEVER` while it is active."""
    hungry: NDArray[np.int32]
    """(providers,) number of consecutive rounds below `threshold`, up to now."""
    home: NDArray[np.int32]
    """(providers,) home topic; −1 before entry."""
    success: NDArray[np.float64]
    """(providers, topics) slots (or takes) of its items, spread over their topics; decays by 1/memory per round."""
    normalizer: NDArray[np.float64]
    """(users, K) log Σ exp v over the round-0 catalog at round-0 tastes: the scale of true demand."""
    made: int
    """Number of items made so far, including the round-0 catalog; item rows below it are filled."""

    def __len__(self) -> int:
        return self.entered.size

    @property
    def n_founders(self) -> int:
        """Number of providers at round 0; their ids are below it."""
        return self.config.providers

    def active(self, round: int) -> NDArray[np.bool_]:
        """Return (providers,): true for those who make items in a round."""
        return (self.entered <= round) & (self.left > round)

    @cached_property
    def pi(self) -> NDArray[np.float64]:
        """(topics,) π, as in the round-0 catalog."""
        return topic_weights(self.config.topics, self.config.topic_skew)

    def own_topics(self, providers: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return (n, topics): each provider's own topic distribution, specialty·e_home + (1 − specialty)·π."""
        part = self.creator_config.specialty
        return part * np.eye(self.config.topics)[self.home[providers]] + (1 - part) * self.pi

    def next_topics(self, providers: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return (n, topics): the topic distribution of the next items, (1 − adapt)·own + adapt·success / Σ success.

        A provider without any success keeps its own topics.
        """
        own, success = self.own_topics(providers), self.success[providers]
        total = success.sum(axis=1, keepdims=True)
        learned = np.where(total > 0, success / np.where(total > 0, total, 1.0), own)
        return (1 - self.creator_config.adapt) * own + self.creator_config.adapt * learned

    def production_counts(self, round: int, providers: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return (n,): how many items each provider makes in a round, if it is active then."""
        key = self.streams.key("creators.production")
        draws = uniforms(key, round, providers.astype(np.int32), 1)[:, 0]
        count = np.searchsorted(_poisson(self.creator_config.production), draws)
        return np.maximum(count, self.entered[providers] == round)

    def capacity(self) -> int:
        """Return how many items are made in all rounds if no provider ever leaves, an upper bound for every run."""
        total = 0
        for round in range(1, self.horizon):
            total += int(self.production_counts(round, np.flatnonzero(self.entered <= round)).sum())
        return total


def expected_items(config: WorldConfig, creator_config: CreatorConfig, horizon: int) -> int:
    """Return the mean over seeds of how many items are made if no provider ever leaves."""
    rounds = horizon - 1
    turns = config.providers * rounds + creator_config.entry * rounds * (rounds + 1) / 2
    # An entrant whose first draw is zero still makes one item.
    first = creator_config.entry * rounds * np.exp(-creator_config.production)
    return round(creator_config.production * turns + first)


def check_creators(config: WorldConfig, creator_config: CreatorConfig, horizon: int) -> None:
    """Raise BadInput if the expected number of items made, over seeds, exceeds `most_items`."""
    check_item_limit(creator_config, horizon, expected_items(config, creator_config, horizon))


def check_item_limit(config: CreatorConfig, horizon: int, items: int) -> None:
    """Raise BadInput if providers could make more items than `most_items`."""
    if items > config.most_items:
        raise BadInput(
            f"world.creators: in {horizon} rounds providers could make {items:,} items, more than most_items = "
            f"{config.most_items:,}. Lower creators.production (now {config.production:g}), creators.entry (now "
            f"{config.entry:g}), world.providers or rounds, or raise creators.most_items: memory is allocated for all "
            "items that could be made.",
            about=["world.creators", "world.providers", "rounds"],
        )


def _poisson(mean: float) -> NDArray[np.float64]:
    """Return P(N ≤ 0), P(N ≤ 1), … of a Poisson variable, up to the largest N that a 32-bit draw can reach."""
    below = pdtr(np.arange(64 + 4 * int(mean)), mean)
    return below[: int(np.searchsorted(below, 1 - 2.0**-33)) + 1]
