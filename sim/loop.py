"""The loop: one world and one platform, closed round after round.

`Simulation.PHASES` is the order of a round. Everything that happens in echodrift happens in one of them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..agents.dynamics.choice import ChoiceKeys, Choices, visit
from ..agents.dynamics.drift import drift_fatigue, drift_shares, drift_tastes, rewire, word_of_mouth
from ..agents.dynamics.organic import organic_slates
from ..agents.production import respond
from ..agents.world import World
from ..errors import BadInput
from ..machine import blas_on_one_thread
from ..philox import uniform_of_pairs, uniforms
from ..policies.interactions import (
    Blocked,
    Exposures,
    Friends,
    InteractionLog,
    Interactions,
    Observation,
    Source,
)
from .learning import LearningLog, OrganicLog
from .platform import Platform
from .recommender import Recommender
from .streams import Streams


@dataclass
class Now:
    """The round in progress; each phase fills in its part."""

    round: int
    users: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """(B,) visitors, ascending."""
    organic: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """(B,) visits off the slate."""
    slates: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    """(B, slate)"""
    lengths: NDArray[np.int32] | None = None
    """(B,) slots of each slate, where they differ."""
    choices: Choices = field(init=False)
    """What happened in the visits (from the choose phase on)."""
    told_users: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """(w,) who took an item by word of mouth."""
    told_items: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """(w,) and which."""
    seen: Observation = field(init=False)
    """What the platform sees (from the observe phase on)."""


class Simulation:
    """One run: a world, a recommender, and what the platform has seen.

    Args:
        world: the hidden truth at round 0 (see `agents.generate`, `scenarios.real_logs.twin`).
        platform: slate length, refits, what is learned from.
        recommender: what fills the slates.
        streams: all randomness of the run.
        horizon: most rounds the world is laid out for.
        history: a real log seen before round 0; it replaces the warm-up.
        twin: the paired organic simulation, needed when `platform.learn_from` is "organic".
        street: slate length of the warm-up, the same for every arm; the platform's own when omitted.
    """

    PHASES = (
        "arrive",
        "observe",
        "fit",
        "recommend",
        "choose",
        "hear",
        "measure",
        "record",
        "drift",
        "create",
    )

    def __init__(
        self,
        world: World,
        platform: Platform,
        recommender: Recommender,
        streams: Streams,
        horizon: int,
        history: Interactions | None = None,
        twin: Simulation | None = None,
        street: int | None = None,
    ) -> None:
        self.world = world
        self.platform = platform
        self.recommender = recommender
        self.streams = streams
        self.horizon = horizon
        self.round = 0
        self.log = InteractionLog()
        self.blocked = Blocked(len(world.users), len(world.items))
        self.exposures: deque[Exposures] = deque(maxlen=platform.keep_exposures)
        self.friends = _visible_ties(world, platform, streams)
        self.observers: list = []
        """Objects with `observe(simulation, now)`, called in the measure phase."""
        self._keys = {name: streams.key(name) for name in _DECISIONS}
        self._choice_keys = ChoiceKeys.of(streams)
        self._known_tags = np.empty((0, 0), np.float32)
        self._everyone = np.arange(len(world.users), dtype=np.int32)
        if history is not None:
            self._import(history)
        else:
            self._warm_up(street or platform.slate)
        if platform.learn_from == "organic":
            if twin is None:
                raise BadInput('platform.learn_from = "organic" needs the paired organic simulation')
            self.learning: LearningLog = OrganicLog(self.log, twin)
            self.twin: Simulation | None = twin
        else:
            self.learning = LearningLog(self.log, platform.learn_from)
            self.twin = None

    def step(self) -> Now:
        """Run one round through all phases and return what happened in it."""
        if self.round >= self.horizon:
            raise BadInput(
                f"this world is laid out for {self.horizon} rounds; build it with more (rounds = …)"
            )
        now = Now(self.round)
        with blas_on_one_thread():
            for phase in self.PHASES:
                getattr(self, phase)(now)
        self.round += 1
        return now

    def arrive(self, now: Now) -> None:
        """End cool-downs and let people decide who visits, on or off the slate."""
        self._end_cooldowns(now.round)
        who = uniforms(self._keys["visit.active"], now.round % 2**32, self._everyone, 2)
        now.users = self._everyone[who[:, 0] < self.world.users.activity]
        off = ~self.recommender.serves(now.round, now.users)
        now.organic = off | (who[now.users, 1] < self.world.behavior.organic)

    def observe(self, now: Now) -> None:
        """Put together what the platform may see: nothing of it refers to hidden state."""
        items = self.world.items
        born = items.born(now.round)
        now.seen = Observation(
            round=now.round,
            n_users=len(self.world.users),
            n_items=born,
            log=self.learning.view(),
            tags=self._tags(born),
            live=items.live(now.round)[:born],
            blocked=self.blocked.visible(born),
            friends=self.friends(),
            exposures=tuple(self.learning.exposures(self.exposures)),
            frozen=self.platform.learn_from == "warmup",
            providers=_read_only(items.provider[:born]) if items.provided else None,
        )
        for purge in self.recommender.purges(now.round):
            self.learning.rewrite(purge.prepare(now.seen).log, now.round)
            shown = tuple(self.learning.exposures(self.exposures))
            now.seen = replace(now.seen, log=self.learning.view(), exposures=shown)

    def _tags(self, born: int) -> NDArray[np.float32]:
        """Return a copy of the born items' tags, made anew only when there are new ones."""
        if len(self._known_tags) != born:
            self._known_tags = self.world.items.tag[:born].copy()
            self._known_tags.flags.writeable = False
        return self._known_tags

    def fit(self, now: Now) -> None:
        """Refit when due: at round 0 and every `retrain_every` rounds; a frozen log is learned once."""
        if self.platform.learn_from == "warmup":
            due = now.round == 0
        else:
            due = self.recommender.refit_due(now.round, self.platform.retrain_every)
        self.recommender.follow(now.seen, self.streams, due)

    def recommend(self, now: Now) -> None:
        """Fill every visitor's slate, from the recommender or from the street."""
        n = self.platform.slate
        served = ~now.organic
        slates = np.empty((0, n), np.int32)
        if served.any():
            slates = self.recommender.slates(self.world, now.seen, now.users[served], n, self.streams)
        now.slates = np.full((now.users.size, max(n, slates.shape[1])), -1, np.int32)
        now.slates[served, : slates.shape[1]] = slates
        now.lengths = self.recommender.lengths(now.round, now.users, n)
        if now.lengths is not None:
            now.lengths = np.where(now.organic, np.int32(n), now.lengths)
        if now.organic.any():
            now.slates[now.organic, :n] = self._street(now.round, now.users[now.organic])

    def choose(self, now: Now) -> None:
        """Examine and choose."""
        now.choices = visit(self.world, now.round, now.users, now.slates, self._choice_keys)

    def hear(self, now: Now) -> None:
        """Word of mouth."""
        now.told_users, now.told_items = word_of_mouth(
            self.world,
            now.round,
            now.users,
            self.blocked.bits,
            now.choices.taken,
            self._keys["word_of_mouth"],
        )

    def measure(self, now: Now) -> None:
        """Show the round to the observers, with the world as people acted on it."""
        for observer in self.observers:
            observer.observe(self, now)

    def record(self, now: Now) -> None:
        """Log what was taken and shown, start cool-downs, and let the world remember."""
        before = len(self.log)
        self._take_down(now)
        if self.exposures.maxlen:
            shown = (_read_only(array) for array in (now.users, now.slates, now.organic))
            self.exposures.append(Exposures(now.round, *shown))
        self.learning.follow(now.round, len(self.log) - before)

    def drift(self, now: Now) -> None:
        """People change: shares and their neutral shadow, tastes, fatigue, ties."""
        choices, world = now.choices, self.world
        if now.users.size:
            shares = world.users.shares[now.users].astype(np.float64)
            mean_hit = float((shares * np.nan_to_num(choices.hit)).sum(axis=1).mean())
            satisfied = choices.taken[:, 0] >= 0
            drift_shares(
                world, now.round, now.users, choices.intents, satisfied, mean_hit,
                self._choice_keys.intent, self._keys["drift.neutral"],
            )  # fmt: skip
            drift_tastes(world, now.users, choices.intents, choices.taken)
        drift_fatigue(world, now.users, now.slates, now.lengths)
        rewire(world, now.round, self._keys["rewire"])

    def create(self, now: Now) -> None:
        """Providers answer to what they got: some stop, some enter, and the next round's items are made."""
        creators = self.world.creators
        if creators is not None:
            respond(self.world, creators, now.round, now.slates, now.choices.taken, now.told_items)

    def extra_visits(self, round: int, turn: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return (users, items) of further organic visits in a round that change nobody; turn = 1, 2, …"""
        who = uniforms(self.streams.key(f"extra.{turn}.active"), round % 2**32, self._everyone, 1)
        users = self._everyone[who[:, 0] < self.world.users.activity]
        keys = ChoiceKeys(
            *(self.streams.key(f"extra.{turn}.{part}") for part in ("intent", "depth", "noise", "outside"))
        )
        taken = visit(
            self.world, round, users, self._street(round, users, prefix=f"extra.{turn}."), keys
        ).taken
        rows, columns = np.nonzero(taken >= 0)
        return users[rows], taken[rows, columns]

    def _street(
        self, round: int, users: NDArray[np.int32], slate: int | None = None, prefix: str = ""
    ) -> NDArray[np.int32]:
        """Return organic slates (B, slate) of the platform's own length, or of another."""
        keys = [self.streams.key(prefix + name) for name in ("organic.items", "organic.order")]
        return organic_slates(
            self.world, round, users, slate or self.platform.slate, self.blocked.bits, *keys
        )

    def _warm_up(self, slate: int) -> None:
        """Organic rounds before round 0, with drift off: the platform's first log, the same for every arm."""
        for round in range(-self.platform.warmup, 0):
            now = Now(round)
            self.arrive(now)
            now.organic = np.ones(now.users.size, bool)
            now.slates = self._street(round, now.users, slate)
            self.choose(now)
            self.hear(now)
            self._take_down(now)

    def _import(self, history: Interactions) -> None:
        """Take over a real log as what happened before round 0."""
        world = self.world
        self.log.append(history.user, history.item, history.round, history.rank, history.source)
        world.taken += np.bincount(history.item, minlength=len(world.items))
        late = history.round >= -world.behavior.memory
        user, item = history.user[late], history.item[late]
        # The latest entries of each user and round, into the block that belongs to the round.
        round = history.round[late]
        order = np.lexsort((-np.arange(user.size), round, user))
        user, item, round = user[order], item[order], round[order]
        both = np.unique(np.stack([user, round]), axis=1, return_inverse=True)[1].ravel()
        place = np.arange(user.size) - np.searchsorted(both, both, side="left")
        fits = place < world.takes_per_round
        column = (round % world.behavior.memory) * world.takes_per_round + place
        world.recent[user[fits], column[fits]] = item[fits]
        if world.behavior.repeat == "never":
            self.blocked.set(history.user, history.item)
        elif world.behavior.repeat:
            cooling = history.round >= -world.behavior.repeat
            self.blocked.set(history.user[cooling], history.item[cooling])

    def _take_down(self, now: Now) -> None:
        """Log what was taken in a round, let the world remember it, and start its cool-downs."""
        before = len(self.log)
        rows, columns = np.nonzero(now.choices.taken >= 0)
        source = np.where(now.organic[rows], np.int8(Source.ORGANIC), np.int8(Source.SLATE))
        items, ranks = now.choices.taken[rows, columns], now.choices.ranks[rows, columns]
        self.log.append(now.users[rows], items, now.round, ranks, source)
        self.log.append(now.told_users, now.told_items, now.round, 0, Source.SOCIAL)
        self._remember(now)
        if self.world.behavior.repeat:
            new = self.log.view().part(before)
            self.blocked.set(new.user, new.item)

    def _remember(self, now: Now) -> None:
        world, taken = self.world, now.choices.taken
        flat = taken[taken >= 0]
        world.taken += np.bincount(np.concatenate([flat, now.told_items]), minlength=len(world.items))
        block = world.recent_block(now.round)
        block[:] = -1
        block[now.users, : taken.shape[1]] = taken
        block[now.told_users, -1] = now.told_items

    def _end_cooldowns(self, round: int) -> None:
        repeat = self.world.behavior.repeat
        if repeat in (0, "never"):
            return
        log = self.log.view()
        ended = round - repeat - 1
        first, last = np.searchsorted(log.round, [ended, ended + 1])
        self.blocked.clear(log.user[first:last], log.item[first:last])


_DECISIONS = ("visit.active", "word_of_mouth", "drift.neutral", "rewire")


def _visible_ties(world: World, platform: Platform, streams: Streams):
    """Return a function that gives the ties the platform sees now; ties that rewire stay seen or unseen."""
    graph = world.graph
    if platform.hidden_ties == 0:
        return lambda: Friends(_read_only(graph.indptr), _read_only(graph.indices))
    # One draw for both directions: a tie that is hidden one way does not show the other way.
    follower = np.repeat(np.arange(len(world.users)), np.diff(graph.indptr))
    low, high = np.minimum(follower, graph.indices), np.maximum(follower, graph.indices)
    seen = uniform_of_pairs(streams.key("platform.ties"), low, high) >= platform.hidden_ties
    indptr = np.concatenate([[0], np.cumsum(seen)])[graph.indptr]
    return lambda: Friends(indptr, graph.indices[seen])


def _read_only(array: NDArray) -> NDArray:
    view = array.view()
    view.flags.writeable = False
    return view
