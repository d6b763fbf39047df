"""ALS passes with a pull between friends' factors, for `social_mf`, which states the equations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy import sparse

from ..interactions import FloatArray, IntArray
from .social_ties import Ties

CG_STEPS = 3
"""Conjugate gradient steps per row and pass, from the row's last value."""


def sweep(
    by_user: sparse.csr_matrix,
    by_item: sparse.csr_matrix,
    ties: Ties,
    users: FloatArray,
    items: FloatArray,
    regularization: float,
    social_weight: float,
) -> None:
    """Update all `users` (n_users, d), then all `items` (n_items, d), in place.

    `by_user` (n_users, n_items) holds the confidence of each pair that was taken, `by_item` is its transpose.
    """
    everyone = np.arange(users.shape[0], dtype=np.int32)
    update_users(by_user, ties, users, items, regularization, social_weight, everyone)
    alone = Ties(np.zeros(items.shape[0] + 1, np.int64), np.empty(0, np.int32))
    everything = np.arange(items.shape[0], dtype=np.int32)
    update_users(by_item, alone, items, users, regularization, 0.0, everything)


def update_users(
    matrix: Any,
    ties: Ties,
    rows: FloatArray,
    columns: FloatArray,
    regularization: float,
    social_weight: float,
    which: IntArray,
) -> None:
    """Update the factors `rows` of the users `which` in place, one after the other; `columns` stay."""
    gram = columns.T @ columns
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    back = sparse.csr_matrix(
        (np.ones(ties.friend.size), ties.friend, ties.indptr), shape=(rows.shape[0], rows.shape[0])
    ).T.tocsr()
    _update(
        matrix.indptr, matrix.indices, matrix.data, ties.indptr, ties.friend, back.indptr, back.indices,
        gram, rows, columns, np.float32(social_weight), which,
    )  # fmt: skip


@njit(cache=True, fastmath={"reassoc", "nsz", "contract"})
def _dot(a, b):
    total = a[0] * b[0]
    for k in range(1, a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True)
def _times(gram, ridge, own, weights, columns, vector, out):
    """Write (gram + ridge + Σ (c−1) h hᵀ)·vector."""
    for k in range(vector.size):
        out[k] = ridge * vector[k]
    for j in range(vector.size):
        for k in range(vector.size):
            out[k] += vector[j] * gram[j, k]
    for at in range(own.size):
        column = columns[own[at]]
        factor = (weights[at] - np.float32(1)) * _dot(column, vector)
        for k in range(vector.size):
            out[k] += factor * column[k]


@njit(cache=True)
def _gaps(indptr, friend, rows):
    """Return (users, d) w_u − m_u, or zeros for users without friends."""
    gaps = np.zeros_like(rows)
    for u in range(rows.shape[0]):
        degree = np.float32(indptr[u + 1] - indptr[u])
        if degree > 0:
            gaps[u] += rows[u]
            for tie in range(indptr[u], indptr[u + 1]):
                gaps[u] -= rows[friend[tie]] / degree
    return gaps


@njit(cache=True, error_model="numpy")
def _steps(gram, ridge, own, weights, columns, right, x):
    """Take CG_STEPS conjugate gradient steps from x towards the solution for `right`."""
    product = np.empty_like(x)
    _times(gram, ridge, own, weights, columns, x, product)
    rest = right - product
    way = rest.copy()
    old = _dot(rest, rest)
    for _ in range(CG_STEPS):
        if old < 1e-20:
            break
        _times(gram, ridge, own, weights, columns, way, product)
        step = old / _dot(way, product)
        x += step * way
        rest -= step * product
        new = _dot(rest, rest)
        way = rest + (new / old) * way
        old = new


@njit(cache=True, error_model="numpy")
def _update(
    row_starts, row_items, confidence, indptr, friend, back_indptr, follower,
    gram, rows, columns, social, which,
):  # fmt: skip
    dim = rows.shape[1]
    before, right = np.empty(dim, np.float32), np.empty(dim, np.float32)
    # Updated incrementally, so that a user's update need not visit the friends of followers.
    gaps = _gaps(indptr, friend, rows) if social > 0 else rows
    for u in which:
        x = rows[u]
        own = row_items[row_starts[u] : row_starts[u + 1]]
        weights = confidence[row_starts[u] : row_starts[u + 1]]
        right[:] = 0
        for at in range(own.size):
            column = columns[own[at]]
            for k in range(dim):
                right[k] += weights[at] * column[k]
        ridge = np.float32(0)
        if social > 0:
            if indptr[u] < indptr[u + 1]:
                ridge += social
                right += social * (x - gaps[u])
            for back in range(back_indptr[u], back_indptr[u + 1]):
                other = follower[back]
                share = 1 / np.float32(indptr[other + 1] - indptr[other])
                ridge += social * share * share
                right += social * share * (gaps[other] + share * x)
            before[:] = x
        if not right.any():
            x[:] = 0
        else:
            _steps(gram, ridge, own, weights, columns, right, x)
        if social > 0:
            if indptr[u] < indptr[u + 1]:
                gaps[u] += x - before
            for back in range(back_indptr[u], back_indptr[u + 1]):
                other = follower[back]
                gaps[other] -= (x - before) / np.float32(indptr[other + 1] - indptr[other])
