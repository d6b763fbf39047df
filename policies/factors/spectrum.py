"""The singular values of a score matrix W H', and its effective rank, without forming it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..interactions import FloatArray

NEGLIGIBLE = 1e-6
"""Singular values below this share of the largest count as 0: rounding of float32 factors."""


def singular_values(of_users: FloatArray, of_items: FloatArray) -> NDArray[np.float64]:
    """Return (d,) the singular values of W H' (users, items), largest first.

    The products W'W and H'H suffice: O((users + items)·d² + d³). NaN where a factor is not finite.
    """
    if not (np.isfinite(of_users).all() and np.isfinite(of_items).all()):
        return np.full(of_users.shape[1], np.nan)
    root, _, inner = _reduced(of_users, of_items)
    values = np.linalg.eigvalsh(root.T @ inner @ root)
    return _positive(np.sqrt(np.maximum(values[::-1], 0)))


def effective_rank(of_users: FloatArray, of_items: FloatArray) -> float:
    """Return the effective rank of W H'; see `effective_rank_of`."""
    return effective_rank_of(singular_values(of_users, of_items))


def effective_rank_of(singular: NDArray[np.float64]) -> float:
    """Return exp(−Σ_k p_k ln p_k), p_k = σ_k/Σσ (Roy and Vetterli, EUSIPCO 2007).

    Between 1 (a single direction) and the rank (all alike); 0 for a matrix of zeros.
    """
    total = singular.sum()
    if total == 0 or np.isnan(total):
        return float(total)
    shares = singular[singular > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def with_exponent(
    of_users: FloatArray, of_items: FloatArray, exponent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return T (d, d) such that W T H' has the singular vectors of W H' and values σ_k^exponent, and these values.

    The values are scaled to keep Σσ². W T H' = U Σ^p V' because U = W A and V'= Σ⁻¹ A'(W'W) H'.
    """
    root, inverse, inner = _reduced(of_users, of_items)
    values, vectors = np.linalg.eigh(root.T @ inner @ root)
    singular = _positive(np.sqrt(np.maximum(values, 0)))
    alive = singular > 0
    new = np.zeros_like(singular)
    new[alive] = (singular[alive] / singular.max(initial=1e-300)) ** exponent
    new *= np.sqrt((singular**2).sum() / max((new**2).sum(), 1e-300))
    ratio = np.divide(new, singular, out=np.zeros_like(new), where=alive)
    return (inverse @ vectors) * ratio @ (root @ vectors).T, np.sort(new)[::-1]


def exponent_for(singular: NDArray[np.float64], target: float) -> float:
    """Return p in [0, 64] with effective_rank(σ^p) = target; the nearer end of the interval if there is none.

    The entropy of the shares of σ^p falls in p, strictly unless all σ are equal, so bisection finds it.
    """
    scaled = singular[singular > 0] / singular.max(initial=1e-300)
    low, high = 0.0, 1.0
    while effective_rank_of(scaled**high) > target and high < 64:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if effective_rank_of(scaled**middle) > target else (low, middle)
    return (low + high) / 2


def top_pair(
    of_users: FloatArray, of_items: FloatArray, start: FloatArray, steps: int = 100
) -> tuple[FloatArray, FloatArray, float]:
    """Return the first singular vectors u (users,) and v (items,) of W H' and σ₁, by power iteration.

    `start` (items,) is the first guess of v. Stops once σ₁ changes by less than a millionth.
    """
    u: Any = np.zeros(of_users.shape[0], np.float32)
    v: Any = start
    last = 0.0
    for _ in range(steps):
        u = of_users @ (v @ of_items)
        norm = float(np.linalg.norm(u))
        if norm == 0 or not np.isfinite(norm):
            return np.zeros_like(u), np.zeros_like(v), 0.0 if norm == 0 else np.nan
        u /= np.float32(norm)
        v = of_items @ (u @ of_users)
        sigma = float(np.linalg.norm(v))
        v /= np.float32(sigma)
        if abs(sigma - last) < 1e-6 * sigma:
            break
        last = sigma
    return u, v, last


def _reduced(of_users, of_items):
    """Return R with W'W = R R', a pseudo-inverse of R', and H'H: W H' has the singular values of R'H'."""
    wide_users, wide_items = of_users.astype(np.float64), of_items.astype(np.float64)
    values, vectors = np.linalg.eigh(wide_users.T @ wide_users)
    roots = np.sqrt(np.maximum(values, 0))
    roots[roots < NEGLIGIBLE * roots.max(initial=0)] = 0
    inverse = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
    return vectors * roots, vectors * inverse, wide_items.T @ wide_items


def _positive(singular):
    return np.where(singular > NEGLIGIBLE * singular.max(initial=0), singular, 0.0)
