"""Estimate the peak memory of a run from its study, and how many runs fit into free memory.

The estimate adds up the arrays that grow with the study; what is small or constant is in `LIBRARIES`.
benchmarks/memory.py compares it with the memory of real runs (table in docs/backends.md).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...agents.dynamics.drift import FATIGUE_BLOCK
from ...agents.settings import WorldConfig
from ...machine import free_bytes, gibibytes
from ...policies.named_code import NamedCode
from ...policies.registry import build_policy
from ...policies.size import DIM
from ...sim.recommender import BLOCK, REFERENCE_ARMS
from ...wording import counted
from ..design.run import PlannedRun
from ..design.switches import switched_policy
from ..specs.study import Arm, Study
from .first_log import is_kept
from .run_size import RunSize, run_size

MIB = 2**20
LIBRARIES = 296 * MIB
"""Bytes of a worker that has done a very small run: all libraries loaded, and their buffers of constant size."""
AFTER_GRAPH = 75 * MIB
"""Part of `LIBRARIES` that is loaded after the social graph is drawn."""
LOG_LIBRARIES = 90 * MIB
"""Libraries that only infer the twin of a real log (scikit-learn, parsers), and their buffers."""
RESERVE = 0.1
"""Share of free memory that is left to other processes."""
HEADROOM = 1.08
"""Factor on everything but libraries: memory allocators round sizes up, and reuse freed memory only in part."""
CACHED_PAIRS = 2**25
"""Maximum user-item pairs for which a world keeps its idiosyncrasies in memory (`agents.world`)."""
DEMAND_CELLS = 2_000_000
"""Most values (users × tastes × items) in memory while demand is summed (`agents.values`)."""
ENTRY_BYTES = 15
"""Bytes per entry of a log: five columns."""
COUNTED_ENTRY_BYTES, UNCOUNTED_ENTRY_BYTES = 28, 8
"""Bytes per log entry while a policy counts the log into a matrix (three arrays, then the result and one copy), and
when no policy does (a column as 64-bit numbers)."""
GRAPH_USER_BYTES, GRAPH_TIE_BYTES, GRAPH_REST_BYTES = 450, 155, 110
"""Bytes per user and per directed tie while networkx draws a graph (dictionaries of dictionaries, with the smaller
ones that they outgrew), and what of it per tie only later small arrays can use again."""
CELL_BYTES = 110
"""Bytes per round and measure: a number in a dictionary, then in two tables."""
COLUMN_BYTES = 14_000
"""Bytes per measure while the table of rounds is written to Parquet."""
PAIRS = 1000
"""Pairs of users whose takes are compared (`analysis.measures.echo`)."""
PANEL = 200
"""Users for whom `regret` values the whole catalog (`analysis.measures.panel`)."""
WINDOW = 20
"""Rounds of the window of measures (`agents.behavior.RECENT`)."""


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


def estimate(study: Study, arm: Arm, ask: bool = True) -> Estimate:
    """Return the memory of one run of an arm; grid values are already set in the study.

    The peak is in one of three phases: while the world is generated, while the policy learns and ranks, or while a
    round is measured. The first is larger than the others only in its arrays, since many libraries are loaded later.
    ask: whether classes that are not built in are asked; otherwise each counts as a typical policy.
    """
    size = run_size(study, arm)
    worlds = 2 if size.organic else 1
    changes = [switched_policy(arm, switch) for switch in arm.switch if switch.policy]
    needs = [_need(spec, size, ask) for spec in [arm.policy, *changes]]
    counts = max(COUNTED_ENTRY_BYTES if need.counts_log else UNCOUNTED_ENTRY_BYTES for need in needs)
    transformed = bool(arm.transform or any(switch.transform or switch.purge for switch in arm.switch))
    counted_log = size.entries * (counts + 2 * ENTRY_BYTES * transformed)
    declared = sum(need.policy for need in needs)

    people, idiosyncrasies = _people(study, size), _idiosyncrasies(study, size)
    world = worlds * (people + _blocked(study, size)) + idiosyncrasies
    if is_kept(study):
        # The start of the seed, for its next arm.
        world += people + _blocked(study, size) + ENTRY_BYTES * size.before
    else:
        world += (worlds - 1) * idiosyncrasies
    # Values of a block of users, and their exponentials, while true demand is summed (`agents.values`).
    world += 8 * min(size.users * size.tastes * size.items, DEMAND_CELLS)
    slots = size.visits * size.slate
    log = ENTRY_BYTES * ((2 if size.organic else 1) * size.entries + size.organic) + 4 * size.entries
    log += worlds * size.exposures * size.visits * (4 * size.slate + 5)
    kept, briefly = _measures(size)
    # A round: slates from the ranking to the counts of what was shown, and the outcome of the visits.
    chain = max(len(arm.rerank), *(len(switch.rerank or []) for switch in arm.switch), 0)
    ranked = size.visits * size.candidates * (8 + 8 * min(chain, 1) + 16 * (chain > 1))
    visits = size.visits * (8 * size.tastes + 14 * size.appetite + 200) + 32 * size.users
    world += worlds * (visits + 4 * slots)
    if study.behavior.fatigue:
        briefly = max(briefly, 9 * min(FATIGUE_BLOCK, size.visits) * size.slate * size.topics)
    measured = 13 * slots + briefly
    # What a policy has besides a block of scores is still there while a round is measured.
    policy = counted_log + max(ranked, measured - min(declared, size.dense_scores))
    run = world + log + kept + policy + declared
    # Small arrays use the memory that networkx left behind, large ones do not.
    rest = max(GRAPH_REST_BYTES * size.drawn_ties - (run - idiosyncrasies), 0)
    drawn = size.users * size.topics * (56 + 4 * size.tastes) + size.items * size.topics * 24
    graph = people + GRAPH_USER_BYTES * size.users + GRAPH_TIE_BYTES * size.drawn_ties
    generation = max(drawn, graph) - AFTER_GRAPH / HEADROOM
    world += rest + max(generation - run - rest, 0) + size.read
    libraries = LIBRARIES + max(need.libraries for need in needs)
    if not isinstance(study.world, WorldConfig):
        libraries += LOG_LIBRARIES
    world, log, kept, policy = (HEADROOM * part for part in (world, log, kept, policy))
    return Estimate(libraries, int(world), int(log), int(kept), int(policy + declared))


def _people(study: Study, size: RunSize) -> float:
    """Return the bytes of users, ties and items of a world, without what exists per user and item."""
    tastes = size.users * (4 * (2 * size.tastes + 2) * size.topics + 16 * size.tastes + 60)
    recent = size.users * 4 * study.behavior.memory * (size.appetite + 1)
    items = size.items * (4 * 3 * size.topics + 60)
    return tastes + recent + size.ties * 8 + items


def _idiosyncrasies(study: Study, size: RunSize) -> float:
    pairs = size.users * size.items
    # The number of items that are born varies from seed to seed.
    sure = pairs <= CACHED_PAIRS if size.items == size.catalog else 0.8 * pairs <= CACHED_PAIRS
    return 4 * min(pairs, CACHED_PAIRS) if sure and study.world.idiosyncrasy else 0


def _blocked(study: Study, size: RunSize) -> float:
    """Return the bytes of the bits of user-item pairs; without cool-downs they are never written to."""
    return size.users * size.items / 8 if study.behavior.repeat else 0


def _measures(size: RunSize) -> tuple[float, float]:
    """Return the bytes that measures keep, and the most that they take for a moment."""
    kept = (
        2 * size.users * WINDOW * (size.appetite + 1) * 4
        + size.items * (10 * WINDOW * 4 + 4 * size.topics + 150 + min(size.users, 2 * PAIRS) / 8)
        + size.users * (7 * size.tastes + 40 + size.masks + 4 * size.slate)
        + size.columns * (size.rounds * CELL_BYTES + COLUMN_BYTES)
    )
    briefly = max(
        8 * size.users * size.topics,
        24 * size.items * size.topics,
        PANEL * min(size.visits / size.users, 1) * size.items * (4 * size.tastes + 10),
        32 * size.ties,
        24 * size.before,
    )
    return kept, briefly


@dataclass(frozen=True)
class _Need:
    policy: float
    """Bytes of a policy besides the counted log."""
    counts_log: bool = True
    libraries: int = 0


def _need(spec: dict[str, Any], size: RunSize, ask: bool) -> _Need:
    """Return the memory that a policy or reference arm declares; that of a typical policy when it declares none."""
    kind = spec["kind"]
    if kind in REFERENCE_ARMS:
        oracle = min(BLOCK, size.visits) * size.items * (4 * size.tastes + 10)
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
