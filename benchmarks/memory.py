"""Compare the peak memory of real runs with the estimate that echodrift makes before they start.

    python benchmarks/memory.py            all cases (about 4 minutes; twice, if code is still to be compiled)
    python benchmarks/memory.py ease tall  some of them

Every case is one run in a separate process. Both figures are the highest resident set of the process, shared
libraries included. The last column splits the estimate, without libraries, into its parts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from echodrift.machine import THREADS

BASE: dict[str, Any] = {"name": "memory", "rounds": 20, "seeds": 1, "platform": {"warmup": 10}}
POPULARITY = {"kind": "popularity"}
DATA = Path(os.environ.get("ECHODRIFT_DATA", Path(__file__).parents[2] / "shared" / "data"))
CASES: dict[str, dict[str, Any]] = {
    "small": {"world": {"users": 100, "items": 200}, "policy": POPULARITY},
    "default": {
        "world": {"users": 1000, "items": 2000},
        "policy": {"kind": "matrix_factorization", "dim": 64},
    },
    "tall": {"world": {"users": 20_000, "items": 1000}, "policy": POPULARITY},
    "wide": {"world": {"users": 500, "items": 50_000}, "policy": POPULARITY},
    "degree": {
        "world": {"users": 20_000, "items": 1000, "graph": {"kind": "watts_strogatz", "degree": 100}},
        "policy": POPULARITY,
        "rounds": 5,
    },
    "slate": {
        "world": {"users": 20_000, "items": 1000},
        "policy": POPULARITY,
        "platform": {"slate": 128, "warmup": 10},
        "rounds": 22,
    },
    "tastes": {
        "world": {"users": 8000, "items": 1000, "topics": 200, "tastes": 8, "taste_shares": "dirichlet"},
        "policy": POPULARITY,
        "rounds": 5,
    },
    "topics": {"world": {"users": 20_000, "items": 2000, "topics": 256}, "policy": POPULARITY, "rounds": 5},
    "appetite": {
        "world": {"users": 20_000, "items": 1000},
        "behavior": {"appetite": 20, "memory": 40},
        "policy": POPULARITY,
        "platform": {"slate": 30},
        "rounds": 10,
    },
    "warm-up": {
        "world": {"users": 5000, "items": 500},
        "behavior": {"activity": 1.0, "activity_sd": 0.0, "appetite": 8},
        "policy": POPULARITY,
        "platform": {"warmup": 200},
        "rounds": 5,
    },
    "long log": {
        "world": {"users": 2000, "items": 500},
        "behavior": {"activity": 1.0, "activity_sd": 0.0, "appetite": 8},
        "policy": POPULARITY,
        "rounds": 400,
    },
    "splits": {
        "world": {"users": 5000, "items": 500, "communities": 100},
        "split_by": ["community"],
        "policy": POPULARITY,
        "rounds": 200,
    },
    "organic": {
        "world": {"users": 15_000, "items": 1000},
        "policy": POPULARITY,
        "platform": {"learn_from": "organic"},
        "rounds": 10,
    },
    "fatigue": {
        "world": {"users": 4000, "items": 1000, "topics": 128},
        "behavior": {"fatigue": 1.0},
        "policy": POPULARITY,
        "platform": {"slate": 60},
        "rounds": 5,
    },
    "neighbors": {
        "world": {"users": 4000, "items": 8000},
        "policy": {"kind": "item_knn", "neighbors": 500},
        "platform": {"warmup": 60},
        "rounds": 6,
    },
    "user_knn": {"world": {"users": 8000, "items": 2000}, "policy": {"kind": "user_knn"}, "rounds": 6},
    "ease": {"world": {"users": 3000, "items": 8000}, "policy": {"kind": "ease"}, "rounds": 6},
    "ials": {
        "world": {"users": 12_000, "items": 12_000, "topics": 30},
        "policy": {"kind": "ials", "dim": 128, "iterations": 2},
        "rounds": 4,
    },
    "persona": {
        "world": {"users": 3000, "items": 3000},
        "policy": {"kind": "persona", "personas": 4, "dim": 32, "iterations": 2},
        "rounds": 3,
    },
    "bandit": {
        "world": {"users": 4000, "items": 4000},
        "policy": {
            "kind": "bandit",
            "strategy": "ucb",
            "policy": {"kind": "matrix_factorization", "dim": 64},
        },
        "platform": {"warmup": 40},
        "rounds": 3,
    },
    "oracle": {"world": {"users": 500, "items": 20_000}, "policy": {"kind": "oracle_slate"}, "rounds": 4},
    "vae": {
        "world": {"users": 4000, "items": 4000},
        "policy": {"kind": "mult_vae", "iterations": 2},
        "rounds": 3,
    },
    "sequential": {
        "world": {"users": 500, "items": 2000},
        "policy": {"kind": "sequential", "iterations": 1},
        "rounds": 2,
    },
    "mmr": {
        "world": {"users": 8000, "items": 2000},
        "policy": {"kind": "matrix_factorization", "dim": 16},
        "rerank": [{"kind": "mmr", "candidates": 1000}],
        "rounds": 3,
    },
    "movielens": {
        "world": {
            "log": str(DATA / "ml-latest-small" / "ratings.csv"),
            "items": str(DATA / "ml-latest-small" / "movies.csv"),
        },
        "platform": {},
        "policy": POPULARITY,
        "rounds": 3,
    },
    "creators": {
        "world": {
            "users": 5000,
            "items": 2000,
            "topics": 40,
            "creators": {"production": 0.2, "most_items": 20_000},
        },
        "policy": {"kind": "spectral_mf", "dim": 64},
        "rounds": 60,
    },
    # The terms of the estimate were settled on the cases above; the following ones were added afterwards.
    "degree 200": {
        "world": {"users": 8000, "items": 3000, "graph": {"kind": "barabasi_albert", "attach": 100}},
        "policy": {"kind": "social_mf", "dim": 32, "iterations": 3},
        "rounds": 6,
    },
    "slate 100": {
        "world": {"users": 12_000, "items": 4000, "topics": 64},
        "platform": {"slate": 100, "keep_exposures": 60},
        "behavior": {"appetite": 5},
        "policy": {"kind": "hashed_mf", "dim": 32, "iterations": 2},
        "rounds": 40,
    },
    "groups": {
        "world": {
            "users": 15_000,
            "items": 3000,
            "topics": 100,
            "communities": 30,
            "groups": [
                {"name": "many", "share": 0.7, "appetite": 12, "activity": 0.8},
                {"name": "few", "share": 0.3, "taste_shares": [0.4, 0.2, 0.2, 0.1, 0.1]},
            ],
        },
        "split_by": ["group", "community"],
        "policy": {"kind": "content"},
        "rounds": 25,
    },
    "user_knn 1000": {
        "world": {"users": 30_000, "items": 600},
        "policy": {"kind": "user_knn", "neighbors": 1000},
        "platform": {"learn_from": "organic", "warmup": 30},
        "rounds": 4,
    },
    "dae": {
        "world": {"users": 2500, "items": 9000},
        "policy": {"kind": "mult_dae", "dim": 128, "iterations": 3},
        "platform": {"warmup": 25},
        "rounds": 8,
    },
    "lists": {
        "world": {"users": 6000, "items": 6000, "topics": 12},
        "policy": {"kind": "list_mf", "dim": 48},
        "rerank": [{"kind": "calibrated", "candidates": 500}, {"kind": "dpp", "candidates": 300}],
        "rounds": 3,
    },
    "calm": {
        "world": {"users": 30_000, "items": 30_000},
        "behavior": {"repeat": "never", "activity": 0.2},
        "policy": {"kind": "item_knn", "neighbors": 50},
        "rounds": 6,
    },
    "last.fm": {
        "world": {
            "log": str(DATA / "lastfm-2k" / "user_artists.dat"),
            "social": str(DATA / "lastfm-2k" / "user_friends.dat"),
            "tags": str(DATA / "lastfm-2k" / "artist_tags_remapped.tsv"),
        },
        "platform": {},
        "policy": {"kind": "social_poisson", "dim": 32, "iterations": 5},
        "rounds": 4,
    },
}


def study(case: dict[str, Any]) -> dict[str, Any]:
    """Return the study of a case."""
    arm = {key: case[key] for key in ("policy", "rerank") if key in case}
    rest = {key: value for key, value in case.items() if key not in arm}
    return {**BASE, **rest, "arms": [{"name": "arm", **arm}]}


def run_case(case: dict[str, Any]) -> None:
    """Execute the run of a case in this process, as a worker does, and print the estimate and the peak in bytes."""
    from echodrift.scenarios.design.load import load_study
    from echodrift.scenarios.design.plan import expand
    from echodrift.scenarios.execution.memory import estimate
    from echodrift.scenarios.execution.worker import Task, execute
    from echodrift.scenarios.storage.store import RunStore

    loaded = load_study(study(case))
    with tempfile.TemporaryDirectory() as folder:
        record = execute(Task(expand(loaded)[0]), RunStore(Path(folder)))
    if record.status != "ok":
        raise SystemExit(f"the run failed: {record}")
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
            [sys.executable, __file__, "--one", name],
            env={**os.environ, **dict.fromkeys(THREADS, "1")},
            capture_output=True,
            text=True,
            check=False,
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
