"""Every built-in policy holds the contract, broken ones fail the right clause, and each method does its own thing."""

from __future__ import annotations

import random

import numpy as np
import pytest
from echodrift.config import Config as BaseConfig
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.base import Policy, Ranking, ScorePolicy
from echodrift.policies.baselines import Popularity, Random
from echodrift.policies.content import Content
from echodrift.policies.factors.als import sweep
from echodrift.policies.factors.matrix_factorization import MatrixFactorization
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.registry import kinds
from echodrift.policies.testing import check_policy, check_reranker
from echodrift.policies.testing.example import COLD_USER, example_observation
from echodrift.policies.ties import tie_key, tie_order
from echodrift.policies.validation import validate_ranking
from numpy.random import default_rng
from scipy import sparse

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


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def observe(user, item, users, items, rounds=None, now=100, topics=1) -> Observation:
    """An observation with nothing blocked and everything live."""
    size = len(user)
    when = np.zeros(size, np.int32) if rounds is None else np.asarray(rounds, np.int32)
    log = Interactions(
        np.asarray(user, np.int32),
        np.asarray(item, np.int32),
        when,
        np.zeros(size, np.int16),
        np.zeros(size, np.int8),
    )
    tags = np.zeros((items, topics), np.float32)
    tags[np.arange(items), np.arange(items) % topics] = 1
    ties = Friends(np.zeros(users + 1, np.int64), np.empty(0, np.int32))
    return Observation(now, users, items, log, tags, np.ones(items, bool), Blocked(users, items), ties)


@pytest.mark.parametrize(("kind", "fields"), CATALOG)
def test_contract(kind, fields):
    passed = check_policy(kind, **fields)
    assert len(passed) == 18 and {"state", "newborn", "global_rng"} <= set(passed)


def test_the_catalog_covers_every_kind():
    # "http" needs a service beside it: tests/policies/outside/test_http.py
    assert {kind for kind, _ in CATALOG} == set(kinds()) - {"http"}


# ---- what the contract suite catches -------------------------------------------------------------


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
    assert "config" in check_policy(Good, noise=0.2)
    assert check_policy(Good(noise=0.3), skip=["determinism"])[:2] == ["construction", "config"]
    with pytest.raises(BadInput, match='no clause "nonsense"'):
        check_policy(Good, skip=["nonsense"])
    with pytest.raises(BadInput, match="is not a Reranker"):
        check_reranker(Good)


# ---- random --------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocked_items", [0, 5])
def test_random_is_uniform_without_replacement(blocked_items):
    seen = observe([], [], users=4000, items=9)
    for item in range(blocked_items):
        seen.blocked.set(everyone(seen), np.full(4000, item, np.int32))
    ranked = Random().rank(seen, everyone(seen), 3, default_rng(1)).items
    left = 9 - blocked_items
    for place in range(3):
        counts = np.bincount(ranked[:, place], minlength=9)[blocked_items:]
        # 5 standard deviations of a binomial count
        assert (abs(counts - 4000 / left) < 5 * np.sqrt(4000 / left * (1 - 1 / left))).all()
    assert (ranked >= blocked_items).all()
    pairs = np.bincount(ranked[:, 0] * 9 + ranked[:, 1], minlength=81)
    assert np.count_nonzero(pairs) == left * (left - 1)


def test_random_draws_depend_on_the_user_only():
    seen = example_observation()
    policy = Random()
    all_users = policy.rank(seen, everyone(seen), 5, default_rng(1)).items
    some = policy.rank(seen, np.array([9, 4], np.int32), 5, default_rng(1)).items
    np.testing.assert_array_equal(some, all_users[[9, 4]])
    assert (policy.rank(seen, everyone(seen), 5, default_rng(2)).items != all_users).any()


# ---- popularity ----------------------------------------------------------------------------------


def test_popularity_counts_and_windows():
    seen = observe([0, 0, 1, 1, 2], [3, 3, 3, 1, 1], users=3, items=5, rounds=[1, 2, 3, 98, 99])
    users = everyone(seen)
    allt, recent = Popularity(), Popularity(window=2)
    for policy in (allt, recent):
        policy.fit(seen, default_rng(0))
    np.testing.assert_array_equal(allt.rank(seen, users, 2, default_rng(0)).items, [[3, 1]] * 3)
    got = recent.rank(seen, users, 5, default_rng(0))
    assert (got.items[:, 0] == 1).all() and (got.scores[:, 0] >= 2).all() and (got.scores[:, 1] < 1).all()


