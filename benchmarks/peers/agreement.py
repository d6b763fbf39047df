"""Check that echodrift's `evaluate` and the judge of this benchmark agree to 1e-6 on the same splits.

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
"""Policies that are deterministic apart from ties, so both sides must produce the same lists."""
TOLERANCE = 1e-6


def write_log(pairs, path: Path) -> Path:
    """Write a matrix as a log whose ids are numbers."""
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
            train = write_log(known, Path(folder) / "train.csv")
            test = write_log(parts.test, Path(folder) / "test.csv")
            evaluated = evaluate(
                train=train, test=test, policies=list(POLICIES), metrics=",".join(METRICS)
            ).metrics
        seen = observation((known, parts.friends))
        for spec, label in zip(POLICIES, dict.fromkeys(evaluated.policy), strict=True):
            policy = build_policy(spec)
            policy.fit(seen, np.random.default_rng(0))
            judged = judge(
                policy.rank(seen, users, LENGTH, np.random.default_rng(0)).items, users, parts.test
            )
            rows = evaluated[evaluated.policy == label].set_index("metric").value
            for metric, value in judged.items():
                worst = max(worst, abs(value - rows[metric]))
                print(f"{name} {spec['kind']} {metric}: judge {value:.8f}, evaluate {rows[metric]:.8f}")
    print(f"largest difference {worst:.2g}")
    if worst > TOLERANCE:
        raise SystemExit(f"evaluate and the judge differ by more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
