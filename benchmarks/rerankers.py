"""Compare the rerankers with plain numpy: seconds, and nanoseconds per user, candidate and slot, in one thread.

The case is 100,000 users × 100 candidates × 24 topics and slates of 10. The reference is the same method in
whole-array numpy, in blocks of users to limit memory; the last column is the share of slates that differ from it.
Targets: calibrated greedy under 4 s, MMR and DPP under 6 s. Times are processor times, histories and tags included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from echodrift.policies.base import Ranking
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.registry import build_reranker
from echodrift.policies.rerankers.consumption_values import gain_table
from echodrift.policies.rerankers.proportional import TIE_TOLERANCE
from threadpoolctl import threadpool_limits

BLOCK = 2000
"""Users in a block of the reference."""
Array = np.ndarray


def synthetic(users: int, items: int, topics: int, depth: int) -> tuple[Ranking, Observation]:
    """Return candidates and an observation: tags of one or two topics, 20 entries of history per user."""
    rng = np.random.default_rng(0)
    tags = np.eye(topics, dtype=np.float32)[rng.integers(0, topics, items)]
    mixed = rng.random(items) < 0.3
    tags[mixed] = (
        0.5 * tags[mixed] + 0.5 * np.eye(topics, dtype=np.float32)[rng.integers(0, topics, mixed.sum())]
    )
    user = np.repeat(np.arange(users, dtype=np.int32), 20)
    item = (items * rng.random(user.size) ** 2).astype(np.int32)
    log = Interactions(
        user, item, np.zeros(user.size, np.int32), np.zeros(user.size, np.int16), np.zeros(user.size, np.int8)
    )
    seen = Observation(
        1, users, items, log, tags, np.ones(items, bool), Blocked(1, items),
        Friends(np.zeros(users + 1, np.int64), np.empty(0, np.int32)),
    )  # fmt: skip
    first = rng.integers(0, items, (users, 1))
    candidates = (first + np.arange(depth) * 37) % items  # distinct if 37 does not divide the number of items
    scores = -np.sort(-rng.normal(size=(users, depth)).astype(np.float32), axis=1)
    return Ranking(np.arange(users, dtype=np.int32), candidates.astype(np.int32), scores), seen


def blocks(ranking: Ranking, seen: Observation) -> Iterator[tuple[slice, Array, Array, Array]]:
    """Yield rows, scaled scores (B, C), tags (B, C, T) and profiles (B, T)."""
    profiles = topic_profiles(seen)
    for start in range(0, ranking.users.size, BLOCK):
        rows = slice(start, start + BLOCK)
        scores = ranking.scores[rows].astype(np.float64)
        low = scores.min(axis=1, keepdims=True)
        scores = (scores - low) / (scores.max(axis=1, keepdims=True) - low)
        yield rows, scores, seen.tags[ranking.items[rows]].astype(np.float64), profiles[ranking.users[rows]]


def greedy(
    scores: Array, n: int, value: Callable[[], Array], chosen: Callable[[Array, Array], None]
) -> Array:
    """Return (B, n) columns: in each step the one with the largest `value`, then call `chosen(rows, columns)`."""
    everyone = np.arange(len(scores))
    free = np.ones(scores.shape, bool)
    picks = np.empty((len(scores), n), np.int64)
    for r in range(n):
        picks[:, r] = np.where(free, value(), -np.inf).argmax(axis=1)
        free[everyone, picks[:, r]] = False
        chosen(everyone, picks[:, r])
    return picks


def calibrated(scores: Array, tags: Array, p: Array, n: int) -> Array:
    """Greedy calibration (Steck 2018), weight 0.5, alpha 0.01."""
    mass = np.zeros(p.shape)
    weight = np.where(p > 0, p, 0)

    def value() -> Array:
        after = np.log(0.99 / n * (mass[:, None] + tags) + 0.01 * np.maximum(p, 1e-300)[:, None])
        return 0.5 * scores + 0.5 * np.einsum("bct,bt->bc", after, weight)

    def add(rows: Array, columns: Array) -> None:
        mass[:] += tags[rows, columns]

    return greedy(scores, n, value, add)


def unit(tags: Array) -> Array:
    """Return rows of length one."""
    return tags / np.linalg.norm(tags, axis=2, keepdims=True)


def mmr(scores: Array, tags: Array, p: Array, n: int) -> Array:
    """Maximal marginal relevance, weight 0.3."""
    vectors, nearest = unit(tags), np.zeros(scores.shape)

    def add(rows: Array, columns: Array) -> None:
        np.maximum(nearest, np.einsum("bct,bt->bc", vectors, vectors[rows, columns]), out=nearest)

    return greedy(scores, n, lambda: 0.7 * scores - 0.3 * nearest, add)


def dpp(scores: Array, tags: Array, p: Array, n: int) -> Array:
    """Incremental Cholesky, weight 0.3, similarity_share 0.9."""
    vectors, left = unit(tags), np.ones(scores.shape)
    factors = np.zeros((*scores.shape, 0))

    def add(rows: Array, columns: Array) -> None:
        nonlocal factors
        row = 0.9 * np.einsum("bct,bt->bc", vectors, vectors[rows, columns])
        row -= np.einsum("bck,bk->bc", factors, factors[rows, columns])
        row /= np.sqrt(left[rows, columns])[:, None]
        factors = np.concatenate([factors, row[:, :, None]], axis=2)
        np.maximum(left - row**2, 1e-12, out=left)

    return greedy(scores, n, lambda: 0.7 * scores + 0.3 * np.log(left), add)


def xquad(scores: Array, tags: Array, p: Array, n: int) -> Array:
    """Coverage, weight 0.5, success 0.5."""
    wanted = p.copy()

    def add(rows: Array, columns: Array) -> None:
        wanted[:] *= 1 - 0.5 * tags[rows, columns]

    return greedy(scores, n, lambda: 0.5 * scores + 0.25 * np.einsum("bct,bt->bc", tags, wanted), add)


def proportional(scores: Array, tags: Array, p: Array, n: int) -> Array:
    """PM-2 with focus 1: Sainte-Laguë; here no topic runs out of candidates."""
    relevance, seats = 0.01 + 0.99 * scores, np.zeros(p.shape)
    left = (tags > 0).sum(axis=1)

    def value() -> Array:
        quotient = np.where(left > 0, p / (2 * seats + 1), -1)
        # Among ties the first, independent of rounding.
        turn = (quotient >= quotient.max(axis=1, keepdims=True) * (1 - TIE_TOLERANCE)).argmax(axis=1)
        at = np.arange(len(turn))
        return relevance * tags[at, :, turn] * quotient[at, turn][:, None]

    def add(rows: Array, columns: Array) -> None:
        seats[:] += tags[rows, columns]
        left[:] -= tags[rows, columns] > 0

    return greedy(scores, n, value, add)


def consumption(scores: Array, tags: Array, p: Array, n: int) -> Array:
    """Exponential values, one item consumed, weight 0.5."""
    table = np.concatenate([[0], gain_table("exponential", 1, n, 1)[0].cumsum()])
    slots = np.zeros(p.shape)
    places = np.arange(n + 1)

    def value() -> Array:
        more = np.interp(slots[:, None] + tags, places, table) - np.interp(slots, places, table)[:, None]
        return 0.5 * scores / n + 0.5 * np.einsum("bct,bt->bc", more, p) / table[-1]

    def add(rows: Array, columns: Array) -> None:
        slots[:] += tags[rows, columns]

    return greedy(scores, n, value, add)


METHODS = {
    "calibrated": ({}, calibrated),
    "mmr": ({}, mmr),
    "dpp": ({}, dpp),
    "xquad": ({}, xquad),
    "proportional": ({}, proportional),
    "consumption": ({"weight": 0.5}, consumption),
    "popularity_discount": ({}, None),
    "niche_floor": ({}, None),
    "exposure_fair": ({}, None),
    "explore": ({}, None),
    "explore, thompson": ({"strategy": "thompson"}, None),
    "calibrated, flow": ({"solver": "flow"}, None),
    "mmr, by takers": ({"similarity": "taken"}, None),
}
"""Label → fields and reference; the kind is the label up to the comma."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--topics", type=int, default=24)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--slots", type=int, default=10)
    parser.add_argument("--reference-users", type=int, default=4000, help="users for the numpy reference")
    parser.add_argument("--only", default="", help="labels that start with this text")
    options = parser.parse_args()
    ranking, seen = synthetic(options.users, options.items, options.topics, options.candidates)
    some = min(options.reference_users, options.users)
    small = Ranking(ranking.users[:some], ranking.items[:some], ranking.scores[:some])
    print(
        f"{options.users:,} users × {options.candidates} candidates × {options.topics} topics → {options.slots} slots"
    )
    print(f"{'':22s}{'s':>8s}{'ns/u·c·s':>10s}{'numpy':>10s}{'ratio':>8s}{'differ':>8s}")
    with threadpool_limits(1):
        for label, (fields, reference) in METHODS.items():
            if not label.startswith(options.only):
                continue
            reranker = build_reranker({"kind": label.split(",")[0], **fields})
            warm = Ranking(ranking.users[:10], ranking.items[:10], ranking.scores[:10])
            reranker.rerank(warm, seen, options.slots, np.random.default_rng(0))
            count = 100 if "flow" in label else 1
            part = Ranking(*(np.ascontiguousarray(array[::count]) for array in vars(ranking).values()))
            start = time.process_time()
            got = reranker.rerank(part, seen, options.slots, np.random.default_rng(0))
            seconds = time.process_time() - start
            ours = seconds / part.items.size / options.slots * 1e9
            line = f"{label:22s}{seconds * count:8.2f}{ours:10.1f}"
            if reference:
                start = time.process_time()
                picks = [reference(*rest, options.slots) for _, *rest in blocks(small, seen)]
                plain = (time.process_time() - start) / small.items.size / options.slots * 1e9
                items = np.take_along_axis(small.items, np.concatenate(picks), axis=1)
                differ = (items != got.items[:some]).any(axis=1).mean()
                line += f"{plain:10.1f}{plain / ours:8.1f}{differ:8.2%}"
            print(line + ("   (1 % of the users, scaled up)" if count > 1 else ""), flush=True)


if __name__ == "__main__":
    main()
