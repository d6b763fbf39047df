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
history as well as two alike. EM starts from the patterns with the largest shares in a mixture of all
patterns as they are, which has one optimum only. How many tastes stay is decided per user on held-out
items: three folds, and each further taste must gain `GAIN` nats.

All users move together: an iteration costs pairs × K × topics plus users × K × prototypes × topics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

PRIOR = 10.0
"""Pseudo-items per taste, as its pattern would take them."""
SHARE_PRIOR = 0.5
"""Pseudo-items per taste that keep a share off zero."""
FOCUS = 0.85
"""Weight of its own topic in a focused taste."""
SHARE_FLOOR = 1e-3
"""Added to the share that a taste starts with."""
PATTERN_SWEEPS = 40
"""EM iterations for the shares of the patterns."""
GAIN = 2.0
"""Nats of held-out log-likelihood that one more taste must bring."""
FOLDS = 3
"""Parts of a history, each held out once; items take turns in order of id."""
SHORT = 2 * FOLDS
"""A shorter history gets one taste."""
SWEEPS = 50
"""EM iterations with one taste; with K, a K-th of them: a single taste, which starts furthest away, needs most."""
CLIMBS = 2
"""Gradient steps per M-step."""
_FASTEST = 40.0
"""Bound on 4 / match, so that a match near zero cannot overflow."""
PROTOTYPES = 256
"""Points that stand for the catalog in Z(a); exact where no more mixtures exist."""


@dataclass(frozen=True)
class Tastes:
    """What was found; K = the most tastes that any user has."""

    tastes: NDArray[np.float64]
    """(users, K, topics) points on the simplex; an unused one repeats the user's dominant taste."""
    shares: NDArray[np.float64]
    """(users, K) dominant first, 0 where unused; rows sum to one."""
    count: NDArray[np.int32]
    """(users,) how many each has, 1…K."""


@dataclass(frozen=True)
class Catalog:
    """What the choice model needs of the items: their mixtures, and few points that stand for them in Z."""

    topics: NDArray[np.float32]
    """(items, topics)"""
    quality: NDArray[np.float32]
    """(items,)"""
    points: NDArray[np.float32]
    """(prototypes, topics)"""
    log_mass: NDArray[np.float32]
    """(prototypes,) log Σ exp(q) over the items each stands for."""
    match: float

    def log_z(self, tastes: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return log Z (n,) and E_a[x] (n, topics) for tastes (n, topics)."""
        values = tastes.astype(np.float32) @ (np.float32(self.match) * self.points.T)
        values += self.log_mass
        top = values.max(axis=1, keepdims=True)
        values -= top
        np.exp(values, out=values)
        total = values.sum(axis=1, keepdims=True)
        expected = (values @ self.points) / total
        return (top + np.log(total))[:, 0], expected


def catalog_of(topics: NDArray, quality: NDArray, match: float) -> Catalog:
    """Return the items with their prototypes: the distinct mixtures, or else weighted k-means centers."""
    mixtures, member = np.unique(np.round(topics, 4), axis=0, return_inverse=True)
    mass = np.exp(np.asarray(quality, np.float64))
    if len(mixtures) > PROTOTYPES:
        from sklearn.cluster import KMeans

        means = KMeans(PROTOTYPES, n_init=1, init="random", max_iter=15, random_state=0)
        member = means.fit(topics, sample_weight=np.sqrt(mass)).labels_
    groups = int(member.max()) + 1
    total = np.bincount(member, mass, minlength=groups)
    points = np.stack([np.bincount(member, mass * column, minlength=groups) for column in topics.T], axis=1)
    used = total > 0
    points, total = points[used] / total[used, None], total[used]
    return Catalog(
        topics.astype(np.float32),
        quality.astype(np.float32),
        points.astype(np.float32),
        np.log(total).astype(np.float32),
        match,
    )


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
    """Return tastes and shares with 1…most components, each started from the patterns that fit best."""
    indptr = np.searchsorted(user, np.arange(users + 1))
    patterns = Patterns.of(catalog)
    table = np.exp(catalog.match * (catalog.topics @ patterns.points.T) - patterns.log_z)
    weight = _pattern_shares(indptr, item, table, PATTERN_SWEEPS)
    first = np.argsort(-weight, axis=1, kind="stable")
    fits = []
    for k in range(1, most + 1):
        shares = np.take_along_axis(weight, first[:, :k], axis=1) + SHARE_FLOOR
        shares /= shares.sum(axis=1, keepdims=True)
        fits.append(_em(indptr, item, patterns.points[first[:, :k]], shares, patterns, catalog))
    return fits


@dataclass(frozen=True)
class Patterns:
    """Typical tastes: focused on each topic, and (last) even over all."""

    points: NDArray[np.float64]
    """(topics + 1, topics)"""
    log_z: NDArray[np.float32]
    """(topics + 1,)"""
    expected: NDArray[np.float32]
    """(topics + 1, topics) mean topics of the items that each would take."""

    @classmethod
    def of(cls, catalog: Catalog) -> Patterns:
        topics = catalog.topics.shape[1]
        even = np.full((1, topics), 1 / topics)
        points = np.concatenate([FOCUS * np.eye(topics) + (1 - FOCUS) * even, even])
        return cls(points, *catalog.log_z(points))


def _em(indptr, item, tastes, shares, patterns: Patterns, catalog: Catalog) -> tuple[NDArray, NDArray]:
    """Return tastes and shares after EM from a start."""
    users, k, topics = tastes.shape
    rate = min(4 / catalog.match, _FASTEST) if catalog.match else 0.0
    for _ in range(SWEEPS // k):
        weight, pull, _, _, expected = _likelihood(indptr, item, tastes, shares, catalog)
        shares = weight + SHARE_PRIOR
        shares /= shares.sum(axis=1, keepdims=True)
        fit = catalog.match * (pull @ patterns.points.T) - weight[:, :, None] * patterns.log_z
        prior = patterns.expected[fit.argmax(axis=2)]
        goal = (pull + PRIOR * prior) / (weight + PRIOR)[:, :, None]
        for climb in range(CLIMBS):
            if climb:
                expected = catalog.log_z(tastes.reshape(-1, topics))[1].reshape(users, k, topics)
            tastes = np.maximum(tastes * np.exp(rate * (goal - expected)), 1e-9)
            tastes /= tastes.sum(axis=2, keepdims=True)
    return tastes, shares


def _likelihood(indptr, item, tastes, shares, catalog: Catalog):
    """Return what `_e_step` returns, and E_a[x] (users, K, topics)."""
    users, k, topics = tastes.shape
    log_z, expected = catalog.log_z(tastes.reshape(-1, topics))
    base = np.log(shares) - log_z.reshape(users, k)
    weight, pull, of_user, of_pair = _e_step(indptr, item, tastes, base, catalog.topics, catalog.match)
    return weight, pull, of_user, of_pair, expected.reshape(users, k, topics)


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
