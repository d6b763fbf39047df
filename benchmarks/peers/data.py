"""Load the two logs and split them identically for all libraries: implicit positives, a core, random splits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

CORE = 5
"""Users and items with fewer pairs are dropped, repeatedly, before the split."""
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
TUNING_SEED = 100
"""Seed of the split that settings are chosen on; no figure in the tables comes from it."""


@dataclass(frozen=True)
class Split:
    """Three disjoint binary matrices (users, items)."""

    train: sparse.csr_matrix
    validation: sparse.csr_matrix
    test: sparse.csr_matrix
    friends: sparse.csr_matrix
    """(users, users) who follows whom; empty for a log without ties."""


def folder() -> Path:
    """Return the folder of the logs: $ECHODRIFT_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("ECHODRIFT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def _movielens(minimum: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    ratings = pd.read_csv(folder() / "ml-latest-small" / "ratings.csv")
    ratings = ratings[ratings.rating >= minimum]
    pairs = ratings[["userId", "movieId"]].set_axis(["user", "item"], axis=1)
    return pairs, pd.DataFrame(columns=["user", "friend"], dtype=np.int64)


def _lastfm() -> tuple[pd.DataFrame, pd.DataFrame]:
    plays = pd.read_csv(folder() / "lastfm-2k" / "user_artists.dat", sep="\t")
    ties = pd.read_csv(folder() / "lastfm-2k" / "user_friends.dat", sep="\t")
    pairs = plays[["userID", "artistID"]].set_axis(["user", "item"], axis=1)
    return pairs, ties.set_axis(["user", "friend"], axis=1)


DATASETS = {
    "ml-latest-small": lambda: (*_movielens(4.0), CORE),
    "lastfm-2k": lambda: (*_lastfm(), CORE),
    "ml-latest-small-all": lambda: (*_movielens(0.0), 1),
    "lastfm-2k-all": lambda: (*_lastfm(), 1),
}
"""Ratings of 4 and more, or all artists listened to; the `-all` variants, without core, are for timing."""


def _core(pairs: pd.DataFrame, minimum: int) -> pd.DataFrame:
    while True:
        users, items = pairs.user.map(pairs.user.value_counts()), pairs.item.map(pairs.item.value_counts())
        keep = (users >= minimum) & (items >= minimum)
        if keep.all():
            return pairs
        pairs = pairs[keep]


def load(name: str) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return the pairs (users, items) and the ties (users, users), both binary."""
    pairs, ties, core = DATASETS[name]()
    pairs = _core(pairs.drop_duplicates(), core)
    of_user, users = pd.factorize(pairs.user, sort=True)
    of_item, items = pd.factorize(pairs.item, sort=True)
    shape = (len(users), len(items))
    matrix = sparse.csr_matrix((np.ones(len(pairs), np.float32), (of_user, of_item)), shape=shape)
    place = pd.Series(np.arange(len(users)), index=users)
    ties = ties[ties.user.isin(users) & ties.friend.isin(users)].drop_duplicates()
    ends = place[ties.user].to_numpy(), place[ties.friend].to_numpy()
    friends = sparse.csr_matrix((np.ones(len(ties), np.float32), ends), shape=(len(users), len(users)))
    matrix.sort_indices()
    return matrix, friends


def split(name: str, seed: int) -> Split:
    """Split 20 % of each user's items off for the test and 10 % for validation, at random."""
    matrix, friends = load(name)
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((rng.random(matrix.nnz), user))
    count = np.diff(matrix.indptr)[user]
    place = np.empty(matrix.nnz, np.int64)
    place[order] = np.arange(matrix.nnz) - matrix.indptr[:-1][user]
    test = place < np.maximum(1, np.floor(TEST_SHARE * count))
    held = place < np.maximum(2, np.floor((TEST_SHARE + VALIDATION_SHARE) * count))

    def part(keep) -> sparse.csr_matrix:
        pairs = user[keep], matrix.indices[keep]
        matrix_part = sparse.csr_matrix((np.ones(keep.sum(), np.float32), pairs), shape=matrix.shape)
        matrix_part.sort_indices()
        return matrix_part

    return Split(part(~held), part(held & ~test), part(test), friends)
