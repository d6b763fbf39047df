"""Ranking metrics against their definitions in plain Python, against scikit-learn, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from echodrift.scenarios.offline import ranking_metrics as metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

N_ITEMS = 12


@st.composite
def rankings(draw):
    """Ranked lists (some cut short) of distinct items, the relevant items of each user, and a cutoff."""
    users = draw(st.integers(1, 4))
    lists, wanted = [], []
    for _ in range(users):
        order = draw(st.permutations(range(N_ITEMS)))
        lists.append(order[: draw(st.integers(0, N_ITEMS))])
        wanted.append(sorted(draw(st.sets(st.integers(0, N_ITEMS - 1), min_size=1))))
    return lists, wanted, draw(st.integers(1, N_ITEMS + 3))


def arrays(lists, wanted):
    width = max(map(len, lists), default=0)
    items = np.full((len(lists), width), -1, np.int32)
    for row, one in enumerate(lists):
        items[row, : len(one)] = one
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in wanted])])
    relevant = np.array([item for one in wanted for item in one], np.int32)
    return items, metrics.find_hits(items, indptr, relevant, N_ITEMS), np.diff(indptr)


def plain_recall(ranked, wanted, k):
    return sum(item in wanted for item in ranked[:k]) / min(k, len(wanted))


def plain_ndcg(ranked, wanted, k):
    gain = sum(1 / math.log2(r + 1) for r, item in enumerate(ranked[:k], 1) if item in wanted)
    return gain / sum(1 / math.log2(r + 1) for r in range(1, min(k, len(wanted)) + 1))


def plain_precision(ranked, wanted, k):
    return len(set(ranked[:k]) & set(wanted)) / k


def plain_hit(ranked, wanted, k):
    return float(bool(set(ranked[:k]) & set(wanted)))


def plain_ap(ranked, wanted, k):
    total = 0.0
    for r in range(1, min(k, len(ranked)) + 1):
        if ranked[r - 1] in wanted:
            total += sum(item in wanted for item in ranked[:r]) / r
    return total / min(k, len(wanted))


def plain_rr(ranked, wanted, k):
    return next((1 / r for r, item in enumerate(ranked[:k], 1) if item in wanted), 0.0)


def plain_ncrr(ranked, wanted, k):
    found = sum(1 / (ranked.index(item) + 1) for item in wanted if item in ranked)
    return found / sum(1 / j for j in range(1, len(wanted) + 1))


def plain_auc(ranked, wanted, k):
    place = {item: r for r, item in enumerate(ranked)}
    others = [item for item in range(N_ITEMS) if item not in wanted]
    if not others:
        return math.nan
    won = 0.0
    for good in wanted:
        for bad in others:
            a, b = place.get(good, N_ITEMS), place.get(bad, N_ITEMS)
            won += 1.0 if a < b else 0.5 if a == b else 0.0
    return won / (len(wanted) * len(others))


PAIRS = {
    "recall": (metrics.recall, plain_recall),
    "ndcg": (metrics.ndcg, plain_ndcg),
    "precision": (metrics.precision, plain_precision),
    "hr": (metrics.hit_rate, plain_hit),
    "map": (metrics.average_precision, plain_ap),
    "mrr": (metrics.reciprocal_rank, plain_rr),
    "ncrr": (lambda hits, relevant, k: metrics.ncrr(hits, relevant), plain_ncrr),
}


@pytest.mark.parametrize("name", PAIRS)
@given(case=rankings())
@settings(max_examples=80, deadline=None)
def test_equals_the_definition(name, case):
    lists, wanted, k = case
    _, hits, relevant = arrays(lists, wanted)
    ours, plain = PAIRS[name]
    got = ours(hits, relevant, k)
    assert got == pytest.approx([plain(a, b, k) for a, b in zip(lists, wanted, strict=True)], abs=1e-12)
    assert ((got >= 0) & (got <= 1 + 1e-12)).all()


@given(case=rankings())
@settings(max_examples=80, deadline=None)
def test_auc_equals_the_definition(case):
    lists, wanted, _ = case
    items, hits, relevant = arrays(lists, wanted)
    got = metrics.auc(hits, items >= 0, relevant, np.full(len(lists), N_ITEMS))
    assert got == pytest.approx(
        [plain_auc(a, b, 0) for a, b in zip(lists, wanted, strict=True)], abs=1e-12, nan_ok=True
    )


@given(case=rankings(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_names_of_items_and_order_of_users_do_not_matter(case, seed):
    lists, wanted, k = case
    rng = np.random.default_rng(seed)
    new, order = rng.permutation(N_ITEMS), rng.permutation(len(lists))
    renamed = arrays(
        [[int(new[item]) for item in lists[u]] for u in order],
        [sorted(int(new[item]) for item in wanted[u]) for u in order],
    )
    items, hits, relevant = arrays(lists, wanted)
    for ours, _ in PAIRS.values():
        assert ours(renamed[1], renamed[2], k) == pytest.approx(ours(hits, relevant, k)[order])
    one, other = (metrics.exposures(lists_of[0], N_ITEMS, k) for lists_of in ((items,), renamed))
    assert metrics.coverage(one) == metrics.coverage(other)
    assert metrics.gini(one) == pytest.approx(metrics.gini(other), nan_ok=True)


def test_ndcg_and_auc_against_scikit_learn():
    rng = np.random.default_rng(5)
    for k in (1, 3, 10, 40):
        scores, truth = rng.random((30, 40)), rng.random((30, 40)) < 0.2
        truth[:, 0] = True
        items = np.argsort(-scores, axis=1)
        hits = np.take_along_axis(truth, items, axis=1)
        relevant = truth.sum(axis=1)
        assert metrics.ndcg(hits, relevant, k).mean() == pytest.approx(ndcg_score(truth, scores, k=k))
        got = metrics.auc(hits, items >= 0, relevant, np.full(30, 40))
        assert got == pytest.approx([roc_auc_score(t, s) for t, s in zip(truth, scores, strict=True)])


def test_by_hand():
    # ranks 1 and 4 of five are hits; three items are relevant
    hits, relevant = np.array([[True, False, False, True, False]]), np.array([3])
    assert metrics.recall(hits, relevant, 2) == pytest.approx([1 / 2])
    assert metrics.recall(hits, relevant, 5) == pytest.approx([2 / 3])
    assert metrics.precision(hits, relevant, 4) == pytest.approx([1 / 2])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.ndcg(hits, relevant, 4) == pytest.approx([(1 + 1 / math.log2(5)) / ideal])
    assert metrics.ndcg(hits, relevant, 2) == pytest.approx([1 / (1 + 1 / math.log2(3))])
    assert metrics.average_precision(hits, relevant, 5) == pytest.approx([(1 + 2 / 4) / 3])
    assert metrics.reciprocal_rank(hits[:, 1:], relevant, 3) == pytest.approx([1 / 3])
    assert metrics.reciprocal_rank(hits[:, 1:], relevant, 2) == pytest.approx([0])
    assert metrics.ncrr(hits, relevant) == pytest.approx([(1 + 1 / 4) / (1 + 1 / 2 + 1 / 3)])
    # five listed of seven candidates, four of them not relevant; one relevant item is tied with one other below
    listed = np.ones((1, 5), bool)
    assert metrics.auc(hits, listed, relevant, [7]) == pytest.approx([(4 + 2 + 0.5) / (3 * 4)])


def test_nothing_relevant_is_undefined_and_nothing_listed_is_zero():
    none = np.zeros((1, 4), bool)
    for ours, _ in PAIRS.values():
        assert np.isnan(ours(none, np.array([0]), 3)).all()
        assert (ours(none, np.array([2]), 3) == 0).all()
        assert (ours(np.zeros((1, 0), bool), np.array([2]), 3) == 0).all()
    assert np.isnan(metrics.auc(none, none, np.array([4]), [4])).all()
    empty = np.full((1, 3), -1, np.int32)
    assert np.isnan(metrics.average_popularity(empty, np.ones(5), 3)).all()
    assert np.isnan(metrics.miscalibration(empty, np.eye(5), np.full((1, 5), 0.2), 3)).all()
    assert math.isnan(metrics.gini(np.zeros(4))) and metrics.coverage(np.zeros(4)) == 0
    assert math.isnan(metrics.coverage(np.zeros(0)))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30).filter(sum))
def test_gini_is_half_the_relative_mean_difference(exposure):
    x = np.array(exposure, float)
    mean_difference = np.abs(x[:, None] - x).sum() / x.size**2
    got = metrics.gini(x)
    assert got == pytest.approx(mean_difference / (2 * x.mean()), abs=1e-9)
    assert 0 <= got <= 1 - 1 / x.size + 1e-12


def test_lists_by_hand():
    items = np.array([[3, 1, 0], [3, 2, -1]], np.int32)
    assert metrics.exposures(items, 5, 2).tolist() == [0, 1, 1, 2, 0]
    assert metrics.coverage(metrics.exposures(items, 5, 2)) == 3 / 5
    assert metrics.gini(np.array([0, 0, 0, 7])) == pytest.approx(3 / 4)
    popularity = np.array([8, 4, 2, 1, 0])
    assert metrics.average_popularity(items, popularity, 3) == pytest.approx([13 / 3, 3 / 2])
    assert metrics.average_popularity(items, popularity, 1) == pytest.approx([1, 1])


def test_miscalibration_by_hand_and_at_its_bounds():
    tags = np.array([[1, 0], [0.5, 0.5], [0, 1]])
    items = np.array([[0, 1, -1]], np.int32)  # q = (3/4, 1/4)
    p = np.array([[0.6, 0.4]])
    q = 0.99 * np.array([0.75, 0.25]) + 0.01 * p[0]
    expected = 0.6 * math.log(0.6 / q[0]) + 0.4 * math.log(0.4 / q[1])
    assert metrics.miscalibration(items, tags, p, 3) == pytest.approx([expected])
    assert metrics.miscalibration(items, tags, np.array([[0.75, 0.25]]), 2) == pytest.approx([0], abs=1e-12)
    worst = metrics.miscalibration(items, tags, np.array([[0.0, 1.0]]), 1)
    assert worst == pytest.approx([math.log(100)])  # the list misses all the topics of the history


def test_a_list_shorter_than_the_cutoff_keeps_the_full_denominators():
    hits, relevant = np.array([[True, True]]), np.array([5])
    assert metrics.precision(hits, relevant, 10) == pytest.approx([0.2])
    assert metrics.recall(hits, relevant, 10) == pytest.approx([0.4])
    ideal = sum(1 / math.log2(r + 1) for r in range(1, 6))
    assert metrics.ndcg(hits, relevant, 10) == pytest.approx([(1 + 1 / math.log2(3)) / ideal])


def test_every_metric_is_described():
    for name, about in metrics.METRICS.items():
        assert about.better in ("higher", "lower", "neither") and about.family in ("accuracy", "lists"), name
    for function in (metrics.recall, metrics.ndcg, metrics.gini, metrics.miscalibration, metrics.auc):
        assert "Range" in (function.__doc__ or "")
