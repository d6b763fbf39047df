"""Evaluate one method of one library: tune it on the tuning split, then fit and judge it on the others.

    python worker.py LIBRARY METHOD DATASET… [--same] [--seeds 3] [--trials N] [--out results.jsonl]

Appends one line of JSON per log. Runs in the environment of its library. Seconds are processor seconds of
training alone, over all threads of the process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from importlib.metadata import version

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(name, "1")
for name in ("LK_NUM_THREADS", "LK_NUM_BACKEND_THREADS", "LK_NUM_PROCS", "IRSPACK_NUM_THREADS_DEFAULT"):
    os.environ.setdefault(name, "1")

import numpy as np
from data import TUNING_SEED, split
from method import SAME, Method, trials
from scoring import LENGTH, judge, top_lists

CHOSEN_BY = "ndcg@100"


def fitted(method: Method, train, friends, fields, seed):
    """Return (model, processor seconds of training)."""
    data = method.prepare((train, friends))
    began = time.process_time()
    model = method.train(data, fields, seed)
    return model, time.process_time() - began


def measured(method: Method, model, known, wanted) -> dict[str, float]:
    """Return the mean metrics over users with held-out items."""
    users = np.flatnonzero(np.diff(wanted.indptr)).astype(np.int32)
    scores = method.scores
    if method.lists is not None:
        lists = method.lists(model, users, LENGTH)
    elif scores is not None:
        lists = top_lists(lambda part: scores(model, part), known, users)
    else:
        raise ValueError("a method needs scores or lists")
    return judge(lists, users, wanted)


def tune(method: Method, name: str, dataset: str, count: int | None) -> tuple[dict, list]:
    """Return the best settings and every trial as (score, seconds, settings)."""
    parts = split(dataset, TUNING_SEED)
    tried = []
    for fields in trials(name, count):
        try:
            model, seconds = fitted(method, parts.train, parts.friends, fields, 0)
            score = measured(method, model, parts.train, parts.validation)[CHOSEN_BY]
        except (
            ArithmeticError,
            RuntimeError,
            ValueError,
        ) as error:  # If a library fails on one trial, the others still count.
            print(f"{name} {fields}: {type(error).__name__}: {error}", file=sys.stderr)
            score, seconds = float("nan"), float("nan")
        print(f"  {score:.4f} {seconds:7.2f} s  {fields}", file=sys.stderr, flush=True)
        tried.append((score, seconds, fields))
    best = max(tried, key=lambda one: -1 if np.isnan(one[0]) else one[0])
    return best[2], tried


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate one method of one library.")
    parser.add_argument("library")
    parser.add_argument("method")
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int)
    parser.add_argument(
        "--same", action="store_true", help="use the settings of method.SAME instead of tuning"
    )
    parser.add_argument("--out")
    options = parser.parse_args()
    side = importlib.import_module(f"side_{options.library}")
    for dataset in options.datasets:
        compare(options, side.METHODS[options.method], dataset)


def compare(options: argparse.Namespace, method: Method, dataset: str) -> None:
    """Tune if requested, fit on every split, and append the results to the output file."""
    fields, tried = SAME[options.method], []
    if not options.same:
        fields, tried = tune(method, options.method, dataset, options.trials)
    each = []
    for seed in range(options.seeds):
        parts = split(dataset, seed)
        known = (parts.train + parts.validation).tocsr()
        known.sort_indices()
        model, seconds = fitted(method, known, parts.friends, fields, seed)
        if options.same:  # The first fit of a process compiles or loads.
            seconds = min(seconds, fitted(method, known, parts.friends, fields, seed)[1])
        each.append({"seed": seed, "seconds": seconds, **measured(method, model, known, parts.test)})
    line = {
        "library": options.library,
        "version": version(options.library),
        "method": options.method,
        "dataset": dataset,
        "same": options.same,
        "fields": fields,
        "tried": tried,
        "each": each,
    }
    if options.out:
        with open(options.out, "a") as file:
            file.write(json.dumps(line) + "\n")
    means = {name: float(np.mean([one[name] for one in each])) for name in each[0] if name != "seed"}
    print(
        options.library,
        options.method,
        dataset,
        {name: round(mean, 4) for name, mean in means.items()},
        fields,
        flush=True,
    )


if __name__ == "__main__":
    main()
