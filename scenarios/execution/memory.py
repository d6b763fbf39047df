"""Estimate the peak memory of a run from its study, and how many runs fit into free memory.

The estimate adds up the arrays that grow with the study; what is small or constant is in `LIBRARIES`.
benchmarks/memory.py compares it with the memory of real runs (table in docs/backends.md).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...agents.settings import WorldConfig
from ...machine import free_bytes, gibibytes
from ...policies.named_code import NamedCode
from ...policies.registry import build_policy
from ...policies.size import DIM, Size
from ...sim.recommender import BLOCK, REFERENCE_ARMS
from ...wording import counted
from ..design.run import PlannedRun
from ..design.switches import switched_policy
from ..specs.study import Arm, LogConfig, Study

MIB = 2**20
LIBRARIES = 270 * MIB
"""Bytes of an idle worker with all libraries loaded, and its buffers of constant size."""
AFTER_WORLD = 60 * MIB
"""Part of `LIBRARIES` that is allocated after the world is generated."""
RESERVE = 0.1
"""Share of free memory that is left to other processes."""
CACHED_PAIRS = 2**25
"""Maximum user-item pairs for which a world keeps its idiosyncrasies in memory (`agents.world`)."""
ENTRY_BYTES = 2.5 * 15
"""Bytes per log entry: five columns, and their spare capacity while they grow."""
COUNTED_ENTRY_BYTES, UNCOUNTED_ENTRY_BYTES = 40, 8
"""Bytes per log entry while a policy counts the log into a matrix, and when no policy does."""
CELL_BYTES = 120
"""Bytes per round and measure: a number in a dictionary, then in two tables."""


@dataclass(frozen=True)
class Estimate:
    """Peak memory of a run in bytes."""

    libraries: int
    """Memory of a process without a run."""
    world: int
    log: int
    measures: int
    policy: int

    @property
    def run(self) -> int:
        """What a run adds to an existing process."""
        return self.world + self.log + self.measures + self.policy

    @property
    def total(self) -> int:
        """Memory of a process with this run alone."""
        return self.libraries + self.run


@dataclass(frozen=True)
class _Size(Size):
    tastes: int
    ties: float
    read: int
    """Bytes needed to read the data files."""


def estimate(study: Study, arm: Arm, ask: bool = True) -> Estimate:
    """Return the memory of one run of an arm; grid values are already set in the study.

    ask: whether classes that are not built in are asked; otherwise each counts as a typical policy.
    """
    size = _size(study)
    behavior, platform = study.behavior, {**study.platform.model_dump(), **arm.platform}
    appetite = _appetite(study)
    slate = max([platform["slate"], *(switch.slate or 0 for switch in arm.switch)])
    visits = _visits(study, size.users)
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
    log = worlds * size.entries * ENTRY_BYTES + platform["keep_exposures"] * visits * slate * 4
    columns = len(study.measures) or 70
    measures = (
        2 * size.users * 20 * (appetite + 1) * 4
        + 2 * 20 * size.items * 4
        + size.users * 16 * size.topics
        + study.rounds * columns * CELL_BYTES
    )
    changes = [switched_policy(arm, switch) for switch in arm.switch if switch.policy]
    needs = [_need(spec, size, ask) for spec in [arm.policy, *changes]]
    counted_log = size.entries * max(
        COUNTED_ENTRY_BYTES if need.counts_log else UNCOUNTED_ENTRY_BYTES for need in needs
    )
    policy = sum(need.policy for need in needs) + counted_log
    libraries = LIBRARIES + max(need.libraries for need in needs)
    # While a world is generated, its idiosyncrasies exist twice, but log, measures and policy do not exist yet.
    twice = max(kept - AFTER_WORLD - log - measures - policy, 0)
    return Estimate(libraries, int(world + size.read + twice), int(log), int(measures), int(policy))


def _size(study: Study) -> _Size:
    world, behavior, rounds = study.world, study.behavior, study.rounds
    appetite = _appetite(study)
    if isinstance(world, WorldConfig):
        shares = [world.taste_shares, *(group.taste_shares for group in world.groups)]
        tastes = max(
            world.tastes if share == "dirichlet" else len(share) for share in shares if share is not None
        )
        new = world.arrivals * rounds
        if world.creators is not None:
            new = world.creators.most_items
        degree = getattr(world.graph, "degree", None) or 2 * getattr(world.graph, "attach", 0)
        users, items, topics, read = world.users, world.items, world.topics, 0
        before = study.platform.warmup * (behavior.activity + 0.1) * (0.75 * appetite) * users
    else:
        users, items, before, read = _log_size(world.model_dump_json())
        topics, tastes, degree, new = 24, 4, 10, world.arrivals * rounds
    # Most visits take fewer items than the appetite; word of mouth adds at most one.
    entries = before + _visits(study, users) * rounds * (0.75 * appetite + behavior.word_of_mouth)
    return _Size(users, int(items + new), topics, entries, tastes, users * degree, read)


def _visits(study: Study, users: int) -> float:
    return min(study.behavior.activity + 0.1, 1.0) * users


@lru_cache(maxsize=16)
def _log_size(config: str) -> tuple[int, int, int, int]:
    """Return users, items and entries of a log after its filters, and the bytes needed to read its files."""
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


@dataclass(frozen=True)
class _Need:
    policy: float
    """Bytes of a policy besides the counted log."""
    counts_log: bool = True
    libraries: int = 0


def _need(spec: dict[str, Any], size: _Size, ask: bool) -> _Need:
    """Return the memory that a policy or reference arm declares; that of a typical policy when it declares none."""
    kind = spec["kind"]
    if kind in REFERENCE_ARMS:
        oracle = BLOCK * size.items * (4 * (size.tastes + 3) + 1)
        return _Need(size.small_tables if kind == "organic" else oracle, counts_log=False)
    typical = _Need(size.factors(DIM) + size.dense_scores)
    named = NamedCode()
    named.add("policies", spec)
    if named.targets and kind != "adapter" and not ask:
        return typical
    try:
        policy = build_policy(spec)
        need = _Need(float(policy.memory(size)), bool(policy.counts_log), int(policy.library_bytes))
    except Exception:  # noqa: BLE001  it may be a user's class, and this is only an estimate
        return typical
    return need if 0 <= need.policy < math.inf and 0 <= need.libraries else typical


def limit_jobs(jobs: int, todo: Sequence[PlannedRun], *, shared: bool = False) -> tuple[int, str]:
    """Return how many jobs fit into free memory (at least one), and a message if that is fewer than asked for.

    shared: whether runs are threads of one process. The largest runs count, so that any combination fits.
    """
    if not todo:
        return jobs, ""
    known: dict[tuple[int, str], Estimate] = {}
    for run in todo:
        known.setdefault((id(run.study), run.arm.name), estimate(run.study, run.arm))
    estimates = [known[id(run.study), run.arm.name] for run in todo]
    largest = heapq.nlargest(jobs, range(len(todo)), key=lambda place: estimates[place].total)
    room, needed, fit = (1 - RESERVE) * free_bytes(), 0, 0
    for place in largest:
        needed += estimates[place].run if shared or jobs == 1 else estimates[place].total
        if needed > room:
            break
        fit += 1
    most = estimates[largest[0]].total
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


def describe_memory(study: Study) -> str:
    """Return the sentence of `echodrift check`: the largest run, its arm, and how many such runs fit."""
    from ..design.grid import grid_points

    worst = max(
        (
            (estimate(point, arm, ask=False).total, arm.name)
            for _, point in grid_points(study)
            for arm in point.arms
        ),
        key=lambda pair: pair[0],
    )
    room = (1 - RESERVE) * free_bytes()
    return (
        f'memory: about {gibibytes(worst[0])} per run at most (arm "{worst[1]}"); '
        f"{gibibytes(room)} are free, room for {counted(int(room / worst[0]), 'run')} at a time"
    )
