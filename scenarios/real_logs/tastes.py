"""Infer every user's tastes and their shares from the user's history: a mixture of at most K choice models.

Under taste a the simulator's users choose item i with probability
P(i | a) = exp(match·⟨a, x_i⟩ + q_i) / Z(a),  Z(a) = Σ_j exp(match·⟨a, x_j⟩ + q_j),
so a history is a sample of Σ_k s_k P(· | a_k), and EM (Dempster, Laird & Rubin 1977) fits shares and
tastes. The M-step for a taste is a concave problem on the simplex, solved by exponentiated gradient ascent
(Kivinen & Warmuth 1997): a ← a·exp(g / L), normalized, with the gradient g = match·(x̄_k − E_a[x]) of
the mean log-likelihood; L = match²/4 bounds its curvature, so that no step decreases it.

A taste in the simulator is focused on one topic. This is expressed as a conjugate prior: `PRIOR` pseudo-items
like those chosen under a pattern, which is a taste with weight `FOCUS` on one topic, or one that is even over
all topics. Every E-step picks again the pattern that explains the items of a taste best. Without the prior the
mixture is hardly identified: a sharper taste and a blurred one explain a history as well as two similar ones.
EM finds only a local optimum, so it starts twice, and the better result is kept for each user. One start uses
the patterns with the largest shares in a mixture of all patterns (good where a history falls apart into
topics); the other adds the most promising pattern to the fit with one taste fewer (good where there is a
focused taste beside a broad main taste). The number of tastes is chosen for each user on held-out items, in
three folds; every additional taste must gain `MIN_GAIN` nats.

All users are fitted together: an iteration costs pairs × K × topics plus users × K × prototypes × topics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .choice_model import Catalog, Patterns

PRIOR = 10.0
"""Pseudo-items per taste, distributed as under its pattern."""
SHARE_PRIOR = 0.5
"""Pseudo-items per taste that keep its share above zero."""
SHARE_FLOOR = 1e-3
"""Added to the initial share of every taste."""
PATTERN_SWEEPS = 40
"""EM iterations for the shares of the patterns."""
ENTRY_SHARE = 0.2
"""Initial share of a taste that is added to a fit."""
MIN_GAIN = 1.0
"""Nats of held-out log-likelihood that an additional taste must gain."""
FOLDS = 3
"""Parts of a history, each held out once; items are dealt to them in order of id."""
MIN_HISTORY = 2 * FOLDS
"""Users with fewer items get one taste."""
SWEEPS = 45
"""EM iterations with one taste, which starts furthest from its optimum; with K tastes, SWEEPS // K."""
GRADIENT_STEPS = 2
"""Gradient steps per M-step."""
_MAX_STEP_SIZE = 40.0
"""Upper bound of the step size 4 / match, so that a match near zero does not overflow."""


@dataclass(frozen=True)
class Tastes:
    """The fitted tastes of all users; K is the largest number of tastes of any user."""

    tastes: NDArray[np.float64]
    """(users, K, topics) points on the simplex; unused entries repeat the user's dominant taste."""
    shares: NDArray[np.float64]
    """(users, K) dominant first, 0 where unused; rows sum to one."""
    count: NDArray[np.int32]
    """(users,) number of tastes, 1…K."""


def find_tastes(
    user: NDArray, item: NDArray, users: int, catalog: Catalog, max_tastes: int, choose_count: bool = True
) -> Tastes:
    """Return every user's tastes from the pairs user[p], item[p]; every user needs at least one pair.

    choose_count: choose for each user how many tastes the history supports; otherwise everyone gets the maximum.
    """
    order = np.lexsort((item, user))
    user, item = user[order], np.ascontiguousarray(item[order])
    topics = catalog.topics.shape[1]
    most = max(1, min(max_tastes, topics))
    fits = _fit_each_count(user, item, users, catalog, most)
    count = np.full(users, most, np.int32)
    if choose_count and most > 1:
        held_out = _held_out_scores(user, item, users, catalog, most)
        penalized = held_out - MIN_GAIN * np.arange(most)
        short = np.bincount(user, minlength=users) < MIN_HISTORY
        count = np.where(short, 1, 1 + penalized.argmax(axis=1)).astype(np.int32)
    tastes, shares = np.zeros((users, most, topics)), np.zeros((users, most))
    for k, (k_tastes, k_shares) in enumerate(fits, start=1):
        tastes[count == k, :k], shares[count == k, :k] = k_tastes[count == k], k_shares[count == k]
    return _dominant_first(tastes, shares, count)


def _held_out_scores(user, item, users: int, catalog: Catalog, most: int) -> NDArray[np.float64]:
    """Return (users, most) log-likelihood (without q) of held-out items under 1…most tastes."""
    start = np.searchsorted(user, np.arange(users))
    fold_of = (np.arange(user.size) - start[user]) % FOLDS
    score = np.zeros((users, most))
    for fold in range(FOLDS):
        out = fold_of == fold
        indptr = np.searchsorted(user[out], np.arange(users + 1))
        for k, (tastes, shares) in enumerate(_fit_each_count(user[~out], item[~out], users, catalog, most)):
            score[:, k] += _likelihood(indptr, item[out], tastes, shares, catalog)[2]
    return score


