"""How users change after their visits: taste shares, tastes, fatigue, word of mouth and ties. Every rate may be 0."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...bits import is_set
from ...philox import uniform
from ..world import World
from .people import draw_taste

FATIGUE_BLOCK = 256
"""Visitors whose slates are summed at once."""
FRIENDS_OF_FRIENDS = 10
"""Number of friends-of-friends that a rewiring user compares."""


def drift_shares(
    world: World,
    round: int,
    users: NDArray[np.int32],
    intents: NDArray[np.int32],
    satisfied: NDArray[np.bool_],
    mean_hit: float,
    intent_key: np.uint64,
    neutral_key: np.uint64,
) -> None:
    """Move the shares of the users (B,) who visited, and those of their neutral shadow.

    Satisfied: s ← s + ρ(e_z − s). Unsatisfied: s ← s − c(e_z − s), c = min(ρ₋, s_z/(1 − s_z)). The shadow
    draws its intent with the same uniform number and is satisfied with probability `mean_hit`, the mean
    over the round's visits of P(satisfied), whatever its intent: what would happen if every taste were
    served equally well. Derivation: docs/model.md.
    """
    people, behavior = world.users, world.behavior
    rates = (behavior.reinforcement, behavior.disappointment)
    if rates == (0.0, 0.0):
        return
    _move(people.shares, users, intents, satisfied, *rates)
    shadow, served = _shadow(
        people.neutral, people.n_tastes, users, round % 2**32, mean_hit, intent_key, neutral_key
    )
    _move(people.neutral, users, shadow, served, *rates)


@njit(cache=True)
def _shadow(neutral, n_tastes, users, round, mean_hit, intent_key, neutral_key):
    intents = np.zeros(users.size, np.int32)
    served = np.zeros(users.size, np.bool_)
    for b in range(users.size):
        u = users[b]
        intents[b] = draw_taste(neutral[u], n_tastes[u], uniform(intent_key, round, u, 0))
        served[b] = uniform(neutral_key, round, u, 0) < mean_hit
    return intents, served


@njit(cache=True)
def _move(shares, users, intents, satisfied, reward, penalty):
    for b in range(users.size):
        u, z = users[b], intents[b]
        share = np.float64(shares[u, z])
        step = reward
        if not satisfied[b]:
            # Beyond this bound, the share of the disappointed taste would become negative.
            step = -penalty if share >= 1.0 else -min(penalty, share / (1.0 - share))
        total = 0.0
        for k in range(shares.shape[1]):
            aim = 1.0 if k == z else 0.0
            moved = np.float64(shares[u, k]) + step * (aim - np.float64(shares[u, k]))
            shares[u, k] = max(moved, 0.0)
            total += shares[u, k]
        for k in range(shares.shape[1]):
            shares[u, k] = shares[u, k] / total


def drift_tastes(
    world: World, users: NDArray[np.int32], intents: NDArray[np.int32], taken: NDArray[np.int32]
) -> None:
    """Move the taste that each visitor acted on toward every item taken (B, m): a ← (1 − δ)a + δx, best first."""
    rate = np.float32(world.behavior.movement)
    if rate == 0:
        return
    tastes, topics = world.users.tastes, world.items.topics
    for column in taken.T:
        took = column >= 0
        who, taste = users[took], intents[took]
        tastes[who, taste] += rate * (topics[column[took]] - tastes[who, taste])


def drift_fatigue(
    world: World,
    users: NDArray[np.int32],
    slates: NDArray[np.int32],
    lengths: NDArray[np.int32] | None = None,
) -> None:
    """Let all users recover; visitors add the mean topics of their slate (B, n), filled slots over its length.

    lengths (B,): number of slots of each visitor's slate; n for all if omitted.
    """
    behavior, people = world.behavior, world.users
    if behavior.fatigue == 0:
        return
    people.fatigue *= np.float32(1 - behavior.fatigue_recovery)
    # In blocks: the topics of all slots of all visitors would take far more memory than the rest of a round.
    for start in range(0, users.size, FATIGUE_BLOCK):
        part = slice(start, start + FATIGUE_BLOCK)
        shown = slates[part, :, None] >= 0
        seen = np.where(shown, world.items.topics[slates[part]], np.float32(0)).sum(axis=1)
        slots = np.float32(slates.shape[1]) if lengths is None else lengths[part, None].astype(np.float32)
        people.fatigue[users[part]] += seen / slots


def word_of_mouth(
    world: World, round: int, users: NDArray[np.int32], blocked: NDArray[np.uint8], taken, key: np.uint64
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (users, items): visitors who also take what a friend took in earlier rounds, whatever their taste.

    A friend is drawn in proportion to influence, then one of the friend's recent takes at random (so
    frequently taken items more often); it is taken if live, not in cool-down and not just taken from the slate
    (taken: (B, m)). Time-ordered: nothing from this round is copied. This is the process that social Poisson
    factorization models (Chaney, Blei and Eliassi-Rad, RecSys 2015).
    """
    if world.behavior.word_of_mouth == 0 or world.graph.ties == 0:
        return np.empty(0, np.int32), np.empty(0, np.int32)
    graph = world.graph
    item = _hear(
        round % 2**32, users, world.behavior.word_of_mouth, graph.indptr, graph.indices, graph.influence,
        world.recent, world.items.live(round), blocked, taken, key,
    )  # fmt: skip
    heard = item >= 0
    return users[heard], item[heard]


