"""popularity_discount, niche_floor and exposure_fair: brute force, a linear program, and many rounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.base import Ranking
from echodrift.policies.rerankers.exposure_fair import ExposureFair
from echodrift.policies.rerankers.item_groups import item_groups, niche_items
from echodrift.policies.rerankers.niche_floor import NicheFloor
from echodrift.policies.rerankers.popularity_discount import PopularityDiscount
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

RNG = np.random.default_rng(0)


def knowing(seen, providers):
    """The observation of a platform that knows who made an item."""
    return replace(seen, providers=np.asarray(providers, np.int32))


def test_popularity_is_charged_by_hand(observation, ranking_of):
    seen = observation(np.ones((4, 1)), [[0] * 7 + [1] * 3 + [2]])
    got = PopularityDiscount(weight=0.4).rerank(ranking_of([4.0, 3, 2, 1]), seen, 3, RNG)
    value = 0.6 * np.array([1, 2 / 3, 1 / 3, 0]) - 0.4 * np.log([8, 4, 2, 1]) / np.log(8)
    order = np.argsort(-value)[:3]
    np.testing.assert_array_equal(got.items[0], order)
    np.testing.assert_allclose(got.scores[0], value[order], rtol=1e-6)
    recent = observation(np.ones((4, 1)), [[0, 0, 3, 3]], rounds=[[1, 1, 9, 9]])
    got = PopularityDiscount(weight=1.0, window=2).rerank(ranking_of([4.0, 3, 2, 1]), recent, 4, RNG)
    np.testing.assert_array_equal(got.items[0], [0, 1, 2, 3])


def test_niche_items_by_hand(observation):
    seen = observation(np.ones((10, 1)), [[0] * 9 + [1] * 9 + [2] * 3 + [3]])
    np.testing.assert_array_equal(niche_items(seen, 0.8, None), [False] * 2 + [True] * 8)
    # the cut falls among items taken equally often: all of them are niche
    np.testing.assert_array_equal(niche_items(seen, 0.3, None), [False] * 4 + [True] * 6)
    assert niche_items(observation(np.ones((5, 1)), [[]]), 0.8, None).all()
    level, ids = item_groups(
        observation(np.ones((40, 1)), [np.repeat(np.arange(40), range(40)).tolist()]), "popularity"
    )
    np.testing.assert_array_equal(np.bincount(level), [32, 6, 2])
    np.testing.assert_array_equal(ids, [0, 1, 2])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.integers(0, 10),
    st.integers(1, 8),
    st.sampled_from(["ranked", "spread"]),
)
def test_the_floor_against_all_slates(observation, popular, slots, n, placement):
    history = [i for i, flag in enumerate(popular) if flag]
    seen = observation(np.ones((10, 1)), [history])
    niche = ~np.array(popular) if any(popular) and not all(popular) else None
    if niche is None or niche.sum() < 1:
        niche = niche_items(seen, 0.05, None)
    share = max(niche.sum() - 0.5, 0.5) / 10
    assert (niche_items(seen, share, None) == niche).all()
    ranking = Ranking(
        np.zeros(1, np.int32),
        np.arange(10, dtype=np.int32)[None],
        -(np.arange(10, dtype=np.float32)[None] ** 2),
    )
    reranker = NicheFloor(slots=slots, niche_share=share, placement=placement)
    got = reranker.rerank(ranking, seen, n, RNG).items[0]
    least = min(slots, n, int(niche.sum()))
    allowed = [s for s in combinations(range(10), n) if niche[list(s)].sum() >= least]
    assert sum(got.astype(int) ** 2) == min(sum(i * i for i in s) for s in allowed)
    assert niche[got].sum() >= least
    for part in (got[niche[got]], got[~niche[got]]):
        assert (np.diff(part) > 0).all()
    if placement == "ranked":
        assert (np.diff(got) > 0).all()
    else:
        total = niche[got].sum()
        before = np.cumsum(niche[got])
        assert (np.abs(before - np.arange(1, n + 1) * total / n) <= 0.5 + 1e-9).all()


def exposure(items, group, groups):
    """Share of the slots of each group."""
    return np.bincount(group[items[items >= 0]], minlength=groups) / (items >= 0).sum()


@pytest.fixture
def market(observation, ranking_of):
    """300 users, 60 items of three topics; hardly anybody's favorites are of the last."""
    rng = np.random.default_rng(5)
    topic = np.repeat([0, 1, 2], 20)
    seen = observation(np.eye(3)[topic], [[0]] + [[]] * 299)
    return seen, ranking_of(rng.random((300, 60)) + 0.5 * (topic == 0) - 0.5 * (topic == 2)), topic


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, [1 / 3, 1 / 3, 1 / 3]),
        ({"shares": [1.0, 1.0, 2.0]}, [0.25, 0.25, 0.5]),
        ({"groups": "topics", "target": "items"}, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_targets_are_met_within_slots(market, fields, wanted):
    seen, ranking, topic = market
    reranker = ExposureFair(step=0.01, **fields)
    for _ in range(5):
        got = reranker.rerank(ranking, seen, 10, np.random.default_rng(0))
        reranker.shown(seen, got.users, got.items)
    # five rounds of 3,000 slots; at most 1/step of them are owed
    np.testing.assert_allclose(exposure(got.items, topic, 3), wanted, atol=0.01)
    assert np.abs(reranker.state()["owed"]).max() < 100 + 10
    assert exposure(ranking.items[:, :10], topic, 3)[2] < 0.1


def test_little_relevance_is_lost_for_it(market):
    """Beside the largest sum of scores at which the targets are met, by linear programming."""
    seen, ranking, topic = market
    n, users, items = 10, 60, 60
    part = Ranking(ranking.users[:users], ranking.items[:users], ranking.scores[:users])
    raw = np.empty((users, items))
    np.put_along_axis(raw, part.items, part.scores.astype(float), axis=1)
    low, high = raw.min(axis=1, keepdims=True), raw.max(axis=1, keepdims=True)
    s = (raw - low) / (high - low)
    reranker = ExposureFair(step=0.002, half_life=1e9)
    totals, shown = [], []
    for round in range(60):
        got = reranker.rerank(part, seen, n, np.random.default_rng(round)).items
        reranker.shown(seen, part.users, got)
        totals.append(np.take_along_axis(s, got, axis=1).sum())
        shown.append(exposure(got, topic, 3))
    rows = np.kron(np.eye(users), np.ones(items))
    groups = np.array([np.tile(topic == g, users) for g in range(3)], float)
    best = linprog(
        -s.ravel(), A_eq=np.vstack([rows, groups]), b_eq=[n] * users + [n * users / 3] * 3, bounds=(0, 1)
    )
    unconstrained = np.sort(s, axis=1)[:, -n:].sum()
    np.testing.assert_allclose(np.mean(shown[20:], axis=0), 1 / 3, atol=0.005)
    lost = unconstrained + best.fun  # what the targets must cost
    assert lost > 0.03 * unconstrained
    assert unconstrained - np.mean(totals[20:]) == pytest.approx(lost, rel=0.05)


def test_what_was_really_shown_counts(market):
    """Somebody behind it fills the slates with topic 0: the next round answers."""
    seen, ranking, topic = market
    reranker = ExposureFair(step=0.001, half_life=1e9)
    first = reranker.rerank(ranking, seen, 10, np.random.default_rng(0)).items
    reranker.shown(seen, ranking.users, np.tile(np.arange(10, dtype=np.int32), (300, 1)))
    np.testing.assert_allclose(reranker.state()["owed"], [-2000, 1000, 1000])
    second = reranker.rerank(ranking, seen, 10, np.random.default_rng(0)).items
    assert exposure(second, topic, 3)[0] < exposure(first, topic, 3)[0] - 0.2


def test_what_is_owed_fades_and_weighs_ranks(market, observation):
    seen, ranking, _ = market
    reranker = ExposureFair(half_life=4.0, rank_weight="reciprocal")
    reranker.shown(seen, ranking.users[:1], np.array([[0, 20]], np.int32))
    np.testing.assert_allclose(reranker.state()["owed"], np.array([1.5 / 3 - 1, 0.5 - 0.5, 0.5]))
    later = observation(seen.tags, [[0]] + [[]] * 299, now=14)
    reranker.shown(later, ranking.users[:0], np.empty((0, 2), np.int32))
    np.testing.assert_allclose(reranker.state()["owed"], np.array([-0.25, 0, 0.25]))


def test_providers_are_groups_by_name(market):
    seen, ranking, topic = market
    named = knowing(seen, np.array([900, 7, 30])[topic])
    group, ids = item_groups(named, "auto")
    np.testing.assert_array_equal(ids, [7, 30, 900])
    np.testing.assert_array_equal(ids[group], named.providers)
    reranker = ExposureFair()
    for _ in range(5):
        got = reranker.rerank(ranking, named, 10, np.random.default_rng(0))
        reranker.shown(named, got.users, got.items)
    np.testing.assert_allclose(exposure(got.items, group, 3), 1 / 3, atol=0.01)
    # a provider that goes is forgotten, one that comes is owed nothing yet, the others stay
    other = knowing(seen, np.array([900, 8, 30])[topic])
    before = dict(zip(*(reranker.state()[name] for name in ("ids", "owed")), strict=True))
    reranker.shown(other, got.users[:0], got.items[:0])
    after = dict(zip(*(reranker.state()[name] for name in ("ids", "owed")), strict=True))
    assert after == {8: 0, 30: before[30], 900: before[900]}
    with pytest.raises(PolicyError, match="3 entries for 60 items"):
        item_groups(knowing(seen, [1, 2, 3]), "providers")


def test_with_rank_weights_the_price_is_of_exposure(observation, ranking_of):
    """The score that is lost is near what a linear program over items and ranks must lose for the same exposure."""
    users, items, n = 20, 30, 5
    rng = np.random.default_rng(3)
    topic = np.repeat([0, 1, 2], 10)
    seen = observation(np.eye(3)[topic], [[0]] + [[]] * (users - 1))
    ranking = ranking_of(rng.random((users, items)) + 0.5 * (topic == 0) - 0.5 * (topic == 2))
    raw = np.empty((users, items))
    np.put_along_axis(raw, ranking.items, ranking.scores.astype(float), axis=1)
    low, high = raw.min(axis=1, keepdims=True), raw.max(axis=1, keepdims=True)
    s, w = (raw - low) / (high - low), 1 / np.arange(1, n + 1)
    reranker = ExposureFair(step=0.005, half_life=1e9, rank_weight="reciprocal")
    totals, shares = [], []
    for round in range(250):
        got = reranker.rerank(ranking, seen, n, np.random.default_rng(round)).items
        reranker.shown(seen, ranking.users, got)
        totals.append(np.take_along_axis(s, got, axis=1).sum())
        weights = np.tile(w, (users, 1))
        shares.append(np.bincount(topic[got].ravel(), weights.ravel(), 3) / weights.sum())
    # x[u, i, r]: each slot one item, each item once a slate, each group a third of the exposure
    slots = sparse.kron(sparse.kron(sparse.eye(users), np.ones((1, items))), sparse.eye(n))
    once = sparse.kron(sparse.eye(users * items), np.ones((1, n)))
    groups = np.array([np.tile(np.kron(topic == g, w), users) for g in range(3)])
    best = linprog(
        -np.repeat(s.ravel(), n), A_eq=sparse.vstack([slots, groups]), A_ub=once, b_ub=np.ones(users * items),
        b_eq=np.append(np.ones(users * n), np.full(3, users * w.sum() / 3)), bounds=(0, 1),
    )  # fmt: skip
    unconstrained = np.sort(s, axis=1)[:, -n:].sum()
    np.testing.assert_allclose(np.mean(shares[100:], axis=0), 1 / 3, atol=0.01)
    lost = unconstrained + best.fun
    assert lost > 0.03 * unconstrained
    assert unconstrained - np.mean(totals[100:]) == pytest.approx(lost, rel=0.05)


def targets_of(seen, **fields):
    """What the groups are owed after one slot of nobody: the targets, by way of the state."""
    reranker = ExposureFair(half_life=1e9, **fields)
    reranker.shown(seen, np.zeros(1, np.int32), np.array([[0]], np.int32))
    return reranker.state()["owed"] + (item_groups(seen, "auto")[0][0] == np.arange(seen.tags.shape[1]))


def test_targets_by_hand(observation):
    """Topic 0: items 0, 1; topic 1: item 2; topic 2: items 3, 4, not live any more; topic 3: item 5."""
    tags = np.eye(4)[[0, 0, 1, 2, 2, 3]]
    live = np.array([True, True, True, False, False, True])
    histories = [[0] * 4 + [1] * 2, [2] * 2 + [3] * 50 + [5]]
    seen = observation(tags, histories, live=live)
    np.testing.assert_allclose(targets_of(seen, target="taken"), np.array([6, 2, 0, 1]) / 9)
    np.testing.assert_allclose(targets_of(seen, target="items"), np.array([2, 1, 0, 1]) / 4)
    np.testing.assert_allclose(targets_of(seen, target="equal"), np.array([1, 1, 0, 1]) / 3)
    np.testing.assert_allclose(targets_of(seen, shares=[2.0, 1.0, 9.0, 1.0]), np.array([2, 1, 0, 1]) / 4)
    # nothing to go by: live groups alike, and none for who has nothing to show
    silent = observation(tags, [[], []], live=live)
    np.testing.assert_allclose(targets_of(silent, target="taken"), np.array([1, 1, 0, 1]) / 3)
    np.testing.assert_allclose(targets_of(seen, shares=[0.0, 0.0, 1.0, 0.0]), np.array([1, 1, 0, 1]) / 3)


def test_shares_of_providers_go_by_their_number_with_or_without_items(observation):
    """Provider 1 has no item; 3 has none either, and its share is not asked for."""
    seen = knowing(observation(np.ones((4, 1)), [[0, 1]]), [0, 0, 2, 2])
    reranker = ExposureFair(half_life=1e9, shares=[1.0, 5.0, 3.0, 7.0])
    reranker.shown(seen, np.zeros(1, np.int32), np.array([[0]], np.int32))
    np.testing.assert_allclose(reranker.state()["owed"], [1 / 4 - 1, 3 / 4])
    with pytest.raises(PolicyError, match="2 numbers, but there are 3 groups"):
        ExposureFair(shares=[1.0, 1.0]).shown(seen, np.zeros(1, np.int32), np.array([[0]], np.int32))


def test_with_a_half_life_the_missing_share_is_that_of_what_is_owed(market):
    """In the long run what a round misses is what it forgets: owed·(1 − 2^(−1/half_life))."""
    seen, ranking, topic = market
    reranker, missed = ExposureFair(step=0.002, half_life=8.0), []
    for round in range(80):
        later = replace(seen, round=10 + round)
        got = reranker.rerank(ranking, later, 10, np.random.default_rng(round))
        reranker.shown(later, got.users, got.items)
        missed.append(1000 - np.bincount(topic[got.items].ravel(), minlength=3))
    mean = np.mean(missed[40:], axis=0)
    kept = reranker.state()["owed"] * 2 ** (-1 / 8)
    np.testing.assert_allclose(mean, kept * (2 ** (1 / 8) - 1), atol=3)
    assert mean[2] > 8  # not 0
