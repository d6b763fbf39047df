"""Organic visits: what people come across without a recommender, by searching for what they want and by word on the street.

A visit with intent z shows n live items, drawn without replacement with probability ∝ (1 + times taken)^b · exp(κ·v_uzi).
By the Gumbel-top-k trick these are the n largest of b·log(1 + times taken) + κ·v_uzi + g_i with independent standard
Gumbel noise g (Kool, van Hoof & Welling, ICML 2019). The noise is keyed by user and item, so that two arms draw the same
slate where their weights are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...bits import is_set
from ...philox import fill_words, normal, uniform
from ..context import friends_share
from ..world import World
from .people import dot, people_of

LARGEST_NORMAL = 6.8
"""Bound of |normal draw| (`philox.normal` has 33 bits)."""


@dataclass(frozen=True)
class OrganicKeys:
    """Random-stream keys of the draws of an organic slate (`Streams.key`)."""

    items: np.uint64
    order: np.uint64
    known: np.uint64

    @classmethod
    def from_streams(cls, streams, prefix: str = "") -> OrganicKeys:
        """Return the keys from a run's streams."""
        return cls(*(streams.key(f"{prefix}organic.{name}") for name in ("items", "order", "known")))


def organic_slates(
    world: World,
    round: int,
    users: NDArray[np.int32],
    intents: NDArray[np.int32],
    n: int,
    blocked: NDArray[np.uint8],
    keys: OrganicKeys,
) -> NDArray[np.int32]:
    """Return slates (B, n): distinct live items, found by users (B,) with these intents (B,), in random order.

    blocked: pairs in their cool-down (see `echodrift.bits`). −1 pads a slate where too few items are free. A catalog of
    more than `behavior.consideration` live items is not looked through as a whole: see `consideration_shares`.
    """
    behavior = world.behavior
    live = np.flatnonzero(world.items.live(round)).astype(np.int32)
    log_weights = behavior.organic_popularity * np.log1p(world.taken[live])
    shares = consideration_shares(log_weights, behavior.consideration)
    considered = live.size > behavior.consideration
    # By item, since the noise of all items is drawn at once: an item that is not live is never considered.
    size = int(live[-1]) + 1 if live.size else 0
    whole, inside = np.zeros(size), np.zeros(size)
    whole[live], inside[live] = log_weights, log_weights - np.log(shares)
    limits = np.zeros((4, (size + 3) // 4), np.uint32)
    if considered:
        limits[live & 3, live >> 2] = np.minimum(shares * 2.0**32, 2.0**32 - 1)
    return _search(
        people_of(world), world.kept_idiosyncrasies, behavior.search, round % 2**32, users, intents, n, live, whole, inside, limits, considered,
        blocked, np.array([keys.items, keys.order, keys.known], np.uint64),
    )  # fmt: skip


def consideration_shares(log_weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return (items,) the probability π_i that an item is among those which a visit considers.

    π_i = 1 − exp(−τ w_i), with τ such that Σπ_i = size: independent draws, items that are often taken first. Inside the
    set, weights are divided by π_i, so that a set of the whole catalog (π = 1) is the exact draw. All are 1 if there are
    at most `size` items.
    """
    if log_weights.size <= size:
        return np.ones(log_weights.size)
    from scipy.optimize import brentq

    weights = log_weights - log_weights.max()

    def excess(log_rate: float) -> float:
        return float(-np.expm1(-np.exp(log_rate + weights)).sum()) - size

    # Σπ_i is between size·(1 − 1/e) and the number of items at these ends.
    high = float(-weights.min()) + 40.0
    return -np.expm1(-np.exp(brentq(excess, -40.0, high) + weights))


@njit(cache=True)
def _search(
    people, fixed, kappa, round, users, intents, n, live, whole, inside, limits, considered, blocked, keys
):  # fmt: skip
    out = np.full((users.size, n), -1, np.int32)
    best = np.empty(n)
    blocks = limits.shape[1]
    words = np.empty((4, blocks), np.uint32)
    known = np.empty(4 * blocks, np.int32)
    odds_whole, odds_inside = np.exp(whole), np.exp(inside)
    best_quality = np.float64(np.abs(people.quality[: whole.size]).max()) if live.size else 0.0
    social = people.social != 0.0 and kappa != 0.0
    size = people.topics.shape[0] if social else 1
    friends, mark, version = np.zeros(size), np.zeros(size, np.int64), np.zeros(size, np.int64)
    for b in range(users.size):
        u, z = users[b], intents[b]
        if social:
            friends_share(
                u, people.indptr, people.indices, people.influence, people.recent, friends, mark, version
            )
        found, count = 0, 0
        if considered:
            fill_words(keys[2], round, u, 4 * blocks, words[0], words[1], words[2], words[3])
            for lane in range(4):
                for block in range(blocks):
                    known[count] = 4 * block + lane
                    count += words[lane, block] < limits[lane, block]
        fill_words(keys[0], round, u, 4 * blocks, words[0], words[1], words[2], words[3])
        if considered:
            found = _best(
                people, fixed, kappa, u, z, known[:count], inside, odds_inside, best_quality, words, blocked, friends, version,
                out[b], best,
            )  # fmt: skip
        if found < n:
            # The whole catalog: it is small, or too little of what comes to mind is free.
            found = _best(
                people, fixed, kappa, u, z, live, whole, odds_whole, best_quality, words, blocked, friends, version,
                out[b], best,
            )  # fmt: skip
        for j in range(found - 1, 0, -1):
            other = int(uniform(keys[1], round, u, j) * (j + 1))
            out[b, j], out[b, other] = out[b, other], out[b, j]
    return out


# In float32, which is precise enough to rank items, and in an order that the compiler chooses once per machine type.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _product(a, b):
    total = np.float32(0.0)
    for t in range(a.size):
        total += a[t] * b[t]
    return np.float64(total)


@njit(cache=True)
def _best(
    people, fixed, kappa, u, z, candidates, weights, odds, best_quality, words, blocked, friends, version, slate, best
):  # fmt: skip
    """Fill `slate` with the candidates of the largest scores, and `best` with the scores; return how many there are."""
    found, n = 0, slate.size
    taste, topics = people.tastes[u, z], people.topics
    quality = kappa * np.float64(people.quality_weight[u])
    social = kappa * people.social
    # Bounds of the terms that are left out until an item has a chance: ⟨a, x⟩ is at most the largest entry of a.
    largest = kappa * people.idiosyncrasy * LARGEST_NORMAL
    is_kept = fixed.size > 0 and kappa != 0.0
    still = 0.0 if is_kept else largest
    match = kappa * people.match * np.float64(taste.max()) + social + still
    any_quality = match + abs(quality) * best_quality + largest - still
    last, factor = -np.inf, np.inf
    for item in candidates:
        draw = (np.float64(words[item & 3, item >> 2]) + 0.5) * 2.0**-32
        # A Gumbel draw exceeds d if −log(draw) < e^−d. As −log(draw) ≥ 1 − draw, most items are told off by a product.
        if 1.0 - draw > factor * odds[item]:
            continue
        score = weights[item] + quality * np.float64(people.quality[item])
        if is_kept:
            score += kappa * np.float64(fixed[u, item])
        if 1.0 - draw > math.exp(score + match - last) or is_set(blocked, u, item):
            continue
        if kappa != 0.0:
            score += kappa * people.match * _product(taste, topics[item])
            if social != 0.0 and version[item] == u + 1:
                score += social * friends[item]
            if people.fatigue_rate != 0.0:
                score -= kappa * people.fatigue_rate * dot(people.fatigue[u], topics[item])
            if 1.0 - draw > math.exp(score + still - last):
                continue
            if still != 0.0:
                score += kappa * people.idiosyncrasy * normal(people.idiosyncrasy_key, u, item)
        score -= math.log(-math.log(draw))
        if score <= last:
            continue
        at = min(found, n - 1)
        while at > 0 and best[at - 1] < score:
            best[at], slate[at] = best[at - 1], slate[at - 1]
            at -= 1
        best[at], slate[at] = score, item
        found = min(found + 1, n)
        if found == n:
            last = best[n - 1]
            factor = math.exp(any_quality - last)
    return found
