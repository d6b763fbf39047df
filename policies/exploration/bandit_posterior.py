"""Posterior of a linear bandit: users' precision matrices over item factors, widths, and posterior draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from ...machine import blas_on_one_thread
from ...philox import normals
from ..interactions import FloatArray, IntArray, Interactions, Observation, count_pairs

ITEM_BLOCK = 1024
"""Items whose products of factors are in memory at once."""


def observations(seen: Observation, with_exposures: bool) -> sparse.csr_matrix:
    """Return (n_users, n_items) float32: how often a pair was observed, taken or not.

    Every take counts once; with exposures, so does every show in rounds with stored slates. A take from such a
    slate is the same observation as its show.
    """
    if not with_exposures or not seen.exposures:
        return seen.counts
    log = seen.log
    elsewhere = (log.rank == 0) | (log.round < seen.exposures[0].round)
    users, items = [log.user[elsewhere]], [log.item[elsewhere]]
    for shown in seen.exposures:
        here = shown.slates >= 0
        users.append(np.repeat(shown.users, here.sum(axis=1)))
        items.append(shown.slates[here])
    user, item = np.concatenate(users), np.concatenate(items)
    none = np.empty(0, np.int16)
    pairs = Interactions(user, item, user, none, none.astype(np.int8))
    return count_pairs(pairs, seen.n_users, seen.n_items)


def precisions(
    observed: sparse.csr_matrix, users: IntArray, contexts: FloatArray, prior: float
) -> NDArray[np.float64]:
    """Return (B, d, d): A_u = prior·I + Σ_i n_ui h_i h_iᵀ over the items i that user u was observed with."""
    matrix: Any = observed
    known = contexts.astype(np.float64)
    with blas_on_one_thread():
        return _precisions(matrix.indptr, matrix.indices, matrix.data, users, known, prior)


def widths(precision: NDArray[np.float64], contexts: FloatArray) -> FloatArray:
    """Return (B, n_items): sqrt(h_iᵀ A_u⁻¹ h_i).

    The quadratic form is an inner product of d(d + 1)/2 entries of A_u⁻¹ with as many products of the item's
    factors: one matrix product for all users, half the work of solving per user.
    """
    with blas_on_one_thread():
        inverse = np.linalg.inv(precision)
        upper = np.triu_indices(contexts.shape[1])
        twice = np.where(upper[0] == upper[1], 1.0, 2.0)
        entries = (inverse[:, upper[0], upper[1]] * twice).astype(np.float32)
        out = np.empty((len(precision), len(contexts)), np.float32)
        for first in range(0, len(contexts), ITEM_BLOCK):
            part = contexts[first : first + ITEM_BLOCK]
            np.matmul(entries, _products(part).T, out=out[:, first : first + ITEM_BLOCK])
    return np.sqrt(np.maximum(out, 0, out=out), out=out)


def draws(precision: NDArray[np.float64], key: np.uint64, users: IntArray) -> NDArray[Any]:
    """Return (B, d): one draw from N(0, A_u⁻¹) each; a user's depends on the key, the id and A_u only."""
    with blas_on_one_thread():
        root = np.linalg.cholesky(precision)
        noise = normals(key, users, precision.shape[1]).astype(np.float64)
        # A = L Lᵀ, so L⁻ᵀ z has covariance A⁻¹.
        return np.linalg.solve(root.transpose(0, 2, 1), noise[:, :, None])[:, :, 0]


@njit(cache=True)
def _precisions(indptr, indices, data, users, contexts, prior):
    dim = contexts.shape[1]
    out = np.zeros((users.size, dim, dim))
    for b in range(users.size):
        first, last = indptr[users[b]], indptr[users[b] + 1]
        if last > first:
            # One product of gathered rows is several times faster than adding outer products.
            rows = np.empty((last - first, dim))
            for at in range(first, last):
                rows[at - first] = contexts[indices[at]] * np.sqrt(np.float64(data[at]))
            out[b] = np.dot(rows.T, rows)
        for j in range(dim):
            out[b, j, j] += prior
    return out


@njit(cache=True)
def _products(contexts):
    """Return (n, d(d + 1)/2): h_j·h_k for j ≤ k."""
    size, dim = contexts.shape
    out = np.empty((size, dim * (dim + 1) // 2), np.float32)
    for i in range(size):
        at = 0
        for j in range(dim):
            for k in range(j, dim):
                out[i, at] = contexts[i, j] * contexts[i, k]
                at += 1
    return out
