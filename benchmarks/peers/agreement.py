"""echodrift's own `evaluate` against the benchmark's judge, on the same split: they must agree to 1e-6.

python benchmarks/peers/agreement.py [ml-latest-small …]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from data import split
from echodrift.policies.registry import build_policy
from echodrift.scenarios.offline.evaluate import evaluate
from scoring import LENGTH, METRICS, judge
from side_echodrift import observation

POLICIES = ({"kind": "ease", "l2": 200.0}, {"kind": "item_knn"}, {"kind": "user_knn"})
"""Policies without randomness but that of ties: both sides must make the same lists."""
TOLERANCE = 1e-6


def written(pairs, path: Path) -> Path:
    """Write a matrix as a log with numbers for ids."""
    coo = pairs.tocoo()
    lines = [f"{user},{item}" for user, item in zip(coo.row, coo.col, strict=True)]
    path.write_text("user,item\n" + "\n".join(lines) + "\n")
    return path


def main() -> None:
    worst = 0.0
    for name in sys.argv[1:] or ["ml-latest-small", "lastfm-2k"]:
        parts = split(name, 0)
        known = (parts.train + parts.validation).tocsr()
        users = np.flatnonzero(np.diff(parts.test.indptr)).astype(np.int32)
        with tempfile.TemporaryDirectory() as folder:
            train = written(known, Path(folder) / "train.csv")
            test = written(parts.test, Path(folder) / "test.csv")
            theirs = evaluate(
                train=train, test=test, policies=list(POLICIES), metrics=",".join(METRICS)
            ).metrics
        seen = observation((known, parts.friends))
        for spec, label in zip(POLICIES, dict.fromkeys(theirs.policy), strict=True):
            policy = build_policy(spec)
            policy.fit(seen, np.random.default_rng(0))
            found = judge(policy.rank(seen, users, LENGTH, np.random.default_rng(0)).items, users, parts.test)
            rows = theirs[theirs.policy == label].set_index("metric").value
            for metric, value in found.items():
                worst = max(worst, abs(value - rows[metric]))
                print(f"{name} {spec['kind']} {metric}: judge {value:.8f}, evaluate {rows[metric]:.8f}")
    print(f"largest difference {worst:.2g}")
    if worst > TOLERANCE:
        raise SystemExit(f"evaluate and the judge differ by more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
