"""Training of `persona`: sampled softmax with attention over personas, manual gradients, and Adagrad.

Parameters are a table of arrays: `personas` (users, K, d), `items` (items, d), `biases` (items,), the
attention maps `user_map` and `item_map` (d_a, d), and `log_temperature` (1,). Cosines are products of unit
vectors, so each batch projects the rows it touches once (two matrix products), one compiled pass over
(positive, candidate, persona) accumulates gradients of scores and of unit vectors, and two more matrix
products propagate the latter back through the normalization and the maps. Works in float32 and float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from ..interactions import FloatArray, IntArray

Parameters = dict[str, NDArray[Any]]

INIT_SCALE = 0.1
"""Standard deviation of the initial persona and item vectors."""
BATCH = 256
"""Positives per step."""
TINY = 1e-12
"""Shorter projections have no direction: their cosines are 0."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""A learned temperature stays between these."""


@dataclass(frozen=True)
class Objective:
    """Weights of the terms of the loss, per positive; see `persona.Persona`."""

    alpha: float = 1.0
    """Weight of the sampled softmax."""
    lambda_p: float = 0.0
    """Weight of the attention's entropy on the positive."""
    lambda_n: float = 0.0
    """Weight of minus the attention's mean entropy on the negatives."""
    regularization: float = 0.0
    """Weight of half the squared norms of the user's personas and the positive item."""


def initial(
    n_users: int, n_items: int, personas: int, dim: int, attention: int, rng: Generator
) -> Parameters:
    """Return fresh parameters (one persona needs no attention, so its maps are empty)."""
    eye = np.eye(attention if personas > 1 else 0, dim, dtype=np.float32)
    return {
        "personas": draw((n_users, personas, dim), rng),
        "items": draw((n_items, dim), rng),
        "biases": np.zeros(n_items, np.float32),
        "user_map": eye,
        "item_map": eye.copy(),
        "log_temperature": np.zeros(1, np.float32),
    }


def draw(shape: tuple[int, ...], rng: Generator) -> FloatArray:
    """Return independent normal numbers, so that the personas of a user start in different directions."""
    return np.float32(INIT_SCALE) * rng.standard_normal(shape, dtype=np.float32)


