# pyright: reportMissingImports=false
"""implicit: ALS with the same regularization for every row, BPR, item KNN by cosine (no shrinkage)."""

from __future__ import annotations

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import CosineRecommender
from method import Method


def _als(train, fields, seed):
    weighted = train[0].copy()
    weighted.data[:] = 1 + fields["confidence"]
    model = AlternatingLeastSquares(
        factors=fields["dim"],
        regularization=fields["regularization"],
        alpha=1.0,
        iterations=fields.get("iterations", 15),
        num_threads=1,
        random_state=seed,
    )
    model.fit(weighted, show_progress=False)
    return model


def _bpr(train, fields, seed):
    model = BayesianPersonalizedRanking(
        factors=fields["dim"],
        learning_rate=fields["learning_rate"],
        regularization=fields["regularization"],
        iterations=fields["iterations"],
        num_threads=1,
        random_state=seed,
    )
    model.fit(train[0], show_progress=False)
    return model


def _cosine(train, fields, seed):
    model = CosineRecommender(K=fields["neighbors"], num_threads=1)
    model.fit(train[0], show_progress=False)
    return model, train[0]


def _factor_scores(model, users):
    return model.user_factors[users] @ model.item_factors.T


METHODS = {
    "als": Method(_als, _factor_scores),
    "bpr": Method(_bpr, _factor_scores),
    "item_knn": Method(
        _cosine, lambda model, users: np.asarray((model[1][users] @ model[0].similarity.tocsr()).todense())
    ),
}
