"""Choose the regularization of ALS for each dimension by grid search on the log that the platform starts with.

    python benchmarks/choose_regularization.py default
    python benchmarks/choose_regularization.py movielens --set world.log=… --set world.items=…

Dimensions cannot be compared at the same regularization: the best value for 64 dimensions is a bad one for 8,
and vice versa. So for each dimension, every value is fitted on 80 % of each user's items in the log from
before round 0 (the organic warm-up, or the real log) and evaluated by ranking the other 20 % among all items
not in the training part: NDCG@10, mean over seeds that no study uses. The library studies quote the output.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from echodrift import Arm, load_study
from echodrift.policies.interactions import Blocked, Interactions, Observation
from echodrift.policies.registry import build_policy
from echodrift.scenarios.execution.build import build_simulation
from echodrift.scenarios.offline import ranking_metrics
from echodrift.scenarios.offline.protocol.splits import Split, divide
from echodrift.scenarios.specs.overrides import parse_set
from echodrift.sim.loop import RoundState
from threadpoolctl import threadpool_limits

SEEDS = range(1000, 1005)
REGULARIZATION = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
CONFIDENCE = (1.0, 3.0, 10.0, 30.0)


def first_log(study, seed: int) -> Observation:
    """Return the platform's observation at round 0."""
    arm = Arm(name="organic", policy={"kind": "organic"})
    simulation, _ = build_simulation(study.model_copy(update={"rounds": 1}), arm, seed)
    now = RoundState(0)
    simulation.observe(now)
    return now.seen


def split(seen: Observation, rng: np.random.Generator, share: float = 0.2):
    """Return (observation of the training part, held-out pairs): a share of each user's distinct items."""
    pairs = np.unique(seen.log.user.astype(np.int64) * seen.n_items + seen.log.item)
    user, item = (pairs // seen.n_items).astype(np.int32), (pairs % seen.n_items).astype(np.int32)
    parts = divide(Split("random", share), user, item, None, np.arange(pairs.size), rng)
    entry = seen.log.user.astype(np.int64) * seen.n_items + seen.log.item
    train: Interactions = seen.log.where(~np.isin(entry, pairs[parts.test]))
    blocked = Blocked(seen.n_users, seen.n_items)
    blocked.set(train.user, train.item)
    return replace(seen, log=train, blocked=blocked), (user[parts.test], item[parts.test])


def ndcg(policy, train: Observation, held, n: int = 10) -> float:
    """Return the mean NDCG@n over users with held-out items."""
    users, counts = np.unique(held[0], return_counts=True)
    ranked = policy.rank(train, users.astype(np.int32), n, np.random.default_rng(0)).items
    indptr = np.concatenate([[0], np.cumsum(counts)])
    hits = ranking_metrics.find_hits(ranked, indptr, held[1], train.n_items)
    return float(ranking_metrics.ndcg(hits, counts, n).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose regularization for each dimension.")
    parser.add_argument("study")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--dims", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    study = load_study(options.study, [parse_set(text) for text in options.overrides])
    parts = []
    for seed in SEEDS[: options.seeds]:
        parts.append(split(first_log(study, seed), np.random.default_rng(seed)))
    popular = [ndcg(fitted("popularity", train), train, held) for train, held in parts]
    print(
        f"{study.name}: {len(parts[0][0].log)} entries to train on, popularity NDCG@10 {np.mean(popular):.4f}"
    )
    for dim in options.dims:
        results = []
        for confidence in CONFIDENCE:
            for regularization in REGULARIZATION:
                fields = {"dim": dim, "confidence": confidence, "regularization": regularization}
                scores = [
                    ndcg(fitted("matrix_factorization", train, **fields), train, held)
                    for train, held in parts
                ]
                results.append((float(np.mean(scores)), confidence, regularization))
                error = np.std(scores) / np.sqrt(len(scores))
                print(
                    f"  dim {dim}  confidence {confidence:g}  regularization {regularization:g}"
                    f"  NDCG@10 {np.mean(scores):.4f} ± {error:.4f}",
                    flush=True,
                )
        best = max(results)
        print(
            f"dim {dim}: best confidence = {best[1]:g}, regularization = {best[2]:g} (NDCG@10 {best[0]:.4f})"
        )


def fitted(kind: str, train: Observation, **fields):
    """Return a policy fitted on the training part."""
    policy = build_policy({"kind": kind, **fields})
    policy.fit(train, np.random.default_rng(0))
    return policy


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
