"""The platform's log, blocked pairs, and what an observation derives from them."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.policies.interactions import Blocked, InteractionLog, Interactions, Source, count_pairs
from echodrift.policies.testing.example import example_observation
from hypothesis import given, settings
from hypothesis import strategies as st

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60)


def log_of(rows, rounds=None) -> Interactions:
    log = InteractionLog(capacity=2)
    table = np.array(rows, np.int32).reshape(-1, 2)
    rounds = np.zeros(len(table)) if rounds is None else rounds
    log.append(table[:, 0], table[:, 1], rounds, 0, Source.SLATE)
    return log.view()


@settings(max_examples=100, deadline=None)
@given(pairs)
def test_counts_equal_a_dense_tally(rows):
    wanted = np.zeros((6, 10), np.float32)
    for user, item in rows:
        wanted[user, item] += 1
    got = count_pairs(log_of(rows), 6, 10)
    np.testing.assert_array_equal(got.toarray(), wanted)
    assert got.dtype == np.float32 and got.indices.dtype == np.int32
    assert (got.data > 0).all()
    for user in range(6):
        assert (np.diff(got.indices[got.indptr[user] : got.indptr[user + 1]]) > 0).all()


def test_the_log_grows_and_its_views_stay():
    log = InteractionLog(capacity=1)
    log.append(np.array([1, 2]), np.array([3, 4]), -5, 0, Source.ORGANIC)
    first = log.view()
    for round in range(40):
        log.append(np.array([round]), np.array([7]), round, np.array([2]), Source.SLATE)
    assert len(log) == 42 and len(first) == 2
    np.testing.assert_array_equal(first.item, [3, 4])
    view = log.view()
    np.testing.assert_array_equal(view.user[2:], np.arange(40))
    np.testing.assert_array_equal(view.source[:3], [1, 1, 0])
    with pytest.raises(ValueError, match="read-only"):
        view.user[0] = 9
    assert len(Interactions.empty()) == 0


@settings(max_examples=100, deadline=None)
@given(pairs, pairs)
def test_blocked_is_a_set_of_pairs(blocked_pairs, freed_pairs):
    blocked, wanted = Blocked(6, 10), np.zeros((6, 10), bool)
    for rows, value in ((blocked_pairs, True), (freed_pairs, False)):
        table = np.array(rows, np.int32).reshape(-1, 2)
        (blocked.set if value else blocked.clear)(table[:, 0], table[:, 1])
        wanted[table[:, 0], table[:, 1]] = value
    np.testing.assert_array_equal(blocked.rows(np.arange(6, dtype=np.int32)), wanted)


def test_an_observation_derives_counts_popularity_and_availability():
    seen = example_observation()
    np.testing.assert_array_equal(seen.counts.toarray().sum(axis=0), seen.popularity)
    assert seen.popularity.size == seen.n_items
    recent = seen.since(9)
    assert 0 < len(recent) < len(seen.log) and recent.round.min() == 9
    assert len(seen.since(-3)) == len(seen.log) and len(seen.since(99)) == 0
    users = np.array([5, 0], np.int32)
    available = seen.available(users)
    assert available.shape == (2, seen.n_items)
    assert not available[:, ~seen.live].any()
    taken = recent.item[recent.user == 5]
    assert not available[0, taken].any()


def test_the_example_grows_in_place():
    small, large = example_observation(items=50, rounds=6), example_observation(items=60, rounds=12)
    np.testing.assert_array_equal(small.log.item, large.log.item[: len(small.log)])
    np.testing.assert_array_equal(small.tags, large.tags[:50])
