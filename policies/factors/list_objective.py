"""Objective of list-level training: the expected value of a list, soft (differentiable) lists, and gradients."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import digamma, gammaln
from scipy.stats import binom

Values = Literal["bernoulli", "uniform", "exponential", "pareto"]
MAX_EXPONENT = 40.0
"""Exponents are clipped to ± this: the square of the largest must fit float32, and 4e-18 places are negligible."""
_SUMS = {"reassoc", "nsz"}  # Lets the compiler vectorize sums; their order stays the same on every call


def satisfaction(values: Values, n: int, consumed: int, success: float, tail: float) -> NDArray[np.float64]:
    """Return (n + 1,) V_k(a) for a = 0 … n: expected sum of the k = `consumed` best of a iid draws.

    V_k(a) = Σ_{r ≤ min(k, a)} E[r-th largest of a], with that expectation: P(Bin(a, success) ≥ r) for Bernoulli,
    1 − r / (a + 1) for Uniform[0, 1], Σ_{j = r…a} 1/j for Exponential(1), and for Pareto(tail), from 1 up,
    Γ(a + 1) Γ(r − 1/tail) / (Γ(r) Γ(a + 1 − 1/tail)). Model: Peng, Raghavan, Pierson, Kleinberg and Garg,
    "Reconciling the accuracy-diversity trade-off in recommendations", WWW 2024.
    """
    a, r = np.ogrid[1 : n + 1, 1 : consumed + 1]
    if values == "bernoulli":
        means = binom.sf(r - 1, a, success)
    elif values == "uniform":
        means = 1 - r / (a + 1)
    elif values == "exponential":
        means = digamma(a + 1) - digamma(r)
    else:
        means = np.exp(gammaln(a + 1) + gammaln(r - 1 / tail) - gammaln(r) - gammaln(a + 1 - 1 / tail))
    return np.concatenate([[0.0], np.where(r <= a, means, 0).sum(axis=1)])


def list_value(shares: NDArray[Any], slots: NDArray[Any], table: NDArray[np.float64]) -> NDArray[Any]:
    """Return (B,) Σ_t p_t V(a_t) for p = `shares` and a = `slots` (B, T); V is linear between whole numbers."""
    return (shares * _interpolated(slots, table)).sum(axis=1)


def marginals(
    shares: NDArray[Any], slots: NDArray[Any], table: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (B, T) p_t (V(a_t + 1) − V(a_t)), what one more item would add, and p_t (V(a_t) − V(a_t − 1)),
    what the last one adds (below one item, V goes on in a straight line)."""
    here = _interpolated(slots, table)
    more = _interpolated(slots + 1, table) - here
    last = np.where(slots < 1, table[1], here - _interpolated(slots - 1, table))
    return (shares * more).astype(shares.dtype), (shares * last).astype(shares.dtype)