def _fit_each_count(user, item, users: int, catalog: Catalog, most: int) -> list[tuple[NDArray, NDArray]]:
    """Return tastes and shares with 1…most components, each the better of two starts."""
    indptr = np.searchsorted(user, np.arange(users + 1))
    patterns = Patterns.from_catalog(catalog)
    table = np.exp(catalog.match * (catalog.topics @ patterns.points.T) - patterns.log_z)
    weight = _pattern_shares(indptr, item, table, PATTERN_SWEEPS)
    largest = np.argsort(-weight, axis=1, kind="stable")
    fits: list[tuple[NDArray, NDArray]] = []
    for k in range(1, most + 1):
        shares = np.take_along_axis(weight, largest[:, :k], axis=1) + SHARE_FLOOR
        shares /= shares.sum(axis=1, keepdims=True)
        tastes, shares, score = _em(indptr, item, patterns.points[largest[:, :k]], shares, patterns, catalog)
        if k > 1:
            start = _add_taste(indptr, item, *fits[-1], table, patterns, catalog)
            other_tastes, other_shares, other_score = _em(indptr, item, *start, patterns, catalog)
            better = other_score > score
            tastes[better], shares[better] = other_tastes[better], other_shares[better]
        fits.append((tastes, shares))
    return fits


def _add_taste(
    indptr, item, tastes, shares, table, patterns: Patterns, catalog: Catalog
) -> tuple[NDArray, NDArray]:
    """Return tastes and shares with one more taste: the pattern that gains the most at share `ENTRY_SHARE`."""
    log_odds = _likelihood(indptr, item, tastes, shares, catalog)[3]
    best = _entry_gains(indptr, item, np.exp(log_odds), table, ENTRY_SHARE).argmax(axis=1)
    tastes = np.concatenate([tastes, patterns.points[best][:, None]], axis=1)
    return tastes, np.concatenate(
        [(1 - ENTRY_SHARE) * shares, np.full((len(shares), 1), ENTRY_SHARE)], axis=1
    )


def _em(
    indptr, item, tastes, shares, patterns: Patterns, catalog: Catalog
) -> tuple[NDArray, NDArray, NDArray]:
    """Return tastes, shares and the objective (users,), log-likelihood plus log prior, after EM from a start."""
    users, k, topics = tastes.shape
    match = catalog.match
    step = min(4 / match, _MAX_STEP_SIZE) if match else 0.0
    for _ in range(SWEEPS // k):
        weight, pull, _, _, expected, _ = _likelihood(indptr, item, tastes, shares, catalog)
        shares = weight + SHARE_PRIOR
        shares /= shares.sum(axis=1, keepdims=True)
        pattern = patterns.nearest(weight, pull, match)
        target = (pull + PRIOR * patterns.expected[pattern]) / (weight + PRIOR)[:, :, None]
        for repeat in range(GRADIENT_STEPS):
            if repeat:
                expected = catalog.log_z(tastes.reshape(-1, topics))[1].reshape(users, k, topics)
            tastes = np.maximum(tastes * np.exp(step * (target - expected)), 1e-9)
            tastes /= tastes.sum(axis=2, keepdims=True)
    weight, pull, likelihood, _, _, log_z = _likelihood(indptr, item, tastes, shares, catalog)
    pattern = patterns.nearest(weight, pull, match)
    gain = match * ((tastes - patterns.points[pattern]) * patterns.expected[pattern]).sum(axis=2)
    prior = PRIOR * (gain - log_z + patterns.log_z[pattern]) + SHARE_PRIOR * np.log(shares)
    return tastes, shares, likelihood + prior.sum(axis=1)


def _likelihood(indptr, item, tastes, shares, catalog: Catalog):
    """Return the results of `_e_step`, then E_a[x] (users, K, topics) and log Z (users, K)."""
    users, k, topics = tastes.shape
    log_z, expected = catalog.log_z(tastes.reshape(-1, topics))
    log_z = log_z.reshape(users, k)
    base = np.log(shares) - log_z
    weight, pull, of_user, of_pair = _e_step(indptr, item, tastes, base, catalog.topics, catalog.match)
    return weight, pull, of_user, of_pair, expected.reshape(users, k, topics), log_z


def _dominant_first(tastes: NDArray, shares: NDArray, count: NDArray) -> Tastes:
    """Return tastes ordered by share, with as many columns as the largest number of tastes of any user."""
    order = np.argsort(-shares, axis=1, kind="stable")
    width = int(count.max())
    shares = np.take_along_axis(shares, order, axis=1)[:, :width]
    tastes = np.take_along_axis(tastes, order[:, :, None], axis=1)[:, :width]
    unused = shares == 0
    tastes[unused] = np.broadcast_to(tastes[:, :1], tastes.shape)[unused]
    return Tastes(tastes, shares, count)


@njit(cache=True)
def _e_step(indptr, item, tastes, base, topics, match):
    """Return Σ_p r_pk (users, K), Σ_p r_pk x_p (users, K, topics), and log-likelihoods of users and of pairs.

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
    """Return (users, patterns): shares of a mixture of fixed patterns.

    table (items, patterns): odds of each item under each pattern.
    """
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
def _entry_gains(indptr, item, odds, table, entry):
    """Return (users, patterns): gain in log-likelihood when a pattern is added with share `entry`.

    odds (pairs,): odds of each pair under the current tastes.
    """
    users, patterns = indptr.size - 1, table.shape[1]
    gain = np.zeros((users, patterns))
    for u in range(users):
        for p in range(indptr[u], indptr[u + 1]):
            for g in range(patterns):
                gain[u, g] += np.log(1 - entry + entry * table[item[p], g] / odds[p])
    return gain
