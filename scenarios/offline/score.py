"""Evaluate one policy on one task: fit, fold in users, rank in blocks of users, and compute metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import was_interrupted
from ...policies.base import Policy, Ranking, Reranker
from ...policies.interactions import Blocked, IntArray, Observation
from ...policies.profiles import topic_profiles
from ...policies.validation import validate_ranking
from ...sim.streams import Streams
from . import ranking_metrics as metrics
from .metric_list import RequestedMetric
from .protocol.task import Cases, Task
from .specs import Contender

BLOCK, CELLS = 2048, 8_000_000
"""Maximum users, and ranked items, in one block; limits memory."""


@dataclass(frozen=True)
class MetricValue:
    """The value of one metric, of one policy on one task."""

    value: float
    error: float
    """Standard error of the mean over users (or test pairs); NaN for metrics of all lists together."""
    count: int
    """Users (or test pairs) with a value."""


@dataclass
class Outcome:
    """The outcome of one policy on one task."""

    policy: str
    seed: int
    status: str = "ok"
    """ "ok" or "failed"."""
    error: str = ""
    values: dict[str, MetricValue] = field(default_factory=dict)
    per_user: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Metric → (users,) or (test pairs,)."""
    labels: list[str] = field(default_factory=list)
    """(users,) or (test pairs,) original user ids."""
    fit_seconds: float = math.nan
    rank_seconds: float = math.nan
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Block:
    """Ranked items of some users, and which of them are relevant."""

    items: IntArray
    hits: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    candidates: NDArray[np.int64]
    """(B,) number of items that could have been ranked; empty if no metric needs it."""


_ACCURACY: dict[str, Callable[[_Block, int], metrics.Values]] = {
    "recall": lambda block, k: metrics.recall(block.hits, block.relevant, k),
    "ndcg": lambda block, k: metrics.ndcg(block.hits, block.relevant, k),
    "precision": lambda block, k: metrics.precision(block.hits, block.relevant, k),
    "hr": lambda block, k: metrics.hit_rate(block.hits, block.relevant, k),
    "map": lambda block, k: metrics.average_precision(block.hits, block.relevant, k),
    "mrr": lambda block, k: metrics.reciprocal_rank(block.hits, block.relevant, k),
    "ncrr": lambda block, k: metrics.ncrr(block.hits, block.relevant),
    "auc": lambda block, k: metrics.auc(block.hits, block.items >= 0, block.relevant, block.candidates),
}


def evaluate_policy(task: Task, contender: Contender, requested: list[RequestedMetric]) -> Outcome:
    """Evaluate one policy; any error of the policy becomes its outcome."""
    outcome = Outcome(contender.name, task.seed)
    try:
        _fit_and_rank(task, contender, requested, outcome)
    except Exception as error:  # noqa: BLE001  a policy may fail in any way, and that is its result
        if was_interrupted(error):
            raise KeyboardInterrupt from None
        outcome.status, outcome.error = "failed", f"{type(error).__name__}: {error}"
        outcome.values, outcome.per_user = {}, {}
    return outcome


def _fit_and_rank(
    task: Task, contender: Contender, requested: list[RequestedMetric], outcome: Outcome
) -> None:
    streams = Streams(task.seed)
    policy, rerankers = contender.build()
    began = time.perf_counter()
    policy.fit(task.train, streams("offline.fit"))
    if task.fold_in_users.size:
        policy.fold_in(task.seen, task.fold_in_users, streams("offline.fold_in"))
    outcome.fit_seconds = time.perf_counter() - began
    outcome.remarks = list(policy.remarks())
    pipeline = _Pipeline(policy, rerankers, streams)
    accuracy = [metric for metric in requested if metric.definition.family == "accuracy"]
    list_metrics = [metric for metric in requested if metric.definition.family == "lists"]
    if task.cases is None:
        outcome.labels = task.labels
        of_users = _rank_catalog(task, pipeline, accuracy, list_metrics, outcome)
    else:
        outcome.labels = [task.labels[at] for at in np.searchsorted(task.users, task.cases.user)]
        of_users = _rank_cases(task, task.cases, pipeline, accuracy) if accuracy else {}
        listed = _rank_catalog(task, pipeline, [], list_metrics, outcome) if list_metrics else {}
        for metric in list_metrics:
            if metric.label in listed:
                outcome.values[metric.label] = mean_with_error(listed[metric.label])
    outcome.per_user = of_users
    outcome.values |= {label: mean_with_error(values) for label, values in of_users.items()}
    outcome.rank_seconds = pipeline.seconds


def mean_with_error(values: NDArray[np.float64]) -> MetricValue:
    """Return mean, standard error and count of the values that are defined."""
    values = values[np.isfinite(values)]
    n = values.size
    return MetricValue(
        float(values.mean()) if n else math.nan, float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan, n
    )  # fmt: skip


