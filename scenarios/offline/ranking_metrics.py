"""Metrics of ranked lists against held-out items: plain functions of arrays, one value per user.

Shared shapes: `hits` (B, n) bool, whether the item at rank 1…n is relevant (false where the list has
ended); `relevant` (B,) how many items are, found or not; `items` (B, n) the ranked ids, −1 where the list
has ended. A value is NaN where it is undefined, and means leave NaN out. Each function
has its formula; docs/offline-evaluation.md explains the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ...policies.rerankers.calibrated import kl_calibration

Values = NDArray[np.float64]
"""(B,) one value per user."""


@dataclass(frozen=True)
class Metric:
    """Properties of a metric besides its formula."""

    title: str
    cutoff: bool
    """Whether it uses the first k ranks (`name@k`) or the whole ranking."""
    better: Literal["higher", "lower", "neither"]
    family: Literal["accuracy", "lists"] = "accuracy"
    """Accuracy metrics need held-out items; the others describe the lists."""


METRICS: dict[str, Metric] = {
    "recall": Metric("recall", True, "higher"),
    "ndcg": Metric("normalized discounted cumulative gain", True, "higher"),
    "precision": Metric("precision", True, "higher"),
    "hr": Metric("hit rate", True, "higher"),
    "map": Metric("mean average precision", True, "higher"),
    "mrr": Metric("mean reciprocal rank", True, "higher"),
    "ncrr": Metric("normalized cumulative reciprocal rank", False, "higher"),
    "auc": Metric("area under the ROC curve", False, "higher"),
    "arp": Metric("average popularity of listed items", True, "neither", "lists"),
    "coverage": Metric("share of the catalog on any list", True, "higher", "lists"),
    "gini": Metric("concentration of exposure over the catalog", True, "lower", "lists"),
    "miscalibration": Metric("distance of a list's topics from the history's", True, "lower", "lists"),
}
"""In the order of the documentation."""


def recall(hits: NDArray[np.bool_], relevant: ArrayLike, k: int) -> Values:
    """Return |L ∩ T| / min(k, |T|), L the first k of the list, T the relevant items.

    Range [0, 1], higher is better; 1 where the list is as good as one of length k can be. Source: the
    evaluation of Mult-VAE (Liang et al., WWW 2018). Much of the literature divides by |T| instead.
    """
    return _ratio(_found(hits, k), np.minimum(k, relevant))


def precision(hits: NDArray[np.bool_], relevant: ArrayLike, k: int) -> Values:
    """Return |L ∩ T| / k. Range [0, 1], higher is better; a list that ends early counts as length k."""
    return np.where(np.asarray(relevant) > 0, _found(hits, k) / k, np.nan)


def hit_rate(hits: NDArray[np.bool_], relevant: ArrayLike, k: int) -> Values:
    """Return 1 where at least one of the first k is relevant, else 0. Higher is better."""
    return np.where(np.asarray(relevant) > 0, _found(hits, k) > 0, np.nan)


def ndcg(hits: NDArray[np.bool_], relevant: ArrayLike, k: int) -> Values:
    """Return Σ_{r ≤ k} hit_r / log2(r + 1), divided by its largest possible value Σ_{r ≤ min(k, |T|)} 1/log2(r + 1).

    Range [0, 1], higher is better. Source: Järvelin and Kekäläinen, TOIS 2002, with gain 1 for a hit.
    """
    relevant = np.asarray(relevant)
    shown = hits[:, :k]
    gain = shown @ (1 / np.log2(np.arange(2, shown.shape[1] + 2)))
    longest = int(min(k, relevant.max(initial=0)))
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, longest + 2)))])
    return _ratio(gain, best[np.minimum(relevant, longest)])


def average_precision(hits: NDArray[np.bool_], relevant: ArrayLike, k: int) -> Values:
    """Return Σ_{r ≤ k} hit_r · (hits among the first r) / r, divided by min(k, |T|).

    Range [0, 1], higher is better; its mean over users is MAP@k.
    """
    shown = hits[:, :k]
    so_far = np.cumsum(shown, axis=1) / np.arange(1, shown.shape[1] + 1)
    return _ratio((shown * so_far).sum(axis=1), np.minimum(k, relevant))


def reciprocal_rank(hits: NDArray[np.bool_], relevant: ArrayLike, k: int) -> Values:
    """Return 1 / rank of the first hit, 0 where there is none among the first k. Range [0, 1], higher is better."""
    shown = hits[:, :k]
    if not shown.shape[1]:
        return np.where(np.asarray(relevant) > 0, 0.0, np.nan)
    first = np.where(shown.any(axis=1), 1 / (shown.argmax(axis=1) + 1), 0.0)
    return np.where(np.asarray(relevant) > 0, first, np.nan)


def ncrr(hits: NDArray[np.bool_], relevant: ArrayLike) -> Values:
    """Return Σ_{i ∈ T} 1 / rank_i, divided by its largest possible value Σ_{j ≤ |T|} 1/j; `hits` of whole rankings.

    An item that is not ranked adds 0. Range [0, 1], higher is better. Source: Chaney, Blei and
    Eliassi-Rad, RecSys 2015.
    """
    relevant = np.asarray(relevant)
    best = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, relevant.max(initial=0) + 1))])
    return _ratio(hits @ (1 / np.arange(1, hits.shape[1] + 1)), best[relevant])


def auc(
    hits: NDArray[np.bool_], listed: NDArray[np.bool_], relevant: ArrayLike, candidates: ArrayLike
) -> Values:
    """Return the probability that a relevant item stands above another candidate that is not; whole rankings.

    listed (B, n): where the ranking has an item; candidates (B,): items that could have been ranked, the
    relevant ones included. Candidates that were not ranked are tied below all that were (a tie counts
    half). Range [0, 1], .5 by chance, higher is better; NaN where every candidate is relevant.
    """
    relevant, candidates = np.asarray(relevant), np.asarray(candidates)
    others = candidates - relevant
    misses = listed & ~hits
    below = misses.sum(axis=1, keepdims=True) - np.cumsum(misses, axis=1)
    unlisted = others - misses.sum(axis=1)
    found = hits.sum(axis=1)
    won = (hits * below).sum(axis=1) + found * unlisted + (relevant - found) * unlisted / 2
    return _ratio(won, relevant * others)


def average_popularity(items: NDArray[np.integer], popularity: NDArray, k: int) -> Values:
    """Return the mean popularity of the first k: ARP@k. `popularity` (items,): users who took it in training.

    Range [0, users]; neither direction is good by itself. Source: Yin et al., VLDB 2012. NaN for an empty list.
    """
    shown = items[:, :k]
    listed = shown >= 0
    total = np.where(listed, np.asarray(popularity, np.float64)[shown], 0.0).sum(axis=1)
    return _ratio(total, listed.sum(axis=1))


def miscalibration(items: NDArray[np.integer], tags: NDArray, target: NDArray, k: int) -> Values:
    """Return C_KL(p, q): p = `target` (B, topics), the history's topics; q = the mean of `tags` of the first k.

    C_KL(p, q) = Σ_g p_g log(p_g / ((1 − α) q_g + α p_g)) with α = .01, natural logarithm, equal weights.
    Range [0, log(1/α) = 4.605], lower is better; NaN for an empty list. Source: Steck, RecSys 2018.
    """
    shown = items[:, :k]
    row, column = np.nonzero(shown >= 0)
    length = np.bincount(row, minlength=len(shown))
    weights = 1 / np.maximum(length, 1)[row]
    lists = sparse.csr_matrix((weights, (row, shown[row, column])), shape=(len(shown), len(tags)))
    mean = np.asarray(lists @ np.asarray(tags, np.float64))
    return np.where(length > 0, kl_calibration(target, mean), np.nan)


def exposures(items: NDArray[np.integer], n_items: int, k: int) -> NDArray[np.int64]:
    """Return (n_items,) in how many of the lists each item is among the first k."""
    shown = items[:, :k]
    return np.bincount(shown[shown >= 0], minlength=n_items)


def coverage(exposure: NDArray) -> float:
    """Return the share of the catalog that is on any list: Cov@k. `exposure` (items,): see `exposures`.

    Range [0, 1], higher is better. NaN for an empty catalog.
    """
    return float(np.mean(exposure > 0)) if exposure.size else float("nan")


def gini(exposure: NDArray) -> float:
    """Return the Gini coefficient of exposure over the catalog: 2 Σ_j j·x_(j) / (n Σ x) − (n + 1)/n, x ascending.

    Range [0, 1 − 1/n], lower is fairer (0: all equally often; the literature's "negative Gini" is minus this).
    NaN where nothing was shown.
    """
    x = np.sort(np.asarray(exposure, np.float64))
    if x.size == 0 or x.sum() <= 0:
        return float("nan")
    n = x.size
    return float(max(0.0, 2 * (np.arange(1, n + 1) @ x) / (n * x.sum()) - (n + 1) / n))


def find_hits(
    items: NDArray[np.integer], indptr: NDArray[np.int64], relevant: NDArray[np.integer], n_items: int
) -> NDArray[np.bool_]:
    """Return (B, n): whether items[b, r] is among relevant[indptr[b]:indptr[b+1]]."""
    return _find_hits(np.ascontiguousarray(items), indptr, relevant, n_items)


@njit(cache=True)
def _find_hits(items, indptr, relevant, n_items):
    rows, n = items.shape
    last_row = np.full(n_items, -1, np.int64)
    hits = np.zeros((rows, n), np.bool_)
    for b in range(rows):
        for place in range(indptr[b], indptr[b + 1]):
            last_row[relevant[place]] = b
        for r in range(n):
            item = items[b, r]
            hits[b, r] = item >= 0 and last_row[item] == b
    return hits


def _found(hits: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    return hits[:, :k].sum(axis=1)


def _ratio(above: ArrayLike, below: ArrayLike) -> Values:
    """Return above / below, NaN where below is 0."""
    below = np.asarray(below, np.float64)
    out = np.full(below.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out