def test_ties_are_broken_by_a_draw_at_fit_and_not_by_id():
    seen = observe([0], [7], users=1, items=8)
    firsts = []
    for seed in range(400):
        policy = Popularity()
        policy.fit(seen, default_rng(seed))
        order = policy.rank(seen, everyone(seen), 8, default_rng(0)).items[0]
        np.testing.assert_array_equal(order, policy.rank(seen, everyone(seen), 8, default_rng(9)).items[0])
        assert order[0] == 7
        firsts.append(order[1])
    counts = np.bincount(firsts, minlength=8)[:7]
    assert counts.min() > 400 / 7 - 5 * np.sqrt(400 / 7)


def test_the_tie_order_of_an_item_does_not_depend_on_the_catalog():
    key = tie_key(default_rng(0))
    np.testing.assert_array_equal(tie_order(key, 5), tie_order(key, 50)[:5])
    assert ((tie_order(key, 1000) > 0) & (tie_order(key, 1000) < 1)).all()


# ---- content -------------------------------------------------------------------------------------


def test_content_scores_by_hand():
    seen = observe([0, 0, 0, 1], [0, 0, 1, 2], users=3, items=6, topics=3)
    policy = Content(popularity=0.1)
    policy.fit(seen, default_rng(0))
    of_users, of_items = policy.factors(seen, everyone(seen))
    profiles = np.array([[2 / 3, 1 / 3, 0], [0, 0, 1], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(profiles, topic_profiles(seen), rtol=1e-6)
    prior = 0.1 * np.log1p([2, 1, 1, 0, 0, 0]) / np.log(3)
    wanted = profiles @ seen.tags.T + prior
    np.testing.assert_allclose(of_users @ of_items.T, wanted, atol=1.1e-4)
    ranked = policy.rank(seen, everyone(seen), 2, default_rng(0)).items
    np.testing.assert_array_equal(ranked, [[0, 3], [2, 5], [0, 3]])


# ---- matrix factorization ------------------------------------------------------------------------


def planted(users=120, items=90, groups=3, seed=0, entries=4000, hidden=0.2):
    """Users and items in groups, takes within the group, skewed by item; some pairs are held out."""
    rng = default_rng(seed)
    user = rng.integers(0, users, entries)
    within = (rng.random(entries) ** 1.5 * (items // groups)).astype(int)
    item = within * groups + user % groups
    out = rng.random((users, items)) < hidden
    keep = ~out[user, item]
    seen = observe(user[keep], item[keep], users, items)
    held = sparse.csr_matrix((np.ones((~keep).sum()), (user[~keep], item[~keep])), shape=(users, items))
    taken = np.nonzero(seen.counts.toarray())
    seen.blocked.set(taken[0].astype(np.int32), taken[1].astype(np.int32))
    return seen, held.toarray() > 0


def recall(policy, seen, held, n=10):
    items = policy.rank(seen, everyone(seen), n, default_rng(0)).items
    hits = np.take_along_axis(held, items, axis=1).sum(axis=1)
    size = held.sum(axis=1)
    return (hits[size > 0] / np.minimum(size[size > 0], n)).mean()


def fitted(seen, seed=1, **fields):
    policy = MatrixFactorization(**fields)
    policy.fit(seen, default_rng(seed))
    return policy


@pytest.mark.parametrize("binary", [False, True])
def test_als_is_the_librarys_own_fit(binary):
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    seen, _ = planted()
    policy = fitted(seen, dim=6, confidence=4, regularization=0.3, iterations=5, binary=binary)
    rng = default_rng(1)
    tie_key(rng)
    confidence = seen.counts.copy()
    confidence.data = 1 + 4 * (np.ones_like(confidence.data) if binary else confidence.data)
    with threadpool_limits(1):
        model = AlternatingLeastSquares(6, 0.3, iterations=5, num_threads=1, random_state=rng)
        model.fit(confidence, show_progress=False)
    of_users, of_items = policy.factors(seen, everyone(seen))
    np.testing.assert_array_equal(of_items[:, :6], model.item_factors)
    np.testing.assert_array_equal(of_users[:, :6], model.user_factors)


def test_als_minimizes_the_documented_loss():
    """Item factors solve their own normal equations with c = 1 + confidence·count (in numpy, from the formula)."""
    seen, _ = planted()
    policy = fitted(seen, dim=4, confidence=3, regularization=2, iterations=60)
    of_users, of_items = policy.factors(seen, everyone(seen))
    w, h = of_users[:, :4].astype(float), of_items[:, :4]
    counts = seen.counts.toarray()
    for item in range(seen.n_items):
        c = 1 + 3 * counts[:, item]
        exact = np.linalg.solve(w.T @ (c[:, None] * w) + 2 * np.eye(4), w.T @ (c * (counts[:, item] > 0)))
        np.testing.assert_allclose(h[item], exact, atol=1e-3)


def test_bpr_is_the_librarys_own_fit():
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    seen, _ = planted()
    fields = {"dim": 6, "iterations": 3, "learning_rate": 0.02, "regularization": 0.05}
    policy = fitted(seen, model="bpr", negatives="popularity", **fields)
    rng = default_rng(1)
    tie_key(rng)
    model = BayesianPersonalizedRanking(
        6, learning_rate=0.02, regularization=0.05, iterations=3, num_threads=1, random_state=rng
    )
    model.fit(seen.counts.copy(), show_progress=False)
    of_users, of_items = policy.factors(seen, everyone(seen))
    np.testing.assert_array_equal(of_items[:, :7], model.item_factors)
    np.testing.assert_array_equal(of_users[:, :7], model.user_factors)


@pytest.mark.parametrize(("model", "dim"), [("als", 3), ("als", 16), ("bpr", 8)])
def test_planted_structure_is_recovered(model, dim):
    seen, held = planted()
    popular = Popularity()
    popular.fit(seen, default_rng(1))
    policy = fitted(seen, dim=dim, model=model)
    ranked = policy.rank(seen, everyone(seen), 10, default_rng(0)).items
    own_group = ranked % 3 == everyone(seen)[:, None] % 3
    assert own_group.mean() > 0.9
    assert recall(policy, seen, held) > 1.8 * recall(popular, seen, held)


@pytest.mark.parametrize(("model", "dim"), [("als", 6), ("als", 20), ("bpr", 6)])
def test_a_warm_refit_is_about_as_good_as_a_cold_fit(model, dim):
    seen, held = planted()
    policy = None
    for part in (0.5, 0.7, 0.85, 1.0):
        early = observe(
            seen.log.user[: int(part * len(seen.log))], seen.log.item[: int(part * len(seen.log))], 120, 90
        )
        policy = policy or MatrixFactorization(dim=dim, model=model)
        policy.fit(early, default_rng(int(100 * part)))
    cold = recall(fitted(seen, dim=dim, model=model), seen, held)
    assert cold > 0.3
    assert recall(policy, seen, held) > 0.9 * cold


@pytest.mark.parametrize("dim", [1, 3, 11, 16])
def test_a_sweep_takes_the_librarys_steps(dim):
    from implicit.cpu.als import AlternatingLeastSquares

    seen, _ = planted(entries=1500)
    confidence = seen.counts.copy()
    confidence.data = 1 + 5 * confidence.data
    confidence = confidence.multiply(np.arange(seen.n_users)[:, None] != 7).tocsr()
    confidence.eliminate_zeros()  # user 7 is left without entries
    rng = default_rng(0)
    users = rng.normal(0, 0.3, (seen.n_users, dim)).astype(np.float32)
    items = rng.normal(0, 0.3, (seen.n_items, dim)).astype(np.float32)
    model = AlternatingLeastSquares(dim, 0.7, iterations=1, num_threads=1)
    model.user_factors, model.item_factors = users.copy(), items.copy()
    model.fit(confidence.copy(), show_progress=False)
    sweep(confidence, confidence.T.tocsr(), users, items, 0.7)
    np.testing.assert_allclose(users, model.user_factors, atol=1e-4)
    np.testing.assert_allclose(items, model.item_factors, atol=1e-3)
    assert (users[7] == 0).all() and (users[8] != 0).any()


@pytest.mark.parametrize(("model", "dim"), [("als", 8), ("als", 20), ("bpr", 8)])
def test_a_refit_leaves_the_last_factors_alone(model, dim):
    """A checkpoint may still hold them."""
    seen, _ = planted()
    policy = fitted(seen, dim=dim, model=model)
    state = policy.state()
    kept = {name: value.copy() for name, value in state.items()}
    policy.fit(seen, default_rng(2))
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])
    assert (policy.state()["items"] != kept["items"]).any()


def test_a_refit_from_the_optimum_stays_there():
    seen, _ = planted()
    policy = fitted(seen, dim=4, iterations=200)
    before = policy.factors(seen, everyone(seen))[1][:, :4]
    policy.fit(seen, default_rng(5))
    np.testing.assert_allclose(policy.factors(seen, everyone(seen))[1][:, :4], before, atol=1e-3)
    cold = fitted(seen, dim=4, iterations=1, warm_start=False)
    assert abs(cold.factors(seen, everyone(seen))[1][:, :4] - before).max() > 0.05


@pytest.mark.parametrize("model", ["als", "bpr"])
def test_users_without_history_get_the_most_taken_items(model):
    seen = example_observation()
    policy = fitted(seen, dim=4, model=model)
    got = policy.rank(seen, np.array([COLD_USER], np.int32), 10, default_rng(0)).items[0]
    taken = seen.popularity[got]
    assert (np.diff(taken) <= 0).all()
    assert taken[0] == seen.popularity[seen.available(np.array([COLD_USER]))[0]].max()


@pytest.mark.parametrize(("model", "dim"), [("als", 3), ("als", 20), ("bpr", 3)])
def test_newborn_items_learn_after_their_first_takes(model, dim):
    before = observe([0, 1, 2, 3] * 5, [0, 1, 0, 1] * 5, users=4, items=2)
    policy = fitted(before, dim=dim, model=model)
    user = np.concatenate([before.log.user, [0] * 9, [2] * 9])
    item = np.concatenate([before.log.item, [2] * 18])
    after = observe(user, item, users=4, items=4)
    assert (policy.rank(after, everyone(after), 4, default_rng(0)).items >= 0).all()
    for seed in range(4):
        policy.fit(after, default_rng(seed))
    of_users, of_items = policy.factors(after, everyone(after))
    scores = of_users @ of_items.T
    assert (scores[[0, 2], 2] > scores[[1, 3], 2]).all()
    assert abs(scores[:, 3]).max() < 1e-6


def test_a_window_forgets():
    seen = observe([0, 1] * 10, [0, 1] * 5 + [1, 0] * 5, users=2, items=2, rounds=[1] * 10 + [99] * 10)
    policy = fitted(seen, dim=2, window=5, regularization=0.1)
    np.testing.assert_array_equal(policy.rank(seen, everyone(seen), 1, default_rng(0)).items, [[1], [0]])


@pytest.mark.parametrize("model", ["als", "bpr"])
@pytest.mark.parametrize(("users", "items"), [(1, 1), (3, 2), (5, 5)])
def test_degenerate_logs(model, users, items):
    """All pairs taken equally often, more dimensions than data."""
    user, item = np.divmod(np.arange(users * items), items)
    seen = observe(user, item, users, items)
    policy = fitted(seen, dim=64, model=model)
    for seed in range(2):
        ranking = policy.rank(seen, everyone(seen), items, default_rng(0))
        validate_ranking(ranking, seen, everyone(seen), items)
        assert (ranking.items >= 0).all()
        policy.fit(seen, default_rng(seed))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "bpr", "learning_rate": 1e12, "regularization": 1e9}, "lower learning_rate"),
        ({"model": "als", "confidence": 1e38, "iterations": 3}, "raise regularization, or lower confidence"),
        ({"model": "als", "regularization": 0, "confidence": 1e38}, "raise regularization"),
    ],
)
def test_factors_that_explode_are_reported_with_the_settings(fields, says):
    seen, _ = planted()
    with pytest.raises(PolicyError, match=says) as caught:
        fitted(seen, dim=5, **fields)
    assert "dim = 5" in str(caught.value)


