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
from .people import dot, draw_taste, people_of

LARGE = 50.0
"""Where v − v_0 is larger, the odds of a slate are scaled down, so that they stay finite."""

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
    """(B, K) P(at least one taken | intent k, this slate); NaN for unused tastes, and for other intents than that of a
    visit whose slate depends on it (an organic visit of people who search)."""


class _Scratch(NamedTuple):
    """Buffers for one user at a time."""

    values: np.ndarray
    reaches: np.ndarray
    friends: np.ndarray
    mark: np.ndarray
    version: np.ndarray


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
            base -= people.fatigue_rate * dot(people.fatigue[u], topics[item])
        for k in range(people.n_tastes[u]):
            scratch.values[k, j] = people.match * dot(people.tastes[u, k], topics[item]) + base
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
    shift, one, odds, total = 0.0, 1.0, 0.0, 0.0
    for j in range(length):
        above = values[j] - outside - shift - LARGE
        if above > 0.0:
            shift += above
            one = math.exp(-shift)
            odds *= math.exp(-above)
        odds += math.exp(values[j] - outside - shift)
        if not surplus:
            worth = odds / (one + odds)
        elif shift == 0.0:
            worth = math.log1p(odds)
        else:
            worth = shift + math.log(one + odds)
        total += (reaches[j] - reaches[j + 1]) * worth
    return total


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
            moved = dot(people.tastes_start[u, z], item) - dot(people.tastes[u, z], item)
            surplus[b] += best[m]
            surplus_start[b] += best[m] + people.match * moved
    return intents, depth, taken, ranks, surplus, surplus_start, hit


@njit(cache=True)
def _taste_values(people, scratch, users, slates, surplus):
    out = np.full((users.size, people.shares.shape[1]), np.nan)
    for b in range(users.size):
        u = users[b]
        length = _value_slate(people, scratch, u, slates[b])
        outside, reaches = np.float64(people.outside[u]), scratch.reaches
        _reaches(people.attention[u], people.power, length, reaches)
        for k in range(people.n_tastes[u]):
            out[b, k] = _expected(scratch.values[k], length, outside, reaches, surplus)
    return out


def visit(
    world: World, round: int, users: NDArray[np.int32], slates: NDArray[np.int32], keys: ChoiceKeys
) -> Choices:
    """Return the choices of users (B,) who each visit one slate (B, n; −1 pads the end)."""
    order = np.array([keys.intent, keys.depth, keys.noise, keys.outside], np.uint64)
    scratch = _scratch(world, slates.shape[1])
    return Choices(*_visits(people_of(world), scratch, round % 2**32, users, slates, order))


def slate_value(
    world: World, users: NDArray[np.int32], slates: NDArray[np.int32], objective: Objective = "surplus"
) -> NDArray[np.float64]:
    """Return (B,) the expected value of slates (B, n) before the intent is known, at the current state.

    "hit": P(at least one item taken). "surplus": E[(v + ε) − (v_0 + ε_0)] of the best examined item where
    it beats the outside option, log(1 + Σo) in closed form; exact for an appetite of one.
    """
    values = np.nan_to_num(taste_values(world, users, slates, objective))
    total = np.zeros(users.size)
    for k in range(values.shape[1]):
        total += world.users.shares[users, k].astype(np.float64) * values[:, k]
    return total


def taste_values(
    world: World, users: NDArray[np.int32], slates: NDArray[np.int32], objective: Objective = "surplus"
) -> NDArray[np.float64]:
    """Return (B, K) the same for every intent; NaN for unused tastes."""
    scratch = _scratch(world, slates.shape[1])
    return _taste_values(people_of(world), scratch, users, slates, objective == "surplus")
