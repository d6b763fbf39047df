"""The bandit layer: widths and draws against numpy, shares of random slots, regret in a world with one best arm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.config import Config as BaseConfig
from echodrift.errors import BadInput
from echodrift.philox import uniforms
from echodrift.policies import registry
from echodrift.policies.base import FactorPolicy
from echodrift.policies.exploration.bandit import Bandit
from echodrift.policies.exploration.bandit_posterior import draws, observations, precisions, widths
from echodrift.policies.interactions import Exposures
from echodrift.policies.registry import build_policy, spec_of
from echodrift.policies.testing.example import COLD_USER, example_observation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import sparse, stats

MF = {"kind": "matrix_factorization", "dim": 4}


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def fitted(seen, **fields):
    policy = Bandit(**{"policy": MF, **fields})
    policy.fit(seen, default_rng(3))
    return policy


def shown(round, users, slates):
    users = np.asarray(users, np.int32)
    return Exposures(round, users, np.asarray(slates, np.int32), np.zeros(users.size, bool))


# ---- posterior ------------------------------------------------------------------------------------


@given(
    dim=st.integers(1, 7),
    items=st.integers(1, 12),
    prior=st.floats(0.05, 50),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_widths_are_those_of_the_inverse(dim, items, prior, seed):
    rng = default_rng(seed)
    contexts = rng.standard_normal((items, dim)).astype(np.float32)
    counts = rng.poisson(0.7, (3, items)).astype(np.float32)
    users = np.array([2, 0], np.int32)
    found = precisions(sparse.csr_matrix(counts), users, contexts, prior)
    h = contexts.astype(np.float64)
    for row, user in enumerate(users):
        by_hand = prior * np.eye(dim) + sum(counts[user, i] * np.outer(h[i], h[i]) for i in range(items))
        np.testing.assert_allclose(found[row], by_hand, rtol=1e-10, atol=1e-10)
        squared = [h[i] @ np.linalg.inv(by_hand) @ h[i] for i in range(items)]
        np.testing.assert_allclose(widths(found, contexts)[row], np.sqrt(squared), rtol=3e-3, atol=1e-5)


def test_a_catalog_in_several_blocks_has_the_widths_of_one():
    rng = default_rng(1)
    contexts = rng.standard_normal((2500, 3)).astype(np.float32)
    precision = np.eye(3)[None] * 4
    np.testing.assert_allclose(
        widths(precision, contexts)[0], np.linalg.norm(contexts, axis=1) / 2, rtol=1e-5
    )


def test_draws_have_the_covariance_of_the_inverse_precision():
    root = np.array([[2.0, 0, 0], [0.7, 1.5, 0], [-1.0, 0.4, 0.8]])
    users = np.arange(40_000, dtype=np.int32)
    sample = draws(np.broadcast_to(root @ root.T, (users.size, 3, 3)), np.uint64(11), users)
    wanted = np.linalg.inv(root @ root.T)
    spread = np.sqrt(np.diag(wanted))
    assert np.abs(sample.mean(axis=0) / spread).max() < 4 / np.sqrt(users.size)
    # the standard error of a correlation-scaled covariance is at most sqrt(2/n)
    error = (np.cov(sample.T) - wanted) / np.outer(spread, spread)
    assert np.abs(error).max() < 4.5 * np.sqrt(2 / users.size)


def test_what_was_shown_and_taken_is_one_observation(observe):
    kept = [shown(8, [0], [[0, 1, -1]]), shown(9, [0, 1], [[1, 2, 3], [3, 2, 0]])]
    columns = {"rounds": [5, 8, 9, 9], "ranks": [1, 1, 0, 2]}
    seen = observe([0, 0, 1, 1], [3, 0, 1, 2], 3, 4, **columns, exposures=tuple(kept))
    wanted = [[1, 2, 1, 2], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert observations(seen, True).toarray().tolist() == wanted
    assert observations(seen, False).toarray().tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]]


# ---- the three strategies on a fitted model --------------------------------------------------------


@pytest.mark.parametrize(
    "off",
    [
        {"strategy": "epsilon_greedy", "epsilon": 0},
        {"strategy": "ucb", "exploration": 0},
        {"strategy": "thompson", "noise": 0},
    ],
)
@pytest.mark.parametrize("policy", [MF, {"kind": "content"}])
def test_without_exploration_the_ranking_is_the_models(off, policy):
    seen = example_observation()
    inner = build_policy(policy)
    inner.fit(seen, default_rng(3))
    wanted = inner.rank(seen, everyone(seen), 9, default_rng(1))
    found = fitted(seen, policy=policy, **off).rank(seen, everyone(seen), 9, default_rng(1))
    assert np.array_equal(found.items, wanted.items) and np.array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("strategy", ["ucb", "thompson"])
def test_next_to_no_exploration_ranks_warm_users_as_the_model(strategy):
    seen = example_observation()
    warm = np.setdiff1d(everyone(seen), [COLD_USER]).astype(np.int32)
    off = fitted(seen, strategy=strategy, exploration=0, noise=0).rank(seen, warm, 5, default_rng(1))
    on = fitted(seen, strategy=strategy, exploration=1e-9, noise=1e-9).rank(seen, warm, 5, default_rng(1))
    assert np.array_equal(on.items, off.items)
    np.testing.assert_allclose(on.scores, off.scores, atol=1e-6)


def test_ucb_scores_are_those_of_the_formula():
    seen = example_observation()
    policy = fitted(seen, strategy="ucb", exploration=0.7, prior_precision=2.5)
    ranking = policy.rank(seen, everyone(seen), seen.n_items, default_rng(1))
    w, h = (each.astype(np.float64) for each in policy.model.factors(seen, everyone(seen)))
    w, h = w[:, :4], h[:, :4]
    counts = seen.counts.toarray()
    for user in everyone(seen):
        inverse = np.linalg.inv(2.5 * np.eye(4) + (h.T * counts[user]) @ h)
        wanted = h @ w[user] + 0.7 * np.sqrt(np.einsum("ij,jk,ik->i", h, inverse, h))
        found = ranking.items[user][ranking.items[user] >= 0]
        np.testing.assert_allclose(ranking.scores[user][: found.size], wanted[found], rtol=1e-3, atol=1e-4)


def test_thompson_scores_are_spread_as_the_widths():
    seen = example_observation()
    policy = fitted(seen, strategy="thompson", noise=0.5)
    user, item = np.array([5], np.int32), int(seen.popularity.argmax())
    seen.blocked.clear(user, np.array([item], np.int32))
    found = []
    for seed in range(300):
        ranking = policy.rank(seen, user, seen.n_items, default_rng(seed))
        found.append(float(ranking.scores[0][ranking.items[0] == item][0]))
    w, h = policy.model.factors(seen, user)
    precision = np.eye(4) + (h[:, :4].T * seen.counts[5].toarray().ravel()) @ h[:, :4]
    spread = 0.5 * np.sqrt(h[item, :4] @ np.linalg.inv(precision) @ h[item, :4])
    assert abs(np.mean(found) - w[0, :4] @ h[item, :4]) < 4 * spread / np.sqrt(300)
    assert abs(np.std(found) / spread - 1) < 4 / np.sqrt(600)


def test_columns_for_cold_users_are_no_contexts():
    seen = example_observation()
    of_users, of_items, found = fitted(seen, policy=MF)._factors(seen, everyone(seen))
    assert found == 4
    assert not of_users[:, 4:].any() or (of_users[:, 4:] == [1, 0]).all()
    assert np.abs(of_items[:, :4]).max() < 3  # counts of bestsellers go further


def test_popularity_and_ties_of_content_are_no_contexts():
    seen = example_observation()
    _, of_items, found = fitted(seen, policy={"kind": "content"})._factors(seen, everyone(seen))
    assert found == seen.tags.shape[1]
    assert np.array_equal(of_items[:, :found], seen.tags)


BIASED = [
    {"kind": "matrix_factorization", "dim": 4, "model": "bpr"},
    {"kind": "hashed_mf", "dim": 4},
    {"kind": "list_mf", "dim": 4, "regularization": 0.1},
]


@pytest.mark.parametrize("policy", BIASED)
def test_biases_are_no_contexts(policy):
    """UCB by hand from the model's own scores and the widths of the first four columns alone."""
    seen = example_observation()
    bandit = fitted(seen, policy=policy, strategy="ucb", exploration=0.5)
    w, h = bandit.model.factors(seen, everyone(seen))
    user = int(np.flatnonzero(seen.counts.sum(axis=1))[3])
    precision = np.eye(4) + (h[:, :4].T * seen.counts[user].toarray().ravel()) @ h[:, :4]
    wide = np.sqrt(np.einsum("ij,jk,ik->i", h[:, :4], np.linalg.inv(precision), h[:, :4]))
    expected = w[user] @ h.T + 0.5 * wide
    ranking = bandit.rank(replace(seen, exposures=()), np.array([user], np.int32), 8, default_rng(0))
    np.testing.assert_allclose(ranking.scores[0], expected[ranking.items[0]], rtol=1e-4)


