"""Measure how much faster a study is with several workers than with one.

    python benchmarks/scaling.py                        the default study with 2 seeds, 1 and 2 loky workers
    python benchmarks/scaling.py --backend dask --seeds 4 --jobs 4
    python benchmarks/scaling.py --rounds 10 --repeats 3

Efficiency is (seconds with one job) / (jobs × seconds with that many jobs). The two alternate in one process, so
that changes in the machine's speed affect both alike; the best time of each counts. Seconds are those of the
whole study, including the start of workers and the tables. "Start" is a study of one round and one seed, which
consists of little else; long studies approach the efficiency without start. The remaining loss is split into
runs that take longer because the cores share memory, and workers that are idle (start, tables, the last runs).

With other work on the machine, or with fewer cores than jobs, the result reflects the machine rather than echodrift.
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
    """Return the seconds of a study, from its file to its tables, and the sum of the seconds of its runs."""
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
    options = parser.parse_args()

    how: dict[str, Any] = {"rounds": options.rounds, "seeds": options.seeds}
    spread: dict[str, Any] = {"jobs": options.jobs, "backend": options.backend}
    # Compile and load everything before anything is timed.
    seconds(options.study, rounds=1, seeds=1)
    start = (
        min(seconds(options.study, rounds=1, seeds=1, **spread)[0] for _ in range(2))
        - seconds(options.study, rounds=1, seeds=1)[0] / options.jobs
    )
    one, many = [], []
    for _ in range(options.repeats):
        one.append(seconds(options.study, jobs=1, **how))
        many.append(seconds(options.study, **spread, **how))
    (alone, alone_in_runs), (together, in_runs) = min(one), min(many)
    print(f"{options.study}, {options.seeds} seeds, {options.backend}; load {os.getloadavg()[0]:.1f}")
    print(
        f"1 job: {alone:.1f} s; {options.jobs} jobs: {together:.1f} s, of which start about {max(start, 0):.1f} s"
    )
    print(f"efficiency at {options.jobs}: {alone / (options.jobs * together):.2f}")
    print(f"runs beside others take {in_runs / alone_in_runs:.2f} times as long as alone", end="; ")
    print(f"workers idle {1 - in_runs / (options.jobs * together):.1%} of the time")
    rest = together - max(start, 0)
    if rest > 0:
        print(f"without start: {alone / (options.jobs * rest):.2f}")


if __name__ == "__main__":
    main()
