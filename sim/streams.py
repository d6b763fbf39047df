"""Named random streams: each decision has its own stream, a function of (seed, name, round)."""

from __future__ import annotations

import zlib

import numpy as np


class Streams:
    """All randomness of one run.

    `streams(name, round)` gives a numpy Generator for populations and policies; `streams.key(name)`
    gives the key of the counter-based draws (`echodrift.philox`) of single users' decisions,
    indexed by (round, user, slot). Neither depends on call order.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def __call__(self, name: str, round: int = 0) -> np.random.Generator:
        """Return a fresh Generator for a decision and a round (rounds before 0 are the warm-up)."""
        spawn = (zlib.crc32(name.encode()), round % 2**32)
        return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(self.seed, spawn_key=spawn)))

    def key(self, name: str) -> np.uint64:
        """Return the 64-bit key of a decision's counter-based draws."""
        spawn = (zlib.crc32(name.encode()),)
        return np.random.SeedSequence(self.seed, spawn_key=spawn).generate_state(1, np.uint64)[0]