class _Pipeline:
    """A fitted policy and its rerankers; measures the time that ranking takes."""

    def __init__(self, policy: Policy, rerankers: list[Reranker], streams: Streams) -> None:
        self.policy, self.rerankers, self.streams = policy, rerankers, streams
        self.seconds = 0.0

    def __call__(self, seen: Observation, users: IntArray, n: int) -> IntArray:
        """Return (B, n) ranked items. Every block gets the same generator, so results do not depend on block sizes."""
        began = time.perf_counter()
        wanted = [max(n, reranker.candidates) for reranker in self.rerankers]
        lengths = [min(max(wanted[i:], default=n), max(seen.n_items, n)) for i in range(len(wanted))] + [n]
        ranking = self.policy.rank(seen, users, lengths[0], self.streams("offline.rank"))
        self._check(ranking, seen, users, lengths[0])
        for place, reranker in enumerate(self.rerankers):
            rng = self.streams(f"offline.rerank.{place}")
            ranking = reranker.rerank(ranking, seen, lengths[place + 1], rng)
            self._check(ranking, seen, users, lengths[place + 1])
        self.seconds += time.perf_counter() - began
        return ranking.items

    def _check(self, ranking: Ranking, seen: Observation, users: IntArray, n: int) -> None:
        began = time.perf_counter()
        validate_ranking(ranking, seen, users, n)
        self.seconds -= time.perf_counter() - began


def _rank_catalog(
    task: Task,
    rank: _Pipeline,
    accuracy: list[RequestedMetric],
    list_metrics: list[RequestedMetric],
    outcome: Outcome,
) -> dict[str, NDArray[np.float64]]:
    """Rank the whole catalog for every user. Stores metrics of all lists together, returns those per user."""
    seen, live = task.seen, task.seen.live
    found: dict[str, list[NDArray]] = {}
    popularity = np.bincount(_distinct_items(task.train), minlength=seen.n_items)
    exposed = {
        metric.k: np.zeros(seen.n_items, np.int64)
        for metric in list_metrics
        if metric.name in ("coverage", "gini")
    }
    target = topic_profiles(seen) if any(metric.name == "miscalibration" for metric in list_metrics) else None
    for rows in _blocks(task.users.size, longest := _longest([*accuracy, *list_metrics], seen.n_items)):
        users = task.users[rows]
        items = rank(seen, users, longest)
        indptr = task.indptr[rows.start : rows.stop + 1]
        hits = metrics.find_hits(items, indptr, task.relevant, seen.n_items)
        free = np.empty(0, np.int64)
        if any(metric.name == "auc" for metric in accuracy):
            free = np.asarray(seen.available(users).sum(axis=1), np.int64)
        block = _Block(items, hits, np.diff(indptr), free)
        for metric in accuracy:
            found.setdefault(metric.label, []).append(_ACCURACY[metric.name](block, metric.k or 0))
        for metric in list_metrics:
            if metric.name == "arp":
                values = metrics.average_popularity(items, popularity, metric.k or 0)
            elif metric.name == "miscalibration" and target is not None:
                values = metrics.miscalibration(items, seen.tags, target[users], metric.k or 0)
            else:
                continue
            found.setdefault(metric.label, []).append(values)
        for k, counts in exposed.items():
            counts += metrics.exposures(items, seen.n_items, k or 0)
    for metric in list_metrics:
        if metric.name in ("coverage", "gini"):
            of_catalog = exposed[metric.k][live]
            value = metrics.coverage(of_catalog) if metric.name == "coverage" else metrics.gini(of_catalog)
            outcome.values[metric.label] = MetricValue(value, math.nan, task.users.size)
    return {label: np.concatenate(parts) for label, parts in found.items()}


def _rank_cases(
    task: Task, cases: Cases, rank: _Pipeline, accuracy: list[RequestedMetric]
) -> dict[str, NDArray[np.float64]]:
    """Rank each test pair's positive among its negatives, with all other items blocked.

    A user has one set of blocked items at a time, so users with several pairs are ranked in several passes.
    """
    seen = task.seen
    sizes = np.diff(cases.indptr)
    found = {metric.label: np.full(cases.user.size, np.nan) for metric in accuracy}
    for places in _passes(cases.user):
        for rows in _blocks(places.size, int(sizes.max())):
            part = places[rows]
            users = cases.user[part]
            own = Blocked(seen.n_users, seen.n_items)
            own.bits[users] = 255
            picked = np.concatenate([cases.candidates[cases.indptr[j] : cases.indptr[j + 1]] for j in part])
            own.clear(np.repeat(users, sizes[part]), picked)
            items = rank(replace(seen, blocked=own), users, int(sizes[part].max()))
            hits = metrics.find_hits(items, np.arange(part.size + 1), cases.item[part], seen.n_items)
            block = _Block(items, hits, np.ones(part.size, np.int64), sizes[part])
            for metric in accuracy:
                found[metric.label][part] = _ACCURACY[metric.name](block, metric.k or 0)
    return found


def _passes(user: IntArray) -> Iterator[NDArray[np.int64]]:
    """Yield indices into `user` in passes without a repeated user, each in ascending order of users."""
    order = np.argsort(user, kind="stable")
    repetition = np.arange(user.size) - np.searchsorted(user[order], user[order])
    for number in range(int(repetition.max(initial=-1)) + 1):
        yield order[repetition == number]


def _blocks(users: int, length: int) -> Iterator[slice]:
    size = max(16, min(BLOCK, CELLS // max(length, 1)))
    for start in range(0, users, size):
        yield slice(start, min(start + size, users))


def _longest(requested: list[RequestedMetric], n_items: int) -> int:
    """Return the length of rankings: the largest cutoff, or the whole catalog."""
    if any(metric.k is None for metric in requested):
        return n_items
    return min(max((metric.k or 1 for metric in requested), default=1), n_items)


def _distinct_items(seen: Observation) -> IntArray:
    """Return the item of every distinct (user, item) pair of the log."""
    return seen.counts.indices
