"""Do several personas per user match several tastes? Claims A1–A3 about AMP-CF, on worlds with planted tastes.

    python benchmarks/persona_claims.py --seeds 10

Each user takes items of m of twelve planted tastes, in unequal shares, the popular items of a taste more
often; one item in ten comes from anywhere. A fifth of each user's items is held out. Models with K = 1, 2, 4
personas have the same total number of parameters (users, items and attention maps; the dimension is chosen
accordingly). Regularization and the number of passes are chosen for Recall@10 on seeds that the comparison does
not use, on users with two tastes. Reported: paired differences from K = 1 over seeds, with 95 % t intervals, in

- TDD, Taste Distribution Distance. The paper's formula is not public; this definition is our own: items are
  embedded by a truncated SVD of the positive pointwise mutual information of co-consumption (no compared
  model involved), k-means makes 12 taste clusters, and TDD is the mean over users of the total variation
  between the cluster histograms of the history and of the recommended ten;
- Recall@10 and HR@10 on the held-out items.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation
from echodrift.policies.registry import build_policy
from scipy import sparse, stats
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

USERS, TASTES, PER_TASTE, TAKEN, N = 400, 12, 40, 30, 10
ITEMS = TASTES * PER_TASTE
SHARES = {"1 taste": (1.0,), "2 even": (0.5, 0.5), "2 uneven": (0.75, 0.25), "3 uneven": (0.6, 0.3, 0.1)}
BUDGET = 24
"""Dimensions of the model with one persona."""
VARIANTS = [(1, 1.0, False), (2, 1.0, False), (2, 1.0, True), (4, 1.0, False), (4, 1.0, True)]
"""(personas, temperature, learned)."""
GRID = list(product((0.03, 0.1, 0.3), (15, 40)))
"""(regularization, passes): the settings that every variant is tuned over."""


def world(shares: tuple[float, ...], seed: int) -> tuple[Observation, np.ndarray]:
    """Return (training observation, held-out pairs as a bool matrix)."""
    rng = np.random.default_rng([seed, len(shares)])
    appeal = 1 / np.arange(1, PER_TASTE + 1) ** 0.7
    chances = np.full((USERS, ITEMS), 0.1 / ITEMS)
    for user in range(USERS):
        for taste, share in zip(rng.permutation(TASTES), shares, strict=False):
            own = slice(taste * PER_TASTE, (taste + 1) * PER_TASTE)
            chances[user, own] += 0.9 * share * appeal / appeal.sum()
    # The items with the largest log probability plus Gumbel noise are a draw without replacement.
    order = np.argsort(-(np.log(chances) + rng.gumbel(size=chances.shape)), axis=1)[:, :TAKEN]
    held = np.zeros((USERS, ITEMS), bool)
    np.put_along_axis(held, rng.permuted(order, axis=1)[:, : TAKEN // 5], True, axis=1)
    user = np.repeat(np.arange(USERS, dtype=np.int32), TAKEN)
    item = order.ravel().astype(np.int32)
    train = ~held[user, item]
    user, item = user[train], item[train]
    none = np.zeros(user.size, np.int32)
    log = Interactions(user, item, none, none.astype(np.int16), none.astype(np.int8))
    blocked = Blocked(USERS, ITEMS)
    blocked.set(user, item)
    ties = Friends(np.zeros(USERS + 1, np.int64), np.empty(0, np.int32))
    tags = np.ones((ITEMS, 1), np.float32)
    return Observation(1, USERS, ITEMS, log, tags, np.ones(ITEMS, bool), blocked, ties), held


def taste_clusters(seen: Observation, seed: int) -> np.ndarray:
    """Return (ITEMS,) the cluster of each item, computed from co-consumption alone."""
    taken = sparse.csr_matrix(seen.counts > 0, dtype=float)
    together = (taken.T @ taken).toarray()
    np.fill_diagonal(together, 0)
    margin = together.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ppmi = np.maximum(
            np.nan_to_num(np.log(together * margin.sum() / np.outer(margin, margin)), neginf=0), 0
        )
    left, values, _ = np.linalg.svd(ppmi)
    embedding = left[:, :TASTES] * np.sqrt(values[:TASTES])
    embedding /= np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    return KMeans(TASTES, n_init=5, random_state=seed).fit_predict(embedding)


def dimension(personas: int) -> int:
    """Return the dimension whose total number of parameters is closest to that of K = 1 with `BUDGET` dimensions."""

    def size(k: int, d: int) -> int:
        return USERS * k * d + ITEMS * (d + 1) + (2 * d * d if k > 1 else 0)

    return min(range(1, BUDGET + 1), key=lambda d: abs(size(personas, d) - size(1, BUDGET)))


def measured(seen, held, clusters, variant, choice, seed) -> tuple[float, float, float]:
    """Return (TDD, Recall@10, HR@10) of one fitted variant."""
    (personas, temperature, learned), (regularization, passes) = variant, choice
    policy = build_policy(
        {
            "kind": "persona",
            "personas": personas,
            "dim": dimension(personas),
            "temperature": temperature,
            "learn_temperature": learned,
            "regularization": regularization,
            "iterations": passes,
        }
    )
    policy.fit(seen, np.random.default_rng(seed))
    users = np.arange(USERS, dtype=np.int32)
    top = policy.rank(seen, users, N, np.random.default_rng(0)).items
    hits = np.take_along_axis(held, top, axis=1).sum(axis=1)
    one_hot = np.eye(TASTES)[clusters]
    history = (seen.counts > 0).astype(float) @ one_hot
    history /= history.sum(axis=1, keepdims=True)
    tdd = 0.5 * np.abs(history - one_hot[top].mean(axis=1)).sum(axis=1).mean()
    return float(tdd), float((hits / np.minimum(held.sum(axis=1), N)).mean()), float((hits > 0).mean())


def interval(values: np.ndarray) -> str:
    """Return mean and 95 % t interval."""
    half = stats.t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return f"{values.mean():+.4f} [{values.mean() - half:+.4f}, {values.mean() + half:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Several personas against one vector per user, at equal size."
    )
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    tuning = [(*world(SHARES["2 uneven"], seed), seed) for seed in (1000, 1001)]
    no_clusters = np.zeros(ITEMS, int)
    chosen = {}
    for variant in VARIANTS:
        recall = {
            choice: np.mean(
                [measured(seen, held, no_clusters, variant, choice, s)[1] for seen, held, s in tuning]
            )
            for choice in GRID
        }
        chosen[variant] = max(recall, key=recall.__getitem__)
        print(f"K, temperature, learned = {variant}: dim {dimension(variant[0])}, tuned to {chosen[variant]}")
    for name, shares in SHARES.items():
        results: dict = {variant: [] for variant in VARIANTS}
        for seed in seeds:
            seen, held = world(shares, seed)
            clusters = taste_clusters(seen, seed)
            for variant in VARIANTS:
                results[variant].append(measured(seen, held, clusters, variant, chosen[variant], seed))
        base = np.array(results[VARIANTS[0]])
        means = ", ".join(
            f"{what} {value:.4f}"
            for what, value in zip(("TDD", "Recall", "HR"), base.mean(axis=0), strict=True)
        )
        print(f"\n{name}: K = 1 has {means}")
        for variant in VARIANTS[1:]:
            difference = np.array(results[variant]) - base
            label = f"K = {variant[0]}, {'learned' if variant[2] else 'temperature 1'}"
            columns = zip(("TDD", "Recall", "HR"), difference.T, strict=True)
            print(
                f"  {label:22}",
                "  ".join(f"Δ{what} {interval(value)}" for what, value in columns),
                flush=True,
            )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
