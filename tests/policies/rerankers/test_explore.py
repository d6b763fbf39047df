"""Exploration: rates, uniformity, and the indices by hand."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.policies.interactions import Exposures, Interactions, Source
from echodrift.policies.rerankers.explore import Explore, shown_and_taken
from scipy.stats import chisquare


def test_random_slots_come_at_their_rate_and_are_uniform(observation, ranking_of):
    users, items, n = 4000, 20, 5
    seen = observation(np.ones((items, 1)), [[]] * users)
    ranking = ranking_of(np.tile(-np.arange(items), (users, 1)))
    got = Explore(epsilon=0.3, candidates="all").rerank(ranking, seen, n, np.random.default_rng(1)).items
    first = got[:, 0]
    away = (first != 0).mean()  # a draw hits the best item itself once in 20
    assert away == pytest.approx(0.3 * 19 / 20, abs=0.03)
    assert chisquare(np.bincount(first[first != 0], minlength=items)[1:]).pvalue > 1e-3
    every = Explore(epsilon=1.0).rerank(ranking, seen, n, np.random.default_rng(2)).items
    for slot in range(n):
        assert chisquare(np.bincount(every[:, slot], minlength=items)).pvalue > 1e-3
    pairs = np.zeros((items, items))
    np.add.at(pairs, (every[:, 0], every[:, 1]), 1)
    assert chisquare(pairs[~np.eye(items, dtype=bool)]).pvalue > 1e-3
    again = Explore(epsilon=0.3).rerank(ranking, seen, n, np.random.default_rng(3)).items
    assert (again != got).any()


@pytest.fixture
def shown(observation):
    """Two rounds of slates to two users; one take from a slate, one elsewhere."""
    organic = np.array([False, True])
    slates = np.array([[0, 1], [2, 3]], np.int32)
    past = tuple(
        Exposures(round, np.array([0, 1], np.int32), slates, organic if round == 8 else ~organic & False)
        for round in (8, 9)
    )
    seen = observation(np.ones((5, 1)), [[0, 0, 1, 4], [2]], rounds=[[2, 8, 9, 9], [9]], exposures=past)
    source = np.array([0, 0, 0, 2, 0], np.int8)
    log = seen.log
    return observation(
        np.ones((5, 1)), [[], []], exposures=past,
        log=Interactions(log.user, log.item, log.round, log.rank, source),
    )  # fmt: skip


def test_what_was_shown_and_taken(shown):
    times, taken = shown_and_taken(shown)
    np.testing.assert_array_equal(times, [2, 2, 1, 1, 0])  # the organic visit of round 8 is left out
    order = [(u, i, r) for u, i, r in zip(shown.log.user, shown.log.item, shown.log.round, strict=True)]
    kept = [i for (_, i, r), s in zip(order, shown.log.source, strict=True) if r >= 8 and s == Source.SLATE]
    np.testing.assert_array_equal(taken, np.bincount(kept, minlength=5))


def test_the_ucb_index_by_hand(shown, ranking_of):
    reranker = Explore(strategy="ucb", weight=0.5, exploration=2.0, prior_takes=1.0, prior_misses=3.0)
    raw = np.array([[5.0, 4, 3, 2, 1]] * 2)
    got = reranker.rerank(ranking_of(raw), shown, 5, np.random.default_rng(0))
    times, taken = shown_and_taken(shown)
    known = times + 4
    index = (taken + 1) / known + 2 * np.sqrt(np.log1p(times.sum()) / known)
    value = 0.5 * np.array([1, 0.75, 0.5, 0.25, 0]) + 0.5 * index
    np.testing.assert_array_equal(got.items[0], np.argsort(-value, kind="stable"))
    np.testing.assert_allclose(got.scores[0], np.sort(value)[::-1], rtol=1e-6)


def test_thompson_draws_have_the_betas_mean_and_spread(observation, ranking_of):
    users = 5000
    slates = np.tile(np.array([0, 1], np.int32), (20, 1))
    past = (Exposures(9, np.arange(20, dtype=np.int32), slates, np.zeros(20, bool)),)
    seen = observation(
        np.ones((3, 1)),
        [[0]] * 12 + [[]] * (users - 12),
        rounds=[[9]] * 12 + [[]] * (users - 12),
        exposures=past,
    )
    reranker = Explore(strategy="thompson", weight=1.0, prior_takes=1.0, prior_misses=9.0)
    got = reranker.rerank(ranking_of(np.zeros((users, 3))), seen, 3, np.random.default_rng(0))
    for item, (taken, times) in enumerate([(12, 20), (0, 20), (0, 0)]):
        drawn = got.scores[got.items == item]
        a, b = taken + 1, times - taken + 9
        assert drawn.mean() == pytest.approx(a / (a + b), abs=0.005)
        assert drawn.std() == pytest.approx(np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1))), rel=0.05)
    # what is hardly known wins now and then, what is known to be good mostly
    wins = np.bincount(got.items[:, 0], minlength=3) / users
    assert wins[0] > 0.9 and wins[2] > wins[1]


def test_no_more_takes_count_than_slots_were_shown(observation):
    """A friend's word or an earlier slate can bring takes to an item that this platform showed once."""
    past = (Exposures(9, np.array([0], np.int32), np.array([[0, 1]], np.int32), np.zeros(1, bool)),)
    seen = observation(np.ones((3, 1)), [[0, 0, 0], [2, 2]], rounds=[[9] * 3, [9] * 2], exposures=past)
    times, taken = shown_and_taken(seen)
    np.testing.assert_array_equal(times, [1, 1, 0])
    np.testing.assert_array_equal(taken, [1, 0, 0])
