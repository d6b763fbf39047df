"""Every built-in policy holds every clause of the contract, and broken policies fail the right one."""

from __future__ import annotations

import random

import numpy as np
import pytest
from echodrift.config import Config as BaseConfig
from echodrift.errors import BadInput
from echodrift.policies.base import Policy, Ranking, ScorePolicy
from echodrift.policies.registry import kinds
from echodrift.policies.testing import check_policy, check_reranker
from echodrift.policies.testing.policy_clauses import POLICY_CLAUSES
from numpy.random import default_rng

CATALOG = [
    ("adapter", {"model": "implicit.als:AlternatingLeastSquares", "arguments": {"factors": 4}}),
    ("random", {}),
    ("popularity", {}),
    ("popularity", {"window": 3}),
    ("content", {}),
    ("content", {"window": 4, "half_life": 2.0, "popularity": 0.0}),
    ("matrix_factorization", {}),
    ("matrix_factorization", {"dim": 2, "binary": True, "window": 3, "refit_iterations": 2}),
    ("matrix_factorization", {"dim": 100, "warm_start": False}),
    ("matrix_factorization", {"dim": 3, "model": "bpr", "iterations": 5}),
    (
        "matrix_factorization",
        {"dim": 5, "model": "bpr", "negatives": "popularity", "iterations": 5, "window": 4},
    ),
    ("ease", {}),
    ("ease", {"l2": 2.0, "binary": False, "window": 4}),
    ("item_knn", {}),
    ("item_knn", {"neighbors": 5, "neighbors_of": "history", "weighting": "tfidf"}),
    ("item_knn", {"neighbors": 3, "shrink": 0.0, "weighting": "bm25", "binary": False, "window": 4}),
    ("user_knn", {}),
    ("user_knn", {"neighbors": 3, "shrink": 0.0, "weighting": "tfidf", "binary": False}),
    ("social_mf", {"dim": 8}),
    ("social_mf", {"dim": 3, "social_weight": 300.0, "binary": True, "window": 4, "warm_start": False}),
    ("social_poisson", {}),
    ("social_poisson", {"mode": "pf", "dim": 3, "window": 4, "activity_shape": 0.3}),
    ("social_poisson", {"mode": "sf", "influence": "fixed", "time_ordered": False}),
    ("social_poisson", {"dim": 2, "binary": True, "warm_start": False, "tolerance": 0.0, "iterations": 20}),
    ("hashed_mf", {"dim": 8, "iterations": 5}),
    (
        "hashed_mf",
        {"dim": 4, "table": "hash", "load": 2.0, "admission": "threshold", "threshold": 2, "window": 4},
    ),
    ("hashed_mf", {"dim": 4, "table": "quotient_remainder", "slots": 8, "iterations": 3, "sides": "items"}),
    ("hashed_mf", {"dim": 4, "admission": "probabilistic", "expire_after": 2, "reset_on_reuse": False}),
    ("ials", {"dim": 8}),
    (
        "ials",
        {"dim": 6, "solver": "exact", "block": 2, "binary": False, "window": 4, "frequency_exponent": 0.5},
    ),
    ("ials", {"dim": 70, "cg_steps": 2, "warm_start": False, "iterations": 3}),
    ("spectral_mf", {"dim": 8}),
    ("spectral_mf", {"dim": 8, "effective_rank": 3.0, "iterations": 6}),
    ("spectral_mf", {"dim": 8, "effective_rank": 3.0, "control": "spectrum", "spectral_penalty": 0.0}),
    ("persona", {"dim": 4, "iterations": 2}),
    ("persona", {"personas": 1, "dim": 3, "iterations": 2, "window": 4}),
    ("persona", {"dim": 3, "attention_dim": 2, "learn_temperature": True, "lambda_p": 0.1, "lambda_n": 0.1}),
    ("persona", {"dim": 3, "negative_sampling": "uniform", "binary": True, "warm_start": False}),
    ("bandit", {}),
    ("bandit", {"epsilon": 1.0, "policy": {"kind": "content"}}),
    ("bandit", {"strategy": "ucb", "policy": {"kind": "matrix_factorization", "dim": 4}}),
    ("bandit", {"strategy": "thompson", "exposures": False, "policy": {"kind": "content"}}),
    ("mult_vae", {"hidden": 16, "dim": 4, "iterations": 3}),
    ("mult_vae", {"hidden": 16, "dim": 4, "likelihood": "gaussian", "window": 4, "iterations": 2}),
    ("mult_dae", {"dim": 8, "likelihood": "logistic", "batch": 8, "iterations": 2}),
    ("mult_dae", {"dim": 8, "binary": False, "warm_start": False, "iterations": 2}),
    ("sequential", {"dim": 8, "max_length": 6, "iterations": 2}),
    ("sequential", {"loss": "sampled", "heads": 2, "dim": 8, "layers": 1, "window": 4, "iterations": 2}),
    ("list_mf", {"iterations": 3}),
    (
        "list_mf",
        {"dim": 3, "list_weight": 1.0, "consumed": 3, "values": "uniform", "window": 4, "iterations": 3},
    ),
    ("list_mf", {"dim": 2, "list_weight": 0.0, "warm_start": False, "iterations": 3}),
]


