"""Does weighting a self-selected log help on items that people were shown at random? Tested on the Coat data.

    python benchmarks/coat_debias.py [--data ../shared/data/coat] [--seeds 5] [--resamples 2000]

Coat (Schnabel, Swaminathan, Singh, Chandak and Joachims, ICML 2016): 290 people rated 24 coats that they picked
and 16 that were drawn at random for them, out of 300. A coat counts as taken if its rating is at least LIKED.
Policies learn from the picked coats that were taken. Each then ranks the random 16 of every person (without those
that the person had picked too), and the ranking is judged by which of them were taken: NDCG@5, and AUC, the share
of (taken, not taken) pairs in the right order. People whose random coats are not of both kinds are left out, so
that every row is about the same people and pairs.

Weights: `none`; `selection_debias` with two exponents; `published`, the inverse of the propensities that come
with the data, which were estimated with features of people and coats, clipped and normalized in the same way.
The settings of every row are the best on held-out picked coats when fitted with the row's weights. Held-out coats
have equal weights, since a platform has no random sample to choose by. Intervals: 95 %, bootstrap over people;
differences are paired by person.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation, Source
from echodrift.policies.registry import build_log_transform, build_policy
from echodrift.policies.transforms.weights import reweighted
from numpy.random import default_rng

LIKED = 4
CUT = 5
GRIDS: dict[str, list[dict]] = {
    "random": [{"kind": "random"}],
    "popularity": [{"kind": "popularity"}],
    "ials": [
        {"kind": "ials", "binary": False, "dim": d, "regularization": r, "unobserved_weight": w, "solver": "exact"}
        for d, r, w in product((4, 16), (0.01, 0.03, 0.1, 0.3), (0.03, 0.3))
    ],
    "ALS": [
        {"kind": "matrix_factorization", "dim": d, "regularization": r, "confidence": c}
        for d, r, c in product((4, 16), (1.0, 10.0, 30.0, 100.0), (3.0, 10.0))
    ],
    "ease": [{"kind": "ease", "binary": False, "l2": l2} for l2 in (10.0, 30.0, 100.0, 300.0, 1000.0)],
    "item_knn": [
        {"kind": "item_knn", "binary": False, "neighbors": k, "shrink": s}
        for k, s in product((30, 100, 300), (1.0, 10.0, 100.0))
    ],
}  # fmt: skip
WEIGHTS = ("none", "exponent 0.5", "exponent 1", "published")


@dataclass(frozen=True)
class Coat:
    """Ratings (people, coats), 0 where there is none."""

    picked: np.ndarray
    random: np.ndarray
    propensities: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Coat:
        """Read the three tables; random coats that the person had also picked are left out."""
        picked, random = (np.loadtxt(folder / f"{name}.ascii", int) for name in ("train", "test"))
        return cls(picked, np.where(picked > 0, 0, random), np.loadtxt(folder / "propensities.ascii"))


def observation(taken: np.ndarray, hidden: np.ndarray | None = None) -> Observation:
    """Return the observation of a log `taken` (people, coats); `hidden` pairs are not ranked."""
    user, item = (ids.astype(np.int32) for ids in np.nonzero(taken))
    n_users, n_items = taken.shape
    none = np.zeros(user.size, np.int16)
    log = Interactions(user, item, none.astype(np.int32), none, np.full(user.size, Source.IMPORTED, np.int8))
    blocked = Blocked(n_users, n_items)
    if hidden is not None:
        blocked.set(*(ids.astype(np.int32) for ids in np.nonzero(hidden)))
    friends = Friends(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))
    tags, live = np.ones((n_items, 1), np.float32), np.ones(n_items, bool)
    return Observation(1, n_users, n_items, log, tags, live, blocked, friends)


def weighted(seen: Observation, how: str, propensities: np.ndarray) -> Observation:
    """Return the observation to fit on: the log with the given kind of weights."""
    if how == "none":
        return seen
    if how == "published":
        factors = 1 / propensities[seen.log.user, seen.log.item]
        factors = np.minimum(factors / factors.min(), 10)
        return reweighted(seen, factors, np.ones(len(seen.log), bool), self_normalized=True)
    exponent = float(how.removeprefix("exponent "))
    return build_log_transform({"kind": "selection_debias", "exponent": exponent}).prepare(seen)


def ranks(spec: dict, learned: Observation, seen: Observation, seed: int) -> np.ndarray:
    """Return (people, coats) the position of every coat in each person's ranking, from 0."""
    policy = build_policy(spec)
    policy.fit(learned, default_rng([seed, 1]))
    users = np.arange(seen.n_users, dtype=np.int32)
    ranking = policy.rank(seen, users, seen.n_items, default_rng([seed, 2]))
    out = np.full((seen.n_users, seen.n_items), seen.n_items)
    rows, columns = np.nonzero(ranking.items >= 0)
    out[rows, ranking.items[rows, columns]] = columns
    return out


