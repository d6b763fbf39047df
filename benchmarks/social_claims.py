"""When does it help to model friends as sources of items, and when as people with similar tastes?

    python benchmarks/social_claims.py [--seeds 10] [--users 300] [--items 500]

Chaney, Blei and Eliassi-Rad (RecSys 2015) explain takes by tastes and by copying (social_poisson, mode spf);
SocialMF pulls the factors of friends together. Copying should win where friends have different tastes, and
lose to plain methods where nobody copies. Both are planted here: with probability `copied`, a user takes an item
that a friend took before (friends are weighted by a heterogeneous influence); a share `homophily` of a user's
friends has the same favorite topic, the others are drawn at random. Nobody takes an item twice.

The takes of the last fifth of the rounds are ranked from the rounds before. The settings of every method are
chosen for every cell of the table by mean NCRR over three worlds that are not in the table; the rows marked
"paper" have the priors of the paper. NCRR is Σ_{i taken} 1/rank_i divided by its maximum, where all items not
taken before are ranked; mean over users with takes in the last fifth.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation
from echodrift.policies.registry import build_policy
from numpy.random import default_rng
from scipy.stats import t as student

COPIED = (0.0, 0.1, 0.2, 0.4, 0.6)
HOMOPHILY = (0.0, 0.5, 1.0)
TUNING = (1000, 1001, 1002)
TOPICS, DEGREE, ROUNDS, TAKES = 8, 6, 30, 1.0

_WEAK = {"influence_shape": 0.3, "influence_rate": 3.0}
_PAPER = {"influence_shape": 2.0, "influence_rate": 5.0}
METHODS: dict[str, list[dict]] = {
    "popularity": [{"kind": "popularity"}],
    "pf": [{"kind": "social_poisson", "mode": "pf", "dim": dim} for dim in (2, 8, 16)],
    "als": [{"kind": "social_mf", "dim": 8, "social_weight": 0.0, "regularization": r} for r in (3, 10, 30)],
    "social_mf": [
        {"kind": "social_mf", "dim": 8, "social_weight": s, "regularization": r}
        for r, s in product((3, 10, 30), (10, 100, 1000))
    ],
    "sf": [{"kind": "social_poisson", "mode": "sf", "binary": True, **p} for p in (_PAPER, _WEAK)],
    "sf, τ = 1": [{"kind": "social_poisson", "mode": "sf", "influence": "fixed"}],
    "spf": [
        {"kind": "social_poisson", "dim": dim, "binary": True, **p}
        for dim, p in product((2, 8, 16), (_PAPER, _WEAK))
    ],
    "spf, τ = 1": [{"kind": "social_poisson", "dim": dim, "influence": "fixed"} for dim in (2, 8, 16)],
    "spf, paper": [{"kind": "social_poisson", "dim": 8, "time_ordered": False}],
}


def world(copied: float, homophily: float, seed: int, users: int, items: int) -> tuple:
    """Return (user, item, round) of all takes in time order, and the ties."""
    rng = default_rng([seed, 7])
    favorite, topic = rng.integers(0, TOPICS, users), rng.integers(0, TOPICS, items)
    attraction = rng.pareto(1.5, items) + 0.1
    liking = np.where(topic == favorite[:, None], 8.0, 1.0) * attraction
    friends = np.empty((users, DEGREE), int)
    for u in range(users):
        alike = np.flatnonzero((favorite == favorite[u]) & (np.arange(users) != u))
        other = np.delete(np.arange(users), u)
        near = min(int(rng.binomial(DEGREE, homophily)), alike.size)
        friends[u, :near] = rng.choice(alike, near, replace=False)
        friends[u, near:] = rng.choice(np.setdiff1d(other, friends[u, :near]), DEGREE - near, replace=False)
    influence = rng.lognormal(0, 1, friends.shape)
    had, log = np.zeros((users, items), bool), []
    for round in range(ROUNDS):
        before = had.copy()
        for u in np.flatnonzero(rng.random(users) < TAKES):
            weight = influence[u] * before[friends[u]].any(axis=1)
            choice = np.zeros(items)
            if rng.random() < copied and weight.any():
                friend = friends[u, rng.choice(DEGREE, p=weight / weight.sum())]
                choice = (before[friend] & ~had[u]).astype(float)
            if not choice.any():
                choice = liking[u] * ~had[u]
            item = rng.choice(items, p=choice / choice.sum())
            had[u, item] = True
            log.append((u, item, round))
    ties = Friends(np.arange(users + 1) * DEGREE, np.sort(friends, axis=1).ravel().astype(np.int32))
    return np.array(log, np.int32), ties


def ncrr(spec: dict, train: Observation, test: np.ndarray, seed: int) -> float:
    """Return the mean NCRR of a policy fitted on `train` over the users of `test` (n, 2)."""
    policy = build_policy(spec)
    policy.fit(train, default_rng(seed))
    users = np.unique(test[:, 0]).astype(np.int32)
    ranked = policy.rank(train, users, train.n_items, default_rng(seed)).items
    place = np.full((users.size, train.n_items), np.inf)
    row, column = np.nonzero(ranked >= 0)
    place[row, ranked[row, column]] = column + 1
    gain = np.zeros(users.size)
    np.add.at(
        gain, np.searchsorted(users, test[:, 0]), 1 / place[np.searchsorted(users, test[:, 0]), test[:, 1]]
    )
    most = np.cumsum(1 / np.arange(1, train.n_items + 1))
    return float((gain / most[np.bincount(test[:, 0])[users] - 1]).mean())


def results(copied: float, homophily: float, seeds, sizes, methods) -> dict[str, np.ndarray]:
    """Return method → (settings, seeds) NCRR."""
    found: dict[str, list] = {name: [] for name in methods}
    for seed in seeds:
        log, ties = world(copied, homophily, seed, *sizes)
        cut = ROUNDS * 4 // 5
        early = log[log[:, 2] < cut]
        user, item, round = (np.ascontiguousarray(early[:, j]) for j in range(3))
        size, (users, items) = len(early), sizes
        entries = Interactions(user, item, round, np.zeros(size, np.int16), np.ones(size, np.int8))
        blocked = Blocked(users, items)
        blocked.set(user, item)
        train = Observation(
            cut, users, items, entries, np.ones((items, 1), np.float32), np.ones(items, bool), blocked, ties
        )  # fmt: skip
        for name, specs in methods.items():
            found[name].append([ncrr(spec, train, log[log[:, 2] >= cut, :2], seed) for spec in specs])
    return {name: np.array(values).T for name, values in found.items()}


def interval(values: np.ndarray) -> str:
    """Return mean ± half the width of the 95 % interval."""
    half = student.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return f"{values.mean():+.4f} ± {half:.4f}"


def main() -> None:
    """Print the table, the paired differences and where the sign changes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--items", type=int, default=500)
    options = parser.parse_args()
    sizes = (options.users, options.items)
    print(f"{options.users} users, {options.items} items, {options.seeds} seeds; NCRR")
    print(f"{'homophily':>9} {'copied':>7} " + " ".join(f"{name:>11}" for name in METHODS))
    table = {}
    for homophily, copied in product(HOMOPHILY, COPIED):
        tried = results(copied, homophily, TUNING, sizes, METHODS)
        chosen = {name: [METHODS[name][int(values.mean(axis=1).argmax())]] for name, values in tried.items()}
        cell = {
            name: v[0] for name, v in results(copied, homophily, range(options.seeds), sizes, chosen).items()
        }
        table[homophily, copied] = cell
        print(
            f"{homophily:9.1f} {copied:7.1f} " + " ".join(f"{v.mean():11.4f}" for v in cell.values()),
            flush=True,
        )
    print("\npaired differences, with 95 % intervals")
    pairs = (
        ("spf", "social_mf"), ("spf", "pf"), ("spf", "popularity"), ("spf", "sf"), ("spf", "spf, τ = 1"),
        ("spf", "spf, paper"), ("social_mf", "als"),
    )  # fmt: skip
    for one, other in pairs:
        print(f"\n{one} − {other}")
        for homophily in HOMOPHILY:
            gaps = [table[homophily, copied][one] - table[homophily, copied][other] for copied in COPIED]
            row = "   ".join(interval(gap) for gap in gaps)
            print(f"  homophily {homophily:.1f}: {row}   {crossing([gap.mean() for gap in gaps])}")


def crossing(means: list[float]) -> str:
    """Return where the mean difference changes its sign for good, between the values of `copied`."""
    for at in range(len(means) - 1, 0, -1):
        low, high = means[at - 1], means[at]
        if low <= 0 < high:
            return f"> 0 from copied = {COPIED[at - 1] + (COPIED[at] - COPIED[at - 1]) * -low / (high - low):.2f}"
    return "> 0 throughout" if min(means) > 0 else "no crossing to > 0"


if __name__ == "__main__":
    main()