@pytest.mark.parametrize("policy", BIASED[1:])
@pytest.mark.parametrize("strategy", ["ucb", "thompson"])
def test_what_nobody_took_does_not_win_by_the_size_of_its_bias(policy, strategy):
    """Its bias is far from 0 here: as a context, it would be the widest of all for a user without history."""
    seen = example_observation()
    bandit = fitted(seen, policy=policy, strategy=strategy)
    items = bandit.rank(seen, np.array([COLD_USER], np.int32), 10, default_rng(1)).items
    assert seen.popularity[items].all()


@pytest.mark.parametrize("strategy", ["ucb", "thompson"])
def test_a_user_without_history_explores_and_does_not_get_bestsellers(strategy):
    seen = example_observation()
    policy = fitted(seen, strategy=strategy, exploration=0.25)
    ranking = policy.rank(seen, np.array([COLD_USER], np.int32), 5, default_rng(1))
    norms = np.linalg.norm(policy.model.factors(seen, everyone(seen))[1][:, :4], axis=1)
    if strategy == "ucb":
        np.testing.assert_allclose(ranking.scores[0], 0.25 * norms[ranking.items[0]], rtol=1e-4)
    else:
        other = policy.rank(seen, np.array([COLD_USER], np.int32), 5, default_rng(2))
        assert not np.array_equal(ranking.items, other.items)
    assert ranking.scores.max() < 5  # bestsellers come with counts far above


