"""Every user's tastes and shares from their own history: a mixture of at most K choice models.

Under taste a the simulator's users choose item i with probability
P(i | a) = exp(match·⟨a, x_i⟩ + q_i) / Z(a),  Z(a) = Σ_j exp(match·⟨a, x_j⟩ + q_j),
so a history is a draw from Σ_k s_k P(· | a_k), and EM (Dempster, Laird & Rubin 1977) fits shares and
tastes. The M-step for a taste is concave on the simplex and is climbed by exponentiated gradients
(Kivinen & Warmuth 1997), a ← a·exp(g / L) normalized, with the gradient g = match·(x̄_k − E_a[x]) of
the mean log-likelihood; L = match²/4 bounds its curvature, so no step can go down.

A taste in the simulator is focused on one topic. That enters as a conjugate prior: `PRIOR` pseudo-items
like those its pattern would take, where a pattern is a taste with weight `FOCUS` on one topic, or one spread
evenly over all topics; the pattern that explains the items of a taste best is looked up again in every
E-step. Without it the mixture is hardly identified: a sharper taste beside a blurred one explains a
history as well as two alike. EM finds the nearest optimum only, so it starts twice, and the better result
is kept per user: from the patterns with the largest shares in a mixture of all patterns as they are
(where histories fall apart into topics), and from the fit with one taste fewer plus the most promising
pattern (where a broad main taste has a focused one beside it). How many tastes stay is decided per user
on held-out items: three folds, and each further taste must gain `GAIN` nats.

All users move together: an iteration costs pairs × K × topics plus users × K × prototypes × topics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .choice_model import Catalog, Patterns

PRIOR = 10.0
"""Pseudo-items per taste, as its pattern would take them."""
SHARE_PRIOR = 0.5
"""Pseudo-items per taste that keep a share off zero."""
SHARE_FLOOR = 1e-3
"""Added to the share that a taste starts with."""
PATTERN_SWEEPS = 40
"""EM iterations for the shares of the patterns."""
ENTRY = 0.2
"""Share with which a taste enters beside those that are there."""
GAIN = 1.0
"""Nats of held-out log-likelihood that one more taste must bring."""
FOLDS = 3
"""Parts of a history, each held out once; items take turns in order of id."""
SHORT = 2 * FOLDS
"""A shorter history gets one taste."""
SWEEPS = 45
"""EM iterations with one taste; with K, a K-th of them: a single taste, which starts furthest away, needs most."""
CLIMBS = 2
"""Gradient steps per M-step."""
_FASTEST = 40.0
"""Bound on 4 / match, so that a match near zero cannot overflow."""


@dataclass(frozen=True)
class Tastes:
    """What was found; K = the most tastes that any user has."""

    tastes: NDArray[np.float64]
    """(users, K, topics) points on the simplex; an unused one repeats the user's dominant taste."""
    shares: NDArray[np.float64]
    """(users, K) dominant first, 0 where unused; rows sum to one."""
    count: NDArray[np.int32]
    """(users,) how many each has, 1…K."""


def find_tastes(
    user: NDArray, item: NDArray, users: int, catalog: Catalog, max_tastes: int, choose: bool = True
) -> Tastes:
    """Return every user's tastes from the pairs user[p], item[p]; every user needs at least one pair.

    choose: decide per user how many tastes the history supports; otherwise all get the most.
    """
    order = np.lexsort((item, user))
    user, item = user[order], np.ascontiguousarray(item[order])
    topics = catalog.topics.shape[1]
    most = max(1, min(max_tastes, topics))
    fits = _fits(user, item, users, catalog, most)
    count = np.full(users, most, np.int32)
    if choose and most > 1:
        held_out = _held_out(user, item, users, catalog, most)
        worth = held_out - GAIN * np.arange(most)
        count = np.where(np.bincount(user, minlength=users) < SHORT, 1, 1 + worth.argmax(axis=1)).astype(
            np.int32
        )
    tastes, shares = np.zeros((users, most, topics)), np.zeros((users, most))
    for k, (some, parts) in enumerate(fits, start=1):
        tastes[count == k, :k], shares[count == k, :k] = some[count == k], parts[count == k]
    return _sorted(tastes, shares, count)