@pytest.mark.parametrize("clause", POLICY_CLAUSES)
@pytest.mark.parametrize(("kind", "fields"), CATALOG, ids=str)
def test_contract(kind, fields, clause):
    assert check_policy(kind, skip=POLICY_CLAUSES.keys() - {clause}, **fields) == [clause]


def test_the_catalog_covers_every_kind():
    # "http" needs a service beside it: tests/policies/outside/test_http.py
    assert {kind for kind, _ in CATALOG} == set(kinds()) - {"http"}


# What the suite catches


class Good(ScorePolicy):
    """Item popularity plus a little noise; the broken ones below each break one thing."""

    kind = f"{__name__}:Good"

    class Config(BaseConfig):
        noise: float = 0.1
        """Spread of the noise."""

    config: Config

    def fit(self, seen, rng):
        self.taken = seen.popularity.astype(np.float32)

    def scores(self, seen, users, rng):
        scores = np.zeros((users.size, seen.n_items), np.float32)
        scores[:, : self.taken.size] = self.taken
        return scores + np.float32(self.config.noise) * rng.random(scores.shape, dtype=np.float32)

    def state(self):
        return {"taken": self.taken}

    def restore(self, state):
        self.taken = state["taken"].copy()


class Undocumented(Good):
    class Config(BaseConfig):
        noise: float = 0.1


class Loose(Good):
    class Config(BaseConfig):
        model_config = {"extra": "ignore"}
        noise: float = 0.1
        """Spread of the noise."""


def spoiled(spoil):
    """Return a policy class whose good ranking goes through `spoil(ranking, seen, n)`."""

    class Spoiled(Policy):
        kind = "spoiled"

        def fit(self, seen, rng):
            self.inner = Good()
            self.inner.fit(seen, rng)

        def rank(self, seen, users, n, rng):
            return spoil(self.inner.rank(seen, users, n, rng), seen, n)

    return Spoiled


def short(ranking, seen, n):
    ranking.items[0, -1], ranking.scores[0, -1] = -1, -np.inf
    return ranking


def twice(ranking, seen, n):
    if n > 1:
        ranking.items[0, 1] = ranking.items[0, 0]
    return ranking


def dead(ranking, seen, n):
    if n == seen.n_items:
        ranking.items[:, 0] = np.flatnonzero(~seen.live)[0]
    return ranking


def cooling(ranking, seen, n):
    best = np.argmax(seen.popularity)
    rest = ~(ranking.items == best).any(axis=1) & (len(seen.log) > 0) & seen.live[best] & (n > 2)
    ranking.items[rest, 0] = best
    return ranking


def wide(ranking, seen, n):
    return Ranking(ranking.users, ranking.items.astype(np.int64), ranking.scores)


def rising(ranking, seen, n):
    return Ranking(ranking.users, ranking.items, np.where(ranking.items < 0, -np.inf, -ranking.scores))


def other_users(ranking, seen, n):
    return Ranking(ranking.users[::-1], ranking.items, ranking.scores)


def not_a_ranking(ranking, seen, n):
    return ranking.items


def gap(ranking, seen, n):
    if n > 1:
        ranking.items[0, 0], ranking.scores[0, 0] = -1, -np.inf
    return ranking


