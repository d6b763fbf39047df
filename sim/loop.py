"""The feedback loop: a simulation of one world and one recommender, round by round.

`Simulation.PHASES` lists the phases of a round in order. Each phase is the method of that name, defined below in the
same order.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..agents.dynamics.choice import ChoiceKeys, Choices, visit
from ..agents.dynamics.drift import drift_fatigue, drift_shares, drift_tastes, rewire, word_of_mouth
from ..agents.dynamics.organic import OrganicKeys, organic_slates
from ..agents.dynamics.people import draw_intents
from ..agents.production import respond
from ..agents.world import World
from ..errors import BadInput
from ..machine import blas_on_one_thread
from ..philox import uniforms
from ..policies.interactions import Blocked, Exposures, InteractionLog, Interactions, Observation, Source
from .cold_start import keep_slots
from .cooldowns import end_cooldowns, start_cooldowns
from .history import import_history
from .learning import LearningLog, OrganicLog
from .platform import Platform
from .recommender import Recommender
from .streams import Streams
from .visible_ties import read_only, visible_ties


@dataclass
class RoundState:
    """The round in progress; each phase fills in its part."""

    round: int
    users: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """(B,) visitors, ascending."""
    organic: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """(B,) visits that bypass the recommender's slate."""
    unserved: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """(B,) visits of users who have no recommender in this round."""
    cold: NDArray[np.bool_] | None = None
    """(B, slate) slots that are kept for newborn items; None if there are none."""
    slates: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    """(B, slate)"""
    lengths: NDArray[np.int32] | None = None
    """(B,) number of slots of each slate; None if all have the same."""
    choices: Choices = field(init=False)
    """The outcome of the visits (from the choose phase on)."""
    heard_users: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """(w,) users who took an item by word of mouth (from the hear phase on)."""
    heard_items: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """(w,) the items that they took."""
    seen: Observation = field(init=False)
    """What the platform sees (from the observe phase on)."""