def test_the_configuration_spells_out_the_models_defaults():
    als, bpr = MatrixFactorization().config, MatrixFactorization(model="bpr", iterations=7).config
    assert (als.regularization, als.iterations, als.refit_iterations) == (1.0, 15, 1)
    assert (bpr.regularization, bpr.iterations, bpr.refit_iterations) == (0.01, 7, 10)


@pytest.mark.parametrize("policy", [Popularity, Content, MatrixFactorization])
def test_ranking_before_fitting_is_refused(policy):
    seen = example_observation()
    with pytest.raises(PolicyError, match=r"rank\(\) before fit\(\)"):
        policy().rank(seen, everyone(seen), 3, default_rng(0))


# ---- validation ----------------------------------------------------------------------------------


def spoil(items=None, scores=None):
    seen = example_observation()
    users = everyone(seen)
    policy = Popularity()
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, users, 5, default_rng(0))
    validate_ranking(ranking, seen, users, 5)
    for (row, column), value in (items or {}).items():
        ranking.items[row, column] = value
    for (row, column), value in (scores or {}).items():
        ranking.scores[row, column] = value
    return ranking, seen, users


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"items": {(2, 1): 60}}, "user 2, position 2: item 60 does not exist: ids run from 0 to 59"),
        ({"items": {(2, 1): -2}}, "item -2 does not exist"),
        ({"items": {(3, 0): -1}}, "user 3, position 2: item .* follows a -1"),
        ({"items": {(0, 4): 4}}, "item 4 is not live"),
        ({"items": {(7, 3): 59, (7, 4): 59}}, "user 7, position 5: item 59 is listed twice"),
        ({"scores": {(1, 0): np.nan}}, "score of item .* is nan"),
        ({"scores": {(1, 0): np.inf}}, "score of item .* is inf"),
    ],
)
def test_a_bad_ranking_is_named_with_user_and_position(change, says):
    with pytest.raises(PolicyError, match=says):
        validate_ranking(*spoil(**change), 5)


def test_validation_sees_cool_downs_and_allows_short_rows():
    ranking, seen, users = spoil(items={(0, 4): -1}, scores={(0, 4): -np.inf})
    validate_ranking(ranking, seen, users, 5)
    seen.blocked.set(users[6:7], ranking.items[6, 2:3])
    with pytest.raises(PolicyError, match="user 6, position 3: .* in its cool-down"):
        validate_ranking(ranking, seen, users, 5)