def _held_out(user, item, users: int, catalog: Catalog, most: int) -> NDArray[np.float64]:
    """Return (users, most) log-likelihood (without q) of held-out items under 1…most tastes."""
    start = np.searchsorted(user, np.arange(users))
    turn = (np.arange(user.size) - start[user]) % FOLDS
    score = np.zeros((users, most))
    for fold in range(FOLDS):
        out = turn == fold
        indptr = np.searchsorted(user[out], np.arange(users + 1))
        for k, (tastes, shares) in enumerate(_fits(user[~out], item[~out], users, catalog, most)):
            score[:, k] += _likelihood(indptr, item[out], tastes, shares, catalog)[2]
    return score


def _fits(user, item, users: int, catalog: Catalog, most: int) -> list[tuple[NDArray, NDArray]]:
    """Return tastes and shares with 1…most components, each the better of two starts."""
    indptr = np.searchsorted(user, np.arange(users + 1))
    patterns = Patterns.of(catalog)
    table = np.exp(catalog.match * (catalog.topics @ patterns.points.T) - patterns.log_z)
    weight = _pattern_shares(indptr, item, table, PATTERN_SWEEPS)
    first = np.argsort(-weight, axis=1, kind="stable")
    fits = []
    for k in range(1, most + 1):
        shares = np.take_along_axis(weight, first[:, :k], axis=1) + SHARE_FLOOR
        shares /= shares.sum(axis=1, keepdims=True)
        tastes, shares, score = _em(indptr, item, patterns.points[first[:, :k]], shares, patterns, catalog)
        if k > 1:
            fewer, of_fewer = fits[-1]
            others, parts = _grow(indptr, item, fewer, of_fewer, table, patterns, catalog)
            others, parts, rival = _em(indptr, item, others, parts, patterns, catalog)
            better = rival > score
            tastes[better], shares[better] = others[better], parts[better]
        fits.append((tastes, shares))
    return fits


def _grow(
    indptr, item, tastes, shares, table, patterns: Patterns, catalog: Catalog
) -> tuple[NDArray, NDArray]:
    """Return tastes and shares with one more, the pattern that promises the history most at share `ENTRY`."""
    now = _likelihood(indptr, item, tastes, shares, catalog)[3]
    best = _promise(indptr, item, np.exp(now), table, ENTRY).argmax(axis=1)
    tastes = np.concatenate([tastes, patterns.points[best][:, None]], axis=1)
    return tastes, np.concatenate([(1 - ENTRY) * shares, np.full((len(shares), 1), ENTRY)], axis=1)


