# pyright: reportMissingImports=false
"""lenskit: EASE, implicit ALS with the same regularization for every row, item KNN (no shrinkage)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from method import Method


def _prepare(train):
    matrix = train[0].tocoo()
    frame = pd.DataFrame({"user_id": matrix.row, "item_id": matrix.col})
    return from_interactions_df(frame), train[0]


def _fitted(make):
    def train(data, fields, seed):
        model = make(fields)
        model.train(data[0])
        return model, data[1]

    return train


def _spread(columns, scores, n_items):
    """Return scores of all items: those of the known ones in their columns, −inf elsewhere."""
    full = np.full((scores.shape[0], n_items), -np.inf)
    full[:, columns] = scores
    return full


def _ease_scores(model, users):
    scorer, matrix = model
    known = np.asarray(scorer.items.ids())
    return _spread(known, matrix[users][:, known] @ scorer.weights, matrix.shape[1])


def _als_scores(model, users):
    scorer, matrix = model
    rows = [scorer.users.number(user) for user in users]
    scores = scorer.user_embeddings[rows] @ scorer.item_embeddings.T
    return _spread(np.asarray(scorer.items.ids()), scores, matrix.shape[1])


def _knn_scores(model, users):
    scorer, matrix = model
    known = np.asarray(scorer.items.ids())
    catalog = ItemList(item_ids=known)
    rows = []
    for user in users:
        query = RecQuery(user_id=int(user), user_items=ItemList(item_ids=matrix[user].indices))
        rows.append(np.nan_to_num(scorer(query, catalog).scores(), nan=-1.0))
    return _spread(known, np.stack(rows), matrix.shape[1])


METHODS = {
    "ease": Method(_fitted(lambda f: EASEScorer(regularization=f["l2"])), _ease_scores, _prepare),
    "als": Method(
        _fitted(
            lambda f: ImplicitMFScorer(
                embedding_size=f["dim"],
                epochs=f.get("iterations", 15),
                regularization=f["regularization"],
                weight=f["confidence"],
            )
        ),
        _als_scores,
        _prepare,
    ),
    "item_knn": Method(
        _fitted(
            lambda f: ItemKNNScorer(max_nbrs=f["neighbors"], save_nbrs=f["neighbors"], feedback="implicit")
        ),
        _knn_scores,
        _prepare,
    ),
}
