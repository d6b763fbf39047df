"""The optimization state of `spectral_mf`: factors, and the top singular vectors that share its penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..interactions import FloatArray
from .implicit_loss import ImplicitLoss

MIN_SHARE = 1 / 16
"""The newest pair of singular vectors counts at least this much."""
MAX_PAIRS = 48
"""Most pairs of singular vectors to keep; older ones have a share below (1 − MIN_SHARE)^MAX_PAIRS < 5 %."""


@dataclass(frozen=True)
class Point:
    """Factors, and the past singular vectors among which the penalty is divided."""

    users: FloatArray
    items: FloatArray
    regularization: float
    """λ."""
    left: FloatArray
    """(users, k) past first left singular vectors, newest last."""
    right: FloatArray
    """(items, k) the right ones."""
    shares: NDArray[np.float64]
    """(k,) of the penalty; they sum to 1."""
    sweeps: int
    """Sweeps so far."""


def start(loss: ImplicitLoss, users: FloatArray, items: FloatArray) -> Point:
    """Return the point of these factors before any singular vectors are known."""
    nothing = np.empty((users.shape[0], 0), np.float32), np.empty((items.shape[0], 0), np.float32)
    return Point(users, items, loss.regularization, *nothing, np.empty(0), 0)


def grown(point: Point, n_users: int, n_items: int) -> Point:
    """Return the point with rows of zeros for new users and items."""

    def tall(x: FloatArray, size: int) -> FloatArray:
        return np.concatenate([x, np.zeros((size - x.shape[0], x.shape[1]), np.float32)])

    return replace(
        point,
        users=tall(point.users, n_users),
        items=tall(point.items, n_items),
        left=tall(point.left, n_users),
        right=tall(point.right, n_items),
    )


def initial_vector(point: Point, loss: ImplicitLoss) -> FloatArray:
    """Return an initial value (items,) for v: the last one, or popularity, which is empirically close."""
    if point.shares.size:
        return point.right[:, -1]
    taken = np.asarray(loss.by_item.sum(axis=1), np.float64).ravel()
    return (taken / np.linalg.norm(taken)).astype(np.float32)


def add_pair(point: Point, left: FloatArray, right: FloatArray) -> Point:
    """Return the point with a new pair among those that share the penalty."""
    new = max(2 / (point.sweeps + 2), MIN_SHARE)
    shares = np.append(point.shares * (1 - new), new)[-MAX_PAIRS:]
    return replace(
        point,
        left=np.column_stack([point.left, left])[:, -MAX_PAIRS:],
        right=np.column_stack([point.right, right])[:, -MAX_PAIRS:],
        shares=shares / shares.sum(),
    )


def replace_last(vectors: FloatArray, vector: FloatArray) -> FloatArray:
    """Return `vectors` (n, k) with `vector` in place of the last one."""
    return np.column_stack([vectors[:, :-1], vector])


def penalty_matrix(
    factors: FloatArray, vectors: FloatArray, shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Σ_k share_k (H'v_k)(H'v_k)' (d, d)."""
    projected = (factors.T @ vectors).astype(np.float64)
    return (projected * shares) @ projected.T