def _em(
    indptr, item, tastes, shares, patterns: Patterns, catalog: Catalog
) -> tuple[NDArray, NDArray, NDArray]:
    """Return tastes, shares and the objective (users,), log-likelihood plus log prior, after EM from a start."""
    users, k, topics = tastes.shape
    match = catalog.match
    rate = min(4 / match, _FASTEST) if match else 0.0
    for _ in range(SWEEPS // k):
        weight, pull, _, _, expected, _ = _likelihood(indptr, item, tastes, shares, catalog)
        shares = weight + SHARE_PRIOR
        shares /= shares.sum(axis=1, keepdims=True)
        pattern = patterns.nearest(weight, pull, match)
        goal = (pull + PRIOR * patterns.expected[pattern]) / (weight + PRIOR)[:, :, None]
        for climb in range(CLIMBS):
            if climb:
                expected = catalog.log_z(tastes.reshape(-1, topics))[1].reshape(users, k, topics)
            tastes = np.maximum(tastes * np.exp(rate * (goal - expected)), 1e-9)
            tastes /= tastes.sum(axis=2, keepdims=True)
    weight, pull, likelihood, _, _, log_z = _likelihood(indptr, item, tastes, shares, catalog)
    pattern = patterns.nearest(weight, pull, match)
    towards = match * ((tastes - patterns.points[pattern]) * patterns.expected[pattern]).sum(axis=2)
    prior = PRIOR * (towards - log_z + patterns.log_z[pattern]) + SHARE_PRIOR * np.log(shares)
    return tastes, shares, likelihood + prior.sum(axis=1)


def _likelihood(indptr, item, tastes, shares, catalog: Catalog):
    """Return what `_e_step` returns, then E_a[x] (users, K, topics) and log Z (users, K)."""
    users, k, topics = tastes.shape
    log_z, expected = catalog.log_z(tastes.reshape(-1, topics))
    log_z = log_z.reshape(users, k)
    base = np.log(shares) - log_z
    weight, pull, of_user, of_pair = _e_step(indptr, item, tastes, base, catalog.topics, catalog.match)
    return weight, pull, of_user, of_pair, expected.reshape(users, k, topics), log_z


def _sorted(tastes: NDArray, shares: NDArray, count: NDArray) -> Tastes:
    """Return tastes dominant first, with as many columns as the richest user has."""
    order = np.argsort(-shares, axis=1, kind="stable")
    width = int(count.max())
    shares = np.take_along_axis(shares, order, axis=1)[:, :width]
    tastes = np.take_along_axis(tastes, order[:, :, None], axis=1)[:, :width]
    unused = shares == 0
    tastes[unused] = np.broadcast_to(tastes[:, :1], tastes.shape)[unused]
    return Tastes(tastes, shares, count)


@njit(cache=True)
def _e_step(indptr, item, tastes, base, topics, match):
    """Return Σ_p r_pk (users, K), Σ_p r_pk x_p (users, K, topics), log-likelihoods of users and of pairs.

    base (users, K): log share − log Z. The common factor exp(q) of an item is left out of likelihoods.
    """
    users, k, n_topics = tastes.shape
    weight = np.zeros((users, k))
    pull = np.zeros((users, k, n_topics))
    of_user, of_pair = np.zeros(users), np.zeros(item.size)
    part = np.empty(k)
    for u in range(users):
        for p in range(indptr[u], indptr[u + 1]):
            x = topics[item[p]]
            top = -np.inf
            for j in range(k):
                dot = 0.0
                for t in range(n_topics):
                    dot += tastes[u, j, t] * x[t]
                part[j] = match * dot + base[u, j]
                top = max(top, part[j])
            total = 0.0
            for j in range(k):
                part[j] = np.exp(part[j] - top)
                total += part[j]
            of_pair[p] = top + np.log(total)
            of_user[u] += of_pair[p]
            for j in range(k):
                share = part[j] / total
                weight[u, j] += share
                for t in range(n_topics):
                    pull[u, j, t] += share * x[t]
    return weight, pull, of_user, of_pair


@njit(cache=True)
def _pattern_shares(indptr, item, table, sweeps):
    """Return (users, patterns): shares of a mixture of fixed patterns; table (items, patterns) their odds."""
    users, patterns = indptr.size - 1, table.shape[1]
    shares = np.full((users, patterns), 1.0 / patterns)
    part, weight = np.empty(patterns), np.empty(patterns)
    for u in range(users):
        length = max(1, indptr[u + 1] - indptr[u])
        for _ in range(sweeps):
            weight[:] = 0.0
            for p in range(indptr[u], indptr[u + 1]):
                total = 0.0
                for g in range(patterns):
                    part[g] = shares[u, g] * table[item[p], g]
                    total += part[g]
                for g in range(patterns):
                    weight[g] += part[g] / total
            if indptr[u + 1] > indptr[u]:
                for g in range(patterns):
                    shares[u, g] = weight[g] / length
    return shares


@njit(cache=True)
def _promise(indptr, item, now, table, entry):
    """Return (users, patterns): gain in log-likelihood when a pattern enters with share `entry`.

    now (pairs,): odds of each pair under the tastes that are there.
    """
    users, patterns = indptr.size - 1, table.shape[1]
    gain = np.zeros((users, patterns))
    for u in range(users):
        for p in range(indptr[u], indptr[u + 1]):
            for g in range(patterns):
                gain[u, g] += np.log(1 - entry + entry * table[item[p], g] / now[p])
    return gain
