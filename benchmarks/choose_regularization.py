"""Choose the regularization of a factor model for each dimension by a rule that does not judge popularity.

    python benchmarks/choose_regularization.py default
    python benchmarks/choose_regularization.py default --kind ials --dims 8 64 --out curves.csv

Dimensions cannot be compared at the same regularization: the best value for 64 dimensions is a bad one for 8, and vice
versa. Held-out parts of an organic log judge how well a model finds what is popular, since people come across popular items
in the first place. So the judge is what people want: in pilot worlds of seeds that no study uses, every value is fitted on
the whole first log, and ranks the catalog for each person; relevant are 20 items drawn without replacement from the
person's true demand Σ_k s_k softmax(v_k), whatever they have taken so far. NDCG@10, mean over the seeds. The same numbers
for popularity and for a ranking by true demand itself are the floor and the ceiling.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from echodrift import Arm, load_study
from echodrift.agents.values import item_values
from echodrift.policies.base import FactorPolicy
from echodrift.policies.factors.spectrum import effective_rank
from echodrift.policies.interactions import Blocked, Observation
from echodrift.policies.registry import build_policy
from echodrift.scenarios.execution.build import build_simulation
from echodrift.scenarios.offline import ranking_metrics
from echodrift.scenarios.specs.overrides import parse_set
from echodrift.sim.loop import RoundState
from echodrift.sim.streams import Streams
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

SEEDS = range(1000, 1005)
SETTINGS = {
    "matrix_factorization": {
        "confidence": (1.0, 3.0, 10.0),
        "regularization": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
    },
    "ials": {
        "unobserved_weight": (0.1, 0.3, 1.0),
        "regularization": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    },
}
"""Kind of policy → values of its two settings that are tried."""
WANTED, TOP = 20, 10


def pilot(study, seed: int) -> tuple[Observation, NDArray[np.float64]]:
    """Return what the platform sees at round 0, with nothing blocked, and true demand (users, items)."""
    arm = Arm(name="organic", policy={"kind": "organic"})
    simulation, _ = build_simulation(study.model_copy(update={"rounds": 1}), arm, seed)
    now = RoundState(0)
    simulation.observe(now)
    world, seen = simulation.world, now.seen
    demand = np.empty((seen.n_users, seen.n_items))
    for first in range(0, seen.n_users, 100):
        users = np.arange(first, min(first + 100, seen.n_users), dtype=np.int32)
        values = item_values(world, users, seen.n_items, start=True)
        demand[users] = np.einsum("uk,ukn->un", world.users.shares_start[users], softmax(values, axis=2))
    return replace(seen, blocked=Blocked(seen.n_users, seen.n_items)), demand


def wanted(demand: NDArray[np.float64], streams: Streams) -> NDArray[np.int64]:
    """Return (users, WANTED) items drawn without replacement from each person's demand (Gumbel top-k)."""
    noise = streams("pilot.wanted").gumbel(size=demand.shape)
    score = np.log(np.maximum(demand, 1e-300)) + noise
    return np.sort(np.argpartition(-score, WANTED, axis=1)[:, :WANTED], axis=1)


def ndcg(ranked: NDArray[np.integer], relevant: NDArray[np.int64], items: int) -> float:
    """Return the mean NDCG of ranked items (users, TOP)."""
    users = len(relevant)
    hits = ranking_metrics.find_hits(
        ranked.astype(np.int32), np.arange(users + 1) * WANTED, relevant.astype(np.int32).ravel(), items
    )
    return float(ranking_metrics.ndcg(hits, np.full(users, WANTED), TOP).mean())


def rank(spec: dict, seen: Observation) -> tuple[NDArray[np.integer], float]:
    """Return the ranking (users, TOP) of a fitted policy, and its effective rank if it has one."""
    policy = build_policy(spec)
    policy.fit(seen, np.random.default_rng(0))
    everyone = np.arange(seen.n_users, dtype=np.int32)
    ranked = policy.rank(seen, everyone, TOP, np.random.default_rng(0)).items
    if not isinstance(policy, FactorPolicy):
        return ranked, np.nan
    of_users, of_items = policy.factors(seen, np.unique(seen.log.user))
    return ranked, effective_rank(of_users, of_items[seen.popularity > 0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose regularization for each dimension.")
    parser.add_argument("study")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--kind", choices=SETTINGS, default="matrix_factorization")
    parser.add_argument("--dims", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--out", type=Path, help="Write the curves as CSV.")
    options = parser.parse_args()
    study = load_study(options.study, [parse_set(text) for text in options.overrides])
    worlds = [(*pilot(study, seed), Streams(seed)) for seed in SEEDS[: options.seeds]]
    pilots = [(seen, demand, wanted(demand, streams)) for seen, demand, streams in worlds]
    popular = [ndcg(rank({"kind": "popularity"}, seen)[0], items, seen.n_items) for seen, _, items in pilots]
    ceiling = [
        ndcg(np.argsort(-demand, axis=1)[:, :TOP], items, demand.shape[1]) for _, demand, items in pilots
    ]
    print(f"{study.name}: {np.mean([len(seen.log) for seen, *_ in pilots]):,.0f} entries in the first log")
    print(f"popularity {np.mean(popular):.4f}, true demand {np.mean(ceiling):.4f}")
    rows = []
    (first, firsts), (second, seconds) = SETTINGS[options.kind].items()
    for dim, one, two in itertools.product(options.dims, firsts, seconds):
        spec = {"kind": options.kind, "dim": dim, first: one, second: two}
        found = [(rank(spec, seen), items, seen.n_items) for seen, _, items in pilots]
        scores = [ndcg(ranked, items, n) for (ranked, _), items, n in found]
        row = {"dim": dim, first: one, second: two, "ndcg": np.mean(scores)}
        row["error"] = np.std(scores) / np.sqrt(max(len(scores) - 1, 1))
        row["rank"] = np.mean([r for (_, r), *_ in found])
        rows.append(row)
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    table = pd.DataFrame(rows)
    for _, best in table.loc[table.groupby("dim")["ndcg"].idxmax()].iterrows():
        print(
            f"dim {best.dim:.0f}: {first} {best[first]:g}, {second} {best[second]:g} (NDCG@10 {best.ndcg:.4f})"
        )
    if options.out:
        table.assign(popularity=np.mean(popular), ceiling=np.mean(ceiling)).to_csv(options.out, index=False)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
