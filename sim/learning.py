"""What the policy may learn from: everything, the warm-up only, or an organic log of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..agents.world import World
from ..errors import BadInput, PolicyError
from ..policies.interactions import Exposures, InteractionLog, Interactions, Source
from .state import State, part, under
from .streams import Streams

MOST_PASSES = 1000
"""Extra organic visits per round and user, at most, to bring the organic log to the arm's size."""
_COLUMNS = ("user", "item", "round", "rank", "source", "weight")


class Twin(Protocol):
    """The paired world without a recommender, as far as its log is learned from (a `sim.loop.Simulation`)."""

    world: World
    streams: Streams
    log: InteractionLog

    @property
    def exposures(self) -> Iterable[Exposures]: ...

    def step(self) -> Any: ...

    def extra_visits(self, round: int, turn: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...


class LearningLog:
    """The part of the log that `platform.learn_from` opens to the policy."""

    def __init__(self, own: InteractionLog, kind: Literal["all", "warmup"] = "all") -> None:
        self._own = own
        self._limit = len(own) if kind == "warmup" else None
        self._rewritten: Interactions | None = None
        self._rewritten_until = 0
        self._forgotten = -np.iinfo(np.int64).max

    def view(self) -> Interactions:
        """Return what may be learned from now."""
        log = self._whole()
        if self._rewritten is None:
            return log
        return joined(self._rewritten, log.part(self._rewritten_until))

    def rewrite(self, log: Interactions, round: int) -> None:
        """Put `log` in the place of all that may be learned from now, for good; what comes later is added to it.

        Where takes from slates are gone, the slates of earlier rounds are too: else they would count as shown
        and left.
        """
        slates = (Source.SLATE, Source.ORGANIC)
        kept = np.isin(log.source, slates).sum()
        if kept < np.isin(self.view().source, slates).sum():
            self._forgotten = round
        self._rewritten_until = len(self._whole())
        self._rewritten = log

    def _whole(self) -> Interactions:
        log = self._own.view()
        return log if self._limit is None else log.part(0, self._limit)

    def exposures(self, own: Iterable[Exposures]) -> Iterable[Exposures]:
        """Return the slates behind what may be learned from; `own` are the arm's. None are kept of a warm-up."""
        return [] if self._limit is not None else self._remembered(own)

    def _remembered(self, slates: Iterable[Exposures]) -> list[Exposures]:
        return [one for one in slates if one.round >= self._forgotten]

    def follow(self, round: int, entries: int) -> None:
        """Take note that the arm's own log has grown by `entries` in a round."""

    def state(self) -> State:
        """Return what a checkpoint keeps: the rewritten log, if there is one."""
        kept: State = {"until": np.array(self._rewritten_until), "forgotten": np.array(self._forgotten)}
        if self._rewritten is not None:
            columns = {name: getattr(self._rewritten, name) for name in _COLUMNS}
            there = {name: column for name, column in columns.items() if column is not None}
            kept |= under("rewritten", there)
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        self._rewritten_until, self._forgotten = int(kept["until"]), int(kept["forgotten"])
        columns = part("rewritten", kept)
        self._rewritten = (
            Interactions(**{name: np.array(column) for name, column in columns.items()}) if columns else None
        )


class OrganicLog(LearningLog):
    """An organic log that grows exactly as fast as the arm's own, from the paired world without a recommender.

    The twin world runs beside the arm with the same seed. Where a round there brings more interactions
    than the arm's, a random part of them is kept; where it brings fewer, its users make further organic
    visits that are logged but change nobody (so the twin's own course stays that of the organic arm).
    """

    def __init__(self, own: InteractionLog, twin: Twin) -> None:
        super().__init__(own)
        if twin.world.creators is not None:
            raise BadInput(
                'platform.learn_from = "organic" cannot be used with world.creators: what providers make differs '
                'between the worlds, so an organic log would name items that the arm does not have. Use "all" or '
                '"warmup", or remove [world.creators].'
            )
        self._twin = twin
        self._log = InteractionLog()
        start = own.view()
        self._log.append(start.user, start.item, start.round, start.rank, start.source)

    def _whole(self) -> Interactions:
        return self._log.view()

    def exposures(self, own: Iterable[Exposures]) -> Iterable[Exposures]:
        return self._remembered(self._twin.exposures)

    def follow(self, round: int, entries: int) -> None:
        before = len(self._twin.log)
        self._twin.step()
        new = self._twin.log.view().part(before)
        users, items = [new.user], [new.item]
        found, turn = len(new), 0
        while found < entries and turn < MOST_PASSES:
            turn += 1
            more_users, more_items = self._twin.extra_visits(round, turn)
            users.append(more_users)
            items.append(more_items)
            found += more_users.size
        if found < entries:
            raise PolicyError(
                f"round {round}: the organic world brought {found} interactions where the arm brought {entries}, so "
                'learn_from = "organic" has no log of the same size. Lower behavior.outside or raise platform.slate.'
            )
        user, item = np.concatenate(users), np.concatenate(items)
        # further visits leave no slates behind, so their takes have no rank on one
        rank = np.concatenate([new.rank, np.zeros(user.size - len(new), np.int16)])
        if user.size > entries:
            keep = np.sort(self._twin.streams("learning.keep", round).permutation(user.size)[:entries])
            user, item, rank = user[keep], item[keep], rank[keep]
        self._log.append(user, item, round, rank, Source.ORGANIC)

    def state(self) -> State:
        """Return the organic log besides; the twin world has a state of its own."""
        return super().state() | under("log", self._log.state())

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        super().restore(kept)
        self._log.restore(part("log", kept))


def joined(first: Interactions, second: Interactions) -> Interactions:
    """Return the entries of both, in that order; where only one has weights, the other's are 1."""
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("user", "item", "round", "rank", "source")
    }
    if first.weight is None and second.weight is None:
        return Interactions(**columns)
    weights = [np.ones(len(log), np.float32) if log.weight is None else log.weight for log in (first, second)]
    return Interactions(**columns, weight=np.concatenate(weights))
