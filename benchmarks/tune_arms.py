"""Tune every arm of a study on the log that its platform starts with, before the arms are compared.

    python benchmarks/tune_arms.py my_study.toml --trials 12
    python benchmarks/tune_arms.py lastfm --set world.log=… --set world.social=… --only "MF 8"

A comparison of untuned arms says nothing about the methods. So each arm's policy is fitted on 80 % of every
user's distinct items in the log from before round 0 (the warm-up of a generated world, or the real log) and
evaluated by ranking the other 20 % among all items that the user has not taken: NDCG@10, mean over splits with
seeds that no study uses. The search is that of `echodrift tune`: trial 0 uses the policy's defaults (with `dim` and
the other fields of --fix as in the arm); the settings of trial i depend on i only. The output can be pasted into
the study.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
from echodrift import Arm, load_study
from echodrift.policies.interactions import Blocked, Observation
from echodrift.policies.registry import policy_class
from echodrift.scenarios.execution.build import build_simulation
from echodrift.scenarios.execution.parallel import Jobs, run_parallel
from echodrift.scenarios.offline.inline_toml import write_option
from echodrift.scenarios.offline.metric_list import parse_metrics
from echodrift.scenarios.offline.protocol.task import Task
from echodrift.scenarios.offline.score import evaluate_policy
from echodrift.scenarios.offline.search import draw
from echodrift.scenarios.offline.specs import Contender
from echodrift.scenarios.specs.overrides import parse_set
from echodrift.sim.loop import RoundState
from echodrift.sim.recommender import REFERENCE_ARMS

SEED = 1000
"""First of the seeds for tuning; those of studies start at 0."""
SHARE = 0.2
METRICS = "ndcg@10,recall@20,arp@10,coverage@10"
FIXED_FIELDS = ("dim", "mode", "table", "load", "model", "likelihood", "personas", "list_weight")
"""Fields that distinguish arms and are therefore not tuned."""


def first_log(study, seed: int) -> Observation:
    """Return the platform's observation at round 0."""
    arm = Arm(name="organic", policy={"kind": "organic"})
    simulation, _ = build_simulation(study.model_copy(update={"rounds": 1}), arm, seed)
    now = RoundState(0)
    simulation.observe(now)
    return now.seen


def held_out(seen: Observation, seed: int) -> Task:
    """Return the task of ranking a random share of each user's distinct items, fitted on the rest."""
    rng = np.random.default_rng(seed)
    pairs = np.unique(seen.log.user.astype(np.int64) * seen.n_items + seen.log.item)
    user = pairs // seen.n_items
    order = np.lexsort((rng.random(pairs.size), user))
    place = np.arange(pairs.size) - np.searchsorted(user[order], user[order])
    held = np.zeros(pairs.size, bool)
    held[order] = place < np.floor(SHARE * np.bincount(user, minlength=seen.n_users))[user[order]]
    out = pairs[held]
    entry = seen.log.user.astype(np.int64) * seen.n_items + seen.log.item
    train = seen.log.where(~np.isin(entry, out))
    blocked = Blocked(seen.n_users, seen.n_items)
    blocked.set(train.user, train.item)
    fit = replace(seen, log=train, blocked=blocked)
    users, counts = np.unique(out // seen.n_items, return_counts=True)
    return Task(
        seed=seed,
        train=fit,
        seen=fit,
        fold_in_users=np.empty(0, np.int32),
        users=users.astype(np.int32),
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        relevant=(out % seen.n_items).astype(np.int32),
        cases=None,
        labels=[str(user) for user in users],
        notes=(),
    )


def trials_of(arm, trials: int, fixed: set[str]) -> list[dict]:
    """Return the specs to try for an arm: its fixed fields, and settings drawn from the search space of the policy."""
    kept = {key: value for key, value in arm.policy.items() if key == "kind" or key in fixed}
    space = {
        name: where for name, where in policy_class(kept["kind"]).space_for(kept).items() if name not in kept
    }
    if not space:
        return [kept]
    return [kept | draw(space, SEED, number) for number in range(trials)]


def judge(job):
    """Return (arm, spec, mean of each metric over the tasks, fit seconds, error)."""
    name, spec, tasks = job
    metrics = parse_metrics(METRICS)
    scores = [evaluate_policy(task, Contender(name, spec), metrics) for task in tasks]
    error = next((score.error for score in scores if score.status != "ok"), "")
    if error:
        return name, spec, None, 0.0, error
    means = {
        metric.label: float(np.mean([score.values[metric.label].value for score in scores]))
        for metric in metrics
    }
    return name, spec, means, float(np.mean([score.fit_seconds for score in scores])), ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Tune every arm of a study on its first log.")
    parser.add_argument("study")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="arms by name; all when omitted")
    parser.add_argument("--fix", nargs="*", default=list(FIXED_FIELDS), help="fields to leave as in the arm")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", help="JSON lines of all trials")
    options = parser.parse_args()
    study = load_study(options.study, [parse_set(text) for text in options.overrides])
    tasks = [held_out(first_log(study, SEED + i), SEED + i) for i in range(options.splits)]
    print(
        f"{study.name}: {len(tasks[0].train.log):,} entries to train on, {tasks[0].relevant.size:,} pairs held out"
    )
    arms = [arm for arm in study.arms if arm.policy["kind"] not in REFERENCE_ARMS and not arm.rerank]
    arms = [arm for arm in arms if not options.only or arm.name in options.only]
    jobs = [
        (arm.name, spec, tasks) for arm in arms for spec in trials_of(arm, options.trials, set(options.fix))
    ]
    best: dict[str, tuple] = {}
    for _, (name, spec, means, seconds, error) in run_parallel(
        jobs, Jobs(judge, lambda job, why: (job[0], job[1], None, 0, why), options.jobs)
    ):
        line = f"{means['ndcg@10']:.4f}" if means else f"failed: {error}"
        print(f"  {name}: {line}  {seconds:.1f} s  {write_option(spec)}", flush=True)
        if options.out:
            trial = {"arm": name, "spec": spec, "means": means, "seconds": seconds, "error": error}
            with open(options.out, "a") as file:
                print(json.dumps(trial), file=file)
        if means and (name not in best or means["ndcg@10"] > best[name][0]["ndcg@10"]):
            best[name] = means, spec, seconds
    print("\nbest")
    for name, (means, spec, seconds) in best.items():
        values = "  ".join(f"{label} {value:.4f}" for label, value in means.items())
        print(f"{name}: {values}  fit {seconds:.1f} s\n    {write_option(spec)}")


if __name__ == "__main__":
    main()