def test_the_share_of_random_slots_is_epsilon(observe):
    users, items, n = 1000, 500, 10
    rng = default_rng(0)
    size = 20 * users
    seen = observe(
        np.repeat(np.arange(users), 20),
        items * rng.random(size) ** 2,
        users,
        items,
    )
    content = {"kind": "content"}
    greedy = fitted(seen, policy=content, epsilon=0).rank(seen, everyone(seen), n, default_rng(5))
    mixed = fitted(seen, policy=content, epsilon=0.3).rank(seen, everyone(seen), n, default_rng(5))
    off_list = np.array([~np.isin(row, best) for row, best in zip(mixed.items, greedy.items, strict=True)])
    # a random slot shows an item that greedy ranks below n with probability 1 − (greedy items not yet listed)/(items
    # not yet listed): between 490/500 and 490/491
    low, high = stats.binom.ppf([1e-6, 1 - 1e-6], users * n, [0.3 * 490 / 500, 0.3])
    assert low <= off_list.sum() <= high
    assert (np.diff(mixed.scores, axis=1) <= 0).all()
    # what greedy put on the list keeps its own score
    for row in range(users):
        own = dict(zip(greedy.items[row], greedy.scores[row], strict=True))
        kept = ~off_list[row]
        assert (mixed.scores[row][kept] >= [own[i] for i in mixed.items[row][kept]]).all()
    # one slot's draw says nothing about the next: 4 standard errors of a correlation
    first, following = off_list[:, :-1], off_list[:, 1:]
    assert abs(np.corrcoef(mixed.items[:, :-1][first], following[first])[0, 1]) < 4 / np.sqrt(first.sum())
    # random items spread over the catalog as uniform draws from what greedy does not show
    drawn = np.bincount(mixed.items[off_list] // 50, minlength=10)
    open_share = 50 - np.array([np.bincount(best // 50, minlength=10) for best in greedy.items])
    wanted = (off_list.sum(axis=1)[:, None] * open_share / 490).sum(axis=0)
    assert stats.chisquare(drawn, wanted).pvalue > 1e-4


def test_epsilon_one_is_a_uniform_draw_without_replacement(observe):
    seen = observe([0], [0], users=20_000, items=6)
    found = fitted(seen, epsilon=1, policy={"kind": "matrix_factorization", "dim": 1}).rank(
        seen, everyone(seen), 3, default_rng(8)
    )
    lists = np.bincount(found.items @ np.array([36, 6, 1]), minlength=216)
    assert np.count_nonzero(lists) == 6 * 5 * 4  # every ordered triple, none with an item twice
    assert stats.chisquare(lists[lists > 0]).pvalue > 1e-4


@pytest.mark.parametrize("strategy", ["epsilon_greedy", "ucb", "thompson"])
def test_a_users_list_does_not_depend_on_who_else_is_ranked(strategy):
    seen = example_observation(users=150)
    policy = fitted(seen, strategy=strategy, epsilon=0.5)
    everybody = policy.rank(seen, everyone(seen), 8, default_rng(1))
    few = policy.rank(seen, np.array([77, 4], np.int32), 8, default_rng(1))
    assert np.array_equal(few.items, everybody.items[[77, 4]])
    assert np.array_equal(few.scores, everybody.scores[[77, 4]])


def test_a_restored_layer_goes_on_with_the_models_factors():
    seen = example_observation()
    policy = fitted(seen, strategy="thompson")
    assert set(policy.state()) == set(policy.model.state())
    other = Bandit(policy=MF, strategy="thompson")
    other.restore(policy.state())
    wanted, found = (each.rank(seen, everyone(seen), 6, default_rng(2)) for each in (policy, other))
    assert np.array_equal(found.items, wanted.items)


# ---- in a world with one best arm -------------------------------------------------------------------


class ArmMeans(FactorPolicy):
    """Arms are unit vectors, and w_u the mean reward of each arm: greedy sees exactly what a bandit sees."""

    class Config(BaseConfig):
        prior: float = 1.0
        """Observations at reward 0 before the first."""

    config: Config

    def fit(self, seen, rng):
        self.wins = seen.counts.toarray()

    def factors(self, seen, users):
        pulls = observations(seen, True).toarray() + self.config.prior
        return (self.wins / pulls)[users].astype(np.float32), np.eye(seen.n_items, dtype=np.float32)


@pytest.fixture
def arm_means(monkeypatch):
    """Make the policy known by a kind, for one test."""
    monkeypatch.setitem(registry._REGISTERED["policies"], "arm_means", ArmMeans)
    monkeypatch.setattr(ArmMeans, "kind", "arm_means", raising=False)


def late_reward(observe, fields, users=40, rounds=90):
    """Mean chance of the arms pulled in the last third, of arms 0.3, 0.5, 0.55 and 0.8; starts at arm 0."""
    chances = np.array([0.3, 0.5, 0.55, 0.8])
    policy = Bandit(policy={"kind": "arm_means"}, **fields)
    everybody = np.arange(users, dtype=np.int32)
    log, kept, late = [], [shown(-1, everybody, np.zeros((users, 1)))], []
    log.append(np.column_stack([everybody, 0 * everybody, 0 * everybody - 1, 0 * everybody + 1]))
    for now in range(rounds):
        user, item, when, ranks = np.concatenate(log).T
        seen = observe(user, item, users, 4, when, ranks, now, exposures=tuple(kept))
        policy.fit(seen, default_rng([now, 1]))
        arms = policy.rank(seen, everybody, 1, default_rng([now, 2])).items[:, 0]
        draw = uniforms(np.uint64(5), now, everybody, 1)[:, 0]
        won = draw < chances[arms]
        log.append(np.column_stack([everybody, arms, np.full(users, now), np.ones(users)])[won].astype(int))
        kept.append(shown(now, everybody, arms[:, None]))
        if now >= 2 * rounds // 3:
            late.append(chances[arms].mean())
    return np.mean(late)


def test_exploration_finds_the_best_arm_where_greedy_does_not(observe, arm_means):
    greedy = late_reward(observe, {"epsilon": 0})
    assert greedy < 0.45  # it never leaves the arm it started with
    assert late_reward(observe, {"strategy": "ucb", "exploration": 1.0}) > 0.74
    assert late_reward(observe, {"strategy": "thompson", "noise": 0.5}) > 0.74
    random_share = 0.1 * (0.8 - np.mean([0.3, 0.5, 0.55, 0.8]))
    assert greedy + 0.2 < late_reward(observe, {"epsilon": 0.1}) <= 0.8 - random_share + 0.01


# ---- configuration ----------------------------------------------------------------------------------


def test_the_spec_spells_out_the_inner_policy():
    spec = spec_of(Bandit(policy={"kind": "matrix_factorization", "dim": 5}))
    inner = spec_of(build_policy({"kind": "matrix_factorization", "dim": 5}))
    assert spec["policy"] == inner and inner["iterations"] == 15
    assert spec_of(build_policy(spec)) == spec


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"kind": "matrix_factorisation"}, 'Did you mean "matrix_factorization"?'),
        ({"kind": "matrix_factorization", "dims": 3}, 'dims: unknown key. Did you mean "dim"?'),
        (
            {"kind": "matrix_factorization", "dim": 0},
            "matrix_factorization: dim: must be at least 1 and at most 4096, but is 0",
        ),
        ({"dim": 3}, "a policy needs a kind"),
        ({"kind": "popularity"}, '"popularity" has no factors to explore. Allowed: '),
        ({"kind": "bandit"}, '"bandit" has no factors to explore'),
        ("matrix_factorization", "policy = "),
    ],
)
def test_a_wrong_inner_policy_is_named(policy, said):
    with pytest.raises(BadInput) as error:
        Bandit(policy=policy)
    assert str(error.value).startswith("bandit: policy: ") and said in str(error.value)


