"""Measure the cost of each measure in CPU milliseconds per round: all users active, slate 10, 3 tastes, 24 topics.

    python benchmarks/measures.py            1,000 × 1,000 and 10,000 × 10,000 users × items
    python benchmarks/measures.py 2000 4000  a size of your choice

Panel measures run every 5 rounds; their cost is averaged over the rounds. Measures that look back share
a window, so the sum of the lines is more than the cost of all measures together.
"""

from __future__ import annotations

import sys
import time
import tracemalloc

import numpy as np
from echodrift.analysis.measures import MEASURES, build, measure_class
from echodrift.analysis.measures.testing import random_round, random_setup, random_world

ROUNDS = 40
REPEATS = 3
"""Number of passes over the rounds."""
STRETCH = 5
"""Number of consecutive rounds in which every panel measure runs once."""


def milliseconds(setup, columns, rounds) -> float:
    """Return the CPU time per round of the fastest 5 consecutive rounds, with full windows and compiled kernels.

    The minimum is used because other work on the machine can only add time.
    """
    return min(_fastest_stretch(build(setup, columns), rounds) for _ in range(REPEATS))


def _fastest_stretch(measures, rounds) -> float:
    spent = []
    for round in rounds:
        began = time.thread_time()
        measures.update(round)
        spent.append(time.thread_time() - began)
        # Rounds cache their counts, but every measure should be charged for its own.
        for cached in ("shown_counts", "taken_counts", "live", "slots", "takes", "visit_weights"):
            round.__dict__.pop(cached, None)
    stretches = [sum(spent[first : first + STRETCH]) for first in range(20, len(spent) - STRETCH + 1)]
    return 1000 * min(stretches) / STRETCH


def measure_size(users: int, items: int) -> None:
    """Print the table of one size."""
    rng = np.random.default_rng(0)
    world = random_world(rng, users, items, topics=24, tastes=3, communities=8, degree=10)
    world.users.n_tastes[:] = 3
    world.users.shares[:] = world.users.shares_start[:] = [0.6, 0.3, 0.1]
    setup = random_setup(world, rng)
    rounds = [random_round(world, rng, index, active=1.0) for index in range(ROUNDS)]
    for round in rounds:
        round.slates[:] = np.where(round.slates < 0, round.slates[:, :1].clip(0), round.slates)
    print(f"\n{users:,} users × {items:,} items, CPU milliseconds per round")
    lines = {}
    for kind in dict.fromkeys(measure_class(name) for name in MEASURES):
        columns = [column.name for column in kind.columns]
        lines[", ".join(columns)] = milliseconds(setup, columns, rounds)
    for name, spent in sorted(lines.items(), key=lambda line: -line[1]):
        print(f"{spent:9.2f}  {name}")
    print(f"{milliseconds(setup, None, rounds):9.2f}  all measures together")
    tracemalloc.start()
    everything = build(setup)
    for round in rounds[:25]:
        everything.update(round)
    kept, peak = (size / 2**20 for size in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    print(f"{kept:9.1f}  MB kept by all measures, {peak:.1f} MB at the peak")


if __name__ == "__main__":
    sizes = [int(size) for size in sys.argv[1:]]
    for users, items in [tuple(sizes)] if sizes else [(1_000, 1_000), (10_000, 10_000)]:
        measure_size(users, items)