def batches(
    users: IntArray, items: IntArray, source: IntArray | int, negatives: int, rng: Generator
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (users (n,), candidates (n, 1 + negatives)) of one pass in random order; column 0 is the positive.

    `source`: the items from which negatives are drawn uniformly (the log's entries give the unigram
    distribution), or the number of items.
    """
    size = source if isinstance(source, int) else source.size
    order = rng.permutation(users.size)
    for start in range(0, order.size, BATCH):
        part = order[start : start + BATCH]
        candidates = np.empty((part.size, 1 + negatives), np.int32)
        candidates[:, 0] = items[part]
        drawn = rng.integers(0, size, (part.size, negatives))
        candidates[:, 1:] = drawn if isinstance(source, int) else source[drawn]
        yield users[part], candidates


def gradients(
    parameters: Parameters, users: IntArray, candidates: IntArray, log_q: NDArray[Any], objective: Objective
) -> tuple[float, IntArray, IntArray, Parameters]:
    """Return (loss, user rows, item rows, gradients), summed over the batch; those of tables are of these rows.

    `log_q` (items,) is subtracted from the scores before the softmax; zeros for no correction.
    """
    rows, who = _compact(users, parameters["personas"].shape[0])
    columns, which = _compact(candidates.ravel(), parameters["items"].shape[0])
    x, v = parameters["personas"][rows], parameters["items"][columns]
    p, p_norm = unit(x @ parameters["user_map"].T)
    q, q_norm = unit(v @ parameters["item_map"].T)
    gx, gv, gp, gq = np.zeros_like(x), np.zeros_like(v), np.zeros_like(p), np.zeros_like(q)
    gb = np.zeros(columns.size, v.dtype)
    sharpness = np.exp(-parameters["log_temperature"])
    loss, slope = _pass(
        (x, v, parameters["biases"][columns], p, q),
        (gx, gv, gb, gp, gq),
        who,
        which.reshape(candidates.shape),
        log_q[columns].astype(v.dtype),
        sharpness[0],
        (objective.alpha, objective.lambda_p, objective.lambda_n, objective.regularization),
    )
    gp, gq = _through_unit(gp, p, p_norm), _through_unit(gq, q, q_norm)
    gx += gp @ parameters["user_map"]
    gv += gq @ parameters["item_map"]
    dim = x.shape[2]
    found = {
        "personas": gx,
        "items": gv,
        "biases": gb,
        "user_map": gp.reshape(gx.shape[0] * gx.shape[1], -1).T @ x.reshape(-1, dim),
        "item_map": gq.T @ v,
        "log_temperature": (-slope * sharpness).astype(v.dtype),
    }
    return loss, rows, columns, found


def step(
    parameters: Parameters,
    sums: Parameters,
    rows: IntArray,
    columns: IntArray,
    found: Parameters,
    learning_rate: float,
    names: tuple[str, ...],
) -> None:
    """Take one Adagrad step on the named parameters, in place; `sums` are the squared gradients so far."""
    for name in names:
        table = parameters[name]
        at = rows if name == "personas" else columns if name in ("items", "biases") else None
        flat = (table.shape[0], -1) if at is not None else (1, -1)
        if at is None:
            at = np.zeros(1, np.int32)
        if table.size:
            values, total = table.reshape(flat), sums[name].reshape(flat)
            _adagrad(values, total, at, found[name].reshape(at.size, -1), np.float32(learning_rate))
    low, high = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    np.clip(parameters["log_temperature"], low, high, out=parameters["log_temperature"])


def unit(projected: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows of length one (or zero) and the lengths they had."""
    length = np.sqrt(np.einsum("...j,...j->...", projected, projected))[..., None]
    return projected / np.maximum(length, TINY), length


def _through_unit(gradient: NDArray[Any], direction: NDArray[Any], length: NDArray[Any]) -> NDArray[Any]:
    along = np.einsum("...j,...j->...", gradient, direction)[..., None]
    return (gradient - along * direction) / np.maximum(length, TINY)


@njit(cache=True)
def _compact(ids, size):
    """Return the distinct ids in order of appearance, and the place of each id among them."""
    place = np.full(size, -1, np.int32)
    distinct, where = np.empty(ids.size, np.int32), np.empty(ids.size, np.int32)
    count = 0
    for j in range(ids.size):
        if place[ids[j]] < 0:
            place[ids[j]] = count
            distinct[count] = ids[j]
            count += 1
        where[j] = place[ids[j]]
    return distinct[:count].copy(), where


@njit(cache=True)
def _adagrad(table, sums, rows, gradient, rate):
    for r in range(rows.size):
        line, total, slope = table[rows[r]], sums[rows[r]], gradient[r]
        for j in range(line.size):
            total[j] += slope[j] * slope[j]
            line[j] -= rate * slope[j] / (np.sqrt(total[j]) + np.float32(1e-8))


@njit(cache=True, fastmath=True)
def _dot(a, b):
    total = a.dtype.type(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@njit(cache=True)
def _add(target, weight, source):
    for j in range(target.size):
        target[j] += weight * source[j]


@njit(cache=True)
def _pass(values, slopes, who, which, log_q, sharpness, weights):
    """Accumulate gradients of scores and unit vectors; return the loss and its slope in 1/temperature."""
    x, v, b, p, q = values
    gx, gv, gb, gp, gq = slopes
    alpha, lambda_p, lambda_n, regularization = weights
    one = x.dtype.type
    personas, width = x.shape[1], which.shape[1]
    score, cosine = np.empty((width, personas), x.dtype), np.empty((width, personas), x.dtype)
    attention = np.empty((width, personas), x.dtype)
    share, entropy = np.empty(width, x.dtype), np.empty(width, x.dtype)
    loss, sharpness_slope = 0.0, 0.0
    for r in range(who.size):
        u, positive = who[r], which[r, 0]
        top = one(-np.inf)
        for c in range(width):
            i = which[r, c]
            most = one(-np.inf)
            for k in range(personas):
                score[c, k] = _dot(x[u, k], v[i])
                cosine[c, k] = _dot(p[u, k], q[i])
                most = max(most, cosine[c, k] * sharpness)
            total = one(0)
            for k in range(personas):
                attention[c, k] = np.exp(cosine[c, k] * sharpness - most)
                total += attention[c, k]
            share[c] = b[i] - log_q[i]
            entropy[c] = 0
            for k in range(personas):
                attention[c, k] /= total
                share[c] += attention[c, k] * score[c, k]
                entropy[c] -= attention[c, k] * (cosine[c, k] * sharpness - most - np.log(total))
            top = max(top, share[c])
        first = share[0]
        total = one(0)
        for c in range(width):
            share[c] = np.exp(share[c] - top)
            total += share[c]
        loss += alpha * (np.log(total) + top - first)
        for c in range(width):
            i = which[r, c]
            weight = one(lambda_p if c == 0 else -lambda_n / (width - 1))
            loss += weight * entropy[c]
            slope = one(alpha) * (share[c] / total - one(c == 0))
            gb[i] += slope
            mean = one(0)
            for k in range(personas):
                mean += attention[c, k] * score[c, k]
            for k in range(personas):
                a = attention[c, k]
                along = a * slope
                _add(gx[u, k], along, v[i])
                _add(gv[i], along, x[u, k])
                logit = along * (score[c, k] - mean)
                if weight != 0 and a > 0:
                    logit -= weight * a * (np.log(a) + entropy[c])
                sharpness_slope += logit * cosine[c, k]
                logit *= sharpness
                _add(gp[u, k], logit, q[i])
                _add(gq[i], logit, p[u, k])
        strength = one(regularization)
        if strength > 0:
            for k in range(personas):
                loss += 0.5 * regularization * _dot(x[u, k], x[u, k])
                _add(gx[u, k], strength, x[u, k])
            loss += 0.5 * regularization * _dot(v[positive], v[positive])
            _add(gv[positive], strength, v[positive])
    return loss, sharpness_slope