class Simulation:
    """One run: a world, a recommender, and what the platform has observed.

    Args:
        world: the hidden state at round 0 (see `agents.generate`, `scenarios.real_logs.twin`).
        platform: slate length, refits, and the log to learn from.
        recommender: fills the slates.
        streams: all randomness of the run.
        horizon: maximum number of rounds; the world is allocated for them.
        history: a real log from before round 0; it replaces the warm-up.
        paired: the paired organic simulation, needed when `platform.learn_from` is "organic".
        warm: log and cool-downs of a world whose warm-up has been run already; it is run here if omitted.
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
        paired: Simulation | None = None,
        warm: tuple[InteractionLog, Blocked] | None = None,
    ) -> None:
        self.world = world
        self.platform = platform
        self.recommender = recommender
        self.streams = streams
        self.horizon = horizon
        self.round = 0
        self.log, self.blocked = warm or (InteractionLog(), Blocked(len(world.users), len(world.items)))
        self.exposures: deque[Exposures] = deque(maxlen=platform.keep_exposures)
        self.friends = visible_ties(world.graph, platform.hidden_ties, streams.key("platform.ties"))
        self.observers: list = []
        """Objects with `observe(simulation, now)`, called in the measure phase."""
        self.seconds = dict.fromkeys(self.PHASES, 0.0)
        """Wall time of each phase so far; `record` includes that of a paired simulation, which it steps."""
        self._keys = {name: streams.key(name) for name in _DECISIONS}
        self._choice_keys = ChoiceKeys.from_streams(streams)
        self._organic_keys = OrganicKeys.from_streams(streams)
        self._known_tags = np.empty((0, 0), np.float32)
        self._everyone = np.arange(len(world.users), dtype=np.int32)
        if history is not None:
            import_history(history, world, self.log, self.blocked)
        elif warm is None:
            for round in range(-platform.warmup, 0):
                self.warm_up_round(round, platform.slate)
        if platform.learn_from == "organic":
            if paired is None:
                raise BadInput('platform.learn_from = "organic" needs the paired organic simulation')
            self.learning: LearningLog = OrganicLog(self.log, paired)
            self.paired: Simulation | None = paired
        else:
            self.learning = LearningLog(self.log, platform.learn_from)
            self.paired = None

    def step(self) -> RoundState:
        """Run one round through all phases and return what happened in it."""
        if self.round >= self.horizon:
            raise BadInput(
                f"this world is allocated for {self.horizon} rounds; build it with more (rounds = …)"
            )
        now = RoundState(self.round)
        with blas_on_one_thread():
            for phase in self.PHASES:
                began = time.perf_counter()
                getattr(self, phase)(now)
                self.seconds[phase] += time.perf_counter() - began
        self.round += 1
        return now

    def arrive(self, now: RoundState) -> None:
        """End cool-downs and draw who visits, with or without the recommender."""
        end_cooldowns(self.blocked, self.world.behavior, self.log, now.round)
        who = uniforms(self._keys["visit.active"], now.round % 2**32, self._everyone, 2)
        now.users = self._everyone[who[:, 0] < self.world.users.activity]
        now.unserved = ~self.recommender.serves(now.round, now.users)
        now.organic = now.unserved | (who[now.users, 1] < self.world.behavior.organic)

    def observe(self, now: RoundState) -> None:
        """Build what the platform may see, with no reference to hidden state."""
        items = self.world.items
        born = items.n_born(now.round)
        now.seen = Observation(
            round=now.round,
            n_users=len(self.world.users),
            n_items=born,
            log=self.learning.view(),
            tags=self._tags(born),
            live=read_only(items.live(now.round)[:born]),
            blocked=self.blocked.visible(born),
            friends=self.friends(),
            exposures=tuple(self.learning.exposures(self.exposures)),
            frozen=self.platform.learn_from == "warmup",
            providers=read_only(items.provider[:born]) if items.has_providers else None,
        )
        for purge in self.recommender.purges(now.round):
            self.learning.rewrite(purge.prepare(now.seen).log, now.round)
            shown = tuple(self.learning.exposures(self.exposures))
            now.seen = replace(now.seen, log=self.learning.view(), exposures=shown)

    def _tags(self, born: int) -> NDArray[np.float32]:
        """Return a copy of the born items' tags, renewed only when there are new items."""
        if len(self._known_tags) != born:
            self._known_tags = self.world.items.tag[:born].copy()
            self._known_tags.flags.writeable = False
        return self._known_tags

    def fit(self, now: RoundState) -> None:
        """Refit when due: at round 0 and every `retrain_every` rounds; a frozen log is learned from once."""
        if self.platform.learn_from == "warmup":
            due = now.round == 0
        else:
            due = self.recommender.refit_due(now.round, self.platform.retrain_every)
        self.recommender.prepare_round(now.seen, self.streams, due)

    def recommend(self, now: RoundState) -> None:
        """Fill every visitor's slate: from the recommender, or with the items of an organic visit."""
        n = self.platform.slate
        served = ~now.organic
        slates = np.empty((0, n), np.int32)
        if served.any():
            slates = self.recommender.slates(self.world, now.seen, now.users[served], n, self.streams)
        now.slates = np.full((now.users.size, max(n, slates.shape[1])), -1, np.int32)
        now.slates[served, : slates.shape[1]] = slates
        now.lengths = self.recommender.lengths(now.round, now.users, n)
        if self.platform.cold_start:
            now.cold = self._cold_slots(now, served)
        if now.lengths is not None:
            now.lengths = np.where(now.organic, np.int32(n), now.lengths)
        if now.organic.any():
            now.slates[now.organic, :n] = self.organic_slates(now.round, n, now.users[now.organic])

    def _cold_slots(self, now: RoundState, served: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fill the slots that are kept for newborn items; return which they are."""
        platform, items = self.platform, self.world.items
        age = now.round - items.birth
        newborn = np.flatnonzero(items.live(now.round) & (age >= 0) & (age < platform.cold_start_rounds))
        lengths = np.full(now.users.size, platform.slate, np.int32) if now.lengths is None else now.lengths
        slates, cold = now.slates[served], np.zeros(now.slates.shape, bool)
        cold[served] = keep_slots(
            slates, lengths[served], now.users[served], newborn.astype(np.int32), platform.cold_start,
            platform.cold_start_place == "anywhere", self.blocked.bits, now.round,
            self._keys["cold_start.items"], self._keys["cold_start.places"],
        )  # fmt: skip
        now.slates[served] = slates
        return cold

    def choose(self, now: RoundState) -> None:
        """Let visitors examine their slates and take what they want."""
        now.choices = choices = visit(self.world, now.round, now.users, now.slates, self._choice_keys)
        if self.world.behavior.search:
            # These slates depend on the intent: nothing is known of the others.
            others = np.arange(choices.hit.shape[1]) != choices.intents[:, None]
            choices.hit[now.organic[:, None] & others] = np.nan

    def hear(self, now: RoundState) -> None:
        """Word of mouth: take items that friends took lately."""
        now.heard_users, now.heard_items = word_of_mouth(
            self.world,
            now.round,
            now.users,
            self.blocked.bits,
            now.choices.taken,
            self._keys["word_of_mouth"],
        )

    def measure(self, now: RoundState) -> None:
        """Show the round to the observers, with the world as users acted on it."""
        for observer in self.observers:
            observer.observe(self, now)

    def record(self, now: RoundState) -> None:
        """Log what was taken and shown, start cool-downs, and record takes in the world."""
        before = len(self.log)
        self._log_takes(now)
        if self.exposures.maxlen:
            shown = (read_only(array) for array in (now.users, now.slates, now.organic))
            self.exposures.append(Exposures(now.round, *shown))
        self.learning.grow(now.round, len(self.log) - before)

    def drift(self, now: RoundState) -> None:
        """Let users change: shares and their neutral shadow, tastes, fatigue, ties."""
        choices, world = now.choices, self.world
        if now.users.size:
            shares = world.users.shares[now.users].astype(np.float64)
            if world.behavior.search:
                # The intent was drawn by these shares, so that the one known probability is unbiased for the mean.
                shares[now.organic] = 1.0
            mean_hit = float((shares * np.nan_to_num(choices.hit)).sum(axis=1).mean())
            satisfied = choices.taken[:, 0] >= 0
            drift_shares(
                world, now.round, now.users, choices.intents, satisfied, mean_hit,
                self._choice_keys.intent, self._keys["drift.neutral"],
            )  # fmt: skip
            drift_tastes(world, now.users, choices.intents, choices.taken)
        drift_fatigue(world, now.users, now.slates, now.lengths)
        rewire(world, now.round, self._keys["rewire"])

    def create(self, now: RoundState) -> None:
        """Let providers respond: some stop, some enter, and the next round's items are made."""
        creators = self.world.creators
        if creators is not None:
            respond(self.world, creators, now.round, now.slates, now.choices.taken, now.heard_items)

    def extra_visits(self, round: int, turn: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return (users, items) of extra organic visits in a round that change no user; turn = 1, 2, …"""
        who = uniforms(self.streams.key(f"extra.{turn}.active"), round % 2**32, self._everyone, 1)
        users = self._everyone[who[:, 0] < self.world.users.activity]
        prefix = f"extra.{turn}."
        keys = ChoiceKeys(
            *(self.streams.key(prefix + part) for part in ("intent", "depth", "noise", "outside"))
        )
        intents = draw_intents(self.world, round, users, keys.intent)
        slates = organic_slates(
            self.world, round, users, intents, self.platform.slate, self.blocked.bits,
            OrganicKeys.from_streams(self.streams, prefix),
        )  # fmt: skip
        taken = visit(self.world, round, users, slates, keys).taken
        rows, columns = np.nonzero(taken >= 0)
        return users[rows], taken[rows, columns]

    def organic_slates(
        self,
        round: int,
        slate: int,
        users: NDArray[np.int32],
        intents: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """Return organic slates (B, slate) of the visits of users (B,) in a round.

        intents (B,): what the same draws show under these intents, instead of those of the visits.
        """
        if intents is None:
            intents = draw_intents(self.world, round, users, self._choice_keys.intent)
        return organic_slates(self.world, round, users, intents, slate, self.blocked.bits, self._organic_keys)

    def warm_up_round(self, round: int, slate: int) -> RoundState:
        """Run an organic round before round 0, with drift off: a part of the first log, the same for every arm."""
        now = RoundState(round)
        self.arrive(now)
        now.organic = np.ones(now.users.size, bool)
        now.slates = self.organic_slates(round, slate, now.users)
        self.choose(now)
        self.hear(now)
        self._log_takes(now)
        return now

    def _log_takes(self, now: RoundState) -> None:
        """Log what was taken in a round, record it in the world, and start its cool-downs."""
        before = len(self.log)
        rows, columns = np.nonzero(now.choices.taken >= 0)
        source = np.where(now.organic[rows], np.int8(Source.ORGANIC), np.int8(Source.SLATE))
        items, ranks = now.choices.taken[rows, columns], now.choices.ranks[rows, columns]
        self.log.append(now.users[rows], items, now.round, ranks, source)
        self.log.append(now.heard_users, now.heard_items, now.round, 0, Source.SOCIAL)
        self.world.record_takes(now.round, now.users, now.choices.taken, now.heard_users, now.heard_items)
        start_cooldowns(self.blocked, self.world.behavior, self.log.view().part(before))


_DECISIONS = (
    "visit.active", "word_of_mouth", "drift.neutral", "rewire", "cold_start.items", "cold_start.places"
)  # fmt: skip
