"""Compare the peak memory of real runs with the estimate that echodrift makes before they start.

    python benchmarks/memory.py            all cases (about 4 minutes)
    python benchmarks/memory.py ease tall  some of them

Every case is one run in a separate process. Both figures are the highest resident set of the process, shared
libraries included. The last column splits the estimate, without libraries, into its parts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

BASE: dict[str, Any] = {"name": "memory", "rounds": 20, "seeds": 1, "platform": {"warmup": 10}}
CASES: dict[str, dict[str, Any]] = {
    "small": {"world": {"users": 100, "items": 200}, "policy": {"kind": "popularity"}},
    "default": {
        "world": {"users": 1000, "items": 2000},
        "policy": {"kind": "matrix_factorization", "dim": 64},
    },
    "tall": {"world": {"users": 20_000, "items": 1000}, "policy": {"kind": "popularity"}},
    "wide": {"world": {"users": 500, "items": 50_000}, "policy": {"kind": "popularity"}},
    "large": {
        "world": {"users": 20_000, "items": 10_000, "topics": 60},
        "policy": {"kind": "matrix_factorization", "dim": 64},
        "rounds": 10,
    },
    "tastes": {
        "world": {"users": 8000, "items": 1000, "topics": 200, "tastes": 8, "taste_shares": "dirichlet"},
        "policy": {"kind": "popularity"},
        "rounds": 5,
    },
    "long log": {
        "world": {"users": 2000, "items": 500},
        "policy": {"kind": "popularity"},
        "behavior": {"activity": 1.0, "activity_sd": 0.0, "appetite": 8},
        "rounds": 400,
    },
    "ease": {"world": {"users": 3000, "items": 8000}, "policy": {"kind": "ease"}, "rounds": 6},
    "item_knn": {"world": {"users": 1000, "items": 8000}, "policy": {"kind": "item_knn"}, "rounds": 6},
    "user_knn": {"world": {"users": 8000, "items": 2000}, "policy": {"kind": "user_knn"}, "rounds": 6},
    "oracle": {"world": {"users": 500, "items": 20_000}, "policy": {"kind": "oracle_slate"}, "rounds": 4},
    "vae": {
        "world": {"users": 1000, "items": 4000},
        "policy": {"kind": "mult_vae", "iterations": 2},
        "rounds": 3,
    },
    "sequential": {
        "world": {"users": 500, "items": 2000},
        "policy": {"kind": "sequential", "iterations": 1},
        "rounds": 2,
    },
    # The formula was chosen on the cases above; the following ones were added afterwards.
    "friends": {
        "world": {"users": 3000, "items": 5000},
        "policy": {"kind": "social_poisson", "dim": 32, "iterations": 5},
        "rounds": 4,
    },
    "personas": {
        "world": {"users": 3000, "items": 3000},
        "policy": {"kind": "persona", "personas": 4, "dim": 32, "iterations": 2},
        "rounds": 3,
    },
    "square": {
        "world": {"users": 12_000, "items": 12_000, "topics": 30},
        "policy": {"kind": "ials", "dim": 128, "iterations": 2},
        "rounds": 4,
    },
}


def study(case: dict[str, Any]) -> dict[str, Any]:
    """Return the study of a case."""
    rest = {key: value for key, value in case.items() if key != "policy"}
    return {**BASE, **rest, "arms": [{"name": "arm", "policy": case["policy"]}]}


def run_case(case: dict[str, Any]) -> None:
    """Execute the run of a case in this process and print the estimate and the peak in bytes."""
    from echodrift.scenarios.design.load import load_study
    from echodrift.scenarios.execution.build import build_run
    from echodrift.scenarios.execution.memory import estimate

    loaded = load_study(study(case))
    run = build_run(loaded, loaded.arms[0], 0)
    for _ in range(run.rounds):
        run.step()
    import pandas as pd

    pd.DataFrame(run.recorder.rows)
    run.tables()
    peak = peak_of_this_process()
    print(json.dumps({**estimate(loaded, loaded.arms[0]).__dict__, "peak": peak}))


def peak_of_this_process() -> int:
    """Return the highest resident set, in bytes, since this program started.

    On Linux, ru_maxrss is not used, since it starts with the size of the process that forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_case(CASES[options.one])
        return
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        raise SystemExit(f"no case {', '.join(unknown)}; the cases are {', '.join(CASES)}")
    print("| case | guessed, MiB | measured, MiB | guess / measured | without libraries |")
    print("|---|---:|---:|---:|---:|")
    for name in options.cases or CASES:
        process = subprocess.run(
            [sys.executable, __file__, "--one", name], capture_output=True, text=True, check=False
        )
        if process.returncode:
            raise SystemExit(process.stderr)
        sizes = json.loads(process.stdout.splitlines()[-1])
        peak, libraries = sizes.pop("peak"), sizes.pop("libraries")
        guess = libraries + sum(sizes.values())
        parts = ", ".join(f"{part} {size / 2**20:.0f}" for part, size in sizes.items())
        print(
            f"| {name} | {guess / 2**20:.0f} | {peak / 2**20:.0f} | {guess / peak:.2f} | {parts} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
