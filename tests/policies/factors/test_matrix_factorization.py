"""Matrix factorization against the implicit library, its own formula, and planted structure."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.baselines import Popularity
from echodrift.policies.factors.als import sweep
from echodrift.policies.factors.matrix_factorization import MatrixFactorization
from echodrift.policies.testing.example import COLD_USER, example_observation
from echodrift.policies.ties import tie_key
from echodrift.policies.validation import validate_ranking
from numpy.random import default_rng


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


@pytest.fixture(scope="session")
def planted(observe):
    """Return a maker of logs with held-out pairs: takes within the user's group, skewed by item."""

    def make(users=120, items=90, groups=3, seed=0, entries=4000, hidden=0.2):
        rng = default_rng(seed)
        user = rng.integers(0, users, entries)
        within = (rng.random(entries) ** 1.5 * (items // groups)).astype(int)
        item = within * groups + user % groups
        out = rng.random((users, items)) < hidden
        keep = ~out[user, item]
        seen = observe(user[keep], item[keep], users, items)
        held = np.zeros((users, items), bool)
        held[user[~keep], item[~keep]] = True
        taken = np.nonzero(seen.counts.toarray())
        seen.blocked.set(taken[0].astype(np.int32), taken[1].astype(np.int32))
        return seen, held

    return make


def fitted(seen, seed=1, **fields):
    policy = MatrixFactorization(**fields)
    policy.fit(seen, default_rng(seed))
    return policy


@pytest.mark.parametrize("binary", [False, True])
def test_als_is_the_librarys_own_fit(planted, binary):
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


def test_als_minimizes_the_documented_loss(planted):
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


def test_bpr_is_the_librarys_own_fit(planted):
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
def test_planted_structure_is_recovered(planted, recall, model, dim):
    seen, held = planted()
    popular = Popularity()
    popular.fit(seen, default_rng(1))
    policy = fitted(seen, dim=dim, model=model)
    ranked = policy.rank(seen, everyone(seen), 10, default_rng(0)).items
    own_group = ranked % 3 == everyone(seen)[:, None] % 3
    assert own_group.mean() > 0.9
    assert recall(policy, seen, held) > 1.8 * recall(popular, seen, held)


@pytest.mark.parametrize(("model", "dim"), [("als", 6), ("als", 20), ("bpr", 6)])
def test_a_warm_refit_is_about_as_good_as_a_cold_fit(observe, planted, recall, model, dim):
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
def test_a_sweep_takes_the_librarys_steps(planted, dim):
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
def test_a_refit_leaves_the_last_factors_alone(planted, model, dim):
    """A checkpoint may still hold them."""
    seen, _ = planted()
    policy = fitted(seen, dim=dim, model=model)
    state = policy.state()
    kept = {name: value.copy() for name, value in state.items()}
    policy.fit(seen, default_rng(2))
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])
    assert (policy.state()["items"] != kept["items"]).any()


def test_a_refit_from_the_optimum_stays_there(planted):
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
def test_newborn_items_learn_after_their_first_takes(observe, model, dim):
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


def test_a_window_forgets(observe):
    seen = observe([0, 1] * 10, [0, 1] * 5 + [1, 0] * 5, users=2, items=2, rounds=[1] * 10 + [99] * 10)
    policy = fitted(seen, dim=2, window=5, regularization=0.1)
    np.testing.assert_array_equal(policy.rank(seen, everyone(seen), 1, default_rng(0)).items, [[1], [0]])


@pytest.mark.parametrize("model", ["als", "bpr"])
@pytest.mark.parametrize(("users", "items"), [(1, 1), (3, 2), (5, 5)])
def test_degenerate_logs(observe, model, users, items):
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
def test_factors_that_explode_are_reported_with_the_settings(planted, fields, says):
    seen, _ = planted()
    with pytest.raises(PolicyError, match=says) as caught:
        fitted(seen, dim=5, **fields)
    assert "dim = 5" in str(caught.value)


def test_the_configuration_spells_out_the_models_defaults():
    als, bpr = MatrixFactorization().config, MatrixFactorization(model="bpr", iterations=7).config
    assert (als.regularization, als.iterations, als.refit_iterations) == (1.0, 15, 1)
    assert (bpr.regularization, bpr.iterations, bpr.refit_iterations) == (0.01, 7, 10)
