"""Top-k selection against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.interactions import Blocked
from echodrift.policies.topk import ITEM_BLOCK, USER_BLOCK, top_k_dense, top_k_factors, top_k_shared
from hypothesis import given, settings
from hypothesis import strategies as st


def catalog(rng, users: int, items: int, blocked_share: float = 0.3, live_share: float = 0.8):
    live = rng.random(items) < live_share
    blocked = Blocked(users, items + 3)
    who, what = np.nonzero(rng.random((users, items)) < blocked_share)
    blocked.set(who.astype(np.int32), what.astype(np.int32))
    return live, blocked


def by_sorting(scores, users, n, live, blocked):
    """The specification: sort what is available by descending score, then ascending id."""
    available = live & ~blocked.rows(users)[:, : live.size]
    items = np.full((users.size, n), -1, np.int32)
    best = np.full((users.size, n), -np.inf, np.float32)
    for b in range(users.size):
        here = np.flatnonzero(available[b] & (scores[b] > -np.inf))
        order = here[np.lexsort((here, -scores[b, here]))][:n]
        items[b, : order.size], best[b, : order.size] = order, scores[b, order]
    return items, best


LAST_BITS = 1e-6
"""OpenBLAS' AVX2 kernels round some rows of a block otherwise than others: 4 units in the last place of float32."""


def assert_same(got, wanted):
    np.testing.assert_array_equal(got[0], wanted[0])
    np.testing.assert_array_equal(got[1], wanted[1])
    assert got[0].dtype == np.int32 and got[1].dtype == np.float32


@pytest.mark.parametrize("items", [1, 5, 63, 64, 65, 700, 3000])
@pytest.mark.parametrize("n", [0, 1, 3, 20, 200])
def test_dense_equals_sorting(items, n):
    rng = np.random.default_rng([items, n])
    # few distinct scores, so that ties decide most places; both zeros; some never to be shown
    scores = rng.integers(-9, 10, (11, items)).astype(np.float32)
    scores[scores == 0] *= np.float32(-1)
    scores[rng.random(scores.shape) < 0.05] = -np.inf
    live, blocked = catalog(rng, 30, items)
    users = rng.permutation(30)[:11].astype(np.int32)
    assert_same(top_k_dense(scores, users, n, live, blocked), by_sorting(scores, users, n, live, blocked))


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
def test_dense_on_sorted_scores(order):
    rng = np.random.default_rng(0)
    ramp = {"rising": np.arange(2000), "falling": -np.arange(2000), "equal": np.zeros(2000)}[order]
    scores = np.tile(ramp.astype(np.float32), (4, 1))
    live, blocked = catalog(rng, 4, 2000)
    users = np.arange(4, dtype=np.int32)
    assert_same(top_k_dense(scores, users, 50, live, blocked), by_sorting(scores, users, 50, live, blocked))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=150),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
)
def test_dense_on_any_floats(values, n, seed):
    scores = np.array([values], np.float32)
    live, blocked = catalog(np.random.default_rng(seed), 1, scores.shape[1])
    users = np.zeros(1, np.int32)
    assert_same(top_k_dense(scores, users, n, live, blocked), by_sorting(scores, users, n, live, blocked))


@pytest.mark.parametrize("items", [10, ITEM_BLOCK, ITEM_BLOCK + 37])
def test_factors_equal_sorting(items):
    rng = np.random.default_rng(items)
    of_users = rng.integers(-3, 4, (USER_BLOCK + 9, 6)).astype(np.float32)  # integers: exact in any order
    of_items = rng.integers(-3, 4, (items, 6)).astype(np.float32)
    users = rng.permutation(USER_BLOCK + 9).astype(np.int32)
    live, blocked = catalog(rng, users.size, items)
    wanted = by_sorting(of_users @ of_items.T, users, 15, live, blocked)
    assert_same(top_k_factors(of_users, of_items, users, 15, live, blocked), wanted)


def test_a_score_does_not_depend_on_who_else_is_ranked():
    rng = np.random.default_rng(5)
    of_users = rng.standard_normal((200, 33)).astype(np.float32)
    of_items = rng.standard_normal((3001, 33)).astype(np.float32)
    users = np.arange(200, dtype=np.int32)
    live, blocked = catalog(rng, 200, 3001)
    items, scores = top_k_factors(of_users, of_items, users, 10, live, blocked)
    for part in (users[7:8], users[60:130], users[::-3]):
        got = top_k_factors(of_users[part], of_items, part, 10, live, blocked)
        np.testing.assert_array_equal(got[0], items[part])
        np.testing.assert_allclose(got[1], scores[part], rtol=LAST_BITS)


def test_shared_equals_dense():
    rng = np.random.default_rng(6)
    scores = rng.integers(0, 9, 500).astype(np.float32)
    scores[::50] = -np.inf
    live, blocked = catalog(rng, 20, 500, blocked_share=0.9)
    users = rng.permutation(20).astype(np.int32)
    dense = top_k_dense(np.tile(scores, (20, 1)), users, 60, live, blocked)
    assert (dense[0] == -1).any() and (dense[0] >= 0).any()
    assert_same(top_k_shared(scores, users, 60, live, blocked), dense)


@pytest.mark.parametrize("wrong", [np.nan, -np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 40, 63, 64, 130, 198])
@pytest.mark.parametrize("available", [True, False])
def test_scores_that_are_not_numbers_are_refused(wrong, place, available):
    scores = np.full((3, 199), 7, np.float32)
    scores[1, place] = wrong
    live = np.ones(199, bool)
    live[place] = available
    users = np.array([4, 8, 2], np.int32)
    with pytest.raises(PolicyError, match=r"user 8 is NaN or \+inf.*regularization"):
        top_k_dense(scores, users, 2, live, Blocked(9, 199))
    with pytest.raises(PolicyError, match=f"item {place} is NaN"):
        top_k_shared(scores[1], users, 2, live, Blocked(9, 199))


def test_factors_that_overflow_are_refused():
    big = np.full((1, 2), 3e38, np.float32)
    with pytest.raises(PolicyError, match="user 0 is NaN"):
        top_k_factors(big, big, np.zeros(1, np.int32), 1, np.ones(1, bool), Blocked(1, 1))


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (3, 5, 1)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(PolicyError, match="must have shape"):
        top_k_dense(np.zeros(shape), np.arange(3), 2, np.ones(5, bool), Blocked(3, 5))


def test_inputs_stay_as_they_are():
    rng = np.random.default_rng(8)
    scores = rng.random((2, 300)).astype(np.float32)
    scores.flags.writeable = False
    live, blocked = catalog(rng, 2, 300)
    live.flags.writeable = False
    bits = blocked.bits.copy()
    top_k_dense(scores, np.arange(2), 5, live, blocked)
    np.testing.assert_array_equal(bits, blocked.bits)
