"""The benchmark loops in bare numpy, without framework, measures, drift or records: a lower bound for the time.

    python floors.py popularity --users 1000 --items 1000 --rounds 100
    python floors.py mf --users 1000 --items 1000 --rounds 100 --factors 10

A visit is that of echodrift: an intent, a cascade over the slate, and up to two items that beat the
outside option. The MF floor is refitted every round by two sweeps of dense implicit-feedback ALS.
With `--per-round`, the last line has the mean wall and processor seconds of a round, without the first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

TOPICS = 24
SHARES = np.array([0.6, 0.3, 0.1])
MATCH, OUTSIDE, ATTENTION, APPETITE = 6.0, 4.0, 0.85, 2
SWEEPS, CONFIDENCE, REGULARIZATION = 2, 1.0, 1.0


class World:
    """Tastes (users, tastes, topics), item mixtures (items, topics) and qualities (items,)."""

    def __init__(self, users: int, items: int, rng: np.random.Generator) -> None:
        weights = 1.0 / np.arange(1, TOPICS + 1)
        topics = rng.choice(TOPICS, size=items, p=weights / weights.sum())
        self.mixtures = (0.2 * rng.dirichlet(np.full(TOPICS, 0.05), size=items)).astype(np.float32)
        self.mixtures[np.arange(items), topics] += 0.8
        self.tastes = rng.dirichlet(np.full(TOPICS, 0.1), size=(users, SHARES.size)).astype(np.float32)
        self.quality = rng.standard_normal(items).astype(np.float32)


def visit(world: World, slates: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Let every user visit one slate (users, n); return who took what."""
    users, n = slates.shape
    intents = np.searchsorted(SHARES.cumsum()[:-1], rng.random(users))
    tastes = world.tastes[np.arange(users), intents]
    values = MATCH * np.einsum("ut,unt->un", tastes, world.mixtures[slates]) + world.quality[slates]
    values += rng.gumbel(size=(users, n)).astype(np.float32)
    reached = 1 + np.floor(np.log(rng.random(users)) / np.log(ATTENTION))
    values[np.arange(n) >= reached[:, None]] = -np.inf
    best = np.argpartition(values, -APPETITE, axis=1)[:, -APPETITE:]
    wins = np.take_along_axis(values, best, 1) > OUTSIDE + rng.gumbel(size=(users, 1))
    who, which = np.nonzero(wins)
    return who, slates[who, best[who, which]]


def top(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the n best columns of every row, best first."""
    best = np.argpartition(scores, -n, axis=-1)[..., -n:]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, -1), axis=-1), -1)


def popularity(world: World, rounds: int, slate: int, rng: np.random.Generator) -> Iterator[None]:
    """Show everyone the items that were taken most."""
    counts = np.zeros(len(world.quality))
    for _ in range(rounds):
        best = top(counts + 1e-6 * rng.random(counts.size), slate)
        _, items = visit(world, np.broadcast_to(best, (len(world.tastes), slate)), rng)
        counts += np.bincount(items, minlength=counts.size)
        yield


def solve(counts: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the factors of the rows of `counts` given those of its columns: half a sweep of ALS."""
    size, dim = other.shape
    squares = np.einsum("if,ig->ifg", other, other).reshape(size, dim * dim)
    grams = (CONFIDENCE * (counts @ squares)).reshape(-1, dim, dim) + other.T @ other
    grams += REGULARIZATION * np.eye(dim, dtype=np.float32)
    right = (np.where(counts > 0, 1 + CONFIDENCE * counts, 0).astype(np.float32)) @ other
    return np.linalg.solve(grams, right[..., None])[..., 0]


def factorization(
    world: World, rounds: int, slate: int, factors: int, rng: np.random.Generator
) -> Iterator[None]:
    """Refit dense ALS on all counts every round and show everyone their best items."""
    users, items = len(world.tastes), len(world.quality)
    counts = np.zeros((users, items), dtype=np.float32)
    user_factors = rng.standard_normal((users, factors)).astype(np.float32) * 0.1
    item_factors = rng.standard_normal((items, factors)).astype(np.float32) * 0.1
    for _ in range(rounds):
        who, what = visit(world, top(user_factors @ item_factors.T, slate), rng)
        np.add.at(counts, (who, what), 1)
        for _ in range(SWEEPS):
            user_factors = solve(counts, item_factors)
            item_factors = solve(counts.T, user_factors)
        yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", choices=["popularity", "mf"])
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--slate", type=int, default=10)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--per-round", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    world = World(options.users, options.items, rng)
    rounds = options.rounds + options.per_round
    if options.policy == "popularity":
        loop = popularity(world, rounds, options.slate, rng)
    else:
        loop = factorization(world, rounds, options.slate, options.factors, rng)
    if options.per_round:
        next(loop)
    wall, processor = time.perf_counter(), time.process_time()
    for _ in loop:
        pass
    print((time.perf_counter() - wall) / options.rounds, (time.process_time() - processor) / options.rounds)


if __name__ == "__main__":
    main()