def metrics_by_person(rank: np.ndarray, candidates: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return (people, 2): NDCG@CUT and AUC of the candidates in the order of their ranks; NaN without both kinds."""
    out = np.full((len(rank), 2), np.nan)
    for u in range(len(rank)):
        own = np.flatnonzero(candidates[u])
        hits = taken[u, own[np.argsort(rank[u, own], kind="stable")]].astype(float)
        good, bad = hits.sum(), (1 - hits).sum()
        if good == 0 or bad == 0:
            continue
        discount = 1 / np.log2(np.arange(2, hits.size + 2)) * (np.arange(hits.size) < CUT)
        out[u, 0] = hits @ discount / discount[: int(good)].sum()
        out[u, 1] = (hits * (bad - np.cumsum(1 - hits))).sum() / (good * bad)
    return out


def choose_settings(coat: Coat, grid: list[dict], how: str) -> dict:
    """Return the settings with the best NDCG@CUT on a fifth of the picked coats that were taken."""
    if len(grid) == 1:
        return grid[0]
    taken = coat.picked >= LIKED
    held = taken & (default_rng(5).random(taken.shape) < 0.2)
    seen = observation(taken & ~held, hidden=taken & ~held)
    learned, candidates = weighted(seen, how, coat.propensities), ~(taken & ~held)

    def quality(spec: dict) -> float:
        return float(np.nanmean(metrics_by_person(ranks(spec, learned, seen, 0), candidates, held)[:, 0]))

    return max(grid, key=quality)


def compare(coat: Coat, policies: list[str], seeds: int) -> tuple[dict, dict]:
    """Return {(policy, weights): (people, 2)} on the random coats, mean over seeds, and the settings of each."""
    seen = observation(coat.picked >= LIKED, hidden=coat.picked > 0)
    found, settings = {}, {}
    for name in policies:
        for how in WEIGHTS if name != "random" else ("none",):
            settings[name, how] = choose_settings(coat, GRIDS[name], how)
            learned = weighted(seen, how, coat.propensities)
            runs = [ranks(settings[name, how], learned, seen, seed) for seed in range(seeds)]
            each = [metrics_by_person(rank, coat.random > 0, coat.random >= LIKED) for rank in runs]
            found[name, how] = np.mean(each, axis=0)
    return found, settings


def interval(values: np.ndarray, resamples: int) -> str:
    """Return the mean of `values` (people,) with its bootstrap interval."""
    values = values[~np.isnan(values)]
    draws = default_rng(9).integers(0, values.size, (resamples, values.size))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "coat"
    parser.add_argument("--data", type=Path, default=beside, help="folder with train.ascii, test.ascii, …")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    if not (options.data / "train.ascii").is_file():
        sys.exit(f"no train.ascii in {options.data}: download Coat and give its folder with --data")
    coat = Coat.read(options.data)
    found, settings = compare(coat, list(GRIDS), options.seeds)
    people = int((~np.isnan(found["random", "none"][:, 0])).sum())
    pairs, took = int((coat.random > 0).sum()), int((coat.picked >= LIKED).sum())
    print(f"{took} picked coats taken; judged on {pairs} random coats, {people} people with both kinds\n")
    print("| policy | weights | NDCG@5 | AUC | NDCG@5 − none | AUC − none |\n|---|---|---|---|---|---|")
    for (name, how), values in found.items():
        cells = [interval(values[:, column], options.resamples) for column in (0, 1)]
        difference = values - found[name, "none"]
        cells += [interval(difference[:, c], options.resamples) if how != "none" else "" for c in (0, 1)]
        print(f"| {name} | {how} | {' | '.join(cells)} |")
    print()
    for (name, how), spec in settings.items():
        print(f"{name}, {how}: {spec}")


if __name__ == "__main__":
    main()
