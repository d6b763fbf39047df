"""Measure what a checkpoint costs: the time to write it, the time to resume from it, and its size.

    python benchmarks/checkpoints.py             the default study's worlds, after its 150 rounds
    python benchmarks/checkpoints.py --large     10,000 users × 10,000 items with a million entries in the log

Prints one line per arm: rounds done, entries in the log, milliseconds of a round, of capturing the state and writing
it (medians of five) and of restoring it (without build and warm-up), and megabytes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from echodrift.machine import one_thread
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.design.run import PlannedRun
from echodrift.scenarios.execution.build import build_run
from echodrift.scenarios.storage.checkpoint_files import CheckpointFolder, read

LARGE: dict[str, Any] = {
    "name": "large",
    "rounds": 400,
    "seeds": 1,
    "world": {"users": 10_000, "items": 10_000},
    "platform": {"warmup": 30},
    "behavior": {"repeat": 20, "rewiring": 0.01},
    "measures": ["niche_exposure", "coverage", "homogenization"],
    "arms": [
        {"name": "popularity", "policy": {"kind": "popularity"}},
        {"name": "MF 64", "policy": {"kind": "matrix_factorization", "dim": 64}},
    ],
}
ENTRIES = 1_000_000


def cost(run: PlannedRun, most_entries: int) -> str:
    """Step a run, then write a checkpoint and restore it; return one line of the output."""
    built = build_run(run.study, run.arm, run.world_seed)
    began, done = time.perf_counter(), 0
    while done < built.rounds and len(built.simulation.log) < most_entries:
        built.step()
        done += 1
    stepped = (time.perf_counter() - began) / done
    taken, written = [], []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFolder(Path(folder) / "run")
        for _ in range(5):
            began = time.perf_counter()
            state = built.state()
            assert state is not None
            taken.append(time.perf_counter() - began)
            checkpoints.write(done, state)
            written.append(time.perf_counter() - began)
        (found,) = checkpoints.candidates(done)
        size = found.path.stat().st_size
        again = build_run(run.study, run.arm, run.world_seed)
        began = time.perf_counter()
        again.restore(read(found))
        restored = time.perf_counter() - began
    return (
        f"{run.arm.name:20} {done:5} rounds {len(built.simulation.log):9,} entries  round {1000 * stepped:6.1f} ms  "
        f"state {1000 * statistics.median(taken):6.1f} ms  written {1000 * statistics.median(written):6.1f} ms  "
        f"restored {1000 * restored:6.1f} ms  {size / 1e6:6.2f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--arm", help="one arm only")
    options = parser.parse_args()
    study = load_study(LARGE if options.large else "default")
    study = study.model_copy(update={"seeds": 1})
    with one_thread():
        for run in expand(study):
            if options.arm in (None, run.arm.name):
                print(cost(run, ENTRIES if options.large else 10**12), flush=True)


if __name__ == "__main__":
    main()