def nan_score(ranking, seen, n):
    ranking.scores[:, 0] = np.nan
    return ranking


class GlobalNumpy(Good):
    def fit(self, seen, rng):
        super().fit(seen, rng)
        self.taken += np.random.random(self.taken.size).astype(np.float32)  # noqa: NPY002


class GlobalPython(Good):
    def fit(self, seen, rng):
        super().fit(seen, rng)
        random.random()  # drawn and thrown away: results stay the same, the global state does not


class Forgetful(Good):
    def state(self):
        return {"taken": np.zeros_like(self.taken)}


class Pickled(Good):
    def state(self):
        return {"taken": np.array([self.taken, None], object)}


class Accumulates(Good):
    """Its state() leaves out what a refit needs."""

    fits = 0

    def fit(self, seen, rng):
        self.fits += 1
        self.taken = seen.popularity.astype(np.float32) * (1 if self.fits == 1 else -1)


class Overwrites(Good):
    def fit(self, seen, rng):
        counts = seen.counts
        counts.data[:] = 1
        self.taken = np.asarray(counts.sum(axis=0), np.float32).ravel()


class FrozenCatalog(Good):
    def scores(self, seen, users, rng):
        return np.tile(self.taken, (users.size, 1))


class NeedsALog(Good):
    def fit(self, seen, rng):
        self.taken = seen.popularity.astype(np.float32)
        self.newest = seen.log.round[-1]


class NeedsHistory(Good):
    def scores(self, seen, users, rng):
        scores = super().scores(seen, users, rng)
        scores[np.diff(seen.counts.indptr)[users] == 0] = np.nan
        return scores


class Shuffled(Good):
    calls = 0

    def scores(self, seen, users, rng):
        Shuffled.calls += 1
        return default_rng(Shuffled.calls).random((users.size, seen.n_items), dtype=np.float32)


class Endless(Good):
    def memory(self, size):
        return np.inf


@pytest.mark.parametrize(
    ("policy", "clause", "says"),
    [
        (Undocumented, "construction", "noise needs a docstring"),
        (Loose, "config", "an unknown field is accepted"),
        (spoiled(wide), "shapes", "type int32"),
        (spoiled(rising), "shapes", "must not rise"),
        (spoiled(other_users), "shapes", "same order"),
        (spoiled(not_a_ranking), "shapes", "must return an echodrift.policies.Ranking"),
        (spoiled(short), "shapes", "are available"),
        (spoiled(gap), "shapes", "follows a -1"),
        (spoiled(nan_score), "shapes", "finite"),
        (spoiled(twice), "shapes", "listed twice"),
        (spoiled(dead), "availability", "not live"),
        (spoiled(cooling), "shapes", "cool-down"),
        (GlobalNumpy, "determinism", "other items|other scores"),
        (GlobalPython, "global_rng", "random module"),
        (Shuffled, "determinism", "other items"),
        (Forgetful, "state", r"other (items|scores) after state\(\)"),
        (Pickled, "state", "plain array"),
        (Accumulates, "state", "refit after state"),
        (NeedsALog, "empty_log", "IndexError"),
        (FrozenCatalog, "newborn", "shape"),
        (Overwrites, "inputs", "counts.data was changed"),
        (Endless, "memory", "number of bytes, got inf"),
    ],
)
def test_a_broken_policy_fails_the_right_clause(policy, clause, says):
    with pytest.raises(AssertionError, match=f'fails the clause "{clause}": .*({says})'):
        check_policy(policy, skip=("config",) if clause != "config" else ())


def test_a_cold_user_must_be_served():
    with pytest.raises(AssertionError, match="NaN"):
        check_policy(NeedsHistory, skip=("config",))


def test_a_good_outside_policy_passes():
    assert check_policy(Good, noise=0.2) == list(POLICY_CLAUSES)
    assert check_policy(Good(noise=0.3), skip=["determinism"])[:2] == ["construction", "config"]
    with pytest.raises(BadInput, match='no clause "nonsense"'):
        check_policy(Good, skip=["nonsense"])
    with pytest.raises(BadInput, match="is not a Reranker"):
        check_reranker(Good)
