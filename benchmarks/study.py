"""Run one benchmark case with echodrift, through the public API, in this process.

    python study.py popularity --users 1000 --items 1000 --rounds 100
    python study.py mf --users 1000 --items 1000 --rounds 100 --factors 10 --retrain-every 1
    python study.py popularity --users 10000 --items 10000 --rounds 10 --per-round

With `--per-round`, the last line has the mean wall and processor seconds of a round, without the first.
Every user visits in every round and all default measures are on; everything else is the default.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import echodrift as ed


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Return the study of the case, as a dict."""
    policy: dict[str, Any] = {"kind": "popularity"}
    if options.policy == "mf":
        policy = {"kind": "matrix_factorization", "dim": options.factors}
        if options.sweeps:
            policy["refit_iterations"] = options.sweeps
    return {
        "name": "benchmark",
        "rounds": options.rounds,
        "seeds": 1,
        "world": {"users": options.users, "items": options.items},
        "behavior": {"activity": 1.0, "activity_sd": 0.0},
        "platform": {
            "slate": options.slate,
            "retrain_every": options.retrain_every,
            "warmup": options.warmup,
        },
        "arms": [{"name": options.policy, "policy": policy}],
    }


def run_study(options: argparse.Namespace) -> None:
    """Run the study, from its dict to its tables."""
    with tempfile.TemporaryDirectory() as folder:
        result = ed.run(study(options), out=Path(folder) / "out", jobs=1)
        runs = result.runs
        if len(runs) != 1 or runs["status"].iloc[0] != "ok":
            raise SystemExit(f"the run failed:\n{runs.to_string()}")
        if len(result.rounds) != options.rounds:
            raise SystemExit(f"{len(result.rounds)} rows for {options.rounds} rounds")


def per_round(options: argparse.Namespace) -> None:
    """Time single rounds; the first round, which learns from the warm-up, is run in addition and not timed."""
    loop = ed.loop(study(options), rounds=options.rounds + 1)
    loop.step()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(options.rounds):
        loop.step()
    print((time.perf_counter() - wall) / options.rounds, (time.process_time() - processor) / options.rounds)


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
    options = parser.parse_args()
    (per_round if options.per_round else run_study)(options)


if __name__ == "__main__":
    main()
