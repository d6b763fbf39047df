"""One policy on one task: fit, fold in, rank block by block, and judge the rankings."""

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
from .metric_list import Asked
from .protocol.task import Cases, Task
from .specs import Contender

BLOCK, CELLS = 2048, 8_000_000
"""Users ranked at once, and ranked items, at most: bounds memory."""


@dataclass(frozen=True)
class Judged:
    """One metric of one policy on one task."""

    value: float
    error: float
    """Standard error of the mean over users (or test pairs); NaN for metrics of all lists together."""
    count: int
    """Users (or test pairs) with a value."""


@dataclass
class Outcome:
    """What came of one policy on one task."""

    policy: str
    seed: int
    status: str = "ok"
    """ "ok" or "failed"."""
    error: str = ""
    values: dict[str, Judged] = field(default_factory=dict)
    per_user: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Metric → (users,) or (test pairs,)."""
    labels: list[str] = field(default_factory=list)
    """(users,) or (test pairs,) original user ids."""
    fit_seconds: float = math.nan
    rank_seconds: float = math.nan
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Block:
    """Ranked items of some users beside what they should have been."""

    items: IntArray
    hits: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    candidates: NDArray[np.int64]
    """(B,) items that could have been ranked; empty where nothing asks."""


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


def carry_out(task: Task, contender: Contender, asked: list[Asked]) -> Outcome:
    """Do one job; whatever goes wrong inside it becomes its outcome."""
    outcome = Outcome(contender.name, task.seed)
    try:
        _carry_out(task, contender, asked, outcome)
    except Exception as error:  # noqa: BLE001  a policy may fail in any way, and that is its result
        if was_interrupted(error):
            raise KeyboardInterrupt from None
        outcome.status, outcome.error = "failed", f"{type(error).__name__}: {error}"
        outcome.values, outcome.per_user = {}, {}
    return outcome


def _carry_out(task: Task, contender: Contender, asked: list[Asked], outcome: Outcome) -> None:
    streams = Streams(task.seed)
    policy, rerankers = contender.build()
    began = time.perf_counter()
    policy.fit(task.fit, streams("offline.fit"))
    if task.fold.size:
        policy.fold_in(task.seen, task.fold, streams("offline.fold_in"))
    outcome.fit_seconds = time.perf_counter() - began
    outcome.remarks = list(policy.remarks())
    pipeline = _Pipeline(policy, rerankers, streams)
    accuracy = [one for one in asked if one.about.of == "accuracy"]
    about_lists = [one for one in asked if one.about.of == "lists"]
    if task.cases is None:
        outcome.labels = task.labels
        of_users = _judge_all(task, pipeline, accuracy, about_lists, outcome)
    else:
        outcome.labels = [task.labels[at] for at in np.searchsorted(task.users, task.cases.user)]
        of_users = _judge_cases(task, task.cases, pipeline, accuracy) if accuracy else {}
        listed = _judge_all(task, pipeline, [], about_lists, outcome) if about_lists else {}
        for one in about_lists:
            if one.label in listed:
                outcome.values[one.label] = judged(listed[one.label])
    outcome.per_user = of_users
    outcome.values |= {label: judged(values) for label, values in of_users.items()}
    outcome.rank_seconds = pipeline.seconds


def judged(values: NDArray[np.float64]) -> Judged:
    """Return mean, standard error and count of the values that are defined."""
    values = values[np.isfinite(values)]
    n = values.size
    return Judged(
        float(values.mean()) if n else math.nan, float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan, n
    )  # fmt: skip


class _Pipeline:
    """A fitted policy and its rerankers; keeps the time that ranking takes."""

    def __init__(self, policy: Policy, rerankers: list[Reranker], streams: Streams) -> None:
        self.policy, self.rerankers, self.streams = policy, rerankers, streams
        self.seconds = 0.0

    def __call__(self, seen: Observation, users: IntArray, n: int) -> IntArray:
        """Return (B, n) ranked items. Every block gets the same generator, so blocks do not show in the result."""
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


def _judge_all(
    task: Task, rank: _Pipeline, accuracy: list[Asked], about_lists: list[Asked], outcome: Outcome
) -> dict[str, NDArray[np.float64]]:
    """Rank everything for every user; writes metrics of all lists together, returns those with a value per user."""
    seen, live = task.seen, task.seen.live
    found: dict[str, list[NDArray]] = {}
    popularity = np.bincount(_distinct_items(task.fit), minlength=seen.n_items)
    exposed = {
        one.k: np.zeros(seen.n_items, np.int64) for one in about_lists if one.name in ("coverage", "gini")
    }
    target = topic_profiles(seen) if any(one.name == "miscalibration" for one in about_lists) else None
    for rows in _blocks(task.users.size, longest := _longest([*accuracy, *about_lists], seen.n_items)):
        users = task.users[rows]
        items = rank(seen, users, longest)
        indptr = task.indptr[rows.start : rows.stop + 1]
        hits = metrics.find_hits(items, indptr, task.relevant, seen.n_items)
        free = np.empty(0, np.int64)
        if any(one.name == "auc" for one in accuracy):
            free = np.asarray(seen.available(users).sum(axis=1), np.int64)
        block = _Block(items, hits, np.diff(indptr), free)
        for one in accuracy:
            found.setdefault(one.label, []).append(_ACCURACY[one.name](block, one.k or 0))
        for one in about_lists:
            if one.name == "arp":
                values = metrics.average_popularity(items, popularity, one.k or 0)
            elif one.name == "miscalibration" and target is not None:
                values = metrics.miscalibration(items, seen.tags, target[users], one.k or 0)
            else:
                continue
            found.setdefault(one.label, []).append(values)
        for k, counts in exposed.items():
            counts += metrics.exposures(items, seen.n_items, k or 0)
    for one in about_lists:
        if one.name in ("coverage", "gini"):
            of_catalog = exposed[one.k][live]
            value = metrics.coverage(of_catalog) if one.name == "coverage" else metrics.gini(of_catalog)
            outcome.values[one.label] = Judged(value, math.nan, task.users.size)
    return {label: np.concatenate(parts) for label, parts in found.items()}


def _judge_cases(
    task: Task, cases: Cases, rank: _Pipeline, accuracy: list[Asked]
) -> dict[str, NDArray[np.float64]]:
    """Rank each test pair's positive among its negatives: everything else is blocked meanwhile.

    A user has one set of blocked items at a time, so users with several pairs are ranked in several passes.
    """
    seen = task.seen
    sizes = np.diff(cases.indptr)
    found = {one.label: np.full(cases.user.size, np.nan) for one in accuracy}
    for turn in _turns(cases.user):
        for rows in _blocks(turn.size, int(sizes.max())):
            part = turn[rows]
            users = cases.user[part]
            own = Blocked(seen.n_users, seen.n_items)
            own.bits[users] = 255
            picked = np.concatenate([cases.candidates[cases.indptr[j] : cases.indptr[j + 1]] for j in part])
            own.clear(np.repeat(users, sizes[part]), picked)
            items = rank(replace(seen, blocked=own), users, int(sizes[part].max()))
            hits = metrics.find_hits(items, np.arange(part.size + 1), cases.item[part], seen.n_items)
            block = _Block(items, hits, np.ones(part.size, np.int64), sizes[part])
            for one in accuracy:
                found[one.label][part] = _ACCURACY[one.name](block, one.k or 0)
    return found


def _turns(user: IntArray) -> Iterator[NDArray[np.int64]]:
    """Give the places of `user` in passes without a repeated user, each in ascending order of users."""
    order = np.argsort(user, kind="stable")
    turn = np.arange(user.size) - np.searchsorted(user[order], user[order])
    for number in range(int(turn.max(initial=-1)) + 1):
        yield order[turn == number]


def _blocks(users: int, length: int) -> Iterator[slice]:
    size = max(16, min(BLOCK, CELLS // max(length, 1)))
    for start in range(0, users, size):
        yield slice(start, min(start + size, users))


def _longest(asked: list[Asked], n_items: int) -> int:
    """Return how long rankings must be: the largest cutoff, or everything."""
    if any(one.k is None for one in asked):
        return n_items
    return min(max((one.k or 1 for one in asked), default=1), n_items)


def _distinct_items(seen: Observation) -> IntArray:
    """Return the item of every distinct (user, item) pair of the log."""
    return seen.counts.indices
