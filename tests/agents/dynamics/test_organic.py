"""Organic visits: who is seen, how often, and never what is blocked."""

import numpy as np
import pytest
from echodrift.agents.dynamics.organic import organic_slates
from echodrift.sim.streams import Streams

KEYS = [Streams(2).key("organic.items"), Streams(2).key("organic.order")]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_first_item_is_drawn_in_proportion_to_popularity(make_world, exponent):
    world = make_world(
        users=4000, items=10, topics=3, behavior={"organic_popularity": exponent}, graph={"kind": "none"}
    )
    world.taken[:] = np.arange(10) ** 2
    users = np.arange(4000, dtype=np.int32)
    seen = organic_slates(world, 0, users, 1, np.zeros((4000, 2), np.uint8), *KEYS)
    expected = (1.0 + world.taken) ** exponent
    observed = np.bincount(seen[:, 0], minlength=10) / 4000
    assert observed == pytest.approx(expected / expected.sum(), abs=4.5 * np.sqrt(0.25 / 4000))


def test_without_replacement_it_agrees_with_successive_sampling(make_world):
    world = make_world(
        users=6000, items=5, topics=3, behavior={"organic_popularity": 1.0}, slate=2, graph={"kind": "none"}
    )
    world.taken[:] = [0, 1, 3, 7, 15]
    users = np.arange(6000, dtype=np.int32)
    seen = organic_slates(world, 0, users, 2, np.zeros((6000, 1), np.uint8), *KEYS)
    assert np.all(seen[:, 0] != seen[:, 1])
    w = np.array([1, 2, 4, 8, 16]) / 31
    included = w + sum(w[j] * w / (1 - w[j]) * (np.arange(5) != j) for j in range(5))
    observed = np.bincount(seen.ravel(), minlength=5) / 6000
    assert observed == pytest.approx(included, abs=0.03)
    # The order is random: the popular item is first as often as second among those who saw it.
    first, second = (seen[:, 0] == 4).sum(), (seen[:, 1] == 4).sum()
    assert first / (first + second) == pytest.approx(0.5, abs=0.04)


def test_blocked_and_retired_items_never_appear_and_a_slate_may_be_short(make_world):
    world = make_world(users=50, items=12, topics=3)
    world.items.retirement[3] = 0
    users = np.arange(50, dtype=np.int32)
    blocked = np.zeros((50, 2), np.uint8)
    blocked[:, 0] = 0b11110111
    seen = organic_slates(world, 0, users, 6, blocked, *KEYS)
    assert set(np.unique(seen)) == {-1, 8, 9, 10, 11}
    assert np.all((seen >= 0).sum(axis=1) == 4)
    assert np.all(seen[:, 4:] == -1)


def test_slates_fill_up_even_where_one_item_has_nearly_all_the_weight(make_world):
    world = make_world(users=40, items=30, topics=3, behavior={"organic_popularity": 2.0}, slate=10)
    world.taken[7] = 1_000_000
    users = np.arange(40, dtype=np.int32)
    seen = organic_slates(world, 0, users, 10, np.zeros((40, 4), np.uint8), *KEYS)
    assert np.all(seen >= 0) and all(np.unique(row).size == 10 and 7 in row for row in seen)
    others = np.bincount(seen[seen != 7], minlength=30)[np.arange(30) != 7]
    assert others.min() > 0 and others.max() < 40
