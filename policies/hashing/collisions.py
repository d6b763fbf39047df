"""Who shares rows of an ID table, and what it costs them: collision rates and damage by item frequency.

    table = sharing(policy.rows_of("items", seen.n_items))
    found = impressions(policy, seen, held_users, held_items, rng)
    by_frequency(found.loss, held_items, seen.popularity)

For a uniform hash into M slots, n ids: the expected collision rate (1 − distinct after/before, as Monolith reports
it; Liu et al., arXiv 2209.07663) is 1 − M(1 − e^(−n/M))/n, and an id shares its slot with probability
1 − (1 − 1/M)^(n−1), whatever its frequency. What depends on frequency is the damage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..interactions import IntArray, Observation
from .hashed_mf import HashedMF
from .logistic_mf import DEFAULT


def expected_collision_rate(ids: float, slots: float) -> float:
    """Return 1 − M(1 − e^(−n/M))/n."""
    return float(1 + slots * np.expm1(-ids / slots) / ids)


def expected_sharing(ids: float, slots: float) -> float:
    """Return the probability that a given id has another in its slot, 1 − (1 − 1/M)^(n−1)."""
    return float(1 - (1 - 1 / slots) ** (ids - 1))


@dataclass(frozen=True)
class Sharing:
    """Which ids have the same rows."""

    partners: NDArray[np.int64]
    """(n,) other ids with exactly the same rows; −1 for an id without a row (those share the default one)."""
    collision_rate: float
    """1 − distinct rows / ids with rows."""
    shared: float
    """Share of the ids with rows that have a partner: up to twice the collision rate where few collide."""


def sharing(rows: IntArray) -> Sharing:
    """Return who shares, from rows (n, parts) as `HashedMF.rows_of` gives them."""
    has = rows[:, 0] != DEFAULT
    _, group, sizes = np.unique(rows[has], axis=0, return_inverse=True, return_counts=True)
    partners = np.full(len(rows), -1, np.int64)
    partners[has] = sizes[group.ravel()] - 1
    count = max(int(has.sum()), 1)
    rate = 1 - sizes.size / count if has.any() else 0.0
    return Sharing(partners, rate, float((partners > 0).sum() / count))


@dataclass(frozen=True)
class Impressions:
    """How held-out interactions fared, each array (n,)."""

    loss: NDArray[np.float64]
    """−log of the softmax share of the item among itself and the negatives drawn for it."""
    auc: NDArray[np.float64]
    """Share of the negatives that score lower; a tie counts half."""
    hit: NDArray[np.float64]
    """Whether the item was among the user's top n."""


def impressions(
    policy: HashedMF,
    seen: Observation,
    users: IntArray,
    items: IntArray,
    rng: Generator,
    negatives: int = 100,
    n: int = 20,
) -> Impressions:
    """Judge the held-out pairs users[j], items[j] against live items drawn uniformly, and in the top n."""
    drawn = rng.choice(np.flatnonzero(seen.live), (users.size, negatives))
    scores = (
        policy.log_lift(np.repeat(users, negatives), drawn.ravel()).reshape(drawn.shape).astype(np.float64)
    )
    own = policy.log_lift(users, items).astype(np.float64)[:, None]
    who, row = np.unique(users, return_inverse=True)
    ranked = policy.rank(seen, who.astype(np.int32), n, rng).items
    return Impressions(
        loss=np.log1p(np.exp(scores - own).sum(axis=1)),
        auc=((scores < own) + 0.5 * (scores == own)).mean(axis=1),
        hit=(ranked[row] == items[:, None]).any(axis=1).astype(np.float64),
    )


def by_frequency(
    values: NDArray[Any], items: IntArray, frequency: NDArray[Any], groups: int = 10
) -> dict[str, NDArray[np.float64]]:
    """Average `values` (one per impression of items[j]) by frequency group of the item, rarest first.

    Groups hold equally many of the items of `frequency` (n_items,). Columns: `frequency` (mean in the group),
    `items` and `impressions` (judged), `by_id` (mean over items of each item's mean) and `by_impression`
    (mean over impressions). NaN where a group has no impressions.
    """
    order = np.argsort(frequency, kind="stable")
    group = np.empty(frequency.size, np.int64)
    group[order] = np.arange(frequency.size) * groups // frequency.size
    count = np.bincount(items, minlength=frequency.size)
    total = np.bincount(items, weights=values, minlength=frequency.size)
    judged = count > 0
    own = np.divide(total, count, out=np.zeros(total.size), where=judged)

    def per_group(weights: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(group, weights=weights, minlength=groups).astype(np.float64)

    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "frequency": per_group(frequency) / per_group(np.ones(group.size)),
            "items": per_group(judged),
            "impressions": per_group(count),
            "by_id": per_group(own) / per_group(judged),
            "by_impression": per_group(total) / per_group(count),
        }
