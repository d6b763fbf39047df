"""Compare ranking (score, mask consumed items, keep the top 20) with the bare matrix product.

20,000 users × 20,000 items × 32 dimensions, float32, one thread. Prints seconds and their ratio;
the target is at most 3. Both sides use the same blocks, so the ratio shows the cost of selection.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from echodrift.policies.interactions import Blocked
from echodrift.policies.topk import ITEM_BLOCK, USER_BLOCK, top_k_factors
from threadpoolctl import threadpool_limits

CONSUMED = 100
"""Number of items that each user has already taken."""


def bare_product(of_users: np.ndarray, of_items: np.ndarray) -> float:
    """Return the seconds of U @ V.T alone, block by block, discarding the results."""
    buffer = np.empty((USER_BLOCK, ITEM_BLOCK), np.float32)
    start = time.perf_counter()
    for row in range(0, of_users.shape[0], USER_BLOCK):
        left = of_users[row : row + USER_BLOCK]
        for column in range(0, of_items.shape[0], ITEM_BLOCK):
            right = of_items[column : column + ITEM_BLOCK]
            np.matmul(left, right.T, out=buffer[: left.shape[0], : right.shape[0]])
    return time.perf_counter() - start


def measure(users: int, items: int, dim: int, n: int, repeats: int = 3) -> dict[str, float]:
    """Return the best of `repeats` for both sides, in seconds, and their ratio."""
    rng = np.random.default_rng(0)
    of_users = rng.standard_normal((users, dim), np.float32)
    of_items = rng.standard_normal((items, dim), np.float32)
    blocked = Blocked(users, items)
    who = np.repeat(np.arange(users, dtype=np.int32), CONSUMED)
    # People take what they like, so the mask must cover items that would otherwise be ranked high.
    liked, _ = top_k_factors(
        of_users, of_items, np.arange(users, dtype=np.int32), CONSUMED // 2, np.ones(items, bool), blocked
    )
    taken = np.concatenate(
        [liked, rng.integers(0, items, (users, CONSUMED - liked.shape[1]), np.int32)], axis=1
    )
    blocked.set(who, taken.ravel())
    live = np.ones(items, bool)
    everyone = np.arange(users, dtype=np.int32)
    bare, ranked = [], []
    for _ in range(repeats):
        bare.append(bare_product(of_users, of_items))
        start = time.perf_counter()
        top_k_factors(of_users, of_items, everyone, n, live, blocked)
        ranked.append(time.perf_counter() - start)
    return {"product": min(bare), "ranking": min(ranked), "ratio": min(ranked) / min(bare)}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--top", type=int, default=20)
    options = parser.parse_args()
    with threadpool_limits(1):
        result = measure(options.users, options.items, options.dim, options.top)
    print(
        f"ranking {options.users:,} users x {options.items:,} items x {options.dim} dimensions, top {options.top}"
    )
    print(f"  bare product  {result['product']:.2f} s")
    print(f"  ranking       {result['ranking']:.2f} s")
    print(f"  ratio         {result['ratio']:.2f}  (target: at most 3)")


if __name__ == "__main__":
    main()
