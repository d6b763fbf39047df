"""mmr, dpp and xquad: written plainly, by determinants, and against all slates where greedy is exact."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from echodrift.policies.base import Ranking
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.rerankers.dpp import DPP
from echodrift.policies.rerankers.mmr import MMR
from echodrift.policies.rerankers.xquad import XQuAD
from echodrift.policies.testing.example import example_observation
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

RNG = np.random.default_rng(0)


@pytest.fixture
def world(observation, mixtures):
    """Eight users with histories over 30 items of mixed topics, and their scores."""
    rng = np.random.default_rng(11)
    tags = mixtures(rng, 30, 5)
    return observation(tags, [list(rng.integers(0, 30, 12)) for _ in range(8)]), rng.normal(size=(8, 30))


def cosines(seen, similarity):
    """Of tags, or of who took what, by scikit-learn."""
    return cosine_similarity(seen.tags if similarity == "topics" else (seen.counts > 0).T.toarray())


@pytest.mark.parametrize("similarity", ["topics", "taken"])
@pytest.mark.parametrize("weight", [0.2, 0.6, 1.0])
def test_mmr_written_plainly(world, ranking_of, minmax, similarity, weight):
    seen, raw = world
    got = MMR(weight=weight, similarity=similarity).rerank(ranking_of(raw), seen, 8, RNG).items
    alike = cosines(seen, similarity).round(6)
    for u in range(8):
        s, left, slate = minmax(raw[u]), list(np.argsort(-np.float32(raw[u]), kind="stable")), []
        for _ in range(8):
            near = {i: max((alike[i, j] for j in slate), default=0) for i in left}
            value = {i: round((1 - weight) * s[i] - weight * near[i], 6) for i in left}
            slate.append(max(left, key=value.get))
            left.remove(slate[-1])
        # up to rounding in the sixth digit, both are the same greedy
        assert list(got[u]) == slate or weight == 1.0
        if weight == 1.0:
            chosen = list(got[u])
            for r in range(1, 8):
                near = lambda i, r=r, chosen=chosen: alike[i, chosen[:r]].max()
                assert near(chosen[r]) <= min(near(i) for i in set(range(30)) - set(chosen[:r])) + 1e-5


@pytest.mark.parametrize("similarity", ["topics", "taken"])
@pytest.mark.parametrize("weight", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_dpp_is_greedy_on_determinants(world, ranking_of, minmax, similarity, weight, share):
    seen, raw = world
    reranker = DPP(weight=weight, similarity=similarity, similarity_share=share)
    got = reranker.rerank(ranking_of(raw), seen, 8, RNG).items
    kernel = share * cosines(seen, similarity)
    np.fill_diagonal(kernel, 1)
    theta = 1 - weight
    for u in range(8):
        q = np.exp(theta * minmax(raw[u]) / (2 * (1 - theta)))
        kernel_of_user = q[:, None] * kernel * q
        volume = lambda slate, L=kernel_of_user: np.linalg.slogdet(L[np.ix_(slate, slate)])[1]
        slate: list[int] = []
        for item in got[u]:
            best = max(volume([*slate, i]) for i in range(30) if i not in slate)
            slate.append(int(item))
            assert volume(slate) == pytest.approx(best, abs=1e-4)


def test_dpp_fills_up_when_nothing_is_left_to_span(observation, ranking_of):
    topic = np.array([0, 0, 0, 1, 1, 2])
    seen = observation(np.eye(3)[topic], [[0]])
    scores = np.array([9, 8, 7, 6, 5, 4.0])
    full = DPP(weight=0.1, similarity_share=1.0).rerank(ranking_of(scores), seen, 6, RNG)
    # one of each topic by score, then the rest as they were ranked
    np.testing.assert_array_equal(full.items[0], [0, 3, 5, 1, 2, 4])
    np.testing.assert_array_equal(full.scores[0], scores[[0, 3, 5, 1, 2, 4]])


def coverage(chosen, s, p, tags, weight, success):
    """(1 − λ)·Σ s + λ·Σ_c p_c (1 − Π (1 − success·tag))."""
    open_part = (1 - success * tags.astype(np.float64)[chosen]).prod(axis=-2)
    return (1 - weight) * s[chosen].sum(axis=-1) + weight * ((1 - open_part) * p).sum(axis=-1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.05, 1), st.floats(0.05, 1))
def test_xquad_is_exact_where_items_have_one_topic(seed, weight, success):
    seen = example_observation()
    tags = seen.tags
    single = np.flatnonzero(tags.max(axis=1) == 1)
    rng = np.random.default_rng(seed)
    items = rng.choice(single, 11, replace=False).astype(np.int32)[None]
    scores = -np.sort(-rng.random((1, 11)).astype(np.float32))
    user = np.array([rng.integers(0, seen.n_users)], np.int32)
    got = XQuAD(weight=weight, success=success).rerank(Ranking(user, items, scores), seen, 4, rng).items[0]
    s = np.zeros(seen.n_items)
    s[items[0]] = (scores[0].astype(float) - scores.min()) / (float(scores.max()) - scores.min())
    p = topic_profiles(seen)[user[0]]
    everything = items[0][np.array(list(combinations(range(11), 4)))]
    best = coverage(everything, s, p, tags, weight, success).max()
    assert coverage(got, s, p, tags, weight, success) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("weight", [0.4, 0.9])
def test_xquad_written_plainly(world, ranking_of, minmax, weight):
    seen, raw = world
    got = XQuAD(weight=weight, success=0.7).rerank(ranking_of(raw), seen, 8, RNG).items
    for u, p in enumerate(topic_profiles(seen)):
        s, slate = minmax(raw[u]), []
        for item in got[u]:
            value = lambda i, slate=slate, s=s, p=p: coverage(
                np.array([*slate, i]), s, p, seen.tags, weight, 0.7
            )
            best = max(value(i) for i in range(30) if i not in slate)
            assert value(item) == pytest.approx(best, abs=1e-9)
            slate.append(int(item))


def test_xquad_covers_the_head_and_the_tail(observation, ranking_of):
    """The users who took niche items get them, the others do not."""
    histories = [[0, 1, 0, 1, 0, 1]] * 8 + [[8, 9, 8, 9, 8, 9, 0]]
    seen = observation(np.ones((10, 1)), histories)
    raw = np.tile(np.arange(10, 0, -1.0), (9, 1))
    got = XQuAD(aspects="popularity", weight=0.97, success=1.0).rerank(ranking_of(raw), seen, 2, RNG).items
    # items 0 and 1 are the head, all else is niche
    np.testing.assert_array_equal(got[0], [0, 1])
    np.testing.assert_array_equal(got[8], [2, 0])


def test_items_of_equal_mixed_tags_exclude_each_other(observation, ranking_of):
    """Rounding of unit vectors leaves a duplicate about 1e-7, which is nothing."""
    kinds = np.random.default_rng(2).dirichlet(np.full(24, 0.6), 5)
    seen = observation(kinds[np.repeat(np.arange(5), 8)], [[0]])
    scores = np.arange(40, 0, -1.0)
    got = DPP(weight=1.0, similarity_share=1.0).rerank(ranking_of(scores), seen, 12, RNG).items[0]
    # one of each kind, then what is left as it was ranked
    assert sorted(got[:5] // 8) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(got[5:], [i for i in range(40) if i not in got[:5]][:7])


def test_tags_that_span_three_dimensions_are_used_up_by_three_items(observation, ranking_of):
    rng = np.random.default_rng(4)
    tags = rng.dirichlet(np.ones(3), 40) @ rng.dirichlet(np.full(24, 0.6), 3)
    seen = observation(tags, [[0]])
    got = (
        DPP(weight=1.0, similarity_share=1.0)
        .rerank(ranking_of(np.arange(40, 0, -1.0)), seen, 10, RNG)
        .items[0]
    )
    unit = tags / np.linalg.norm(tags, axis=1, keepdims=True)
    for r in range(
        3
    ):  # exactly, in double precision: the item with the most outside the span of those before
        basis = np.linalg.qr(unit[got[:r]].T)[0] if r else np.zeros((24, 1))
        left = 1 - ((unit @ basis) ** 2).sum(axis=1)
        assert left[got[r]] >= left.max() - 1e-6
    np.testing.assert_array_equal(got[3:], [i for i in range(40) if i not in got[:3]][:7])
