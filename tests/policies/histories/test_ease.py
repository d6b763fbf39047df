"""EASE against a dense inverse, against ridge regressions column by column, and where it must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.histories import ease
from echodrift.policies.histories.ease import Ease
from echodrift.policies.histories.products import gram, inner_products, mirror, times_dense
from echodrift.policies.testing import check_policy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import sparse
from sklearn.linear_model import Ridge

FORMS = pytest.mark.parametrize("few_users", [1e9, 0], ids=["items", "users"])
"""Forces the inverse of the items' or of the users' matrix."""


@pytest.fixture(autouse=True)
def form(request, monkeypatch):
    if "few_users" in request.fixturenames:
        monkeypatch.setattr(ease, "MIN_ITEMS_PER_USER", request.getfixturevalue("few_users"))


def scores_of(policy, seen, users=None):
    """All scores (B, n_items) in the order of ids."""
    users = np.arange(seen.n_users, dtype=np.int32) if users is None else np.asarray(users, np.int32)
    ranking = policy.rank(seen, users, seen.n_items, default_rng(1))
    out = np.empty(ranking.scores.shape)
    np.put_along_axis(out, ranking.items.astype(int), ranking.scores, axis=1)
    return out


def fitted(seen, **fields):
    policy = Ease(**fields)
    policy.fit(seen, default_rng(0))
    return policy


def closed_form(x, l2):
    """B by a dense inverse, as the paper writes it."""
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def made_up(users=40, items=25, seed=0, high=2):
    """Counts in which every user and every item occurs."""
    rng = default_rng(seed)
    counts = (rng.random((users, items)) < 0.25) * rng.integers(1, high, (users, items))
    counts[np.arange(max(users, items)) % users, np.arange(max(users, items)) % items] = 1
    return counts


@FORMS
@pytest.mark.parametrize("l2", [0.5, 5.0, 300.0])
@pytest.mark.parametrize("shape", [(40, 25), (20, 90)])
def test_scores_are_those_of_the_dense_inverse(observe_counts, few_users, l2, shape):
    x = made_up(*shape)
    assert np.allclose(
        scores_of(fitted(observe_counts(x), l2=l2), observe_counts(x)), x @ closed_form(x, l2), atol=5e-6
    )


@FORMS
def test_every_column_is_the_ridge_regression_of_one_item_on_all_others(observe_counts, few_users):
    x, l2 = made_up(30, 12), 2.0
    scores = scores_of(fitted(observe_counts(x), l2=l2), observe_counts(x))
    for item in range(x.shape[1]):
        others = np.delete(x, item, axis=1).astype(float)
        ridge = Ridge(alpha=l2, fit_intercept=False).fit(others, x[:, item])
        assert np.allclose(scores[:, item], ridge.predict(others), atol=5e-6)


@FORMS
def test_counts_enter_unless_binary(observe_counts, few_users):
    x = made_up(high=4)
    assert np.allclose(
        scores_of(fitted(observe_counts(x), l2=3.0, binary=False), observe_counts(x)),
        x @ closed_form(x, 3.0),
        atol=1e-5,
    )
    ones = (x > 0).astype(int)
    assert np.array_equal(
        scores_of(fitted(observe_counts(x)), observe_counts(x)),
        scores_of(fitted(observe_counts(ones)), observe_counts(ones)),
    )


@FORMS
def test_ranks_for_the_history_of_the_round_with_the_weights_of_the_fit(observe_counts, few_users):
    before = made_up()
    before[3] = 0  # has no history yet
    after = before.copy()
    after[3, [2, 5]], after[7, 1] = 1, 1
    policy = fitted(observe_counts(before), l2=4.0)
    assert np.allclose(scores_of(policy, observe_counts(after)), after @ closed_form(before, 4.0), atol=5e-6)


@FORMS
def test_a_score_does_not_depend_on_who_else_is_ranked(observe_counts, few_users):
    seen = observe_counts(made_up(150, 60))
    policy = fitted(seen, l2=4.0)
    whole = scores_of(policy, seen)
    for some in ([70], [149, 3], np.arange(65)):
        assert np.array_equal(scores_of(policy, seen, some), whole[some])


@FORMS
def test_cold_users_get_bestsellers_and_untaken_items_a_random_order(observe_counts, few_users):
    x = made_up(30, 20)
    x[4], x[:, 15:] = 0, 0
    x[9] = 0
    x[9, 0] = 1
    scores = scores_of(fitted(observe_counts(x), l2=2.0), observe_counts(x))
    assert np.array_equal(np.floor(scores[4]), x.sum(axis=0))
    assert (np.abs(scores[9, 15:]) < 1e-6).all() and np.unique(scores[9, 15:]).size == 5
    assert np.array_equal(scores[8, 15:], scores[9, 15:])


def test_window(observe_counts):
    x = made_up()
    user, _ = np.nonzero(x)
    rounds = np.sort(default_rng(0).integers(0, 50, user.size))
    seen = observe_counts(x, rounds=rounds, now=50)
    late = np.zeros_like(x)
    recent = rounds >= 30
    late[seen.log.user[recent], seen.log.item[recent]] = 1
    scores = scores_of(fitted(seen, l2=2.0, window=20), seen)
    kept, known = late.any(axis=1), late.any(axis=0)
    expected = late @ closed_form(late, 2.0)
    assert np.allclose(scores[np.ix_(kept, known)], expected[np.ix_(kept, known)], atol=5e-6)


def test_few_users_take_the_smaller_matrix(observe_counts):
    assert fitted(observe_counts(made_up(10, 40)))._inverse.shape == (10, 10)
    assert fitted(observe_counts(made_up(20, 40)))._inverse.shape == (40, 40)


@FORMS
def test_memory_is_estimated_before_anything_is_allocated(observe_counts, few_users, monkeypatch):
    monkeypatch.setattr(ease, "free_bytes", lambda: 3000)
    monkeypatch.setattr(ease, "gram", lambda *_: pytest.fail("the matrix was made all the same"))
    with pytest.raises(
        PolicyError, match=r"matrix of (items|users) needs .* MiB, and 0.0 MiB are free. Run fewer"
    ):
        fitted(observe_counts(made_up(40, 40)))


@FORMS
def test_counts_beside_which_l2_is_lost(observe_counts, few_users):
    x = np.full((6, 6), 1)
    x[:, 0] = x[:, 1] = 60_000
    x[0, 3] = 0
    with pytest.raises(PolicyError, match="l2 = 1e-09.*raise l2"):
        fitted(observe_counts(x), l2=1e-9, binary=False)


def test_refuses_l2_of_zero():
    with pytest.raises(BadInput, match="l2"):
        Ease(l2=0)


@FORMS
def test_contract(few_users):
    check_policy(Ease, l2=2.0, binary=False)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=9), st.floats(0.1, 1e4)
)
def test_any_small_log(observe_counts, rows, l2):
    x = np.array(rows)
    if not x.any():
        return
    known, warm = x.any(axis=0), x.any(axis=1)
    expected = x @ closed_form(x, l2)
    kept = ease.MIN_ITEMS_PER_USER
    try:
        for form in (1e9, 0):
            ease.MIN_ITEMS_PER_USER = form
            scores = scores_of(fitted(observe_counts(x), l2=l2, binary=False), observe_counts(x))
            assert np.allclose(
                scores[np.ix_(warm, known)], expected[np.ix_(warm, known)], rtol=1e-3, atol=1e-4
            )
    finally:
        ease.MIN_ITEMS_PER_USER = kept


def test_products_across_tiles():
    rng = default_rng(0)
    left = sparse.random_array((9, 130), density=0.2, rng=rng, format="csr", dtype=np.float32)
    right = sparse.random_array((130, 200), density=0.1, rng=rng, format="csr", dtype=np.float32)
    for matrix in (left, right):
        matrix.sort_indices()
    out = np.ones((9, 200))
    inner_products(left, right, out)
    assert np.allclose(out, left.toarray() @ right.toarray(), atol=1e-5)
    square = np.zeros((200, 200), np.float32)
    gram(right, square)
    assert np.array_equal(square, np.tril(square))
    mirror(square)
    assert np.allclose(square, right.toarray().T @ right.toarray(), atol=1e-5)
    dense = rng.standard_normal((130, 2500)).astype(np.float32)
    wide = np.ones((9, 2500), np.float32)
    times_dense(left, dense, wide)
    assert np.allclose(wide, left.toarray() @ dense, atol=1e-4)
