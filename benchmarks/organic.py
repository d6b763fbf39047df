"""Time organic slates of people who search: the whole catalog, and a consideration set of a large one.

One thread, idiosyncrasies on. Prints nanoseconds per visit and live item, and seconds for 10,000 visits to 20,000 items
through a set of 2,000; the targets are at most 40 ns and 1 s.
"""

from __future__ import annotations

import time

import numpy as np
from echodrift.agents.behavior import Behavior
from echodrift.agents.dynamics.organic import OrganicKeys, organic_slates
from echodrift.agents.dynamics.people import draw_intents
from echodrift.agents.generate import generate
from echodrift.agents.settings import NoGraph, WorldConfig
from echodrift.sim.streams import Streams

SLATE = 10


def seconds(users: int, items: int, behavior: Behavior, repeats: int = 5) -> float:
    """Return the best time of `repeats` for one visit of every user."""
    streams = Streams(1)
    world = generate(WorldConfig(users=users, items=items, graph=NoGraph()), behavior, streams, 1, SLATE)
    world.taken[:] = streams("benchmark").zipf(1.5, items).clip(max=1000)
    everyone = np.arange(users, dtype=np.int32)
    intents = draw_intents(world, 0, everyone, streams.key("visit.intent"))
    nothing = np.zeros((users, (items + 7) // 8), np.uint8)
    keys = OrganicKeys.from_streams(streams)
    organic_slates(world, 0, everyone[:9], intents[:9], SLATE, nothing, keys)
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        organic_slates(world, 0, everyone, intents, SLATE, nothing, keys)
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    """Print the table."""
    print(f"{'users':>7} {'items':>7} {'search':>7} {'considered':>11} {'ns per pair':>12} {'seconds':>8}")
    for users, items, search, size in (
        (2_000, 2_000, 0.0, 2_000), (2_000, 2_000, 0.7, 2_000), (2_000, 2_000, 1.5, 2_000), (1_000, 10_000, 0.7, 10_000),
        (10_000, 20_000, 0.0, 2_000), (10_000, 20_000, 0.7, 2_000),
    ):  # fmt: skip
        took = seconds(users, items, Behavior(search=search, consideration=size))
        print(
            f"{users:>7,} {items:>7,} {search:>7} {size:>11,} {1e9 * took / users / items:>12.1f} {took:>8.2f}"
        )


if __name__ == "__main__":
    main()
