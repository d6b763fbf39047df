"""The summary statistics of logs against closed forms, other libraries and planted structure."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from echodrift.scenarios.calibration.log_spectrum import noise_level, singular_values
from echodrift.scenarios.calibration.pairs import Filter, Pairs, find_filter
from echodrift.scenarios.calibration.summary_statistics import (
    BY_NAME,
    Match,
    friends_ratio,
    matches,
    summarize,
    topic_divergence,
)
from echodrift.sim.streams import Streams
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import jensenshannon


def pairs_of(matrix: np.ndarray, **more) -> Pairs:
    user, item = np.nonzero(matrix)
    return Pairs(user.astype(np.int32), item.astype(np.int32), *matrix.shape, **more)


def blocks(rng: np.random.Generator, groups: int = 4, size: int = 40, inside: float = 0.5) -> np.ndarray:
    """Groups of users who take items of their own group."""
    same = np.kron(np.eye(groups), np.ones((size, size)))
    return rng.random(same.shape) < np.where(same > 0, inside, 0.03)


def test_singular_values_are_those_of_the_normalized_matrix() -> None:
    matrix = np.random.default_rng(0).random((30, 50)) < 0.3
    matrix[:, 0] = matrix[0] = True
    degrees = np.outer(matrix.sum(axis=1), matrix.sum(axis=0))
    expected = np.linalg.svd(matrix / np.sqrt(degrees), compute_uv=False)
    assert np.allclose(singular_values(pairs_of(matrix)), expected, atol=1e-7)
    assert singular_values(pairs_of(matrix))[0] == pytest.approx(1)


def test_planted_groups_are_above_noise_and_nothing_else_is() -> None:
    rng = np.random.default_rng(1)
    found = pairs_of(blocks(rng))
    values, noise = singular_values(found), noise_level(found, Streams(0))
    assert (values[1:] > noise).sum() == 3
    # Counts alone, however unequal, make no dimension.
    popular = rng.random((160, 160)) < np.outer(np.linspace(0.2, 1, 160), np.geomspace(0.02, 0.9, 160))
    nothing = pairs_of(popular[popular.any(axis=1)][:, popular.any(axis=0)])
    assert (singular_values(nothing)[1:] > noise_level(nothing, Streams(0))).sum() <= 1


def test_shuffles_keep_counts_and_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from echodrift.scenarios.calibration import log_spectrum

    found, seen = pairs_of(blocks(np.random.default_rng(2))), []
    swap = log_spectrum._swap

    def spied(user, item, there, *rest):
        swap(user, item, there, *rest)
        seen.append((user.copy(), item.copy()))

    monkeypatch.setattr(log_spectrum, "_swap", spied)
    assert noise_level(found, Streams(3), 3) == noise_level(found, Streams(3), 3)
    for user, item in seen:
        assert (np.bincount(user, minlength=found.users) == found.user_counts).all()
        assert (np.bincount(item, minlength=found.items) == found.item_counts).all()
        assert np.unique(user.astype(np.int64) * found.items + item).size == len(found)
    assert any((a[1] != b[1]).any() for a, b in itertools.pairwise(seen))


def test_divergence_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.random((20, 30)) < 0.4
    matrix[:, 0] = True
    topics = rng.dirichlet(np.ones(5), 30)
    found = pairs_of(matrix, topics=topics)
    users = np.array([topics[row].mean(axis=0) for row in matrix])
    whole = topics[found.item].mean(axis=0)
    expected = np.mean([jensenshannon(user, whole) ** 2 for user in users])
    assert topic_divergence(found) == pytest.approx(expected)


def test_friends_who_are_alike_are_told() -> None:
    rng = np.random.default_rng(4)
    matrix = blocks(rng)
    group = np.arange(160) // 40
    other = ~np.eye(160, dtype=bool)
    friends = sparse.csr_matrix((group[:, None] == group) & other & (rng.random((160, 160)) < 0.2))
    strangers = sparse.csr_matrix(other & (rng.random((160, 160)) < 0.05))

    def jaccard(a: int, b: int) -> float:
        return (matrix[a] & matrix[b]).sum() / (matrix[a] | matrix[b]).sum()

    every = [jaccard(a, b) for a in range(160) for b in range(160) if a != b]
    own = np.mean([jaccard(a, b) for a, b in zip(*friends.nonzero(), strict=True)])
    found = friends_ratio(pairs_of(matrix, ties=friends), Streams(0))
    assert found == pytest.approx(own / np.mean(every), rel=0.05)
    assert friends_ratio(pairs_of(matrix, ties=strangers), Streams(0)) == pytest.approx(1, abs=0.05)


def test_what_does_not_apply_is_left_out() -> None:
    found = summarize(pairs_of(blocks(np.random.default_rng(5))), Streams(0), capped=True)
    assert not {"user_gini", "topic_divergence", "friends_ratio"} & found.keys()
    assert found["pairs"] > 0 and found["dimensions"] == 3.5 and found["ndcg_ratio"] > 1.5


@given(st.lists(st.integers(1, 40), min_size=4, max_size=60), st.integers(1, 60))
def test_the_filter_is_what_the_counts_show(counts: list[int], cap: int) -> None:
    found = find_filter(np.minimum(counts, cap), 5)
    assert found.least == min(*counts, cap) and found.item_users == 5
    most = min(max(counts), cap)
    assert (found.most == most) == (most > 1 and np.mean(np.minimum(counts, cap) == most) >= 0.5)
    assert str(found.least) in str(found)


def test_a_filter_by_items_keeps_topics_and_ties_in_step() -> None:
    matrix = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 0]])
    ties = sparse.csr_matrix(np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]))
    found = pairs_of(matrix, topics=np.eye(3), ties=ties).of_items(2)
    assert (found.users, found.items, len(found)) == (3, 2, 5)
    assert found.topics is not None and (found.topics == np.eye(3)[:2]).all()
    assert found.ties is not None and (found.ties.toarray() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]).all()
    assert str(Filter(20, None, 5)) == "users with at least 20 items; then items with at least 5 users"


def test_matches_are_judged_in_tolerances() -> None:
    log = {"item_gini": 0.5, "dimensions": 10.5, "top_20": 0.6}
    found = {
        match.statistic.name: match
        for match in matches(log, [{"item_gini": 0.53, "dimensions": 14.5, "top_20": 0.9}] * 2)
    }
    assert found["item_gini"].verdict == "match" and found["item_gini"].tolerances == pytest.approx(0.6)
    # The half dimension of the logarithm is taken off again.
    assert (found["dimensions"].log, found["dimensions"].world) == (10, 14)
    assert (
        found["dimensions"].tolerances == pytest.approx(0.4 / 0.25) and found["dimensions"].verdict == "miss"
    )
    assert found["top_20"].verdict == "" and Match(BY_NAME["top_20"], 1, 1, 0).tolerances is None
    assert not math.isnan(found["top_20"].difference)
