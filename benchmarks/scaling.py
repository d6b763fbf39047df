"""How much faster a study is with several workers than with one.

    python benchmarks/scaling.py                        the default study with 2 seeds, 1 and 2 loky workers
    python benchmarks/scaling.py --backend dask --seeds 4 --jobs 4
    python benchmarks/scaling.py --rounds 10 --repeats 3

Efficiency is seconds with one job / (jobs × seconds with that many). The two take turns in one process, so
that a machine that gets slower or faster hits both alike; the best of each counts. Seconds are those of the
whole study, worker start and tables included; "start" is a study of one round and one seed, nearly all of
which is start. Efficiency without start is what long studies tend to. The rest of what is lost is told apart:
runs that take longer because the cores share a memory, and workers that have nothing to do (start, tables, the
last runs).

On a machine with other work, or with fewer cores than jobs, the figure says something about the machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import echodrift as ed


def seconds(study: str, **how: Any) -> tuple[float, float]:
    """Return what a study takes from its file to its tables, and the sum of what its runs took."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = ed.run(study, out=Path(folder) / "out", **how)
        took = time.perf_counter() - began
        if len(result.failed):
            raise SystemExit(f"runs failed:\n{result.failed.to_string()}")
    return took, float(result.runs["seconds"].sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--study", default="default")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--backend", choices=["loky", "threading", "dask", "ray"], default="loky")
    asked = parser.parse_args()

    how: dict[str, Any] = {"rounds": asked.rounds, "seeds": asked.seeds}
    spread: dict[str, Any] = {"jobs": asked.jobs, "backend": asked.backend}
    # Compiled code is on the disk, and what this process loads is loaded, before anything is timed.
    seconds(asked.study, rounds=1, seeds=1)
    start = (
        min(seconds(asked.study, rounds=1, seeds=1, **spread)[0] for _ in range(2))
        - seconds(asked.study, rounds=1, seeds=1)[0] / asked.jobs
    )
    one, many = [], []
    for _ in range(asked.repeats):
        one.append(seconds(asked.study, jobs=1, **how))
        many.append(seconds(asked.study, **spread, **how))
    (alone, alone_in_runs), (together, in_runs) = min(one), min(many)
    print(f"{asked.study}, {asked.seeds} seeds, {asked.backend}; load {os.getloadavg()[0]:.1f}")
    print(
        f"1 job: {alone:.1f} s; {asked.jobs} jobs: {together:.1f} s, of which start about {max(start, 0):.1f} s"
    )
    print(f"efficiency at {asked.jobs}: {alone / (asked.jobs * together):.2f}")
    print(f"runs beside others take {in_runs / alone_in_runs:.2f} times as long as alone", end="; ")
    print(f"workers idle {1 - in_runs / (asked.jobs * together):.1%} of the time")
    rest = together - max(start, 0)
    if rest > 0:
        print(f"without start: {alone / (asked.jobs * rest):.2f}")


if __name__ == "__main__":
    main()
