"""`check_measure`, the contract test that every measure passes, and the random worlds and rounds it uses."""

from __future__ import annotations

import copy
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents.behavior import Behavior
from ...agents.creators import Creators
from ...agents.items import NEVER, Items
from ...agents.lifetimes import CATALOG_BIRTH
from ...agents.settings import CreatorConfig, WorldConfig
from ...agents.social_graph import SocialGraph
from ...agents.users import Users
from ...agents.world import World
from ...sim.streams import Streams
from .base import Measure, Round, Setup
from .popularity import profile_popularity


def random_world(
    rng: np.random.Generator,
    users: int = 30,
    items: int = 40,
    topics: int = 5,
    tastes: int = 3,
    communities: int = 3,
    degree: int = 4,
    appetite: int = 2,
    newborn: int = 0,
    creators: bool = False,
) -> World:
    """Return a world without structure: everything is random, independent of the model's rules.

    newborn: number of items beyond the catalog, one born per round from round 1 on, each matched by a retirement.
    creators: assign the items to seven providers, of whom two enter later and two stop.
    """
    total = items + newborn
    mixtures = rng.dirichlet(np.full(topics, 0.3), total).astype(np.float32)
    birth = np.concatenate([np.full(items, -(2**20)), 1 + np.arange(newborn)]).astype(np.int32)
    retirement = np.full(total, NEVER, np.int32)
    retirement[: min(newborn, items - 1)] = 1 + np.arange(min(newborn, items - 1))
    demand = rng.gamma(0.5, size=total)
    count = rng.integers(1, tastes + 1, users).astype(np.int32)
    shares = -np.sort(-rng.dirichlet(np.ones(tastes), users), axis=1) + 1e-3
    shares = np.where(np.arange(tastes) < count[:, None], shares, 0)
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    degree = min(degree, users - 1)
    friends = [rng.choice(np.delete(np.arange(users), u), degree, replace=False) for u in range(users)]
    points = rng.dirichlet(np.full(topics, 0.3), (users, tastes)).astype(np.float32)
    return World(
        behavior=Behavior(),
        items=Items(
            topics=mixtures,
            quality=rng.standard_normal(total).astype(np.float32),
            provider=(np.arange(total) % 7 if creators else np.zeros(total)).astype(np.int32),
            birth=birth,
            retirement=retirement,
            tag=mixtures,
            catalog=items,
            demand=demand,
            niche=demand < np.quantile(demand, 0.8),
        ),
        users=Users(
            tastes=points,
            shares=shares,
            neutral=shares.copy(),
            tastes_start=points.copy(),
            shares_start=shares.copy(),
            n_tastes=count,
            community=rng.integers(0, communities, users).astype(np.int32),
            group=np.zeros(users, np.int32),
            group_names=("everyone",),
            activity=rng.uniform(0.1, 1, users).astype(np.float32),
            attention=np.full(users, 0.85, np.float32),
            appetite=np.full(users, appetite, np.int32),
            outside=rng.normal(4, 0.5, users).astype(np.float32),
            quality_weight=np.ones(users, np.float32),
            fatigue=np.zeros((users, topics), np.float32),
            target=rng.dirichlet(np.full(topics, 0.3), users).astype(np.float32),
        ),
        graph=SocialGraph(
            indptr=np.arange(users + 1, dtype=np.int64) * degree,
            indices=np.concatenate(friends).astype(np.int32),
            influence=np.ones(users * degree, np.float32),
        ),
        idiosyncrasy=0.5,
        idiosyncrasy_key=np.uint64(7),
        creators=_random_creators(topics, points.shape[:2]) if creators else None,
    )


def _random_creators(topics: int, tastes: tuple[int, ...]) -> Creators:
    config = WorldConfig(topics=topics, taste_shares=[1.0], providers=5, creators=CreatorConfig())
    entered = np.array([CATALOG_BIRTH] * 5 + [3, 10], np.int32)
    left = np.array([NEVER, 7, NEVER, NEVER, 20, NEVER, 15], np.int32)
    return Creators(
        config=config,
        creator_config=CreatorConfig(),
        streams=Streams(0),
        horizon=1,
        slate=1,
        entered=entered,
        left=left,
        hungry=np.zeros(7, np.int32),
        home=np.zeros(7, np.int32),
        success=np.zeros((7, topics)),
        normalizer=np.zeros(tastes),
        made=0,
    )


def random_setup(
    world: World,
    rng: np.random.Generator,
    slate: int = 10,
    splits: dict[str, NDArray[np.bool_]] | None = None,
) -> Setup:
    """Return a setup with a random log before round 0: three takes per user."""
    users = np.repeat(np.arange(len(world.users), dtype=np.int32), 3)
    taken = rng.integers(0, world.items.catalog, users.size).astype(np.int32)
    popularity = np.bincount(taken, minlength=len(world.items))
    profile = profile_popularity(popularity, users, taken, len(world.users))
    return Setup(world, slate, popularity, np.uint64(11), profile, splits or {})


