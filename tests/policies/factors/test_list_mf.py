"""List-level training against closed forms, root finding, finite differences and enumerated best lists."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.factors.list_mf import ListMF
from echodrift.policies.factors.list_objective import marginals, satisfaction, score_gradient, soft_list
from echodrift.policies.interactions import Observation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import sparse
from scipy.optimize import brentq
from scipy.special import expit, log_softmax, softmax


def fitted(seen, **fields):
    policy = ListMF(**fields)
    policy.fit(seen, default_rng(0))
    return policy


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def logits(policy, seen):
    """⟨w, h⟩ + b for all users and items."""
    of_users, of_items = policy.factors(seen, everyone(seen))
    return of_users.astype(float) @ of_items.T.astype(float)


def best_values(shares, table):
    """The best Σ p_t V(a_t) over all divisions of n places, and the divisions that reach it."""
    n = table.size - 1
    every = np.array([a for a in product(range(n + 1), repeat=len(shares)) if sum(a) == n])
    worth = table[every] @ shares
    return worth.max(), every[worth > worth.max() - 1e-9]


# ---- the value of a list ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 8])
def test_values_are_the_closed_forms_of_the_paper(k):
    a = np.arange(1, 9)
    uniform = np.where(a <= k, a / 2, k - k * (k + 1) / (2 * (a + 1)))
    assert np.allclose(satisfaction("uniform", 8, k, 0.2, 3.0)[1:], uniform)
    harmonic = np.cumsum(1 / a)
    exponential = np.where(a <= k, a, k + k * (harmonic - harmonic[k - 1]))
    assert np.allclose(satisfaction("exponential", 8, k, 0.2, 3.0)[1:], exponential)
    if k == 1:
        assert np.allclose(satisfaction("bernoulli", 8, 1, 0.2, 3.0)[1:], 1 - 0.8**a)


DRAWS = {
    "bernoulli": lambda rng, shape: (rng.random(shape) < 0.3).astype(float),
    "uniform": lambda rng, shape: rng.random(shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "pareto": lambda rng, shape: 1 + rng.pareto(4.0, shape),
}


@pytest.mark.parametrize("values", list(DRAWS))
@pytest.mark.parametrize("k", [1, 4])
def test_values_are_what_draws_give(values, k):
    draws = DRAWS[values](default_rng(0), (100_000, 6))
    best = [np.sort(draws[:, :a], axis=1)[:, -k:].sum(axis=1).mean() for a in range(1, 7)]
    assert np.allclose(satisfaction(values, 6, k, 0.3, 4.0)[1:], best, rtol=0.01)


# ---- the soft list ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-6, 6, width=32), min_size=4, max_size=12), st.integers(1, 11), st.floats(0.5, 5))
def test_soft_list_of_any_scores(row, n, temperature):
    if n >= len(row):
        return
    scores = np.array([row], np.float32)
    places, chosen = soft_list(scores, n, temperature, np.ones(len(row), bool))
    threshold = brentq(lambda t: expit((scores[0] - t) / temperature).sum() - n, -99, 99)
    assert np.allclose(places[0], expit((scores[0] - threshold) / temperature), atol=2e-4)
    assert np.array_equal(np.sort(scores[0, chosen[0]]), np.sort(scores[0])[-n:])


def test_a_cold_soft_list_is_the_list():
    scores = default_rng(0).permutation(60).reshape(2, 30).astype(np.float32)
    live = np.ones(30, bool)
    live[scores[0].argmax()] = False
    places, chosen = soft_list(scores, 5, 0.1, live)
    for row in range(2):
        best = [i for i in np.argsort(-scores[row]) if live[i]][:5]
        assert set(chosen[row]) == set(best)
        assert np.allclose(places[row], np.isin(np.arange(30), best), atol=0.01)


def test_marginals_are_differences_of_values():
    shares, slots = default_rng(0).dirichlet(np.ones(3), 4), np.array([[3, 0, 1]] * 4)
    table = satisfaction("exponential", 4, 2, 0.2, 3.0)
    more, last = marginals(shares, slots, table)
    for user, topic in np.ndindex(more.shape):
        one, value = np.eye(3, dtype=int)[topic], lambda a, p=shares[user]: table[a] @ p
        assert more[user, topic] == pytest.approx(value(slots[user] + one) - value(slots[user]))
        if slots[user, topic]:
            assert last[user, topic] == pytest.approx(value(slots[user]) - value(slots[user] - one))


# ---- the direction of a step -----------------------------------------------------------------------------


def a_block(seed=1):
    """Scores, histories, shares, tags (one topic each) and live items of a few users."""
    rng = default_rng(seed)
    scores = 2 * rng.standard_normal((4, 30))
    histories = sparse.csr_matrix(rng.integers(0, 3, (4, 30)) * (rng.random((4, 30)) < 0.3), dtype=np.float64)
    return (
        scores,
        histories,
        rng.dirichlet(np.ones(5), 4),
        np.eye(5)[rng.integers(0, 5, 30)],
        rng.random(30) < 0.8,
    )


def differences(function, scores, step=1e-3):
    """The derivative of a number by each score, by finite differences."""
    found = np.zeros_like(scores)
    for at in np.ndindex(scores.shape):
        for sign in (1, -1):
            moved = scores.copy()
            moved[at] += sign * step
            found[at] += sign * function(moved) / (2 * step)
    return found


def test_gradient_of_the_likelihood():
    scores, *rest = a_block()
    rest = *rest, satisfaction("uniform", 6, 2, 0.3, 3.0), 0.7, 0.0
    found = differences(lambda moved: score_gradient(moved, *rest)[0], scores)
    assert np.allclose(score_gradient(scores, *rest)[1], found, atol=1e-6)


@pytest.mark.parametrize("values", ["bernoulli", "pareto"])
def test_direction_of_the_list_is_that_of_the_multilinear_extension_at_the_list(values):
    scores, histories, shares, tags, live = a_block()
    n, table = 6, satisfaction(values, 6, 2, 0.3, 3.0)
    direction = score_gradient(scores, histories, shares, tags, live, table, 0.7, 1.0)[1]
    for user in range(len(scores)):
        best = [i for i in np.argsort(-scores[user]) if live[i]][:n]

        def worth(members, p=shares[user]):
            return np.interp(tags[sorted(members)].sum(axis=0), np.arange(n + 1), table) @ p

        adds = [worth({*best, i}) - worth(set(best) - {i}) for i in range(30)]
        by_score = differences(lambda s: soft_list(s, n, 0.7, live)[0][0] @ adds, scores[user : user + 1])  # noqa: B023
        expected = histories[user].sum() / table[-1] * by_score[0]
        assert np.abs(expected).max() > 0.01
        assert np.allclose(direction[user], expected, atol=1e-3 * np.abs(expected).max() + 1e-4)


def test_objective_is_what_it_says():
    rng = default_rng(2)
    scores, tags = rng.standard_normal((3, 20)), np.eye(4)[rng.integers(0, 4, 20)]
    counts, shares = rng.integers(0, 3, (3, 20)), rng.dirichlet(np.ones(4), 3)
    table, live = satisfaction("uniform", 5, 2, 0.2, 3.0), np.ones(20, bool)
    expected = 0.0
    for user in range(3):
        slots = tags[np.argsort(-scores[user])[:5]].sum(axis=0).astype(int)
        worth = shares[user] @ table[slots]
        fit = counts[user] @ log_softmax(scores[user])
        expected += 0.3 * fit + 0.7 * counts[user].sum() * worth / table[-1]
    found = score_gradient(
        scores, sparse.csr_matrix(counts, dtype=float), shares, tags, live, table, 0.5, 0.7
    )
    assert found[0] == pytest.approx(expected)


# ---- training --------------------------------------------------------------------------------------------


def test_weight_zero_is_softmax_matrix_factorization(observe_counts):
    # with room for every user and no penalty, the most likely softmax is each user's own distribution
    counts = default_rng(0).integers(1, 6, (12, 9))
    seen = observe_counts(counts, tags=np.eye(3)[np.arange(9) % 3])
    free = {"list_weight": 0.0, "dim": 9, "regularization": 0.0}
    policy = fitted(seen, iterations=1500, learning_rate=0.5, **free)
    assert np.allclose(
        softmax(logits(policy, seen), axis=1), counts / counts.sum(1, keepdims=True), atol=5e-3
    )


def test_weight_zero_does_not_look_at_lists(observe_counts):
    counts = default_rng(0).poisson(0.4, (40, 30))
    one = fitted(observe_counts(counts, tags=np.eye(3)[np.arange(30) % 3]), list_weight=0.0, iterations=3)
    other = fitted(
        observe_counts(counts, tags=np.eye(5)[np.arange(30) % 5]),
        list_weight=0.0, iterations=3, list_length=4, consumed=3, values="pareto", temperature=2.0,
    )  # fmt: skip
    assert all(
        np.array_equal(one.state()[name], other.state()[name]) for name in ("users", "items", "biases")
    )


@pytest.fixture
def tasteful(observe_counts):
    """60 users of 4 topics with shares .5, .3, .15, .05 in every order; 12 items of each topic."""
    tags = np.eye(4)[np.arange(48) % 4]
    counts = np.zeros((60, 48), int)
    for user, order in zip(range(60), list(permutations(range(4))) * 3, strict=False):
        for topic, times in zip(order, (60, 36, 18, 6), strict=True):
            counts[user, topic::4] = np.bincount(default_rng(user).integers(0, 12, times), minlength=12)
    return observe_counts(counts, tags=tags)


LISTS = [
    ("bernoulli", 1),
    ("bernoulli", 10),
    ("uniform", 1),
    ("exponential", 1),
    ("pareto", 1),
    ("uniform", 4),
]


@pytest.mark.parametrize(("values", "k"), LISTS)
def test_trained_lists_divide_their_places_as_the_best_ones(tasteful, values, k):
    seen = tasteful
    fields = {"list_weight": 1.0, "dim": 8, "regularization": 0.01, "iterations": 150, "learning_rate": 0.2}
    policy = fitted(seen, values=values, consumed=k, **fields)
    items = policy.rank(seen, everyone(seen), 10, default_rng(1)).items
    table = satisfaction(values, 10, k, 0.2, 3.0)
    profiles = (seen.counts @ seen.tags) / seen.counts.sum(axis=1)
    off, lost = [], []
    for shares, slots in zip(np.asarray(profiles), seen.tags[items].sum(axis=1).astype(int), strict=True):
        most, best = best_values(shares, table)
        off.append(np.abs(best - slots).sum(axis=1).min() / 2)
        lost.append(1 - table[slots] @ shares / most)
    assert np.mean(off) < 0.5, "places that would have to change hands"
    assert np.mean(lost) < 0.005
    if k == 10:
        assert (seen.tags[items].sum(axis=1).max(axis=1) == 10).all(), "nothing is scarce: only the top topic"


def test_list_weight_raises_the_expected_satisfaction_of_lists(tasteful):
    seen = tasteful
    table = satisfaction("bernoulli", 10, 1, 0.5, 3.0)
    shares = np.asarray((seen.counts @ seen.tags) / seen.counts.sum(axis=1))
    worth, topics = [], []
    for weight in (0.0, 0.5, 1.0):
        policy = fitted(seen, list_weight=weight, success=0.5, dim=8, regularization=1.0)
        items = policy.rank(seen, everyone(seen), 10, default_rng(1)).items
        slots = seen.tags[items].sum(axis=1).astype(int)
        worth.append((shares * table[slots]).sum(axis=1).mean())
        topics.append((slots > 0).sum(axis=1).mean())
    assert worth[0] < worth[1] < worth[2]
    assert topics[0] < topics[2]


def test_refit_goes_on_from_the_last_parameters(tasteful):
    seen = tasteful
    policy = fitted(seen, iterations=30)
    before = logits(policy, seen)
    policy.fit(seen, default_rng(5))
    after, fresh = logits(policy, seen), logits(fitted(seen, iterations=1), seen)
    assert np.abs(after - before).mean() < 0.1 * np.abs(fresh - before).mean()
    assert not np.array_equal(after, before)


def test_fold_in_finds_the_list_that_the_fit_would_have_found(tasteful):
    seen = tasteful
    fields = {"list_weight": 1.0, "dim": 8, "regularization": 0.01, "iterations": 100, "learning_rate": 0.2}
    new = np.array([3, 31], np.int32)
    log = seen.log.where(~np.isin(seen.log.user, new))
    before = Observation(50, 60, 48, log, seen.tags, seen.live, seen.blocked, seen.friends)
    policy = fitted(before, **fields)
    policy.fold_in(seen, new, default_rng(2))
    items = policy.rank(seen, new, 10, default_rng(1)).items
    table = satisfaction("bernoulli", 10, 1, 0.2, 3.0)
    profiles = np.asarray((seen.counts @ seen.tags) / seen.counts.sum(axis=1))
    for user, row in zip(new, items, strict=True):
        slots = seen.tags[row].sum(axis=0).astype(int)
        assert table[slots] @ profiles[user] > 0.97 * best_values(profiles[user], table)[0]


def test_untaken_items_stand_below_all_others_and_cold_users_get_bestsellers(observe_counts):
    counts = default_rng(0).poisson(1.0, (20, 15))
    counts[7], counts[:, [2, 9]] = 0, 0
    seen = observe_counts(counts, tags=np.eye(3)[np.arange(15) % 3])
    ranking = fitted(seen, dim=3).rank(seen, everyone(seen), 15, default_rng(1))
    assert (np.sort(ranking.items[np.arange(20) != 7, -2:]) == [2, 9]).all()
    assert (np.diff(counts.sum(axis=0)[ranking.items[7]]) <= 0).all()


def test_refuses_to_have_more_taken_than_shown():
    with pytest.raises(BadInput, match="consumed = 5 is more than list_length = 3.*Lower consumed"):
        ListMF(consumed=5, list_length=3)


def test_names_the_settings_when_training_diverges(tasteful):
    with pytest.raises(PolicyError, match=r"list_mf .*lower learning_rate.*learning_rate = 1e\+30"):
        fitted(tasteful, learning_rate=1e30)


def test_warns_of_more_dimensions_than_rows(tasteful):
    assert "dim = 49" in fitted(tasteful, dim=49, iterations=1).remarks()[0]
    assert fitted(tasteful, dim=8, iterations=1).remarks() == []


def test_warns_where_regularization_leaves_biases_only(tasteful):
    policy = fitted(tasteful, dim=8, regularization=1e4)
    assert policy.remarks()[0].startswith("warning: regularization = 10000 is too strong")
    seen = tasteful
    lists = policy.rank(
        seen, np.flatnonzero(seen.counts.sum(axis=1)).astype(np.int32), 3, default_rng(0)
    ).items
    assert (lists == lists[0]).all()
