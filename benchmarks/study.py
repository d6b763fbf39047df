"""One echodrift run of the size of a benchmark case, through the public API, in this process.

    python study.py popularity --users 1000 --items 1000 --rounds 100
    python study.py mf --users 1000 --items 1000 --rounds 100 --factors 10 --retrain-every 1
    python study.py popularity --users 10000 --items 10000 --rounds 10 --per-round

With `--per-round` the last line is the mean wall and processor seconds of a round, after a first one.
Every user visits in every round and all default measures are on; everything else is the default.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import echodrift as ed


def study(asked: argparse.Namespace) -> dict[str, Any]:
    """The study file of the case, as a dict."""
    policy: dict[str, Any] = {"kind": "popularity"}
    if asked.policy == "mf":
        policy = {"kind": "matrix_factorization", "dim": asked.factors}
        if asked.sweeps:
            policy["refit_iterations"] = asked.sweeps
    return {
        "name": "benchmark",
        "rounds": asked.rounds,
        "seeds": 1,
        "world": {"users": asked.users, "items": asked.items},
        "behavior": {"activity": 1.0, "activity_sd": 0.0},
        "platform": {"slate": asked.slate, "retrain_every": asked.retrain_every, "warmup": asked.warmup},
        "arms": [{"name": asked.policy, "policy": policy}],
    }


def whole(asked: argparse.Namespace) -> None:
    """A study from its dict to its tables."""
    with tempfile.TemporaryDirectory() as folder:
        result = ed.run(study(asked), out=Path(folder) / "out", jobs=1)
        runs = result.runs
        if len(runs) != 1 or runs["status"].iloc[0] != "ok":
            raise SystemExit(f"the run failed:\n{runs.to_string()}")
        if len(result.rounds) != asked.rounds:
            raise SystemExit(f"{len(result.rounds)} rows for {asked.rounds} rounds")


def per_round(asked: argparse.Namespace) -> None:
    """One round more than asked for; the first, which learns the warm-up, is not timed."""
    loop = ed.loop(study(asked), rounds=asked.rounds + 1)
    loop.step()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(asked.rounds):
        loop.step()
    print((time.perf_counter() - wall) / asked.rounds, (time.process_time() - processor) / asked.rounds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", choices=["popularity", "mf"])
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--slate", type=int, default=10)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument(
        "--sweeps",
        type=int,
        default=0,
        help="ALS sweeps of a refit, which starts from the last factors; 0 = the default",
    )
    parser.add_argument("--retrain-every", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=15)
    parser.add_argument("--per-round", action="store_true")
    asked = parser.parse_args()
    (per_round if asked.per_round else whole)(asked)


if __name__ == "__main__":
    main()
