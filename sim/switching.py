"""A recommender that changes during its run, for all users or for some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agents.world import World
from ..policies.base import LogTransform
from ..policies.interactions import Observation
from .recommender import NoRecommender, PolicyRecommender, Recommender
from .schedule import Schedule
from .state import State, add_prefix, select_prefix
from .streams import Streams

Variant = tuple[int, int]
"""(model, list of rerankers) as indices; the arm starts with 0."""


class Switching(Recommender):
    """Serves each user with the model and rerankers that the schedule gives for the round.

    All users share one world and one log. A model is fitted while it may serve users: from scratch in the round of
    its first switch, then whenever a refit is due. A model that comes back into use is refitted at once, with a warm
    start.

    Args:
        schedule: the switches.
        variants: the recommender for each (model, rerankers) that the schedule can reach; those
            with the same model share it.
        slate: slate length of users for whom it is not switched.
        transforms: applied to the log before each fit, unless a switch changes them.
    """

    def __init__(
        self,
        schedule: Schedule,
        variants: Mapping[Variant, Recommender],
        slate: int,
        transforms: tuple[LogTransform, ...] = (),
    ) -> None:
        self.schedule = schedule
        self.variants = variants
        self.slate = slate
        self._transforms = transforms
        self._in_use: frozenset[int] = frozenset()

    @property
    def remarks(self) -> list[str]:
        of_models = (text for each in self.variants.values() for text in each.remarks)
        return list(dict.fromkeys([*self.schedule.remarks, *of_models]))

    def summaries(self, seen: Observation) -> dict[str, float]:
        """Return those of the model in use, if there is only one."""
        used = [recommender for (model, _), recommender in self.variants.items() if model in self._in_use]
        return used[0].summaries(seen) if len(self._in_use) == 1 else {}

    def serves(self, round, users) -> NDArray[np.bool_]:
        served = self.schedule.values_by_user("recommend", 1, round)[users] == 1
        organic = [v for v, recommender in self.variants.items() if isinstance(recommender, NoRecommender)]
        for model, _ in organic:
            served &= self.schedule.values_by_user("model", 0, round)[users] != model
        return served

    def lengths(self, round: int, users: NDArray[np.int32], n: int) -> NDArray[np.int32] | None:
        if all(switch.slate is None for switch in self.schedule.switches):
            return None
        return self.schedule.values_by_user("slate", n, round)[users].astype(np.int32)

    def refit_due(self, round: int, every: int) -> bool:
        return self.schedule.refit_due(round, every)

    def purges(self, round: int) -> tuple[LogTransform, ...]:
        return self.schedule.purges(round)

    def prepare_round(self, seen: Observation, streams: Streams, due: bool) -> None:
        in_use = frozenset(np.unique(self.schedule.values_by_user("model", 0, seen.round)).tolist())
        transforms = self.schedule.transforms(self._transforms, seen.round)
        for model in sorted(in_use if due else in_use - self._in_use):
            recommender = next(r for variant, r in self.variants.items() if variant[0] == model)
            if isinstance(recommender, PolicyRecommender):
                recommender.transforms = transforms
            recommender.fit(seen, streams)
        self._in_use = in_use

    def state(self) -> State | None:
        kept: State = {"in_use": np.array(sorted(self._in_use), np.int64)}
        for place, recommender in enumerate(self._distinct()):
            state = recommender.state()
            if state is None:
                return None
            kept |= add_prefix(str(place), state)
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        self._in_use = frozenset(kept["in_use"].tolist())
        for place, recommender in enumerate(self._distinct()):
            recommender.restore(select_prefix(str(place), kept))

    def _distinct(self) -> list[Recommender]:
        """Return the recommenders without repeats, in the order of `variants`."""
        return list({id(each): each for each in self.variants.values()}.values())

    def slates(
        self, world: World, seen: Observation, users: NDArray[np.int32], n: int, streams: Streams
    ) -> NDArray[np.int32]:
        settings = np.stack(
            [
                self.schedule.values_by_user(field, default, seen.round)[users]
                for field, default in (("model", 0), ("rerank", 0), ("slate", self.slate))
            ],
            axis=1,
        )
        distinct, index = np.unique(settings, axis=0, return_inverse=True)
        slates = np.full((users.size, int(distinct[:, 2].max())), -1, np.int32)
        for number, (model, rerank, length) in enumerate(distinct.tolist()):
            rows = np.flatnonzero(index.ravel() == number)
            fill: Callable = self.variants[model, rerank].slates
            slates[rows, :length] = fill(world, seen, users[rows], length, streams)
        return slates
