"""social_mf: the objective, its minimum, and what friends do to factors."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.factors.matrix_factorization import MatrixFactorization
from echodrift.policies.interactions import Friends, Observation
from echodrift.policies.social.social_als import sweep
from echodrift.policies.social.social_mf import SocialMF
from echodrift.policies.social.social_ties import Ties
from echodrift.policies.testing.example import example_observation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import sparse
from scipy.optimize import minimize


def friends(ties, users) -> Friends:
    ties = np.array(sorted(ties), np.int64).reshape(-1, 2)
    return Friends(np.searchsorted(ties[:, 0], np.arange(users + 1)), ties[:, 1].astype(np.int32))


@pytest.fixture
def observe_ties(observe_counts):
    """Return a maker of observations from a table of counts and a list of ties: observe_ties(counts, [(u, v), …])."""
    return lambda counts, ties: observe_counts(counts, friends=friends(ties, len(counts)))


def objective(users, items, confidence, graph, regularization, social):
    """The objective as the docstring states it, over dense tables in float64."""
    users, items = users.astype(np.float64), items.astype(np.float64)
    taken = confidence > 0
    squares = (np.where(taken, confidence, 1) * (taken - users @ items.T) ** 2).sum()
    penalty = regularization * ((users**2).sum() + (items**2).sum())
    known = graph.sum(axis=1) > 0
    means = graph[known] @ users / graph[known].sum(axis=1, keepdims=True)
    return squares + penalty + social * ((users[known] - means) ** 2).sum()


def random_case(seed, users=9, items=7, dim=3):
    rng = default_rng(seed)
    confidence = np.where(rng.random((users, items)) < 0.35, 1 + 4 * rng.integers(1, 4, (users, items)), 0)
    graph = (rng.random((users, users)) < 0.3) & ~np.eye(users, dtype=bool)
    factors = [rng.normal(0, 0.3, (size, dim)).astype(np.float32) for size in (users, items)]
    rows = sparse.csr_matrix(graph)
    ties = Ties(rows.indptr.astype(np.int64), rows.indices.astype(np.int32))
    matrix = sparse.csr_matrix(confidence.astype(np.float32))
    return confidence.astype(float), graph.astype(float), ties, matrix, *factors


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), social=st.floats(0, 200), regularization=st.floats(0.01, 20))
def test_no_pass_raises_the_objective(seed, social, regularization):
    confidence, graph, ties, matrix, users, items = random_case(seed)
    last = objective(users, items, confidence, graph, regularization, social)
    for _ in range(6):
        sweep(matrix, matrix.T.tocsr(), ties, users, items, regularization, social)
        now = objective(users, items, confidence, graph, regularization, social)
        assert now <= last * (1 + 1e-5)
        last = now


def test_the_passes_end_where_a_general_optimizer_finds_nothing_better():
    confidence, graph, ties, matrix, users, items = random_case(3)
    for _ in range(400):
        sweep(matrix, matrix.T.tocsr(), ties, users, items, 0.7, 5.0)

    def of(x):
        return objective(
            x[: users.size].reshape(users.shape), x[users.size :].reshape(items.shape),
            confidence, graph, 0.7, 5.0,
        )  # fmt: skip

    here = np.concatenate([users.ravel(), items.ravel()]).astype(np.float64)
    better = minimize(of, here, method="BFGS")
    assert better.fun >= of(here) * (1 - 1e-5)
    np.testing.assert_allclose(better.x, here, atol=5e-3)


def test_without_pull_it_is_als():
    seen = example_observation()
    fields = {"dim": 6, "regularization": 2.0, "confidence": 4.0, "iterations": 20}
    ours, theirs = SocialMF(social_weight=0.0, **fields), MatrixFactorization(**fields)
    everyone = np.arange(seen.n_users, dtype=np.int32)
    scores = []
    for policy in (ours, theirs):
        policy.fit(seen, default_rng(4))
        users, items = policy.factors(seen, everyone)
        scores.append(users[:, :6] @ items[:, :6].T)
    assert np.abs(scores[1]).max() > 0.3
    np.testing.assert_allclose(scores[0], scores[1], atol=2e-3)


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def two_camps(linked=()):
    """Two groups of users with items of their own; ties as given."""
    rng = default_rng(0)
    counts = np.zeros((12, 20), int)
    counts[:6, :10] = rng.random((6, 10)) < 0.6
    counts[6:, 10:] = rng.random((6, 10)) < 0.6
    return counts, list(linked)


def test_linked_users_come_closer_the_more_the_harder_the_pull(observe_ties):
    counts, ties = two_camps([(0, 6), (6, 0)])
    closeness = []
    for social in (0.0, 3.0, 30.0, 1e4):
        policy = SocialMF(dim=4, social_weight=social, iterations=60)
        policy.fit(observe_ties(counts, ties), default_rng(0))
        users = policy.factors(observe_ties(counts, ties), np.arange(12, dtype=np.int32))[0][:, :4]
        closeness.append(cosine(users[0], users[6]))
    assert (np.diff(closeness) > 0).all() and closeness[0] < 0.2 and closeness[-1] > 0.99


def test_only_a_one_way_follower_is_pulled_towards_a_mean(observe_ties):
    # at S → ∞ a follower with two friends in different camps is their mean
    counts, ties = two_camps([(2, 0), (2, 6)])
    policy = SocialMF(dim=4, social_weight=1e5, iterations=200)
    policy.fit(observe_ties(counts, ties), default_rng(0))
    users = policy.factors(observe_ties(counts, ties), np.arange(12, dtype=np.int32))[0][:, :4]
    np.testing.assert_allclose(users[2], (users[0] + users[6]) / 2, atol=0.01)


def test_without_history_friends_decide_and_without_friends_bestsellers(observe_ties):
    counts, _ = two_camps()
    counts = np.vstack([counts, np.zeros((4, 20), int)])
    # 12 follows camp one, 13 follows 12 only, 14 and 15 know nobody but each other
    seen = observe_ties(counts, [(12, 0), (12, 1), (13, 12), (14, 15), (15, 14)])
    policy = SocialMF(dim=4, social_weight=10.0)
    policy.fit(seen, default_rng(0))
    ranked = policy.rank(seen, np.array([12, 13, 14, 15], np.int32), 5, default_rng(0)).items
    assert (ranked[:2] < 10).all()
    best = np.sort(counts.sum(axis=0))[::-1][:5]
    for row in ranked[2:]:
        assert list(counts.sum(axis=0)[row]) == list(best)


def test_fold_in_solves_the_normal_equations(observe_ties):
    counts, _ = two_camps()
    ties = [(3, 0), (3, 7), (0, 3), (5, 3), (5, 1)]
    before = counts.copy()
    before[3] = 0
    policy = SocialMF(dim=4, regularization=1.5, confidence=6.0, social_weight=8.0, iterations=30)
    policy.fit(observe_ties(before, ties), default_rng(0))
    seen, everyone = observe_ties(counts, ties), np.arange(12, dtype=np.int32)
    policy.fold_in(seen, np.array([3], np.int32), default_rng(1))
    users, items = (factors[:, :4].astype(np.float64) for factors in policy.factors(seen, everyone))
    confidence = np.where(counts > 0, 1 + 6.0 * counts, 0)
    graph = np.zeros((12, 12))
    graph[tuple(np.array(ties).T)] = 1

    def of(x):
        changed = users.copy()
        changed[3] = x
        return objective(changed, items, confidence, graph, 1.5, 8.0)

    np.testing.assert_allclose(minimize(of, np.zeros(4), method="BFGS").x, users[3], atol=2e-3)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (Friends(np.array([0, 1, 1]), np.array([2], np.int32)), "names user 2, who is none of the 2 users"),
        (Friends(np.array([0, 1]), np.array([0], np.int32)), "must hold 3 ascending numbers"),
        (Friends(np.array([0, 1, 2]), np.array([1], np.int32)), "the last of them 1"),
    ],
)
def test_a_graph_of_other_nodes_is_refused(observe_ties, graph, says):
    seen = observe_ties([[1, 0], [0, 1]], [])
    with pytest.raises(PolicyError, match=says):
        SocialMF().fit(Observation(**{**vars(seen), "friends": graph}), default_rng(0))


def test_remarks_name_too_many_dimensions_and_missing_ties(observe_ties):
    policy = SocialMF(dim=50)
    policy.fit(observe_ties(*two_camps()), default_rng(0))
    assert (
        "dim = 50, but its last fit saw only 12 users" in policy.remarks()[0]
        and "no social ties" in policy.remarks()[1]
    )


def test_training_that_overflows_is_named(observe_ties):
    counts, ties = two_camps([(0, 6)])
    with pytest.raises(PolicyError, match="lower confidence"):
        SocialMF(confidence=1e30, social_weight=1e30).fit(observe_ties(counts * 9, ties), default_rng(0))
