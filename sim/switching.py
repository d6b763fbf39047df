"""A recommender that changes during its run, for everybody or for some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agents.world import World
from ..policies.base import LogTransform
from ..policies.interactions import Observation
from .recommender import NoRecommender, Recommended, Recommender
from .schedule import Schedule
from .state import State, part, under
from .streams import Streams

Choice = tuple[int, int]
"""(model, list of rerankers): numbers, 0 being what the arm starts with."""


class Switching(Recommender):
    """Serves each user with what the schedule says for the round; all live in one world and share its log.

    A model is learned while somebody may be served by it: from the round of its first switch on, from
    scratch, then whenever a refit is due. One that comes back into use is refitted at once, warm.

    Args:
        schedule: the switches.
        choices: what fills slates under each (model, rerankers) that the schedule can come to; those
            with the same model share it.
        slate: slate length of users whose own is not switched.
        transforms: what is done to the log before each fit, as long as no switch says otherwise.
    """

    def __init__(
        self,
        schedule: Schedule,
        choices: Mapping[Choice, Recommender],
        slate: int,
        transforms: tuple[LogTransform, ...] = (),
    ) -> None:
        self.schedule = schedule
        self.choices = choices
        self.slate = slate
        self._transforms = transforms
        self._in_use: frozenset[int] = frozenset()

    @property
    def remarks(self) -> list[str]:
        return list(dict.fromkeys(text for each in self.choices.values() for text in each.remarks))

    def serves(self, round, users) -> NDArray[np.bool_]:
        kept = self.schedule.of_users("recommend", 1, round)[users] == 1
        nobody = [c for c, recommender in self.choices.items() if isinstance(recommender, NoRecommender)]
        for model, _ in nobody:
            kept &= self.schedule.of_users("model", 0, round)[users] != model
        return kept

    def lengths(self, round: int, users: NDArray[np.int32], n: int) -> NDArray[np.int32] | None:
        if all(switch.slate is None for switch in self.schedule.switches):
            return None
        return self.schedule.of_users("slate", n, round)[users].astype(np.int32)

    def refit_due(self, round: int, every: int) -> bool:
        return self.schedule.refit_due(round, every)

    def purges(self, round: int) -> tuple[LogTransform, ...]:
        return self.schedule.purges(round)

    def follow(self, seen: Observation, streams: Streams, due: bool) -> None:
        now = frozenset(np.unique(self.schedule.of_users("model", 0, seen.round)).tolist())
        transforms = self.schedule.transforms(self._transforms, seen.round)
        for model in sorted(now if due else now - self._in_use):
            first = next(each for choice, each in self.choices.items() if choice[0] == model)
            if isinstance(first, Recommended):
                first.transforms = transforms
            first.fit(seen, streams)
        self._in_use = now

    def state(self) -> State | None:
        kept: State = {"in_use": np.array(sorted(self._in_use), np.int64)}
        for place, recommender in enumerate(self._distinct()):
            found = recommender.state()
            if found is None:
                return None
            kept |= under(str(place), found)
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        self._in_use = frozenset(kept["in_use"].tolist())
        for place, recommender in enumerate(self._distinct()):
            recommender.restore(part(str(place), kept))

    def _distinct(self) -> list[Recommender]:
        """All that fill slates, once each, in the order of `choices`."""
        return list({id(each): each for each in self.choices.values()}.values())

    def slates(
        self, world: World, seen: Observation, users: NDArray[np.int32], n: int, streams: Streams
    ) -> NDArray[np.int32]:
        ways = np.stack(
            [
                self.schedule.of_users(what, plain, seen.round)[users]
                for what, plain in (("model", 0), ("rerank", 0), ("slate", self.slate))
            ],
            axis=1,
        )
        found, way = np.unique(ways, axis=0, return_inverse=True)
        slates = np.full((users.size, int(found[:, 2].max())), -1, np.int32)
        for number, (model, rerank, length) in enumerate(found.tolist()):
            rows = np.flatnonzero(way.ravel() == number)
            fill: Callable = self.choices[model, rerank].slates
            slates[rows, :length] = fill(world, seen, users[rows], length, streams)
        return slates
