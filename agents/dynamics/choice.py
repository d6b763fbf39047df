"""The choice model of a visit: an intent, a cascade down the slate, and a few items taken (docs/model.md).

v_uzi = match·⟨a_uz, x_i⟩ + w_u q_i + idiosyncrasy_ui + social·friends_i − fatigue·⟨F_u, x_i⟩. With odds
o = exp(v − v_0), P(at least one of a set S is taken | intent k) = Σo/(1 + Σo): the largest of v_i + ε_i
and v_0 + ε_0 under independent Gumbel noise. `agents/dynamics/reference.py` does the same for one user at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...philox import gumbel, normal, uniform
from ..context import friends_share
from ..world import World

MAX_LOG_ODDS = 50.0
"""Upper limit of v − v_0: beyond it a choice is certain, and odds stay finite."""

Objective = Literal["hit", "surplus"]


@dataclass(frozen=True)
class ChoiceKeys:
    """Random-stream keys of the draws in a visit (`Streams.key`)."""

    intent: np.uint64
    depth: np.uint64
    noise: np.uint64
    outside: np.uint64

    @classmethod
    def from_streams(cls, streams) -> ChoiceKeys:
        """Return the keys from a run's streams."""
        names = ("visit.intent", "visit.depth", "visit.noise", "visit.outside")
        return cls(*(streams.key(name) for name in names))


@dataclass(frozen=True)
class Choices:
    """The outcome of the visits of a round: B visits, slates of n, K tastes, m = largest appetite."""

    intents: NDArray[np.int32]
    """(B,) the taste that the user acted on."""
    depth: NDArray[np.int32]
    """(B,) number of ranks examined."""
    taken: NDArray[np.int32]
    """(B, m) items taken, best first, −1 where fewer."""
    ranks: NDArray[np.int16]
    """(B, m) 1-based rank of each taken item, 0 where none."""
    surplus: NDArray[np.float64]
    """(B,) Σ over taken items of (v + ε) − (v_0 + ε_0)."""
    surplus_start: NDArray[np.float64]
    """(B,) the same items and noise at the tastes of round 0."""
    hit: NDArray[np.float64]
    """(B, K) P(at least one taken | intent k, this slate); NaN for unused tastes."""


class _People(NamedTuple):
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


class _Scratch(NamedTuple):
    """Buffers for one user at a time."""

    values: np.ndarray
    reaches: np.ndarray
    friends: np.ndarray
    mark: np.ndarray
    version: np.ndarray


