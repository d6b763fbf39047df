"""Topic profiles p(g|u) of users, computed from their histories; content and calibration use them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .interactions import Observation


def topic_profiles(
    seen: Observation, *, window: int | None = None, half_life: float | None = None
) -> NDArray[np.float64]:
    """Return (n_users, topics): the mean tag of what each user took; rows sum to one.

    p(g|u) = Σ_j w_j tag(i_j, g) / Σ_j w_j over the user's log entries j, so an item counts as often as
    it was taken (or, in a weighted log, as much as its entries weigh). `window`: only the last so many rounds.
    `half_life`: w_j = 2^(−age / half_life), age in rounds; 1 without it. A user without entries in the window
    has the profile of all their history; one without any history has the population's, the mean over all entries;
    if the log is empty, that is the mean tag of the live catalog.
    """
    log = seen.last(window)
    weights = np.ones(0)
    if half_life is not None:
        # The log is in time order, so the newest entry sets the scale and nothing underflows to 0/0.
        newest = log.round[-1] if len(log) else 0
        weights = np.exp2((log.round.astype(np.float64) - newest) / half_life)
    if log.weight is not None:
        weights = log.weight.astype(np.float64) * (weights if weights.size else 1.0)
    indptr, topics, values = sparse_tags(seen.tags)
    sums, totals = _gather(
        log.user, log.item, weights, indptr, topics, values, seen.n_users, seen.tags.shape[1]
    )
    known = totals > 0
    sums[known] /= totals[known, None]
    if not known.all():
        sums[~known] = (
            _population(seen, indptr, topics, values)
            if window is None
            else topic_profiles(seen, half_life=half_life)[~known]
        )
    return sums


def _population(seen: Observation, indptr, topics, values) -> NDArray[np.float64]:
    """Return (topics,) the mean tag of all log entries, or of the catalog where there are none."""
    items, weights = seen.log.item, np.ones(0)
    if seen.log.weight is not None:
        weights = seen.log.weight.astype(np.float64)
    if items.size == 0:
        items = np.flatnonzero(seen.live).astype(np.int32)
    if items.size == 0:
        items = np.arange(seen.n_items, dtype=np.int32)
    sums, totals = _gather(
        np.zeros_like(items), items, weights, indptr, topics, values, 1, seen.tags.shape[1]
    )
    return sums[0] / (totals[0] or 1)


@njit(cache=True)
def sparse_tags(tags):
    """Return the nonzero entries of `tags` (items, topics) in compressed rows: indptr, topics, values."""
    n_items, n_topics = tags.shape
    indptr = np.zeros(n_items + 1, np.int64)
    for i in range(n_items):
        count = 0
        for g in range(n_topics):
            count += tags[i, g] != 0
        indptr[i + 1] = indptr[i] + count
    topics = np.empty(indptr[n_items], np.int32)
    values = np.empty(indptr[n_items], np.float64)
    at = 0
    for i in range(n_items):
        for g in range(n_topics):
            if tags[i, g] != 0:
                topics[at], values[at] = g, tags[i, g]
                at += 1
    return indptr, topics, values


@njit(cache=True)
def _gather(user, item, weights, indptr, topics, values, n_users, n_topics):
    sums, totals = np.zeros((n_users, n_topics)), np.zeros(n_users)
    for j in range(user.size):
        weight = weights[j] if weights.size else 1.0
        u, i = user[j], item[j]
        totals[u] += weight
        for at in range(indptr[i], indptr[i + 1]):
            sums[u, topics[at]] += weight * values[at]
    return sums, totals