def random_round(
    world: World,
    rng: np.random.Generator,
    index: int = 0,
    slate: int = 10,
    active: float | None = None,
    sources: bool = False,
) -> Round:
    """Return a round of random visits; slates differ in length, and in some visits nothing is taken.

    active: share of users who visit; by default each user's own activity. sources: whether some visits are organic, some
    users have no recommender, and some slots are kept for newborn items; otherwise the recommender fills every slot.
    """
    people = world.users
    chance = people.activity if active is None else active
    visitors = np.flatnonzero(rng.random(len(people)) < chance).astype(np.int32)
    live = np.flatnonzero(world.items.live(index))
    most, width = int(people.appetite.max()), min(slate, live.size)
    shown = np.full((visitors.size, slate), -1, np.int32)
    taken = np.full((visitors.size, most), -1, np.int32)
    if visitors.size:
        # A random segment of a shuffled catalog gives distinct items per slate and is cheap for large worlds.
        shuffled = rng.permutation(live)
        start = rng.integers(0, live.size, (visitors.size, 1))
        shown[:, :width] = shuffled[(start + np.arange(width)) % live.size]
        shown[np.arange(slate) >= rng.integers(0, 2 * slate, visitors.size)[:, None]] = -1
        found = np.minimum((shown >= 0).sum(axis=1), rng.integers(0, most + 1, visitors.size))
        columns = min(most, slate)
        taken[:, :columns] = np.where(np.arange(columns) < found[:, None], shown[:, :columns], -1)
    unserved = rng.random(visitors.size) < 0.2 if sources else np.zeros(visitors.size, bool)
    heard = np.flatnonzero(rng.random(visitors.size) < 0.2)
    hit = rng.random((visitors.size, people.shares.shape[1]))
    hit[np.arange(hit.shape[1]) >= people.n_tastes[visitors][:, None]] = np.nan
    surplus = np.where(taken[:, 0] >= 0, rng.exponential(size=visitors.size), 0.0)
    return Round(
        index=index,
        world=world,
        users=visitors,
        slates=shown,
        organic=unserved | (rng.random(visitors.size) < 0.3) if sources else unserved,
        unserved=unserved,
        cold=rng.random(shown.shape) < 0.2 if sources else None,
        intents=np.zeros(visitors.size, np.int32),
        depth=(shown >= 0).sum(axis=1).astype(np.int32),
        taken=taken,
        surplus=surplus,
        surplus_start=surplus - rng.exponential(size=visitors.size),
        hit=hit,
        heard_users=visitors[heard],
        heard_items=rng.choice(live, heard.size).astype(np.int32),
        blocked=rng.integers(0, 256, (len(people), (len(world.items) + 7) // 8)).astype(np.uint8),
        organic_slates=lambda users, intents: live[
            (intents[:, None] + np.arange(min(slate, live.size))) % live.size
        ].astype(np.int32),
    )


RESUMED = 40
"""The round after which the second run of a trial goes on from the state of the first."""


class Trial:
    """A measure over random rounds, beside a second run that goes on from its state; what the clauses look at."""

    def __init__(self, kind: type[Measure], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        world = random_world(rng, newborn=10, creators=True)
        everybody = np.ones(len(world.users), bool)
        splits = {"all": everybody, "none": ~everybody, "even": np.arange(len(world.users)) % 2 == 0}
        setup = random_setup(world, rng, splits=splits)
        shares = [None, None, 0.0, 1.0, None]
        rounds = [
            random_round(world, rng, index, active=shares[index % 5], sources=True) for index in range(60)
        ]
        inputs, generators = _snapshot(world, rounds), _global_state()

        self.kind = kind
        self.splits = list(splits)
        self.values: list[dict[str, float]] = []
        """What the measure gave, round by round."""
        self.sizes: list[int] = []
        """About how many bytes it kept after every round."""
        self.resumed: list[dict[str, float]] = []
        """What a second run gave in the rounds after `RESUMED`, where it took over the state of the first."""
        first, second = setup.fresh(), setup.fresh()
        measure, again = kind(first), kind(second)
        for round in rounds:
            self.values.append(measure.update(round))
            if round.index == RESUMED:
                second.restore(copy.deepcopy(first.state()))
                again.restore(copy.deepcopy(measure.state()))
            elif round.index > RESUMED:
                self.resumed.append(again.update(round))
            self.sizes.append(_memory_size(measure))
        repeated = kind(setup.fresh())
        self.repeated = [repeated.update(round) for round in rounds[:25]]
        """What another run gave in the first rounds."""
        self.inputs_kept = _snapshot(world, rounds) == inputs
        self.generators_kept = _global_state() == generators


def check_measure(kind: type[Measure], seed: int = 0) -> None:
    """Raise AssertionError if a measure violates its contract; all built-in measures pass, and yours should too.

    Checked: a documented class; a value in range for every column and nothing else, also in rounds
    without visitors or takes; NaN in rounds that are not due; splits that exist, stay in range, and equal the
    total for a split of all users; the same values in a second run; inputs and the global RNG unchanged; memory
    that does not grow with rounds; a run that resumes from another's state.
    """
    trial = Trial(kind, seed)
    for name, clause in MEASURE_CLAUSES.items():
        try:
            clause(trial)
        except AssertionError as error:
            raise AssertionError(f'{kind.__name__} fails the clause "{name}": {error}') from error


def _documentation(trial: Trial) -> None:
    assert trial.kind.__doc__, "it has no docstring (formula, range, direction, source)"


def _ranges(trial: Trial) -> dict[str, tuple[float, float]]:
    """Range by column, those of the splits included."""
    ranges = {column.name: (column.low, column.high) for column in trial.kind.columns}
    if trial.kind.splits:
        ranges |= {f"{name}:{label}": span for name, span in list(ranges.items()) for label in trial.splits}
    return ranges


def _columns(trial: Trial) -> None:
    ranges = _ranges(trial)
    for values in trial.values:
        assert set(values) == set(ranges), f"columns {sorted(values)} instead of {sorted(ranges)}"
        for name, value in values.items():
            assert isinstance(value, float), f"{name} is a {type(value).__name__}, not a float"


def _range(trial: Trial) -> None:
    for values in trial.values:
        for name, (low, high) in _ranges(trial).items():
            value = values[name]
            assert math.isnan(value) or low - 1e-9 <= value <= high + 1e-9, (
                f"{name} = {value} is out of range"
            )


def _schedule(trial: Trial) -> None:
    for index, values in enumerate(trial.values):
        for name, value in values.items():
            due = index % trial.kind.every == 0
            assert due or math.isnan(value), f"{name} has a value in round {index}"


def _splits(trial: Trial) -> None:
    if not trial.kind.splits:
        return
    for values in trial.values:
        for column in trial.kind.columns:
            whole, part = values[column.name], values[f"{column.name}:all"]
            assert np.isclose(whole, part, equal_nan=True), (
                f"{column.name} split by everybody is {part}, not {whole}"
            )
            assert math.isnan(values[f"{column.name}:none"]), f"{column.name} split by nobody has a value"


def _state(trial: Trial) -> None:
    for expected, found in zip(trial.values[RESUMED + 1 :], trial.resumed, strict=True):
        _same(expected, found, "a run resumed from state() differs")


def _memory(trial: Trial) -> None:
    assert max(trial.sizes[40:]) <= max(trial.sizes[:40]), "memory grows with rounds"


def _determinism(trial: Trial) -> None:
    for expected, found in zip(trial.values, trial.repeated, strict=False):
        _same(expected, found, "two runs differ")


def _inputs(trial: Trial) -> None:
    assert trial.inputs_kept, "an input was changed"


def _global_rng(trial: Trial) -> None:
    assert trial.generators_kept, "the global RNG was used"


MEASURE_CLAUSES: dict[str, Callable[[Trial], None]] = {
    "documentation": _documentation,
    "columns": _columns,
    "range": _range,
    "schedule": _schedule,
    "splits": _splits,
    "state": _state,
    "memory": _memory,
    "determinism": _determinism,
    "inputs": _inputs,
    "global_rng": _global_rng,
}


def _global_state() -> str:
    return repr((np.random.get_state(), random.getstate()))  # noqa: NPY002


def _same(one: dict[str, float], other: dict[str, float], message: str) -> None:
    assert one.keys() == other.keys() and np.array_equal(
        list(one.values()), list(other.values()), equal_nan=True
    ), message


def _snapshot(world: World, rounds: list[Round]) -> list[bytes]:
    """Return the bytes of all inputs, except caches that are filled on first use."""
    parts = [world.items, world.users, world.graph, *rounds]
    names = [[name for name in part.__dataclass_fields__ if name != "world"] for part in parts]
    return [
        np.ascontiguousarray(getattr(part, name)).tobytes()
        for part, own in zip(parts, names, strict=True)
        for name in own
        if isinstance(getattr(part, name), np.ndarray)
    ]


def _memory_size(value: Any, seen: set[int] | None = None) -> int:
    """Return the approximate number of bytes of an object, without the world."""
    seen = set() if seen is None else seen
    if isinstance(value, World | type) or id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(_memory_size(part, seen) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return 8 * len(value) + sum(_memory_size(part, seen) for part in value)
    return sys.getsizeof(value) + _memory_size(getattr(value, "__dict__", {}), seen)
