"""The "flow" solver of calibrated slates for items with several topics: relax, round, exchange items."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

ITERATIONS = 50
"""Frank–Wolfe steps. The relaxation only has to find good items; exchanges do the rest."""
MIN_GAIN = 1e-10
"""A chain of exchanges must gain this much: less is rounding error, and could cycle."""


@njit(cache=True)
def improve_slates(chosen, items, scores, target, indptr, topics, values, trade, alpha):
    """Return (B, n) columns of `items`, ascending, −1 at the end: sets at least as good as those in `chosen`.

    Objective of a set I of n items: (1 − trade)·Σ s + trade·Σ_g p_g log(share·Σ_{i ∈ I} tag_ig + alpha p_g),
    share = (1 − alpha)/n; it differs from the calibrated objective by a constant.
    """
    rows, n = chosen.shape
    out = np.full((rows, n), -1, np.int64)
    share = (1 - alpha) / n
    for b in range(rows):
        p = target[b]
        width = 0
        several = False
        for c in range(items.shape[1]):
            if items[b, c] >= 0:
                width = c + 1
                several |= indptr[items[b, c] + 1] - indptr[items[b, c]] > 1
        first = np.zeros(width, np.bool_)
        for r in range(n):
            if chosen[b, r] >= 0:
                first[chosen[b, r]] = True
        # With one topic per item greedy is optimal; with at most n candidates there is nothing to choose.
        if several and width > n and trade > 0:
            s = scores[b, :width]
            second = _relaxed(first, n, items[b], s, p, indptr, topics, values, trade, share, alpha)
            one = _exchanged(first, items[b], s, p, indptr, topics, values, trade, share, alpha)
            two = _exchanged(second, items[b], s, p, indptr, topics, values, trade, share, alpha)
            if two > one + MIN_GAIN:
                first = second
        r = 0
        for c in range(width):
            if first[c]:
                out[b, r] = c
                r += 1
    return out


@njit(cache=True)
def _value(mass, p, share, alpha):
    total = 0.0
    for g in range(p.size):
        if p[g] > 0:
            total += p[g] * math.log(share * mass[g] + alpha * p[g])
    return total


@njit(cache=True)
def _masses(x, items, indptr, topics, values, n_topics):
    mass = np.zeros(n_topics)
    for c in range(x.size):
        if x[c] != 0:
            for at in range(indptr[items[c]], indptr[items[c] + 1]):
                mass[topics[at]] += x[c] * values[at]
    return mass


@njit(cache=True)
def _best(values, n):
    """Return which n values are largest, ties to the lower column."""
    chosen = np.zeros(values.size, np.bool_)
    chosen[np.argsort(-values, kind="mergesort")[:n]] = True
    return chosen


@njit(cache=True)
def _relaxed(start, n, items, scores, p, indptr, topics, values, trade, share, alpha):
    """Maximize over 0 ≤ x ≤ 1, Σ x = n, from `start`, and return the n items with the largest x."""
    width = start.size
    x = start.astype(np.float64)
    mass = _masses(x, items, indptr, topics, values, p.size)
    slope = np.empty(width)
    for _ in range(ITERATIONS):
        for c in range(width):
            gain = 0.0
            for at in range(indptr[items[c]], indptr[items[c] + 1]):
                g = topics[at]
                if p[g] > 0:
                    gain += p[g] * share * values[at] / (share * mass[g] + alpha * p[g])
            slope[c] = (1 - trade) * scores[c] + trade * gain
        corner = _best(slope, n).astype(np.float64)
        gap = (slope * (corner - x)).sum()
        if gap < 1e-9:
            break
        there = _masses(corner, items, indptr, topics, values, p.size)
        linear = (1 - trade) * (scores * (corner - x)).sum()
        low, high = 0.0, 1.0
        for _ in range(30):  # Bisection: the derivative decreases along the line
            step = 0.5 * (low + high)
            rise = linear
            for g in range(p.size):
                if p[g] > 0:
                    at_step = share * (mass[g] + step * (there[g] - mass[g])) + alpha * p[g]
                    rise += trade * p[g] * share * (there[g] - mass[g]) / at_step
            if rise > 0:
                low = step
            else:
                high = step
        x += low * (corner - x)
        mass += low * (there - mass)
    return _best(x, n)


@njit(cache=True)
def _exchanged(inside, items, scores, p, indptr, topics, values, trade, share, alpha):
    """Improve the set `inside` by chains of exchanges, and return its objective.

    Each chain repeatedly exchanges the best pair, even at a loss, and moves every item at most once (the
    variable-depth search of Kernighan and Lin); it is cut where the total gain was largest.
    """
    width = inside.size
    while True:
        trial = inside.copy()
        moved = np.zeros(width, np.bool_)
        total, best_total = 0.0, MIN_GAIN
        best = inside
        found = False
        while True:
            gain, gone, come = _best_pair(
                trial, moved, items, scores, p, indptr, topics, values, trade, share, alpha
            )
            if gone < 0:
                break
            trial[gone], trial[come] = False, True
            moved[gone], moved[come] = True, True
            total += gain
            if total > best_total:
                best_total, best, found = total, trial.copy(), True
        if not found:
            break
        inside[:] = best
    mass = _masses(inside.astype(np.float64), items, indptr, topics, values, p.size)
    return trade * _value(mass, p, share, alpha) + (1 - trade) * (scores * inside).sum()


@njit(cache=True)
def _best_pair(inside, moved, items, scores, p, indptr, topics, values, trade, share, alpha):
    """Return the gain of the best exchange, and the candidates that leave and enter; −1 if there is none."""
    width = inside.size
    mass = _masses(inside.astype(np.float64), items, indptr, topics, values, p.size)
    now = _value(mass, p, share, alpha)
    best, gone, come = -np.inf, -1, -1
    for out in range(width):
        if not inside[out] or moved[out]:
            continue
        less = mass.copy()
        for at in range(indptr[items[out]], indptr[items[out] + 1]):
            less[topics[at]] = max(less[topics[at]] - values[at], 0.0)
        without = trade * (_value(less, p, share, alpha) - now) - (1 - trade) * scores[out]
        for new in range(width):
            if inside[new] or moved[new]:
                continue
            gain = without + (1 - trade) * scores[new]
            for at in range(indptr[items[new]], indptr[items[new] + 1]):
                g = topics[at]
                if p[g] > 0:
                    base = share * less[g] + alpha * p[g]
                    gain += trade * p[g] * math.log((base + share * values[at]) / base)
            if gain > best:
                best, gone, come = gain, out, new
    return best, gone, come
