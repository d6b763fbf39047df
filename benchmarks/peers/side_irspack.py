# pyright: reportMissingImports=false
"""irspack: EASE, iALS with frequency-scaled regularization, item and user KNN, popularity."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from irspack.recommenders import (
    CosineKNNRecommender,
    CosineUserKNNRecommender,
    DenseSLIMRecommender,
    IALSRecommender,
    TopPopRecommender,
)
from method import Method


def _learned(model):
    with redirect_stdout(StringIO()):  # a progress bar
        model.learn()
    return model


def _ials(train, fields, seed):
    return _learned(
        IALSRecommender(
            train[0],
            n_components=fields["dim"],
            alpha0=fields["alpha0"],
            reg=fields["regularization"],
            train_epochs=fields.get("iterations", 16),
            solver_type=fields.get("solver", "CG"),
            random_seed=seed,
            n_threads=1,
        )
    )


def _neighbors(kind):
    def train(train, fields, seed):
        return _learned(
            kind(
                train[0],
                shrinkage=fields["shrinkage"],
                normalize=True,
                top_k=fields["neighbors"],
                n_threads=1,
            )
        )

    return train


def _scores(model, users):
    return model.get_score(users)


METHODS = {
    "popularity": Method(lambda train, fields, seed: _learned(TopPopRecommender(train[0])), _scores),
    "ease": Method(
        lambda train, fields, seed: _learned(DenseSLIMRecommender(train[0], reg=fields["l2"])), _scores
    ),
    "ials": Method(_ials, _scores),
    "item_knn": Method(_neighbors(CosineKNNRecommender), _scores),
    "user_knn": Method(_neighbors(CosineUserKNNRecommender), _scores),
}
