"""The clauses of the reranker contract, one function each; `testing.check_reranker` runs them."""

from __future__ import annotations

import numpy as np

from ..base import Ranking, Reranker
from ..interactions import Observation
from ..topk import top_k_shared
from ..validation import validate_ranking
from .example import example_observation, snapshot
from .policy_clauses import (
    Clauses,
    Make,
    N,
    assert_no_global_draws,
    assert_same,
    assert_unchanged,
    config_clause,
    construction_clause,
    global_states,
    rng_of,
)


def _candidates(seen: Observation, count: int) -> Ranking:
    """A ranking to choose from, with scores that differ by item only."""
    users = np.arange(seen.n_users, dtype=np.int32)
    scores = rng_of(3).normal(size=seen.n_items)
    return Ranking(users, *top_k_shared(scores, users, count, seen.live, seen.blocked))


def _reranked(reranker: Reranker, ranking: Ranking, seen: Observation, n: int = N) -> Ranking:
    result = reranker.rerank(ranking, seen, n, rng_of(1))
    validate_ranking(result, seen, ranking.users, n)
    wanted = np.minimum((ranking.items >= 0).sum(axis=1), n)
    found = (result.items >= 0).sum(axis=1)
    assert (found == wanted).all(), "rows must hold n items, or all where there are fewer candidates"
    assert np.isneginf(result.scores[result.items < 0]).all(), "the score beside a -1 must be -inf"
    known = (result.items[:, :, None] == ranking.items[:, None, :]).any(axis=2)
    assert known[result.items >= 0].all(), "an item was added that was not among the user's candidates"
    return result


def _shapes(make: Make) -> None:
    reranker = make()
    assert isinstance(reranker.candidates, int) and reranker.candidates >= 1, "candidates must be at least 1"
    seen = example_observation()
    for n in (1, N):
        _reranked(reranker, _candidates(seen, 30), seen, n)
    nobody = Ranking(*(part[:0] for part in vars(_candidates(seen, 30)).values()))
    _reranked(reranker, nobody, seen)


def _determinism(make: Make) -> None:
    seen = example_observation()
    ranking = _candidates(seen, 30)
    assert_same(_reranked(make(), ranking, seen), _reranked(make(), ranking, seen), "from the same ranking")


def _few(make: Make) -> None:
    seen = example_observation()
    for count in (1, N - 1, N):
        _reranked(make(), _candidates(seen, count), seen)
    everything = np.repeat(np.arange(seen.n_users, dtype=np.int32), seen.n_items)
    seen.blocked.set(everything, np.tile(np.arange(seen.n_items, dtype=np.int32), seen.n_users))
    _reranked(make(), _candidates(seen, N), seen)


def _equal_scores(make: Make) -> None:
    seen = example_observation()
    ranking = _candidates(seen, 30)
    flat = np.where(ranking.items >= 0, np.float32(1), ranking.scores)
    _reranked(make(), Ranking(ranking.users, ranking.items, flat), seen)


def _empty_log(make: Make) -> None:
    seen = example_observation(rounds=0)
    _reranked(make(), _candidates(seen, 30), seen)


def _one_user(make: Make) -> None:
    seen = example_observation(users=1)
    _reranked(make(), _candidates(seen, 30), seen)


def _inputs(make: Make) -> None:
    seen = example_observation()
    ranking = _candidates(seen, 30)
    items, scores, before = ranking.items.copy(), ranking.scores.copy(), snapshot(seen)
    make().rerank(ranking, seen, N, rng_of(1))
    same = np.array_equal(items, ranking.items) and np.array_equal(scores, ranking.scores)
    assert same, "the ranking that came in was changed"
    assert_unchanged(seen, before)


def _state(make: Make) -> None:
    """Two rounds with a checkpoint between them give the same result as two rounds without."""
    first, later = example_observation(rounds=6), example_observation(rounds=12)
    reranker = make()
    slates = _reranked(reranker, _candidates(first, 30), first)
    reranker.shown(first, slates.users, slates.items)
    kept = reranker.state()
    for name, value in kept.items():
        assert isinstance(value, np.ndarray) and value.dtype != object, (
            f"state {name!r} must be a plain array"
        )
    copy = {name: value.copy() for name, value in kept.items()}
    other, ranking = make(), _candidates(later, 30)
    other.restore(copy)
    again = _reranked(other, ranking, later)
    assert_same(_reranked(reranker, ranking, later), again, "after state() and restore()")
    other.shown(later, again.users, again.items)
    assert all(np.array_equal(copy[name], kept[name]) for name in kept), "state() must hand out copies"


def _global_rng(make: Make) -> None:
    seen = example_observation()
    ranking = _candidates(seen, 30)
    before = global_states()
    make().rerank(ranking, seen, N, rng_of(1))
    assert_no_global_draws(before)


RERANKER_CLAUSES: Clauses = {
    "construction": construction_clause,
    "config": config_clause,
    "shapes": _shapes,
    "determinism": _determinism,
    "few_candidates": _few,
    "equal_scores": _equal_scores,
    "empty_log": _empty_log,
    "one_user": _one_user,
    "inputs": _inputs,
    "state": _state,
    "global_rng": _global_rng,
}