@njit(cache=True)
def _hear(round, users, rate, indptr, indices, influence, recent, live, blocked, taken, key):
    out = np.full(users.size, -1, np.int32)
    for b in range(users.size):
        u = users[b]
        if uniform(key, round, u, 0) >= rate:
            continue
        total = 0.0
        for tie in range(indptr[u], indptr[u + 1]):
            total += influence[tie]
        aim = uniform(key, round, u, 1) * total
        friend = -1
        for tie in range(indptr[u], indptr[u + 1]):
            friend = indices[tie]
            aim -= influence[tie]
            if aim <= 0.0:
                break
        if friend < 0:
            continue
        known = 0
        for slot in range(recent.shape[1]):
            known += recent[friend, slot] >= 0
        if known == 0:
            continue
        pick = int(uniform(key, round, u, 2) * known)
        item = -1
        for slot in range(recent.shape[1]):
            if recent[friend, slot] >= 0:
                if pick == 0:
                    item = recent[friend, slot]
                    break
                pick -= 1
        if not live[item] or is_set(blocked, u, item):
            continue
        just = False
        for m in range(taken.shape[1]):
            just = just or taken[b, m] == item
        if not just:
            out[b] = item
    return out


def rewire(world: World, round: int, key: np.uint64) -> None:
    """Let some users swap their least similar friend for a more similar friend-of-friend, in place.

    Similarity is the cosine of overall interests Σ_k s_k a_k. Users act in order of id; each looks at
    `FRIENDS_OF_FRIENDS` random friends-of-friends, and the tie keeps its influence.
    """
    rate = world.behavior.rewiring
    if rate == 0 or world.graph.ties == 0:
        return
    interest = world.users.mean_topics()
    interest /= np.linalg.norm(interest, axis=1, keepdims=True)
    _rewire(round % 2**32, rate, world.graph.indptr, world.graph.indices, interest, key)


@njit(cache=True)
def _rewire(round, rate, indptr, indices, interest, key):
    for u in range(interest.shape[0]):
        first, last = indptr[u], indptr[u + 1]
        if first == last or uniform(key, round, u, 0) >= rate:
            continue
        worst, lowest = first, np.inf
        for tie in range(first, last):
            likeness = _dot(interest, u, indices[tie])
            if likeness < lowest:
                worst, lowest = tie, likeness
        chosen, highest = -1, lowest
        for look in range(FRIENDS_OF_FRIENDS):
            via = indices[first + int(uniform(key, round, u, 1 + 2 * look) * (last - first))]
            ties = indptr[via + 1] - indptr[via]
            if ties == 0:
                continue
            other = indices[indptr[via] + int(uniform(key, round, u, 2 + 2 * look) * ties)]
            known = other == u
            for tie in range(first, last):
                known = known or indices[tie] == other
            if known:
                continue
            likeness = _dot(interest, u, other)
            if likeness > highest:
                chosen, highest = other, likeness
        if chosen >= 0:
            indices[worst] = chosen


@njit(cache=True)
def _dot(interest, u, v):
    total = 0.0
    for t in range(interest.shape[1]):
        total += np.float64(interest[u, t]) * np.float64(interest[v, t])
    return total
