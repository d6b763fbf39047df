"""The arrays that visits read, in a form that compiled code accepts, and the intent of a visit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...philox import uniform
from ..world import World


class People(NamedTuple):
    """The arrays that a visit reads, as one argument that numba accepts."""

    shares: np.ndarray
    n_tastes: np.ndarray
    tastes: np.ndarray
    tastes_start: np.ndarray
    quality_weight: np.ndarray
    outside: np.ndarray
    attention: np.ndarray
    appetite: np.ndarray
    fatigue: np.ndarray
    topics: np.ndarray
    quality: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    influence: np.ndarray
    recent: np.ndarray
    match: float
    idiosyncrasy: float
    idiosyncrasy_key: np.uint64
    fatigue_rate: float
    social: float
    power: bool


def people_of(world: World) -> People:
    """Return the arrays of a world."""
    users, items, graph, behavior = world.users, world.items, world.graph, world.behavior
    return People(
        shares=users.shares,
        n_tastes=users.n_tastes,
        tastes=users.tastes,
        tastes_start=users.tastes_start,
        quality_weight=users.quality_weight,
        outside=users.outside,
        attention=users.attention,
        appetite=users.appetite,
        fatigue=users.fatigue,
        topics=items.topics,
        quality=items.quality,
        indptr=graph.indptr,
        indices=graph.indices,
        influence=graph.influence,
        recent=world.recent,
        match=float(behavior.match),
        idiosyncrasy=float(world.idiosyncrasy),
        idiosyncrasy_key=world.idiosyncrasy_key,
        fatigue_rate=float(behavior.fatigue),
        social=float(behavior.social),
        power=behavior.examination == "power",
    )


# The compiler chooses the order of this sum, once per machine type: this allows vectorization, and the
# result stays the same from run to run.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def dot(a, b):
    total = 0.0
    for t in range(a.size):
        total += np.float64(a[t]) * np.float64(b[t])
    return total


@njit(cache=True)
def draw_taste(shares, n_tastes, draw):
    """Return the taste that a uniform draw picks from a user's shares (K,)."""
    taste = 0
    cumulative = np.float64(shares[0])
    while taste < n_tastes - 1 and draw > cumulative:
        taste += 1
        cumulative += np.float64(shares[taste])
    return taste


def draw_intents(world: World, round: int, users: NDArray[np.int32], key: np.uint64) -> NDArray[np.int32]:
    """Return (B,) the tastes on which users (B,) act in a visit; key: of the intents' stream."""
    return _draw_intents(world.users.shares, world.users.n_tastes, round % 2**32, users, key)


@njit(cache=True)
def _draw_intents(shares, n_tastes, round, users, key):
    out = np.zeros(users.size, np.int32)
    for b in range(users.size):
        u = users[b]
        out[b] = draw_taste(shares[u], n_tastes[u], uniform(key, round, u, 0))
    return out
