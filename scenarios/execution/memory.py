"""How much memory a run takes at most, guessed from its study; and how many runs there is room for.

The guess adds up the arrays that grow with the study; what is small or constant is in `LIBRARIES`. How far
it is from what real runs take is measured by benchmarks/memory.py (table in docs/backends.md).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...agents.settings import WorldConfig
from ...machine import free_bytes, gibibytes
from ...wording import counted
from ..design.run import PlannedRun
from ..specs.study import Arm, LogConfig, Study

MIB = 2**20
LIBRARIES = 270 * MIB
"""An idle worker with everything loaded, and its buffers of constant size."""
LATE = 60 * MIB
"""Part of `LIBRARIES` that comes after the world is made."""
JAX = 260 * MIB
"""jax loaded, with one compiled network."""
RESERVE = 0.1
"""Part of the free memory that is left to others."""
NEURAL = ("mult_vae", "mult_dae", "sequential")
NO_COUNTS = ("organic", "random", "popularity", "oracle_item", "oracle_slate")
"""Policies that do not count the log into a matrix."""
FACTORS = ("matrix_factorization", "ials", "list_mf", "spectral_mf", "hashed_mf", "social_mf")
"""Policies that score in small blocks."""
CACHED_PAIRS = 2**25
"""User-item pairs up to which a world keeps its idiosyncrasies (`agents.world`)."""
BLOCK = 256
"""Users that dense policies score at once."""
ENTRY = 2.5 * 15
"""Bytes per log entry: five columns, and the room they have while they grow."""
COUNTED = 40
"""Bytes per log entry while a policy counts it into a matrix."""
CELL = 120
"""Bytes per round and measure: a number in a dictionary, then in two tables."""


@dataclass(frozen=True)
class Estimate:
    """Bytes that a run takes at most."""

    libraries: int
    """What a process takes before it has a run."""
    world: int
    log: int
    measures: int
    policy: int

    @property
    def run(self) -> int:
        """What the run adds to a process that is there already."""
        return self.world + self.log + self.measures + self.policy

    @property
    def whole(self) -> int:
        """What a process with this one run takes."""
        return self.libraries + self.run


@dataclass(frozen=True)
class _Size:
    users: int
    catalog: int
    items: int
    """All that will ever live."""
    topics: int
    tastes: int
    ties: float
    before: float
    """Log entries before round 0."""
    read: int
    """Bytes that reading data files takes."""


def estimate(study: Study, arm: Arm) -> Estimate:
    """Return the memory of one run of an arm; grid values are already put into the study."""
    size = _size(study)
    behavior, platform = study.behavior, {**study.platform.model_dump(), **arm.platform}
    appetite = _appetite(study)
    slate = max([platform["slate"], *(switch.slate or 0 for switch in arm.switch)])
    visits = min(behavior.activity + 0.1, 1.0) * size.users
    # Most visits take less than the appetite; word of mouth adds at most one.
    entries = size.before + visits * study.rounds * (0.75 * appetite + behavior.word_of_mouth)
    worlds = 2 if platform["learn_from"] == "organic" else 1
    kept = 4 * size.users * size.items if size.users * size.items <= CACHED_PAIRS else 0
    world = worlds * (
        size.users * (4 * (3 * size.tastes + 4) * size.topics + 8 * size.tastes * 4 + 80)
        + size.users * 4 * behavior.memory * (appetite + 1)
        + size.items * (4 * 4 * size.topics + 60)
        + kept
        + size.users * size.items / 8
        + size.ties * 40
        + visits * (slate * 24 + appetite * 32 + size.tastes * 24)
    )
    log = worlds * entries * ENTRY + platform["keep_exposures"] * visits * slate * 4
    columns = len(study.measures) or 70
    measures = (
        2 * size.users * 20 * (appetite + 1) * 4
        + 2 * 20 * size.items * 4
        + size.users * 16 * size.topics
        + study.rounds * columns * CELL
    )
    specs = [arm.policy, *({**arm.policy, **switch.policy} for switch in arm.switch if switch.policy)]
    counted_log = entries * max(8 if spec.get("kind") in NO_COUNTS else COUNTED for spec in specs)
    policy = sum(_policy(spec, size) for spec in specs) + counted_log
    jax = JAX if any(spec.get("kind") in NEURAL for spec in specs) else 0
    read = size.read
    # While a world is made its idiosyncrasies are there twice, but log, measures and policy are not yet.
    twice = max(kept - LATE - log - measures - policy, 0)
    return Estimate(LIBRARIES + jax, int(world + read + twice), int(log), int(measures), int(policy))


def _size(study: Study) -> _Size:
    world, behavior, rounds = study.world, study.behavior, study.rounds
    warm = study.platform.warmup * (behavior.activity + 0.1) * (0.75 * _appetite(study))
    if isinstance(world, WorldConfig):
        shares = [world.taste_shares, *(group.taste_shares for group in world.groups)]
        tastes = max(
            world.tastes if each == "dirichlet" else len(each) for each in shares if each is not None
        )
        new = world.arrivals * rounds
        if world.creators is not None:
            new = world.creators.most_items
        degree = getattr(world.graph, "degree", None) or 2 * getattr(world.graph, "attach", 0)
        items = int(world.items + new)
        return _Size(
            world.users, world.items, items, world.topics, tastes, world.users * degree, warm * world.users, 0
        )
    users, items, entries, read = _log_size(world.model_dump_json())
    topics, tastes = 24, 4
    total = int(items + getattr(world, "arrivals", 0) * rounds)
    return _Size(users, items, total, topics, tastes, users * 10, entries, read)


@lru_cache(maxsize=16)
def _log_size(config: str) -> tuple[int, int, int, int]:
    """Return users, items and entries of a log after its filters, and what reading its files takes."""
    from ..real_logs.logs import read_log

    world = LogConfig.model_validate_json(config)
    log = read_log(world)
    files = [world.log, world.items, world.tags, world.social]
    read = sum(Path(file).stat().st_size for file in files if file is not None)
    return len(log.users), len(log.items), len(log.user), 12 * read


def _appetite(study: Study) -> int:
    groups = study.world.groups if isinstance(study.world, WorldConfig) else []
    return (
        max([study.behavior.appetite, *(group.appetite or 0 for group in groups)])
        + study.behavior.appetite_spread
    )


def _policy(spec: dict[str, Any], size: _Size) -> float:
    """Return the bytes of a policy beside the counted log: its parameters, and what ranking needs."""
    kind = str(spec.get("kind"))
    users, items = size.users, size.items
    dense = 3 * BLOCK * items * 4
    if kind in (*NO_COUNTS[:3], "content"):
        return 20 * items + 8 * users * size.topics
    if kind in ("oracle_item", "oracle_slate"):
        return BLOCK * items * (4 * (size.tastes + 3) + 1)
    if kind == "ease":
        smaller = 8 * users**2 if 3 * users < items else 4 * items**2
        return 1.1 * smaller + dense
    if kind == "item_knn":
        return items * 24 * _number(spec, "neighbors", 100) + dense
    if kind == "user_knn":
        return dense + 3 * BLOCK * users * 4
    dim = _number(spec, "dim", 64)
    if kind in NEURAL:
        hidden = dim if kind != "mult_vae" else _number(spec, "hidden", 200)
        # Weights, two moments and a gradient; batches of histories and their gradients.
        batch = _number(spec, "batch", 64 if kind == "sequential" else 500)
        weights = (1 if kind == "sequential" else 2) * items * hidden * 4
        places = batch * _number(spec, "max_length", 50) if kind == "sequential" else batch
        inner = places * dim * 4 * 40 * _number(spec, "layers", 2) if kind == "sequential" else 0
        return 6 * weights + 6 * min(places, 4096) * items * 4 + inner + dense
    if kind == "bandit":
        inner = spec.get("policy") or {"kind": "matrix_factorization"}
        width = _number(inner, "dim", 64)
        return users * width * width * 8 + _policy(inner, size) + dense
    # Factor models; whatever is written by others counts as one, with a dense block of scores.
    width = dim * _number(spec, "personas", 1)
    return (users + items) * width * 16 + (0 if kind in FACTORS else dense)


def _number(spec: dict[str, Any], name: str, default: int) -> float:
    """Return a field; the default where it is left out, or something else in a policy written by others."""
    value = spec.get(name, default)
    return value if isinstance(value, int | float) else default


def bounded(jobs: int, todo: Sequence[PlannedRun], *, shared: bool = False) -> tuple[int, str]:
    """Return how many of the jobs there is memory for (at least one), and a sentence where that needs saying.

    shared: whether runs are threads of one process. Whichever runs come together fit: the largest count.
    """
    if not todo:
        return jobs, ""
    known: dict[tuple[int, str], Estimate] = {}
    for run in todo:
        known.setdefault((id(run.study), run.arm.name), estimate(run.study, run.arm))
    each = [known[id(run.study), run.arm.name] for run in todo]
    largest = heapq.nlargest(jobs, range(len(todo)), key=lambda place: each[place].whole)
    room, needed, fit = (1 - RESERVE) * free_bytes(), 0, 0
    for place in largest:
        needed += each[place].run if shared or jobs == 1 else each[place].whole
        if needed > room:
            break
        fit += 1
    most = each[largest[0]].whole
    if not fit:
        return 1, (
            f"warning: {todo[largest[0]].label} needs about {gibibytes(most)} of memory, and {gibibytes(room)} are "
            "free: it may fail, or make the machine slow. Runs are done one at a time."
        )
    if fit < jobs:
        return fit, (
            f"{fit} of {counted(jobs, 'job')}: each run needs up to about {gibibytes(most)} of memory, "
            f"and {gibibytes(room)} are free."
        )
    return jobs, ""


def in_words(study: Study) -> str:
    """Return the sentence of `echodrift check`: what a run needs at most, by which arm, and how many fit."""
    from ..design.grid import grid_points

    worst = max(
        ((estimate(point, arm).whole, arm.name) for _, point in grid_points(study) for arm in point.arms),
        key=lambda pair: pair[0],
    )
    room = (1 - RESERVE) * free_bytes()
    return (
        f'memory: about {gibibytes(worst[0])} per run at most (arm "{worst[1]}"); '
        f"{gibibytes(room)} are free, room for {counted(int(room / worst[0]), 'run')} at a time"
    )