def test_the_kinds_that_qualify_are_factor_models():
    with pytest.raises(BadInput, match=r"Allowed: .*content.*matrix_factorization") as error:
        Bandit(policy={"kind": "random"})
    allowed = str(error.value).split("Allowed: ")[1].split(", or a class")[0].split(", ")
    assert not {"random", "popularity", "bandit", "persona"} & set(allowed)


@given(st.sampled_from(["epsilon", "exploration", "noise", "prior_precision"]), st.floats(-5, 5))
@settings(max_examples=40, deadline=None)
def test_any_number_is_taken_or_refused_by_name(name, value):
    low, high = {"epsilon": (0, 1), "prior_precision": (1e-6, 99)}.get(name, (0, 99))
    if low <= value <= high:
        assert getattr(Bandit(policy=MF, **{name: value}).config, name) == value
    else:
        with pytest.raises(BadInput, match=f"bandit: {name}: "):
            Bandit(policy=MF, **{name: value})


def test_nothing_learned_and_nothing_left_are_no_crash():
    empty = example_observation(rounds=0)
    for strategy in ("epsilon_greedy", "ucb", "thompson"):
        policy = fitted(empty, strategy=strategy, epsilon=0.9)
        assert (policy.rank(empty, everyone(empty), 4, default_rng(0)).items >= 0).all()
        gone = replace(empty, live=np.zeros(empty.n_items, bool))
        assert (policy.rank(gone, everyone(empty), 4, default_rng(0)).items == -1).all()
