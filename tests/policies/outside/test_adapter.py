"""Adapters say what the model itself says: against the libraries' own answers and by hand."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies import registry
from echodrift.policies.outside.adapter import Adapter, adapted
from echodrift.policies.outside.protocols import scores_of_lists
from echodrift.policies.registry import build_log_transform, build_policy, policy_class
from echodrift.policies.testing import check_policy
from echodrift.policies.testing.example import COLD_USER, example_observation
from echodrift.policies.transforms.weights import check_transforms
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

ALS = "implicit.als:AlternatingLeastSquares"
HERE = __name__


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def expected(scores, seen, n):
    """Rank dense scores by hand: available items by falling score, the lower id first."""
    rows = []
    for user, row in enumerate(scores):
        free = np.flatnonzero(seen.available(np.array([user], np.int32))[0])
        rows.append(free[np.lexsort((free, -row[free]))][:n])
    return rows


class Listing:
    """fit and recommend without scores: items by falling id, shifted by the user."""

    def fit(self, X):
        self.items = X.shape[1]

    def recommend(self, users, n):
        order = np.arange(self.items)[::-1]
        return np.stack([np.roll(order, user)[:n] for user in users])


class Dice:
    """Draws from both global generators, as models without a seed do."""

    def fit(self, X):
        self.row = np.random.rand(X.shape[1]) + random.random()  # noqa: NPY002

    def predict(self, X):
        return np.tile(self.row, (X.shape[0], 1))


class Untrainable:
    def predict(self, X):
        return X


class Faulty:
    def __init__(self, how="nan"):
        self.how = how

    def fit(self, X):
        if self.how == "fit":
            raise ZeroDivisionError("oh")

    def predict(self, X):
        if self.how == "shape":
            return np.zeros(X.shape[0])
        return np.full(X.shape, np.inf if self.how == "inf" else np.nan)


def loaded(size=3):
    return Listing()


def test_als_ranks_as_implicit_itself_does():
    from implicit.als import AlternatingLeastSquares

    seen, rng = example_observation(), default_rng(5)
    policy = Adapter(model=ALS, arguments={"factors": 4, "iterations": 3, "random_state": 7})
    policy.fit(seen, rng)
    ranking = policy.rank(seen, everyone(seen), 7, rng)
    own = AlternatingLeastSquares(factors=4, iterations=3, random_state=7, num_threads=1)
    own.fit(seen.counts, show_progress=False)
    scores = own.user_factors @ own.item_factors.T
    for user, wanted in enumerate(expected(scores, seen, 7)):
        if user != COLD_USER:
            assert set(ranking.items[user]) == set(wanted)
            np.testing.assert_allclose(ranking.scores[user], scores[user, ranking.items[user]], rtol=1e-5)


@pytest.mark.parametrize("name", ["CosineRecommender", "ItemItemRecommender"])
def test_neighbors_come_first_and_bestsellers_below(name):
    from implicit import nearest_neighbours

    seen = example_observation()
    policy = Adapter(model=f"implicit.nearest_neighbours:{name}", arguments={"K": 5})
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, everyone(seen), seen.n_items, default_rng(0))
    own = getattr(nearest_neighbours, name)(K=5, num_threads=1)
    own.fit(seen.counts.astype(np.float64), show_progress=False)
    for user in (0, 1, 8):
        ids, scores = own.recommend(user, seen.counts[user], N=60, filter_already_liked_items=False)
        free = seen.available(np.array([user], np.int32))[0]
        said = {i: s for i, s in zip(ids, scores, strict=True) if free[i]}
        row = ranking.items[user][ranking.items[user] >= 0]
        assert set(row[: len(said)]) == set(said)
        rest = seen.popularity[row[len(said) :]]
        assert (np.diff(rest) <= 0).all() and row.size == free.sum()


@pytest.mark.parametrize("name", ["TruncatedSVD", "NMF"])
def test_transform_ranks_by_the_reconstruction(name):
    import sklearn.decomposition as library

    seen = example_observation()
    arguments = {"n_components": 3, "random_state": 2}
    policy = Adapter(model=f"sklearn.decomposition:{name}", arguments=arguments)
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, everyone(seen), 7, default_rng(0))
    own = getattr(library, name)(**arguments).fit(seen.counts)
    scores = np.asarray(own.inverse_transform(own.transform(seen.counts)))
    for user in np.delete(everyone(seen), COLD_USER):
        wanted = expected(scores, seen, 7)[user]
        np.testing.assert_allclose(ranking.scores[user], scores[user, wanted], atol=1e-3)


def test_predict_with_a_target_is_the_ridge_autoencoder():
    seen = example_observation()
    policy = Adapter(model="sklearn.linear_model:Ridge", arguments={"alpha": 3.0, "fit_intercept": False})
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, everyone(seen), 7, default_rng(0))
    X = seen.counts.toarray().astype(float)
    scores = X @ np.linalg.solve(X.T @ X + 3.0 * np.eye(60), X.T @ X)
    for user in np.delete(everyone(seen), COLD_USER):
        np.testing.assert_allclose(
            ranking.scores[user], scores[user, expected(scores, seen, 7)[user]], rtol=0.01, atol=0.02
        )


def test_a_list_without_scores_keeps_its_order():
    seen = example_observation()
    policy = Adapter(model=f"{HERE}:Listing")
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, np.array([0, 2], np.int32), 60, default_rng(0))
    for row, user in enumerate((0, 2)):
        order = np.roll(np.arange(60)[::-1], user)
        free = seen.available(np.array([user], np.int32))[0]
        assert ranking.items[row][: free.sum()].tolist() == [i for i in order if free[i]]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (ALS, {"arguments": {"factors": 4}, "window": 4, "binary": True}),
        ("implicit.bpr:BayesianPersonalizedRanking", {"arguments": {"factors": 4, "iterations": 3}}),
        ("implicit.nearest_neighbours:BM25Recommender", {"arguments": {"K": 5}}),
        ("sklearn.decomposition:LatentDirichletAllocation", {"arguments": {"max_iter": 2}}),
        ("sklearn.neighbors:KNeighborsRegressor", {"arguments": {"n_neighbors": 1}, "dense": True}),
        (f"{HERE}:Listing", {}),
        (f"{HERE}:Dice", {}),
        (f"{HERE}:loaded", {"arguments": {"size": 2}}),
    ],
)
def test_contract(model, fields):
    assert "exhausted" in check_policy("adapter", model=model, **fields)


def test_cold_users_get_bestsellers():
    seen = example_observation()
    policy = Adapter(model=ALS, arguments={"factors": 4})
    policy.fit(seen, default_rng(0))
    items = policy.rank(seen, np.array([COLD_USER], np.int32), 10, default_rng(0)).items[0]
    assert (np.diff(seen.popularity[items]) <= 0).all()


def test_a_user_folded_in_is_placed_by_als_and_refused_by_bpr():
    whole = example_observation()
    before = replace(whole, log=whole.log.where(whole.log.user != 2))
    new = np.array([2], np.int32)
    als = Adapter(model=ALS, arguments={"factors": 4})
    als.fit(before, default_rng(0))
    cold = als.rank(whole, new, 7, default_rng(0)).items
    als.fold_in(whole, new, default_rng(0))
    placed = als.rank(whole, new, 7, default_rng(0))
    assert not np.array_equal(cold, placed.items)
    assert whole.counts[2].toarray()[0][placed.items[0]].sum() > 0
    bpr = Adapter(model="implicit.bpr:BayesianPersonalizedRanking", arguments={"factors": 4, "iterations": 2})
    bpr.fit(before, default_rng(0))
    with pytest.raises(PolicyError, match="cannot place users"):
        bpr.fold_in(whole, new, default_rng(0))


def test_a_model_handed_over_is_asked_and_never_altered(monkeypatch):
    from implicit.als import AlternatingLeastSquares

    # known in this process from here on: other tests list all kinds
    monkeypatch.setitem(registry._REGISTERED, "policies", {})

    seen = example_observation()
    model = AlternatingLeastSquares(factors=4, iterations=2, random_state=1, num_threads=1)
    model.fit(seen.counts, show_progress=False)
    factors = model.item_factors.copy()
    Mine = adapted(model, "my als")
    assert policy_class("my als") is Mine
    frozen = build_policy({"kind": "my als", "fitted": True})
    later = example_observation(items=66, rounds=20)
    for seen_now in (seen, later):
        frozen.fit(seen_now, default_rng(3))
        ranking = frozen.rank(seen_now, everyone(seen_now), 5, default_rng(0))
        scores = model.user_factors @ model.item_factors.T
        free = seen_now.available(np.array([0], np.int32))[0][:60]
        assert ranking.items[0, 0] == np.argmax(np.where(free, scores[0], -np.inf))
    Mine().fit(later, default_rng(0))
    assert np.array_equal(factors, model.item_factors)
    assert "exhausted" in check_policy(Mine)
    assert "exhausted" in check_policy(Mine, fitted=True)


def test_seeds_come_from_the_run():
    seen = example_observation()

    def first(seed):
        policy = Adapter(model=f"{HERE}:Dice")
        policy.fit(seen, default_rng(seed))
        return policy.rank(seen, np.array([0], np.int32), 9, default_rng(0)).items.tolist()

    assert first(1) == first(1) != first(2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "implicit"}, "package.module:Name"),
        ({"model": "nowhere.at:All"}, 'module "nowhere.at" cannot be imported'),
        ({"model": "implicit.als:AlternatingLeastSquare"}, 'Did you mean "AlternatingLeastSquares"'),
        ({"model": ALS, "arguments": {"factor": 4}}, 'takes no "factor". Did you mean "factors"'),
        ({"model": "json:loads", "arguments": {"s": "3"}}, "a function of Python itself, not a recommender"),
        ({"model": "json:JSONDecoder"}, "not a recommender that can be queried"),
        ({"model": f"{HERE}:Untrainable"}, "has no method fit"),
        ({"model": ALS, "arguments": {"self": 4}}, 'takes no "self"'),
        ({"model": "sklearn.decomposition:NMF", "protocol": "predict"}, "has no method predict"),
        ({"model": f"{HERE}:ALS", "arguments": {"a": 1}}, "is a model already"),
        ({"model": ALS, "protocol": "surprise"}, "protocol"),
        ({}, "adapter: model: is missing"),
    ],
)
def test_bad_settings_are_reported_before_anything_starts(fields, said):
    with pytest.raises(BadInput, match=said.replace("?", r"\?")):
        Adapter(**fields)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("fit", r"failed in fit\(\): ZeroDivisionError: oh. Settings: protocol"),
        ("shape", r"shape \(users, items\) = \(23, 60\); got \(23,\)"),
        ("nan", "the score of item 0 for user 0 is nan"),
        ("inf", "the score of item 0 for user 0 is inf"),
    ],
)
def test_a_model_that_fails_says_where(how, said):
    seen = example_observation()
    policy = Adapter(model=f"{HERE}:Faulty", arguments={"how": how})
    with pytest.raises(PolicyError, match=said):
        policy.fit(seen, default_rng(0))
        policy.rank(seen, everyone(seen), 5, default_rng(0))


@given(
    st.lists(st.lists(st.integers(-1, 9), min_size=3, max_size=3, unique=True), min_size=1, max_size=4),
)
def test_lists_become_scores_and_back(rows):
    found = scores_of_lists(np.array(rows), len(rows), 10)
    for row, scores in zip(rows, found, strict=True):
        said = [item for item in row if item >= 0]
        assert [i for i in np.argsort(-scores, kind="stable") if scores[i] > -np.inf] == said


@pytest.mark.parametrize("answer", [[1, 2], [[1.5]], [[99]], ([[1]], [[1, 2]]), "x", None])
def test_lists_that_are_none(answer):
    with pytest.raises(PolicyError, match=r"recommend\(\)"):
        scores_of_lists(answer, 1, 10)


def test_lenskit_ranks_as_lenskit_itself_does():
    pytest.importorskip("lenskit", reason="LensKit is not installed (it needs pandas 2): pip install lenskit")
    import pandas as pd
    from lenskit import score
    from lenskit.data import ItemList, RecQuery, from_interactions_df
    from lenskit.knn import ItemKNNScorer
    from lenskit.pipeline import topn_pipeline
    from lenskit.training import TrainingOptions

    arguments = {"k": 5, "feedback": "implicit"}
    seen = example_observation()
    policy = Adapter(model="lenskit.knn:ItemKNNScorer", arguments=arguments)
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, everyone(seen), 5, default_rng(0))
    pairs = seen.counts.tocoo()
    table = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col, "rating": pairs.data})
    own = topn_pipeline(ItemKNNScorer(**arguments))
    own.train(from_interactions_df(table), TrainingOptions())
    for user in (0, 7):
        taken = seen.counts[user].indices
        history = ItemList(item_ids=taken, rating=seen.counts[user].data)
        said = score(own, RecQuery(user_id=user, history_items=history), ItemList(item_ids=np.arange(60)))
        scores = np.nan_to_num(np.asarray(said.scores(), float), nan=-1.0)
        free = seen.available(np.array([user], np.int32))[0]
        best = np.sort(scores[free & (scores >= 0)])[::-1][:5]
        np.testing.assert_allclose(ranking.scores[user][: best.size], best, rtol=1e-5)
    assert "exhausted" in check_policy("adapter", model="lenskit.knn:ItemKNNScorer", arguments=arguments)


BPR = "implicit.bpr:BayesianPersonalizedRanking"


@pytest.mark.parametrize(
    ("model", "learns"),
    [
        (ALS, True),
        ("implicit.lmf:LogisticMatrixFactorization", True),
        ("implicit.nearest_neighbours:CosineRecommender", True),
        ("sklearn.decomposition:TruncatedSVD", True),
        (BPR, False),
    ],
)
def test_weights_reach_the_model_of_users_with_history_or_are_refused(model, learns):
    """By effect, and for users with history only: bestsellers follow the weights whatever the model is."""
    seen = example_observation()
    weight = default_rng(1).uniform(0.1, 9, len(seen.log)).astype(np.float32)
    weighted = replace(seen, log=replace(seen.log, weight=weight))
    warm = np.flatnonzero(np.diff(seen.counts.indptr) > 0).astype(np.int32)
    size = "n_components" if "SVD" in model else "K" if "neighbours" in model else "factors"
    fields = {"model": model, "arguments": {size: 4}}
    scores = []
    for learned in (seen, weighted):
        policy = Adapter(**fields)
        policy.fit(learned, default_rng(0))
        scores.append(policy.rank(seen, warm, 5, default_rng(0)).scores)
    assert np.array_equal(*scores) == (not learns)
    weighing = [build_log_transform({"kind": "selection_debias"})]
    if learns:
        check_transforms(Adapter, weighing, fields)
        return
    with pytest.raises(BadInput, match="selection_debias gives .* and adapter has the model implicit.bpr:"):
        check_transforms(Adapter, weighing, fields)
    check_transforms(Adapter, [build_log_transform({"kind": "recent_window"})], fields)


def test_a_bpr_handed_over_is_refused_weights_too(monkeypatch):
    from implicit.bpr import BayesianPersonalizedRanking

    monkeypatch.setitem(registry._REGISTERED, "policies", {})
    Mine = adapted(BayesianPersonalizedRanking(factors=4), "my bpr")
    assert "learns which pairs there are" in (Mine.learns_weights({}) or "")
    assert "set binary = false" in (Mine.learns_weights({"binary": True}) or "")
