"""echodrift: every method as in a simulated platform, by `fit` and `rank` on an observation."""

from __future__ import annotations

import numpy as np
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation, Source
from echodrift.policies.registry import build_policy
from method import Method


def observation(train) -> Observation:
    """Return the observation of a platform with the training pairs as its log; all of them are blocked."""
    matrix, friends = train[0].tocoo(), train[1]
    users, items = matrix.shape
    count = matrix.nnz
    log = Interactions(
        matrix.row.astype(np.int32),
        matrix.col.astype(np.int32),
        np.full(count, -1, np.int32),
        np.zeros(count, np.int16),
        np.full(count, Source.IMPORTED, np.int8),
    )
    blocked = Blocked(users, items)
    blocked.set(log.user, log.item)
    ties = Friends(friends.indptr.astype(np.int64), friends.indices.astype(np.int32))
    tags, live = np.ones((items, 1), np.float32), np.ones(items, bool)
    seen = Observation(0, users, items, log, tags, live, blocked, ties)
    _ = seen.counts  # computed here, since preparing the data is not part of the fit
    return seen


def _method(translate) -> Method:
    def train(seen, fields, seed):
        policy = build_policy(translate(fields))
        policy.fit(seen, np.random.default_rng(seed))
        return policy, seen

    def lists(model, users, n):
        return model[0].rank(model[1], users, n, np.random.default_rng(0)).items

    return Method(train, prepare=observation, lists=lists)


def _renamed(kind, names, **fixed):
    """Return the method that renames settings to the policy's fields and adds fixed ones."""
    return _method(lambda f: {"kind": kind, **fixed, **{names.get(name, name): f[name] for name in f}})


NEIGHBORS = {"shrinkage": "shrink"}
METHODS = {
    "popularity": _renamed("popularity", {}),
    "ease": _renamed("ease", {}),
    "item_knn": _renamed("item_knn", NEIGHBORS, neighbors_of="candidate"),
    "user_knn": _renamed("user_knn", NEIGHBORS),
    "ials": _renamed("ials", {"alpha0": "unobserved_weight"}, frequency_exponent=1.0, iterations=16),
    "als": _renamed("matrix_factorization", {}, model="als", iterations=15),
    "bpr": _renamed("matrix_factorization", {}, model="bpr", negatives="uniform"),
    "pf": _renamed("social_poisson", {"shape": "factor_shape"}, mode="pf", iterations=100),
    "mult_vae": _renamed("mult_vae", {"epochs": "iterations", "latent": "dim"}, batch=100),
}
