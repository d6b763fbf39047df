"""Selection: what a popularity propensity does, in closed form and by properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.policies.interactions import Interactions, Source
from echodrift.policies.registry import build_log_transform
from echodrift.policies.testing.example import example_observation
from hypothesis import given
from hypothesis import strategies as st


def seen_of(items, source=None):
    items = np.array(items, np.int32)
    none = np.zeros(items.size, np.int32)
    source = np.full(items.size, Source.IMPORTED) if source is None else np.array(source)
    log = Interactions(none, items, none, none.astype(np.int16), source.astype(np.int8))
    return replace(example_observation(users=1, items=8), log=log)


def weights(seen, **fields):
    return build_log_transform({"kind": "selection_debias", **fields}).prepare(seen).log.weight


def test_weights_by_hand():
    seen = seen_of([0, 0, 0, 0, 1, 2, 2, 2, 2])
    raw = weights(seen, self_normalized=False)
    np.testing.assert_allclose(raw, [1, 1, 1, 1, 2, 1, 1, 1, 1])
    np.testing.assert_allclose(weights(seen), raw * 9 / 10, rtol=1e-6)
    cut = weights(seen, exponent=2.0, max_weight=3.0, self_normalized=False)
    np.testing.assert_allclose(cut, [1, 1, 1, 1, 3, 1, 1, 1, 1])


def test_takes_noticed_by_a_power_of_appeal_are_unbiased_in_expectation():
    """Item i is noticed with probability p_i and then taken with appeal γ_i; 1/p_i gives γ_i back.

    The propensity is estimated from takes: with the same appeal for all, p ∝ n exactly, and exponent 1 makes
    all items count alike, as they should.
    """
    noticed, appeal, people = np.array([0.9, 0.45, 0.3, 0.09]), 0.5, 10_000
    takes = (noticed * appeal * people).astype(int)  # the expected counts themselves
    seen = seen_of(np.repeat(np.arange(4), takes))
    log = replace(seen, log=replace(seen.log, weight=weights(seen, exponent=1.0, self_normalized=False)))
    np.testing.assert_allclose(log.popularity[:4] / (noticed[0] * people), appeal, rtol=1e-5)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=50), st.floats(0, 3), st.booleans())
def test_rarer_items_never_weigh_less(items, exponent, normalized):
    found = weights(seen_of(items), exponent=exponent, self_normalized=normalized)
    counts = np.bincount(items)[items]
    order = np.argsort(counts)
    assert (np.diff(found[order]) <= 1e-6).all() and (found > 0).all()
    for item in set(items):
        own = found[np.array(items) == item]
        assert (own == own[0]).all()
    if normalized:
        assert found.sum() == pytest.approx(len(items), rel=1e-5)
    if exponent == 0:
        np.testing.assert_allclose(found, 1)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=50))
def test_exponent_one_gives_every_item_the_same_total(items):
    seen = seen_of(items)
    prepared = build_log_transform({"kind": "selection_debias", "exponent": 1.0, "max_weight": 1e6}).prepare(
        seen
    )
    taken = prepared.popularity[prepared.popularity > 0]
    np.testing.assert_allclose(taken, taken[0], rtol=1e-5)


def test_sources_count_and_weigh_only_their_own():
    items, source = [0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]
    found = weights(seen_of(items, source), exponent=1.0, sources=["organic"], self_normalized=False)
    np.testing.assert_allclose(found, [1, 1, 2, 1, 1, 1])


def test_weights_that_are_there_count_as_popularity_and_are_multiplied():
    seen = seen_of([0, 0, 1])
    seen = replace(seen, log=replace(seen.log, weight=np.array([2, 2, 0.5], np.float32)))
    found = weights(seen, exponent=1.0, self_normalized=False)
    np.testing.assert_allclose(found, [2, 2, 0.5 * 8])
