"""Scores of a fitted `social_poisson`: expected counts from tastes (matrix product) and from friends' takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from .poisson_cavi import Gammas, Posterior
from .social_ties import Ties

UNTAKEN_SPREAD = 1e-3
"""Relative spread of the scores of items that nobody took, whose order is drawn at fit."""


@dataclass(frozen=True)
class PosteriorMeans:
    """Posterior means, shared by all blocks of users of one ranking."""

    seen: Observation
    users: FloatArray
    """(n_users, dim) E[θ]"""
    items: FloatArray
    """(dim, n_items) E[β]"""
    floor: FloatArray
    """(n_items,) added to every row."""
    ties: Ties
    influence: FloatArray
    """(ties,) E[τ]"""
    counts: sparse.csr_matrix

    def add_friends(self, users: IntArray, scores: FloatArray) -> NDArray[np.bool_]:
        """Add the friends' part to `scores` (B, n_items); return (B,) whether a friend took anything."""
        rows, friend, counts = self.ties.indptr, self.ties.friend, self.counts
        return _add_friends(
            users, rows, friend, self.influence, counts.indptr, counts.indices, counts.data, scores
        )


def posterior_means(
    seen: Observation,
    posterior: Posterior,
    cold: ColdStart,
    ties: Ties,
    fitted: Ties,
    counts: sparse.csr_matrix,
    *,
    binary: bool,
) -> PosteriorMeans:
    """Return posterior means for the present users, items, `ties` and `counts`; `fitted`: the posterior's ties."""
    if binary:
        counts = sparse.csr_matrix(
            (np.ones_like(counts.data), counts.indices, counts.indptr), shape=counts.shape
        )
    influence = np.ones(ties.friend.size)
    if not posterior.fixed:
        # Ties that are new since the fit are treated as if nothing had been copied along them.
        shape, rate = posterior.ties.prior
        influence = shape / (rate + np.asarray(counts.sum(axis=1)).ravel()[ties.friend])
        here, there = common_ties(ties, fitted)
        influence[here] = posterior.ties.mean()[there]
    order = cold.ties(seen.n_items)
    items = _mean(posterior.items, seen.n_items)
    untaken = np.ones(seen.n_items, bool)
    untaken[: cold.taken.size] = cold.taken == 0
    # Untaken items are treated as newborn: their age must not matter.
    items[untaken] = _mean(posterior.items, seen.n_items + 1)[-1] * (
        1 + UNTAKEN_SPREAD * order[untaken, None]
    )
    floor = (posterior.floor * order).astype(np.float32)
    users = _mean(posterior.users, seen.n_users)
    return PosteriorMeans(seen, users, items.T, floor, ties, influence.astype(np.float32), counts)


def common_ties(a: Ties, b: Ties) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices in `a` and in `b` of the ties that are in both."""
    return np.intersect1d(a.key, b.key, assume_unique=True, return_indices=True)[1:]


def _mean(side: Gammas, size: int) -> FloatArray:
    """Return (size, dim) E[x]; rows added since the fit have the prior's shape and rate."""
    mean = np.empty((size, side.shape.shape[1]), np.float32)
    mean[:] = side.prior[0] / ((side.prior[1] if side.activity else 0.0) + side.rate)
    mean[: side.shape.shape[0]] = side.mean()
    return mean


@njit(cache=True)
def _add_friends(users, rows, friend, influence, indptr, indices, takes, scores):
    """Add Σ_v influence·takes of friend v to `scores` (B, n_items); return (B,) whether there was any."""
    from_friends = np.zeros(users.size, np.bool_)
    for b in range(users.size):
        for tie in range(rows[users[b]], rows[users[b] + 1]):
            v = friend[tie]
            for at in range(indptr[v], indptr[v + 1]):
                scores[b, indices[at]] += influence[tie] * takes[at]
                from_friends[b] = True
    return from_friends