def _people(world: World) -> _People:
    users, items, graph, behavior = world.users, world.items, world.graph, world.behavior
    return _People(
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


def _scratch(world: World, width: int) -> _Scratch:
    items = len(world.items) if world.behavior.social else 1
    return _Scratch(
        values=np.zeros((world.users.shares.shape[1], width)),
        reaches=np.zeros(width + 1),
        friends=np.zeros(items),
        mark=np.zeros(items, np.int64),
        version=np.zeros(items, np.int64),
    )


@njit(cache=True)
def reach(attention, power, rank):
    """Return P(rank is examined), with ranks counted from 1: attention^(r−1), or r^−attention."""
    if power:
        return float(rank) ** -np.float64(attention)
    return np.float64(attention) ** (rank - 1)


# The compiler chooses the order of this sum, once per machine type: this allows vectorization, and the
# result stays the same from run to run.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):
    total = 0.0
    for t in range(a.size):
        total += np.float64(a[t]) * np.float64(b[t])
    return total


@njit(cache=True)
def _value_slate(people, scratch, u, slate):
    """Fill scratch.values (K, n) with the values of the slate's items for user u; return the number of filled slots."""
    if people.social != 0.0:
        friends_share(
            u, people.indptr, people.indices, people.influence, people.recent,
            scratch.friends, scratch.mark, scratch.version,
        )  # fmt: skip
    topics = people.topics
    length = 0
    for j in range(slate.size):
        item = slate[j]
        if item < 0:
            break
        length += 1
        base = np.float64(people.quality_weight[u]) * np.float64(people.quality[item])
        if people.idiosyncrasy != 0.0:
            base += people.idiosyncrasy * normal(people.idiosyncrasy_key, u, item)
        if people.social != 0.0 and scratch.version[item] == u + 1:
            base += people.social * scratch.friends[item]
        if people.fatigue_rate != 0.0:
            base -= people.fatigue_rate * _dot(people.fatigue[u], topics[item])
        for k in range(people.n_tastes[u]):
            scratch.values[k, j] = people.match * _dot(people.tastes[u, k], topics[item]) + base
    return length


@njit(cache=True)
def _reaches(attention, power, length, reaches):
    """Fill P(rank is examined) for the first `length` ranks, and 0 after the last."""
    for j in range(length):
        reaches[j] = reach(attention, power, j + 1)
    reaches[length] = 0.0


@njit(cache=True)
def _expected(values, length, outside, reaches, surplus):
    """Return the mean over the cascade depth r of Σo/(1+Σo) on the first r ranks, or of log(1+Σo)."""
    odds = 0.0
    total = 0.0
    for j in range(length):
        odds += math.exp(min(values[j] - outside, MAX_LOG_ODDS))
        worth = math.log1p(odds) if surplus else odds / (1.0 + odds)
        total += (reaches[j] - reaches[j + 1]) * worth
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


@njit(cache=True)
def _visits(people, scratch, round, users, slates, keys):
    count, kinds = users.size, people.shares.shape[1]
    topics = people.topics
    most = people.appetite.max()
    intents = np.zeros(count, np.int32)
    depth = np.zeros(count, np.int32)
    taken = np.full((count, most), -1, np.int32)
    ranks = np.zeros((count, most), np.int16)
    surplus = np.zeros(count)
    surplus_start = np.zeros(count)
    hit = np.full((count, kinds), np.nan)
    best = np.zeros(most)
    for b in range(count):
        u = users[b]
        z = draw_taste(people.shares[u], people.n_tastes[u], uniform(keys[0], round, u, 0))
        intents[b] = z
        length = _value_slate(people, scratch, u, slates[b])
        outside, reaches = np.float64(people.outside[u]), scratch.reaches
        _reaches(people.attention[u], people.power, length, reaches)
        for k in range(people.n_tastes[u]):
            hit[b, k] = _expected(scratch.values[k], length, outside, reaches, False)
        reached = uniform(keys[1], round, u, 0)
        while depth[b] < length and reached < reaches[depth[b]]:
            depth[b] += 1
        bar = outside + gumbel(keys[3], round, u, 0)
        appetite = people.appetite[u]
        found = 0
        for j in range(depth[b]):
            worth = scratch.values[z, j] + gumbel(keys[2], round, u, j) - bar
            if worth <= 0.0 or (found == appetite and worth <= best[found - 1]):
                continue
            place = min(found, appetite - 1)
            while place > 0 and best[place - 1] < worth:
                best[place] = best[place - 1]
                taken[b, place] = taken[b, place - 1]
                ranks[b, place] = ranks[b, place - 1]
                place -= 1
            best[place] = worth
            taken[b, place] = slates[b, j]
            ranks[b, place] = j + 1
            found = min(found + 1, appetite)
        for m in range(found):
            item = topics[taken[b, m]]
            moved = _dot(people.tastes_start[u, z], item) - _dot(people.tastes[u, z], item)
            surplus[b] += best[m]
            surplus_start[b] += best[m] + people.match * moved
    return intents, depth, taken, ranks, surplus, surplus_start, hit


@njit(cache=True)
def _slate_values(people, scratch, users, slates, surplus):
    out = np.zeros(users.size)
    for b in range(users.size):
        u = users[b]
        length = _value_slate(people, scratch, u, slates[b])
        outside, reaches = np.float64(people.outside[u]), scratch.reaches
        _reaches(people.attention[u], people.power, length, reaches)
        for k in range(people.n_tastes[u]):
            value = _expected(scratch.values[k], length, outside, reaches, surplus)
            out[b] += np.float64(people.shares[u, k]) * value
    return out


def visit(
    world: World, round: int, users: NDArray[np.int32], slates: NDArray[np.int32], keys: ChoiceKeys
) -> Choices:
    """Return the choices of users (B,) who each visit one slate (B, n; −1 pads the end)."""
    order = np.array([keys.intent, keys.depth, keys.noise, keys.outside], np.uint64)
    scratch = _scratch(world, slates.shape[1])
    return Choices(*_visits(_people(world), scratch, round % 2**32, users, slates, order))


def slate_value(
    world: World, users: NDArray[np.int32], slates: NDArray[np.int32], objective: Objective = "surplus"
) -> NDArray[np.float64]:
    """Return (B,) the expected value of slates (B, n) before the intent is known, at the current state.

    "hit": P(at least one item taken). "surplus": E[(v + ε) − (v_0 + ε_0)] of the best examined item where
    it beats the outside option, log(1 + Σo) in closed form; exact for an appetite of one.
    """
    scratch = _scratch(world, slates.shape[1])
    return _slate_values(_people(world), scratch, users, slates, objective == "surplus")
