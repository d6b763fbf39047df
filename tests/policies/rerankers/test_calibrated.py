"""Calibration: the measure, the greedy reranker against brute force and a plain reference."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from echodrift.errors import BadInput
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.rerankers.calibrated import Calibrated, kl_calibration, rank_weights
from echodrift.policies.rerankers.relevance import scaled
from echodrift.policies.testing import check_reranker
from echodrift.policies.testing.example import COLD_USER, example_observation
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


def objective(chosen, items, scores, p, tags, weights, trade, alpha=0.01, total=None):
    """(1 − λ)·Σ s − λ·C_KL of the columns `chosen`, in that order: the objective of `calibrated`."""
    used = weights[: len(chosen)]
    q = (used[:, None] * tags[items[chosen]]).sum(axis=0) / (used.sum() if total is None else total)
    return (1 - trade) * scores[chosen].sum() - trade * kl_calibration(p, q, alpha)


def plain_greedy(items, scores, p, tags, weights, trade, alpha, final):
    """The greedy solver without any shortcut."""
    chosen: list[int] = []
    total = weights.sum() if final else None
    for _ in range(min(len(weights), len(items))):
        rest = [c for c in range(len(items)) if c not in chosen]
        values = [objective([*chosen, c], items, scores, p, tags, weights, trade, alpha, total) for c in rest]
        chosen.append(rest[int(np.argmax(values))])
    return chosen


def test_kl_is_zero_only_when_calibrated_and_bounded():
    p = RNG.dirichlet(np.ones(6), 200)
    q = RNG.dirichlet(np.ones(6), 200)
    np.testing.assert_allclose(kl_calibration(p, p), 0, atol=1e-12)
    values = kl_calibration(p, q)
    assert (values > 0).all() and (values < np.log(1 / 0.01)).all()
    apart = kl_calibration([0.6, 0.4, 0, 0], [0, 0, 0.5, 0.5])
    assert apart == pytest.approx(np.log(100)) and apart == pytest.approx(4.605, abs=1e-3)


def test_kl_by_hand():
    wanted = 0.7 * np.log(0.7 / (0.99 * 1 + 0.007)) + 0.3 * np.log(0.3 / 0.003)
    assert kl_calibration([0.7, 0.3], [1, 0]) == pytest.approx(wanted)
    assert kl_calibration([1, 0], [0.5, 0.5], alpha=0.2) == pytest.approx(-np.log(0.8 * 0.5 + 0.2))
    assert kl_calibration(np.ones((2, 1, 3)) / 3, np.ones((4, 3)) / 3).shape == (2, 4)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.floats(1e-4, 1))
def test_kl_stays_in_its_range(numbers, alpha):
    p, q = np.array(numbers[:4]) + 1e-9, np.array(numbers[4:]) + 1e-9
    value = kl_calibration(p / p.sum(), q / q.sum(), alpha)
    assert -1e-9 <= value <= np.log(1 / alpha) + 1e-9


@pytest.mark.parametrize("alpha", [0, -1, 1.5, float("nan")])
def test_kl_refuses_alpha(alpha):
    with pytest.raises(BadInput, match="above 0 and at most 1"):
        kl_calibration([1.0], [1.0], alpha)


@pytest.mark.parametrize("trade", [0.1, 0.5, 0.7, 0.95, 1.0])
def test_greedy_is_exact_where_items_have_one_topic(observation, ranking_of, trade):
    for seed in range(12):
        rng = np.random.default_rng([seed, 12])
        tags = np.eye(4)[rng.integers(0, 4, 12)]
        seen = observation(tags, [list(rng.integers(0, 12, 9))])
        scores = rng.random(12)
        ranking = ranking_of(scores)
        got = Calibrated(weight=trade).rerank(ranking, seen, 5, rng).items[0]
        p = topic_profiles(seen)[0]
        s = scaled(ranking.scores, ranking.items, "minmax")[0]
        items = ranking.items[0]
        ones = np.ones(5)
        best = max(
            objective(list(subset), items, s, p, tags, ones, trade) for subset in combinations(range(12), 5)
        )
        columns = [int(np.flatnonzero(items == item)[0]) for item in got]
        assert objective(columns, items, s, p, tags, ones, trade) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("weights", ["none", "log", "reciprocal"])
@pytest.mark.parametrize("scale", ["minmax", "softmax"])
@pytest.mark.parametrize("trade", [0.0, 0.3, 0.9, 1.0])
def test_greedy_equals_the_plain_reference(observation, ranking_of, final, weights, scale, trade):
    rng = np.random.default_rng([final, len(weights), len(scale), int(10 * trade)])
    users, items, n = 8, 30, 7
    tags = rng.dirichlet(np.full(5, 0.3), items).astype(np.float32)
    tags[rng.random(tags.shape) < 0.4] = 0
    tags[tags.sum(axis=1) == 0, 0] = 1
    tags /= tags.sum(axis=1, keepdims=True)
    seen = observation(tags, [list(rng.integers(0, items, 6)) for _ in range(users)])
    ranking = ranking_of(rng.normal(size=(users, items)))
    reranker = Calibrated(
        weight=trade, scale=scale, normalize="final" if final else "running", rank_weight=weights, alpha=0.05
    )
    got = reranker.rerank(ranking, seen, n, rng)
    profiles = topic_profiles(seen)
    s = scaled(ranking.scores, ranking.items, scale)
    for user in range(users):
        chosen = plain_greedy(
            ranking.items[user], s[user], profiles[user], tags, rank_weights(weights, n), trade, 0.05, final
        )
        np.testing.assert_array_equal(got.items[user], ranking.items[user][chosen])
        np.testing.assert_array_equal(got.scores[user], ranking.scores[user][chosen])


def test_weight_zero_keeps_the_order_and_one_calibrates(ranking_of):
    seen = example_observation()
    rng = np.random.default_rng(3)
    ranking = ranking_of(rng.normal(size=(seen.n_users, seen.n_items)))
    kept = Calibrated(weight=0).rerank(ranking, seen, 7, rng)
    np.testing.assert_array_equal(kept.items, ranking.items[:, :7])
    p = topic_profiles(seen)
    kl = []
    for weight in (0, 0.3, 0.7, 1.0):
        slate = Calibrated(weight=weight).rerank(ranking, seen, 7, rng).items
        kl.append(kl_calibration(p, seen.tags[slate].mean(axis=1)).mean())
    assert kl == sorted(kl, reverse=True) and kl[-1] < kl[0] / 3


def test_seventy_thirty(observation, ranking_of):
    """A 70/30 user: 100/0 slates are right 70 % of the time, 70/30 slates 0.7² + 0.3² = 58 %."""
    tags = np.eye(2)[[0] * 20 + [1] * 20]
    seen = observation(tags, [[0] * 7 + [20] * 3])
    scores = np.where(tags[:, 0] == 1, 0.7, 0.3)  # what an accurate ranker predicts
    share = {}
    for weight in (0.0, 1.0):
        slate = Calibrated(weight=weight).rerank(ranking_of(scores), seen, 10, RNG).items[0]
        share[weight] = tags[slate].mean(axis=0)
    np.testing.assert_allclose(share[0.0], [1, 0])
    np.testing.assert_allclose(share[1.0], [0.7, 0.3])
    assert share[0.0] @ [0.7, 0.3] == pytest.approx(0.70)
    assert share[1.0] @ [0.7, 0.3] == pytest.approx(0.58)


def test_profiles_by_hand(observation):
    tags = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]])
    seen = observation(tags, [[0, 0, 1], [2], []], rounds=[[1, 9, 9], [2], []])
    population = np.array([2.5, 1, 0.5]) / 4
    np.testing.assert_allclose(topic_profiles(seen), [[2 / 3, 1 / 3, 0], [0.5, 0, 0.5], population])
    # rounds 8 and 9 only; user 1 has nothing there and keeps all of their history
    np.testing.assert_allclose(topic_profiles(seen, window=2), [[0.5, 0.5, 0], [0.5, 0, 0.5], population])
    old = 2.0 ** (-8 / 4)
    by_age = topic_profiles(seen, half_life=4)[0]
    np.testing.assert_allclose(by_age, np.array([old + 1, 1, 0]) / (old + 2))
    ages = topic_profiles(seen, half_life=1e-3)
    np.testing.assert_allclose(ages[0], [0.5, 0.5, 0])
    assert np.isfinite(ages).all()


def test_profiles_without_any_log_are_the_live_catalogs(observation):
    tags = np.array([[1, 0], [0, 1], [0, 1]])
    seen = observation(tags, [[], []])
    seen.live[2] = False
    np.testing.assert_allclose(topic_profiles(seen), [[0.5, 0.5]] * 2)
    seen.live[:] = False
    np.testing.assert_allclose(topic_profiles(seen, window=3), [[1 / 3, 2 / 3]] * 2)


def test_a_window_follows_drift(observation, ranking_of):
    tags = np.eye(2)[[0] * 20 + [1] * 20]
    seen = observation(tags, [[0] * 30 + [20] * 10], rounds=[[1] * 30 + [9] * 10])
    scores = ranking_of(np.zeros(40))
    stale = Calibrated(weight=1).rerank(scores, seen, 8, RNG).items[0]
    recent = Calibrated(weight=1, window=2).rerank(scores, seen, 8, RNG).items[0]
    assert tags[stale].mean(axis=0) @ [0, 1] == pytest.approx(0.25)
    assert (tags[recent] == [0, 1]).all()


def test_a_cold_user_is_calibrated_to_the_population():
    seen = example_observation()
    p = topic_profiles(seen)[COLD_USER]
    np.testing.assert_allclose(p, seen.tags[seen.log.item].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    "fields",
    [{}, {"weight": 1.0, "scale": "softmax"}, {"normalize": "running", "rank_weight": "log", "window": 3}],
)
def test_contract(fields):
    assert "few_candidates" in check_reranker("calibrated", **fields)
