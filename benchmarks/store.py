"""Measure how fast a folder with many runs is: write synthetic runs, then read, collect and query them.

    python benchmarks/store.py [RUNS] [FOLDER]

By default 10,000 runs of 100 rounds × 25 measures, about 1 GB. Nothing is simulated. Prints the seconds of wall
time and of CPU time of each step.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand, study_digest
from echodrift.scenarios.inspection.query import Query
from echodrift.scenarios.inspection.status import status
from echodrift.scenarios.storage.bundles import Bundler
from echodrift.scenarios.storage.collect import collect
from echodrift.scenarios.storage.folder import Folder
from echodrift.scenarios.storage.store import Record, parquet

ROUNDS, MEASURES, ARMS = 100, 25, 10
SQL = "select arm, avg(measure0), count(*) from rounds group by arm order by arm"


@contextmanager
def timed(what: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(
        f"{what:<50} {time.perf_counter() - wall:8.2f} s  {time.process_time() - cpu:8.2f} s CPU", flush=True
    )


def write_runs(path: Path, count: int) -> tuple[Folder, list]:
    """Write `count` synthetic runs; return the folder, and the study and its plan."""
    arms = [{"name": f"arm {n}", "policy": {"kind": ("random", "organic")[n % 2]}} for n in range(ARMS)]
    study = load_study({"name": "many", "rounds": ROUNDS, "seeds": count // ARMS, "arms": arms})
    plan, folder, rng = expand(study), Folder(path), np.random.default_rng(0)
    names = [f"measure{n}" for n in range(MEASURES)]
    folder.store.folder.mkdir(parents=True, exist_ok=True)
    folder.begin(study, plan)
    bundler = Bundler(folder.store)
    for run in plan:
        rounds = pd.DataFrame(rng.random((ROUNDS, MEASURES)), columns=names)
        rounds.insert(0, "round", range(ROUNDS))
        curves = pd.DataFrame({"x": np.linspace(0, 1, 200), "y": rng.random(200)})
        record = Record(run.key, run.label, "ok", seconds=1.0, summaries=rounds[names].mean().to_dict())
        folder.store.write(record, {"rounds": parquet(rounds), "lorenz": parquet(curves)})
        bundler.add(record)
    return folder, [study, plan]


def main(count: int, path: Path) -> None:
    # The speed of the disk is not what is measured.
    os.fsync = lambda handle: None
    with timed(f"write {count:,} runs, with bundles"):
        folder, (study, plan) = write_runs(path, count)
    with timed("status"):
        status(path)
    with timed("query of rounds, unfinished"):
        Query(path).table(SQL)
    with timed("query of runs, unfinished"):
        Query(path).table("select arm, avg(measure0) from runs group by arm")
    with timed("read and verify all runs (resuming)"):
        records = {run.key: folder.store.read(run.key) for run in plan}
    with timed("collect the tables"):
        files = collect(plan, {key: record for key, record in records.items() if record}, folder.store, path)
    manifest = {"study": "many", "runs": len(plan), "failed": 0, "study_sha256": study_digest(study)}
    folder.publish(study, files, manifest)
    with timed("see that nothing is to be done"):
        assert folder.is_complete(study, len(plan))
    with timed("query of rounds, finished"):
        Query(path).table(SQL)
    with timed("query of runs, finished"):
        Query(path).table("select arm, avg(measure0) from runs group by arm")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    if len(sys.argv) > 2:
        main(number, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(number, Path(scratch))
