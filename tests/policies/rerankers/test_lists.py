"""Rerankers one behind the other: slates are built for the slots that people see."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.policies.base import Ranking
from echodrift.policies.registry import build_policy, build_reranker
from echodrift.policies.rerankers.candidates import append_rest
from echodrift.policies.testing.example import example_observation
from echodrift.sim.recommender import PolicyRecommender
from echodrift.sim.streams import Streams
from hypothesis import given
from hypothesis import strategies as st

N = 6
NOTHING = {"kind": "niche_floor", "slots": 0}
BUILDS = [
    {"kind": "calibrated", "weight": 0.9},
    {"kind": "calibrated", "weight": 0.7, "rank_weight": "log"},
    {"kind": "calibrated", "weight": 0.9, "solver": "flow"},
    {"kind": "consumption", "weight": 0.8},
    {"kind": "dpp", "weight": 0.9},
    {"kind": "explore"},
    {"kind": "exposure_fair", "step": 0.3},
    {"kind": "mmr", "weight": 0.7},
    {"kind": "niche_floor", "slots": 4, "placement": "spread"},
    {"kind": "proportional"},
    {"kind": "xquad", "weight": 0.9},
]
SCORES = [{"kind": "popularity_discount"}, {"kind": "explore", "strategy": "thompson", "weight": 0.9}]


def slates(seen, specs, n=N, users=None):
    """What a policy with these rerankers shows."""
    recommender = PolicyRecommender(build_policy({"kind": "ease"}), [build_reranker(spec) for spec in specs])
    recommender.fit(seen, Streams(1))
    users = np.arange(seen.n_users, dtype=np.int32) if users is None else users
    return recommender.slates(None, seen, users, n, Streams(1))


@pytest.mark.parametrize("spec", BUILDS + SCORES, ids=lambda spec: spec["kind"])
@pytest.mark.parametrize("depth", [200, "all", 9])
def test_one_that_does_nothing_behind_changes_nothing(spec, depth):
    seen = example_observation()
    alone = slates(seen, [spec])
    behind = slates(seen, [spec, NOTHING | {"candidates": depth}])
    np.testing.assert_array_equal(alone, behind)
    assert (alone != slates(seen, [])).any()


@pytest.mark.parametrize("spec", BUILDS, ids=lambda spec: spec["kind"])
def test_whoever_stands_behind_can_choose_from_what_was_left(spec):
    """All that the floor wants comes: the slate, then the others in the policy's order, scores as they came."""
    seen, given = example_observation(), []

    class Spy(type(build_reranker(NOTHING))):
        def rerank(self, ranking, seen, n, rng):
            given.append(ranking)
            return super().rerank(ranking, seen, n, rng)

    policy = build_policy({"kind": "ease"})
    recommender = PolicyRecommender(policy, [build_reranker(spec), Spy(slots=0, candidates=30)])
    recommender.fit(seen, Streams(1))
    users = np.arange(seen.n_users, dtype=np.int32)
    recommender.slates(None, seen, users, N, Streams(1))
    alone = slates(seen, [spec])
    ranking = policy.rank(seen, users, 60, np.random.default_rng(0))
    (got,) = given
    assert got.items.shape == (seen.n_users, 30)
    for u in range(seen.n_users):
        left = [i for i in ranking.items[u] if i >= 0 and i not in alone[u]]
        wanted = ([i for i in alone[u] if i >= 0] + left + [-1] * 30)[:30]
        assert got.items[u].tolist() == wanted
        score = dict(zip(ranking.items[u], ranking.scores[u], strict=True)) | {-1: -np.inf}
        np.testing.assert_array_equal(got.scores[u], [score[i] for i in wanted])


def test_new_scores_of_all_that_is_wanted_are_handed_on():
    """mmr behind a discount weighs the discounted scores of candidates far beyond the slate."""
    seen = example_observation()
    discount, behind = build_reranker(SCORES[0]), build_reranker({"kind": "mmr", "weight": 0.6})
    policy = build_policy({"kind": "ease"})
    policy.fit(seen, Streams(1)("policy.fit", seen.round))
    users = np.arange(seen.n_users, dtype=np.int32)
    ranking = policy.rank(seen, users, 60, np.random.default_rng(0))
    wanted = behind.rerank(discount.rerank(ranking, seen, 60, None), seen, N, None)
    got = slates(seen, [SCORES[0], {"kind": "mmr", "weight": 0.6}])
    np.testing.assert_array_equal(got, wanted.items)
    assert not np.isin(got, ranking.items[:, :N]).all()


def test_shorter_slates_of_some_users_are_built_for_their_length():
    """As a switch asks for them: each length by itself."""
    seen = example_observation()
    some = np.arange(0, seen.n_users, 2, dtype=np.int32)
    for spec in (BUILDS[0], BUILDS[1]):
        for n in (2, 5):
            np.testing.assert_array_equal(
                slates(seen, [spec, NOTHING], n, some), slates(seen, [spec], n, some)
            )


@given(st.permutations(range(8)), st.integers(0, 8), st.integers(0, 4), st.integers(1, 12))
def test_what_follows_by_lists(order, found, picked, depth):
    before = np.array([[*order[:found], *[-1] * (8 - found)]] * 2, np.int32)
    scores = np.where(before >= 0, before * 1.5, -np.inf).astype(np.float32)
    chosen = sorted(order[:found])[:picked]
    depth = max(depth, 4)
    built = np.array([chosen + [-1] * (4 - len(chosen))] * 2, np.int32)
    users = np.zeros(2, np.int32)
    own = np.where(built >= 0, built + 100, -np.inf).astype(np.float32)
    got = append_rest(Ranking(users, built, own), Ranking(users, before, scores), depth)
    rest = [i for i in order[:found] if i not in chosen]
    wanted = (chosen + rest + [-1] * depth)[:depth]
    assert got.items.tolist() == [wanted] * 2
    value = [i + 100 if i in chosen else i * 1.5 if i >= 0 else -np.inf for i in wanted]
    assert got.scores.tolist() == [value] * 2
