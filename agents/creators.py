"""Creators: providers who answer to what they get (`agents.production`: how they make items, leave and enter).

Sources of the idea: Mladenov, Creager, Ben-Porat, Swersky, Zemel and
Boutilier, "Optimizing long-term social welfare in recommender systems" (ICML 2020), where providers need a
certain level of engagement to remain viable; Hron, Krauth, Jordan, Kilbertus and Dean, "Modeling content creator
incentives on algorithm-curated platforms" (ICLR 2023), where they choose what to make for exposure. Theirs choose
the best reply; these go by what worked lately, since nobody shows them the ranker.
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
    """What a world needs of `echodrift.sim.streams.Streams`."""

    def __call__(self, name: str, round: int = 0) -> np.random.Generator: ...

    def key(self, name: str) -> np.uint64: ...


@dataclass
class Creators:
    """Struct of arrays over all providers of the run, those still to enter included; ids in order of entry."""

    config: WorldConfig
    """What new items look like and who retires."""
    answers: CreatorConfig
    """How providers answer."""
    streams: Randomness
    horizon: int
    """Rounds that the world is laid out for."""
    slate: int
    """The catalog never shrinks below this."""
    entered: NDArray[np.int32]
    """(providers,) first round in which it makes items; `CATALOG_BIRTH` for those of round 0."""
    left: NDArray[np.int32]
    """(providers,) first round in which it has stopped; `NEVER` while it goes on."""
    hungry: NDArray[np.int32]
    """(providers,) rounds in a row with less than `threshold`, ending now."""
    home: NDArray[np.int32]
    """(providers,) home topic; −1 before entry."""
    success: NDArray[np.float64]
    """(providers, topics) slots (or takes) of its items, spread over their topics; fades by 1/memory a round."""
    normalizer: NDArray[np.float64]
    """(users, K) log Σ exp v over the round-0 catalog at round-0 tastes: the scale of true demand."""
    made: int
    """Items made so far, round-0 catalog included: rows below it are filled."""

    def __len__(self) -> int:
        return self.entered.size

    @property
    def founders(self) -> int:
        """Providers of round 0: ids below it."""
        return self.config.providers

    def active(self, round: int) -> NDArray[np.bool_]:
        """Return (providers,) who makes items in a round."""
        return (self.entered <= round) & (self.left > round)

    @cached_property
    def pi(self) -> NDArray[np.float64]:
        """(topics,) π, as in the round-0 catalog."""
        return topic_weights(self.config.topics, self.config.topic_skew)

    def positions(self, providers: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return (n, topics) what providers make by themselves: specialty·e_home + (1 − specialty)·π."""
        part = self.answers.specialty
        return part * np.eye(self.config.topics)[self.home[providers]] + (1 - part) * self.pi

    def aims(self, providers: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return (n, topics) what they make now: (1 − adapt)·position + adapt·success / Σ success.

        A provider without any success makes what it makes by itself.
        """
        own, success = self.positions(providers), self.success[providers]
        total = success.sum(axis=1, keepdims=True)
        learned = np.where(total > 0, success / np.where(total > 0, total, 1.0), own)
        return (1 - self.answers.adapt) * own + self.answers.adapt * learned

    def productions(self, round: int, providers: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return (n,) how many items each makes in a round, if it is active then."""
        key = self.streams.key("creators.production")
        draws = uniforms(key, round, providers.astype(np.int32), 1)[:, 0]
        count = np.searchsorted(_poisson(self.answers.production), draws)
        return np.maximum(count, self.entered[providers] == round)

    def capacity(self) -> int:
        """Return how many items are made in all rounds if nobody ever leaves: no run can make more."""
        total = 0
        for round in range(1, self.horizon):
            total += int(self.productions(round, np.flatnonzero(self.entered <= round)).sum())
        return total


def check_creators(config: WorldConfig, answers: CreatorConfig, horizon: int) -> None:
    """Raise BadInput where the number of items made, in the mean over seeds, exceeds `most_items`."""
    rounds = horizon - 1
    turns = config.providers * rounds + answers.entry * rounds * (rounds + 1) / 2
    # An entrant whose first draw is zero makes one item all the same.
    first = answers.entry * rounds * np.exp(-answers.production)
    _refuse(answers, horizon, round(answers.production * turns + first))


def _refuse(answers: CreatorConfig, horizon: int, items: int) -> None:
    if items > answers.most_items:
        raise BadInput(
            f"world.creators: in {horizon} rounds providers could make {items:,} items, more than most_items = "
            f"{answers.most_items:,}. Lower creators.production (now {answers.production:g}), creators.entry (now "
            f"{answers.entry:g}), world.providers or rounds, or raise creators.most_items: memory is laid out for what "
            "could be made.",
            about=["world.creators", "world.providers", "rounds"],
        )


def _poisson(mean: float) -> NDArray[np.float64]:
    """Return P(N ≤ 0), P(N ≤ 1), … of a Poisson up to where no 32-bit draw lies beyond."""
    below = pdtr(np.arange(64 + 4 * int(mean)), mean)
    return below[: int(np.searchsorted(below, 1 - 2.0**-33)) + 1]
