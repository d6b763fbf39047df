"""Measure the cost of a refit in the loop: warm, after 5 more rounds, against a fit from scratch on the same log.

    python benchmarks/refit.py                                  every kind with its defaults, the default study
    python benchmarks/refit.py movielens --set world.log=… --policy kind=ials,dim=64 --policy kind=ease
    python benchmarks/refit.py default --set world.users=5000 --seeds 3

For every seed, a world runs without a recommender. A policy is fitted on the log at round 0 (cold); five rounds
later it is fitted again (warm), a new one is fitted on the same log (cold), and both rank items for everyone.
NDCG@10 is measured on what people take in the five rounds after that, which no recommendation influenced.
Times are processor seconds of one thread, the better of two passes, so that compiling does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Limit jax to one thread too; it reads this when it is imported.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from echodrift import Arm, load_study
from echodrift.errors import EchodriftError
from echodrift.policies.interactions import Observation
from echodrift.policies.registry import build_policy, kinds
from echodrift.scenarios.execution.build import build_simulation
from echodrift.scenarios.specs.overrides import parse_set
from echodrift.sim.loop import RoundState
from threadpoolctl import threadpool_limits

AFTER = 5
"""Rounds between the two fits, and rounds of consumption to predict."""
REPEATS = 2
FIRST_SEED = 2000
"""Seeds that no study uses."""
NOT_LEARNED = {"random", "popularity", "organic", "oracle_item", "oracle_slate"}


def worlds(study, seed: int) -> tuple[Observation, Observation, np.ndarray]:
    """Return the observations at rounds 0 and 5, and (users, items) bool: what is taken in rounds 5 to 9."""
    arm = Arm(name="organic", policy={"kind": "organic"})
    simulation, _ = build_simulation(study.model_copy(update={"rounds": 2 * AFTER + 1}), arm, seed)

    def seen() -> Observation:
        now = RoundState(simulation.round)
        simulation.observe(now)
        return now.seen

    first = seen()
    for _ in range(AFTER):
        simulation.step()
    second = seen()
    for _ in range(AFTER):
        simulation.step()
    log = simulation.log.view().part(len(second.log))
    wanted = np.zeros((second.n_users, second.n_items), bool)
    known = log.item < second.n_items
    wanted[log.user[known], log.item[known]] = True
    return first, second, wanted


def ndcg(lists: np.ndarray, wanted: np.ndarray, n: int = 10) -> float:
    """Return the mean NDCG@n over users who took anything; lists (users, n)."""
    size = wanted.sum(axis=1)
    hits = np.take_along_axis(wanted, np.maximum(lists, 0), axis=1) & (lists >= 0)
    discount = 1 / np.log2(np.arange(2, n + 2))
    ideal = np.cumsum(discount)[np.minimum(np.maximum(size, 1), n) - 1]
    return float(((hits * discount).sum(axis=1) / ideal)[size > 0].mean())


def seconds(work) -> float:
    """Return the processor seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(spec: dict, first: Observation, second: Observation, wanted: np.ndarray) -> dict[str, float]:
    """Return the costs and qualities of one kind on one world."""
    users = np.arange(second.n_users, dtype=np.int32)
    times: dict[str, list[float]] = {"cold": [], "warm": [], "rank": []}
    warm_lists = cold_lists = np.empty((users.size, 0), np.int32)
    for _ in range(REPEATS):
        kept, new = build_policy(spec), build_policy(spec)
        kept.fit(first, np.random.default_rng(1))
        times["warm"].append(seconds(lambda kept=kept: kept.fit(second, np.random.default_rng(2))))
        times["cold"].append(seconds(lambda new=new: new.fit(second, np.random.default_rng(2))))
        began = time.process_time()
        warm_lists = kept.rank(second, users, 10, np.random.default_rng(3)).items
        times["rank"].append((time.process_time() - began) / users.size * 1e6)
        cold_lists = new.rank(second, users, 10, np.random.default_rng(3)).items
    costs = {name: min(values) for name, values in times.items()}
    return {**costs, "ndcg_warm": ndcg(warm_lists, wanted), "ndcg_cold": ndcg(cold_lists, wanted)}


def parse_policy(text: str) -> dict:
    """Return {"kind": "ials", "dim": 64} for `kind=ials,dim=64`; values are JSON or plain words."""
    spec = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            spec[name] = json.loads(value)
        except json.JSONDecodeError:
            spec[name] = value
    return spec


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of a refit, warm against cold.")
    parser.add_argument("study", nargs="?", default="default")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument(
        "--policy", action="append", default=[], help="kind=…,field=value; every kind when omitted"
    )
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    study = load_study(options.study, [parse_set(text) for text in options.overrides])
    specs = [parse_policy(text) for text in options.policy]
    specs = specs or [{"kind": kind} for kind in kinds() if kind not in NOT_LEARNED]
    cases = [worlds(study, FIRST_SEED + seed) for seed in range(options.seeds)]
    first, second, _ = cases[0]
    print(
        f"{study.name}: {second.n_users:,} users × {second.n_items:,} items, {len(first.log):,} entries at round "
        f"0, {len(second.log):,} at round {AFTER}; {options.seeds} worlds"
    )
    popular = measure({"kind": "popularity"}, *cases[0])["ndcg_cold"]
    print(f"popularity: NDCG@10 {popular:.4f} in the first world\n")
    print(
        "| policy | cold s | warm s | warm / cold | NDCG@10 warm | NDCG@10 cold | warm − cold | rank ms / 1000 users |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for spec in specs:
        try:
            each = [measure(spec, *case) for case in cases]
        except EchodriftError as error:  # The lines of the other policies are still useful.
            print(f"| {spec} | {type(error).__name__}: {str(error)[:200]} |", flush=True)
            continue
        mean = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        gaps = [one["ndcg_warm"] - one["ndcg_cold"] for one in each]
        spread = np.std(gaps, ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else float("nan")
        rest = ", ".join(f"{name} = {value}" for name, value in spec.items() if name != "kind")
        print(
            f"| `{spec['kind']}`{' ' + rest if rest else ''} | {mean['cold']:.3f} | {mean['warm']:.3f} | "
            f"{mean['warm'] / mean['cold']:.2f} | {mean['ndcg_warm']:.4f} | {mean['ndcg_cold']:.4f} | "
            f"{np.mean(gaps):+.4f} ± {spread:.4f} | {mean['rank']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
