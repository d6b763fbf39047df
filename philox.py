"""Counter-based random numbers: a draw is a function of (key, round, user, slot) and of nothing else.

Philox-4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011). The key belongs to (seed, decision name); the counter is (slot // 4, user, round, 0), and
slot % 4 picks one of the four 32-bit words. There is no state and no call order, so arms, slate sizes, other
users, workers and resuming a run cannot change a draw. About 15 ns per draw.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(cache=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four uint32 words of Philox-4x32-10 for a 128-bit counter and a 64-bit key."""
    c0, c1, c2, c3 = np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)
    k0, k1 = np.uint32(k0), np.uint32(k1)
    for _ in range(10):
        p0 = _M0 * np.uint64(c0)
        p1 = _M1 * np.uint64(c2)
        c0, c1, c2, c3 = (
            np.uint32(p1 >> _SHIFT) ^ c1 ^ k0,
            np.uint32(p1 & _LOW),
            np.uint32(p0 >> _SHIFT) ^ c3 ^ k1,
            np.uint32(p0 & _LOW),
        )
        k0 = np.uint32(k0 + _W0)
        k1 = np.uint32(k1 + _W1)
    return c0, c1, c2, c3


@njit(cache=True)
def uniform(key, round, user, slot):
    """Return one float64 in the open interval (0, 1)."""
    words = philox(slot >> 2, user, round, 0, key & _LOW, key >> _SHIFT)
    lane = slot & 3
    word = words[0]
    if lane == 1:
        word = words[1]
    elif lane == 2:
        word = words[2]
    elif lane == 3:
        word = words[3]
    return (np.float64(word) + 0.5) * 2.0**-32


@njit(cache=True)
def gumbel(key, round, user, slot):
    """Return one standard Gumbel draw."""
    return -math.log(-math.log(uniform(key, round, user, slot)))


@njit(cache=True)
def normal(key, user, item):
    """Return one standard normal draw for a (user, item) pair (Box-Muller; four items share a counter)."""
    words = philox(item >> 2, user, 0, 1, key & _LOW, key >> _SHIFT)
    first, second = words[0], words[1]
    if item & 2:
        first, second = words[2], words[3]
    radius = math.sqrt(-2.0 * math.log((np.float64(first) + 0.5) * 2.0**-32))
    angle = 2.0 * math.pi * (np.float64(second) + 0.5) * 2.0**-32
    return radius * (math.sin(angle) if item & 1 else math.cos(angle))


@njit(cache=True)
def uniforms(key, round, users, slots):
    """Return draws (len(users), slots): row b belongs to user users[b], column s to slot s."""
    out = np.empty((users.size, slots))
    for b in range(users.size):
        for s in range(slots):
            out[b, s] = uniform(key, round, users[b], s)
    return out


@njit(cache=True)
def normals(key, users, n_items):
    """Return `normal` of each of the users and the items 0…n_items−1, float32 (len(users), n_items)."""
    out = np.empty((users.size, n_items), np.float32)
    for b in range(users.size):
        for block in range((n_items + 3) >> 2):
            words = philox(block, users[b], 0, 1, key & _LOW, key >> _SHIFT)
            for pair in range(2):
                item = 4 * block + 2 * pair
                if item >= n_items:
                    break
                first, second = words[0], words[1]
                if pair == 1:
                    first, second = words[2], words[3]
                radius = math.sqrt(-2.0 * math.log((np.float64(first) + 0.5) * 2.0**-32))
                angle = 2.0 * math.pi * (np.float64(second) + 0.5) * 2.0**-32
                out[b, item] = radius * math.cos(angle)
                if item + 1 < n_items:
                    out[b, item + 1] = radius * math.sin(angle)
    return out


@njit(cache=True)
def uniform_of_pairs(key, first, second):
    """Return one uniform draw (n,) for each pair of ids first[j], second[j]."""
    out = np.empty(first.size)
    for j in range(first.size):
        out[j] = uniform(key, 0, first[j], second[j])
    return out


@njit(cache=True)
def fill_words(key, round, user, n, x0, x1, x2, x3):
    """Fill x0…x3 (⌈n/4⌉,) uint32 with the words of the slots 0…n−1: slot s is word s // 4 of array s % 4.

    All blocks go through each of the ten rounds together, so that the compiler can vectorize them (about 0.6 ns a word).
    """
    k0, k1 = np.uint32(key & _LOW), np.uint32(key >> _SHIFT)
    blocks = (n + 3) >> 2
    for b in range(blocks):
        x0[b], x1[b], x2[b], x3[b] = np.uint32(b), np.uint32(user), np.uint32(round), np.uint32(0)
    for _ in range(10):
        for b in range(blocks):
            p0 = _M0 * np.uint64(x0[b])
            p1 = _M1 * np.uint64(x2[b])
            x0[b] = np.uint32(p1 >> _SHIFT) ^ x1[b] ^ k0
            x1[b] = np.uint32(p1 & _LOW)
            x2[b] = np.uint32(p0 >> _SHIFT) ^ x3[b] ^ k1
            x3[b] = np.uint32(p0 & _LOW)
        k0 = np.uint32(k0 + _W0)
        k1 = np.uint32(k1 + _W1)
