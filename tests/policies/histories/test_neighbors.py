"""Neighbor methods against dense arithmetic, scikit-learn's weights and cosines, and the implicit library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from echodrift.policies.histories.item_knn import ItemKNN
from echodrift.policies.histories.neighbors import Weighting, nearest
from echodrift.policies.histories.user_knn import UserKNN
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics.pairwise import cosine_similarity


def scores_of(policy, seen):
    """All scores (n_users, n_items) in the order of ids."""
    ranking = policy.rank(seen, np.arange(seen.n_users, dtype=np.int32), seen.n_items, default_rng(1))
    out = np.empty(ranking.scores.shape)
    np.put_along_axis(out, ranking.items.astype(int), ranking.scores, axis=1)
    return out


def fitted(policy, seen):
    policy.fit(seen, default_rng(0))
    return policy


def made_up(users=60, items=35, seed=0, high=4):
    """Counts, all of them different enough that few similarities tie."""
    rng = default_rng(seed)
    counts = (rng.random((users, items)) < rng.beta(1, 3, items)) * rng.integers(1, high, (users, items))
    counts[np.arange(max(users, items)) % users, np.arange(max(users, items)) % items] += 1
    return counts


def weighted(documents, scheme):
    """Weights written out entry by entry, or by scikit-learn."""
    documents = np.asarray(documents, float)
    if scheme == "none":
        return documents
    if scheme == "tfidf":
        return TfidfTransformer(norm=None, smooth_idf=True).fit_transform(documents).toarray()
    out, n = np.zeros(documents.shape), len(documents)
    for d, t in zip(*np.nonzero(documents), strict=True):
        df = (documents[:, t] > 0).sum()
        idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
        relative = documents[d].sum() / (documents.sum() / n)
        out[d, t] = idf * documents[d, t] * 2.2 / (documents[d, t] + 1.2 * (0.25 + 0.75 * relative))
    return out


def similarities(rows, others, shrink):
    """Shrunk cosines of all pairs; 0 where nothing is shared."""
    products = rows @ others.T
    denominator = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(others, axis=1) + shrink
    return np.divide(products, denominator, out=np.zeros(products.shape), where=products > 0)


def keep_best(row, k):
    """Zero all but the k largest, ties (to float32) to the lower id."""
    row = np.float32(row)
    best = np.argsort(-row, kind="stable")[:k]
    out = np.zeros(row.size)
    out[best] = row[best]
    return out


SCHEMES = pytest.mark.parametrize("scheme", ["none", "tfidf", "bm25"])
CASES = pytest.mark.parametrize(("k", "shrink"), [(5, 0.0), (12, 7.0), (500, 3.0)])


@SCHEMES
@CASES
@pytest.mark.parametrize("neighbors_of", ["candidate", "history"])
@pytest.mark.parametrize("binary", [True, False])
def test_item_scores(observe_counts, scheme, k, shrink, binary, neighbors_of):
    counts = made_up()
    seen = observe_counts(counts)
    x = (counts > 0).astype(float) if binary else counts.astype(float)
    fields = {"neighbors": k, "shrink": shrink, "weighting": scheme, "binary": binary}
    policy = fitted(ItemKNN(**fields, neighbors_of=neighbors_of), seen)
    documents = weighted(x.T, scheme)
    every = similarities(documents, documents, shrink)
    np.fill_diagonal(every, 0)
    kept = np.array([keep_best(row, k) for row in every])
    assert_close(scores_of(policy, seen), x @ (kept if neighbors_of == "history" else kept.T))


def test_whose_neighbors_by_hand(observe_counts):
    """Item 0 is taken with 1 and 2, more often with 1; item 2 is taken with 0 only. One neighbor each."""
    counts = np.array([[1, 1, 0]] * 3 + [[1, 0, 1]] + [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    n0, n1, n2 = counts.sum(axis=0)
    near, far = 3 / math.sqrt(n0 * n1), 1 / math.sqrt(n0 * n2)
    seen = observe_counts(counts)
    # N(0) = {1}, N(1) = {0}, N(2) = {0}
    candidate = scores_of(fitted(ItemKNN(neighbors=1, shrink=0), seen), seen)
    history = scores_of(fitted(ItemKNN(neighbors=1, shrink=0, neighbors_of="history"), seen), seen)
    assert np.allclose(candidate[4:], [[0, near, far], [near, 0, 0], [0, 0, 0]], atol=1e-6)
    assert np.allclose(history[4:], [[0, near, 0], [near, 0, 0], [far, 0, 0]], atol=1e-6)


def test_with_all_neighbors_it_does_not_matter_whose_they_are(observe_counts):
    seen = observe_counts(made_up())
    one, other = (
        fitted(ItemKNN(neighbors=50, neighbors_of=of, binary=False), seen) for of in ("candidate", "history")
    )
    assert np.allclose(scores_of(one, seen), scores_of(other, seen), rtol=1e-5, atol=1e-6)


@SCHEMES
@CASES
@pytest.mark.parametrize("binary", [True, False])
def test_user_scores_for_histories_of_the_round(observe_counts, scheme, k, shrink, binary):
    before = made_up()
    after = before.copy()
    after[5, [1, 2, 3]], after[8] = 2, before[9]
    policy = fitted(
        UserKNN(neighbors=k, shrink=shrink, weighting=scheme, binary=binary), observe_counts(before)
    )
    old, new = ((c > 0).astype(float) if binary else c.astype(float) for c in (before, after))
    # idf and mean length are those of the fit: weigh the new rows as if they were documents of the old log
    others = weighted(old, scheme)
    rows = weighted_as_new(old, new, scheme)
    every = similarities(rows, others, shrink)
    np.fill_diagonal(every, 0)
    expected = np.array([keep_best(row, k) for row in every]) @ old
    assert_close(scores_of(policy, observe_counts(after)), expected)


def weighted_as_new(documents, rows, scheme):
    """The weights of further documents under the frequencies and mean length of the given ones."""
    if scheme == "none":
        return rows
    if scheme == "tfidf":
        return TfidfTransformer(norm=None, smooth_idf=True).fit(documents).transform(rows).toarray()
    n, df = len(documents), (documents > 0).sum(axis=0)
    idf = np.log(1 + (n - df + 0.5) / (df + 0.5))
    relative = rows.sum(axis=1, keepdims=True) / (documents.sum() / n)
    return idf * rows * 2.2 / (rows + 1.2 * (0.25 + 0.75 * relative))


def assert_close(scores, expected):
    """Equal, where an expected 0 stands in the random order within ±1e-6."""
    assert expected.any()
    assert np.allclose(scores, expected, rtol=2e-5, atol=1e-6)


def test_equals_the_implicit_library():
    from implicit.nearest_neighbours import CosineRecommender

    counts = sparse.csr_matrix(made_up(200, 80, high=9).astype(np.float64))
    model = CosineRecommender(K=11, num_threads=1)  # its neighbors include the item itself
    model.fit(counts, show_progress=False)
    theirs = model.similarity.toarray()
    np.fill_diagonal(theirs, 0)
    ids, values = nearest(counts.T.tocsr().astype(np.float32), 10, 0.0)
    ours = np.zeros_like(theirs)
    np.put_along_axis(ours, ids.astype(int), values, axis=1)
    assert np.allclose(ours, theirs, atol=1e-6)


def test_cosines_are_those_of_scikit_learn_and_shrink_lowers_the_rare():
    x = made_up(40, 20).astype(np.float32)
    ids, values = nearest(sparse.csr_matrix(x), 39, 0.0)
    expected = cosine_similarity(x)
    for row in range(40):
        found = ids[row] >= 0
        assert np.allclose(values[row, found], expected[row, ids[row, found]], atol=1e-6)
        assert found.sum() == (expected[row] > 0).sum() - 1
    # by hand: 1 / (1·1 + 1) = 1/2 and 4 / (2·2 + 1) = 4/5, both 1 without shrinkage
    twins = sparse.csr_matrix(np.array([[1, 0, 0, 0, 0]] * 2 + [[0, 1, 1, 1, 1]] * 2, np.float32))
    assert np.allclose(nearest(twins, 1, 1.0)[1].ravel(), [0.5, 0.5, 0.8, 0.8])


def test_ties_go_to_the_lower_id_and_nothing_in_common_is_no_neighbor():
    ones = sparse.csr_matrix(np.ones((6, 3), np.float32))
    assert nearest(ones, 2, 0.0)[0].tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]]
    ids, values = nearest(sparse.csr_matrix(np.eye(4, dtype=np.float32)), 3, 0.0)
    assert (ids == -1).all() and not values.any()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=8),
    st.integers(1, 9),
    st.floats(0, 20),
)
def test_nearest_of_any_small_matrix(rows, k, shrink):
    x = np.array(rows, float)
    ids, values = nearest(sparse.csr_matrix(x.astype(np.float32)), k, shrink)
    every = similarities(x, x, shrink)
    np.fill_diagonal(every, 0)
    for row, (found, kept) in enumerate(zip(ids, values, strict=True)):
        here = found >= 0
        assert np.allclose(kept[here], every[row, found[here]], atol=1e-6)
        rest = np.delete(every[row], found[here])
        assert here.sum() == min(k, np.count_nonzero(every[row])), "as many as there are"
        assert (np.diff(kept) <= 0).all() and (rest <= kept[here].min(initial=np.inf) + 1e-6).all()


@pytest.mark.parametrize("scheme", ["tfidf", "bm25"])
def test_empty_documents_do_not_count(scheme):
    x = made_up(20, 10).astype(np.float32)
    whole = Weighting.of(sparse.csr_matrix(x), scheme)
    gaps = Weighting.of(sparse.csr_matrix(np.vstack([x, np.zeros((7, 10), np.float32)])), scheme)
    assert np.array_equal(whole.inverse_frequency, gaps.inverse_frequency)
    assert whole.mean_length == gaps.mean_length


@pytest.mark.parametrize("policy", [ItemKNN, UserKNN])
def test_cold_users_get_bestsellers(observe_counts, policy):
    counts = made_up(30, 20, high=2)
    counts[4] = 0
    assert np.array_equal(
        np.floor(scores_of(fitted(policy(), observe_counts(counts)), observe_counts(counts))[4]),
        counts.sum(axis=0),
    )