def _interpolated(slots: NDArray[Any], table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(slots, np.arange(table.size), table)


def soft_list(
    scores: NDArray[Any], n: int, temperature: float, live: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the soft list (B, items) and the list itself, n ids per row in any order.

    Soft list: m_i = σ((s_i − θ) / temperature) for live items, 0 for others, with θ of each row such that
    Σ_i m_i = n. These m maximize Σ_i m_i s_i plus temperature times the entropies of the m_i: no item has more
    than one place, and as the temperature goes to 0 what remains is the list. There must be more than n live
    items.
    """
    out = np.where(live, scores, scores.dtype.type(-np.inf))
    chosen = np.argpartition(out, -n, axis=1)[:, -n:]
    out -= np.take_along_axis(out, chosen, axis=1).min(axis=1, keepdims=True)
    out /= scores.dtype.type(temperature)
    np.exp(np.clip(out, -MAX_EXPONENT, MAX_EXPONENT, out=out), out=out)
    out *= live
    _fill(out, n)
    return out, chosen


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _places(row, c):
    """Return Σ e / (e + c) and minus its derivative by log c."""
    one = row.dtype.type(1)
    total, change = one - one, one - one
    for i in range(row.size):
        m = row[i] / (row[i] + c)
        total += m
        change += m * (one - m)
    return total, change


@njit(cache=True, error_model="numpy")
def _fill(rows, n):
    """Turn rows of e_i = exp(s_i / temperature) into e_i / (e_i + c), c such that n places are filled."""
    for b in range(rows.shape[0]):
        row = rows[b]
        # The n-th largest is e = 1, so the root lies between these bounds, apart from clipping.
        low, high, at = -MAX_EXPONENT, MAX_EXPONENT, 0.0
        for _ in range(60):
            found, change = _places(row, row.dtype.type(np.exp(at)))
            if abs(found - n) <= 2e-6 * n:
                break
            if found > n:
                low = at
            else:
                high = at
            # Newton's method on the logarithm of the sum, which is nearly linear; bisection outside the bracket.
            step = at + np.log(found / n) * found / change if change > 0 else low
            at = step if low < step < high else 0.5 * (low + high)
        c = row.dtype.type(np.exp(at))
        for i in range(row.size):
            row[i] = row[i] / (row[i] + c)


def score_gradient(
    scores: NDArray[Any],
    histories: Any,
    shares: NDArray[Any],
    tags: NDArray[Any],
    live: NDArray[np.bool_],
    table: NDArray[np.float64],
    temperature: float,
    list_weight: float,
) -> tuple[float, NDArray[Any]]:
    """Return the objective of a block of users and the direction (B, items) in which their scores raise it.

    Objective: Σ_u N_u [(1 − list_weight)·mean over the history of log softmax(s_u) + list_weight·Σ_t p_ut V(a_ut) /
    V(n)], a_ut the places of topic t among the n = table.size − 1 live items that score best. `histories`: CSR
    (B, items), N_u the row's sum. `shares` p (B, T), `tags` (items, T).

    The first term has a gradient. The second is piecewise constant; its direction is Σ_i (∂F/∂m_i)(∂m_i/∂s_j),
    where m is the soft list and F(m) the expected value of a list that contains i with probability m_i,
    independently (its multilinear extension), differentiated at the actual list: what i adds to it, or would
    add. So an additional place for a topic is worth less than its last one, items are distinguished, and soft
    lists become hard. (V of the expected places would be satisfied with two halves of an item.)
    """
    kind, n = scores.dtype.type, table.size - 1
    weight = np.asarray(histories.sum(axis=1), scores.dtype)
    gradient = np.zeros_like(scores)
    objective = 0.0
    if list_weight < 1:
        gradient += scores
        gradient -= scores.max(axis=1, keepdims=True)
        logs = _entries_dot(histories.indptr, histories.indices, histories.data, gradient)
        np.exp(gradient, out=gradient)
        totals = gradient.sum(axis=1, keepdims=True)
        objective += (1 - list_weight) * float(logs - (weight * np.log(totals)).sum())
        gradient *= kind(list_weight - 1) * weight / totals
        _add_entries(histories.indptr, histories.indices, histories.data, kind(1 - list_weight), gradient)
    if list_weight > 0 and np.count_nonzero(live) > n:
        places, chosen = soft_list(scores, n, temperature, live)
        slots = tags[chosen].sum(axis=1)
        more, last = marginals(shares, slots, table)
        gains = more @ tags.T
        np.put_along_axis(gains, chosen, np.einsum("bt,bnt->bn", last, tags[chosen]), axis=1)
        scale = kind(list_weight / table[-1]) * weight[:, 0]
        objective += float(scale @ list_value(shares, slots, table))
        _add_list_gradient(places, gains, scale / kind(temperature), gradient)
    return objective, gradient


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _add_list_gradient(places, gains, scale, out):
    """Add scale_b · v_i · (gain_i − Σ v gain / Σ v), v = m (1 − m): raising a score raises θ for all others."""
    for b in range(out.shape[0]):
        m, gain, row = places[b], gains[b], out[b]
        one = m.dtype.type(1)
        moved, mean = one - one, one - one
        for i in range(row.size):
            v = m[i] * (one - m[i])
            moved += v
            mean += v * gain[i]
        if moved > 0:
            mean /= moved
            for i in range(row.size):
                row[i] += scale[b] * m[i] * (one - m[i]) * (gain[i] - mean)


@njit(cache=True)
def _entries_dot(indptr, items, values, scores):
    total = 0.0
    for b in range(indptr.size - 1):
        for a in range(indptr[b], indptr[b + 1]):
            total += values[a] * scores[b, items[a]]
    return total


@njit(cache=True)
def _add_entries(indptr, items, values, weight, out):
    for b in range(indptr.size - 1):
        for a in range(indptr[b], indptr[b + 1]):
            out[b, items[a]] += weight * values[a]
