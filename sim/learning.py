"""The log that the policy learns from: all interactions, the warm-up only, or an organic log of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..agents.world import World
from ..errors import BadInput, PolicyError
from ..policies.interactions import Exposures, InteractionLog, Interactions, Source
from .state import State, add_prefix, select_prefix
from .streams import Streams

MAX_EXTRA_PASSES = 1000
"""Maximum number of passes of extra organic visits per round that bring the organic log to the size of the arm's."""
NO_CREATORS = (
    '"organic" cannot be used with world.creators: what providers make differs between the worlds, so an organic log '
    'would name items that the arm does not have. Use "all" or "warmup", or remove [world.creators].'
)
_COLUMNS = ("user", "item", "round", "rank", "source", "weight")


class PairedSimulation(Protocol):
    """The parts of the paired simulation without a recommender that `OrganicLog` uses (a `sim.loop.Simulation`)."""

    world: World
    streams: Streams
    log: InteractionLog

    @property
    def exposures(self) -> Iterable[Exposures]: ...

    def step(self) -> Any: ...

    def extra_visits(self, round: int, turn: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...


class LearningLog:
    """The part of the log that `platform.learn_from` lets the policy learn from."""

    def __init__(self, own: InteractionLog, kind: Literal["all", "warmup"] = "all") -> None:
        self._own = own
        self._limit = len(own) if kind == "warmup" else None
        self._rewritten: Interactions | None = None
        self._rewritten_until = 0
        self._forgotten = -np.iinfo(np.int64).max

    def view(self) -> Interactions:
        """Return the log that the policy may learn from now."""
        log = self._full_log()
        if self._rewritten is None:
            return log
        return concatenate_logs(self._rewritten, log.part(self._rewritten_until))

    def rewrite(self, log: Interactions, round: int) -> None:
        """Replace the log so far by `log` for the rest of the run; later interactions are added to it.

        If `log` lacks takes from slates, the slates of earlier rounds are dropped too; otherwise these items would
        count as shown but not taken.
        """
        slates = (Source.SLATE, Source.ORGANIC)
        kept = np.isin(log.source, slates).sum()
        if kept < np.isin(self.view().source, slates).sum():
            self._forgotten = round
        self._rewritten_until = len(self._full_log())
        self._rewritten = log

    def _full_log(self) -> Interactions:
        log = self._own.view()
        return log if self._limit is None else log.part(0, self._limit)

    def exposures(self, own: Iterable[Exposures]) -> Iterable[Exposures]:
        """Return the slates behind the log; `own` are those of the arm. A warm-up keeps none."""
        return [] if self._limit is not None else self._since_rewrite(own)

    def _since_rewrite(self, slates: Iterable[Exposures]) -> list[Exposures]:
        return [exposures for exposures in slates if exposures.round >= self._forgotten]

    def grow(self, round: int, entries: int) -> None:
        """Update after a round in which the arm's own log grew by `entries` interactions."""

    def state(self) -> State:
        """Return the state for a checkpoint: the rewritten log, if there is one."""
        kept: State = {"until": np.array(self._rewritten_until), "forgotten": np.array(self._forgotten)}
        if self._rewritten is not None:
            columns = {name: getattr(self._rewritten, name) for name in _COLUMNS}
            columns = {name: column for name, column in columns.items() if column is not None}
            kept |= add_prefix("rewritten", columns)
        return kept

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        self._rewritten_until, self._forgotten = int(kept["until"]), int(kept["forgotten"])
        columns = select_prefix("rewritten", kept)
        self._rewritten = (
            Interactions(**{name: np.array(column) for name, column in columns.items()}) if columns else None
        )


class OrganicLog(LearningLog):
    """An organic log from the paired simulation without a recommender, of the same size as the arm's own log.

    The paired simulation runs beside the arm with the same seed. If a round there has more interactions than
    the arm's, a random subset is kept; if it has fewer, its users make further organic visits that are logged
    but change no user, so that the paired simulation stays identical to the organic arm.
    """

    def __init__(self, own: InteractionLog, paired: PairedSimulation) -> None:
        super().__init__(own)
        if paired.world.creators is not None:
            raise BadInput(f"platform.learn_from = {NO_CREATORS}")
        self._paired = paired
        self._log = InteractionLog()
        start = own.view()
        self._log.append(start.user, start.item, start.round, start.rank, start.source)

    def _full_log(self) -> Interactions:
        return self._log.view()

    def exposures(self, own: Iterable[Exposures]) -> Iterable[Exposures]:
        return self._since_rewrite(self._paired.exposures)

    def grow(self, round: int, entries: int) -> None:
        before = len(self._paired.log)
        self._paired.step()
        new = self._paired.log.view().part(before)
        users, items = [new.user], [new.item]
        found, turn = len(new), 0
        while found < entries and turn < MAX_EXTRA_PASSES:
            turn += 1
            more_users, more_items = self._paired.extra_visits(round, turn)
            users.append(more_users)
            items.append(more_items)
            found += more_users.size
        if found < entries:
            raise PolicyError(
                f"round {round}: the organic world had {found} interactions and the arm had {entries}, so "
                'learn_from = "organic" has no log of the same size. Lower behavior.outside or raise platform.slate.'
            )
        user, item = np.concatenate(users), np.concatenate(items)
        # The slates of extra visits are not kept, so their takes have no rank.
        rank = np.concatenate([new.rank, np.zeros(user.size - len(new), np.int16)])
        if user.size > entries:
            keep = np.sort(self._paired.streams("learning.keep", round).permutation(user.size)[:entries])
            user, item, rank = user[keep], item[keep], rank[keep]
        self._log.append(user, item, round, rank, Source.ORGANIC)

    def state(self) -> State:
        """Return the organic log too; the paired simulation has its own state."""
        return super().state() | add_prefix("log", self._log.state())

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        super().restore(kept)
        self._log.restore(select_prefix("log", kept))


def concatenate_logs(first: Interactions, second: Interactions) -> Interactions:
    """Return the entries of both logs, in that order; if only one has weights, the other's are 1."""
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("user", "item", "round", "rank", "source")
    }
    if first.weight is None and second.weight is None:
        return Interactions(**columns)
    weights = [np.ones(len(log), np.float32) if log.weight is None else log.weight for log in (first, second)]
    return Interactions(**columns, weight=np.concatenate(weights))
