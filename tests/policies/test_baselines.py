"""Random and popularity rankings: what they promise of draws, windows and ties."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.policies.baselines import Popularity, Random
from echodrift.policies.testing.example import example_observation
from echodrift.policies.ties import tie_key, tie_order
from numpy.random import default_rng


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


@pytest.mark.parametrize("blocked_items", [0, 5])
def test_random_is_uniform_without_replacement(observe, blocked_items):
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


def test_popularity_counts_and_windows(observe):
    seen = observe([0, 0, 1, 1, 2], [3, 3, 3, 1, 1], users=3, items=5, rounds=[1, 2, 3, 98, 99])
    users = everyone(seen)
    allt, recent = Popularity(), Popularity(window=2)
    for policy in (allt, recent):
        policy.fit(seen, default_rng(0))
    np.testing.assert_array_equal(allt.rank(seen, users, 2, default_rng(0)).items, [[3, 1]] * 3)
    got = recent.rank(seen, users, 5, default_rng(0))
    assert (got.items[:, 0] == 1).all() and (got.scores[:, 0] >= 2).all() and (got.scores[:, 1] < 1).all()


def test_ties_are_broken_by_a_draw_at_fit_and_not_by_id(observe):
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
