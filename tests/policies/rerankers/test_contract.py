"""Every reranker holds the contract, alone and in lists, at any depth."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.base import Ranking, Reranker
from echodrift.policies.baselines import Popularity
from echodrift.policies.registry import build_reranker, kinds
from echodrift.policies.rerankers.chain import check_chain
from echodrift.policies.rerankers.relevance import scaled
from echodrift.policies.testing import check_reranker
from echodrift.policies.testing.example import example_observation
from echodrift.policies.testing.reranker_clauses import RERANKER_CLAUSES
from echodrift.policies.topk import top_k_shared
from echodrift.policies.validation import validate_ranking
from hypothesis import given, settings
from hypothesis import strategies as st

CATALOG = [
    ("calibrated", {}),
    ("calibrated", {"weight": 1.0, "scale": "softmax", "candidates": "all"}),
    ("calibrated", {"normalize": "running", "rank_weight": "log", "window": 3}),
    ("calibrated", {"solver": "flow", "prior_weight": 0.2, "prior": "population"}),
    ("consumption", {}),
    ("consumption", {"values": "bernoulli", "success": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "consumed": 3}),
    ("consumption", {"values": "bernoulli", "fading": 1.0, "weight": 0.5}),
    ("consumption", {"values": "empirical", "sample": [0.0, 1.0, 5.0], "consumed": 1000}),
    ("consumption", {"values": "pareto", "tail": 1.5}),
    ("consumption", {"values": "uniform", "consumed": 2}),
    ("dpp", {}),
    ("dpp", {"weight": 1.0, "similarity_share": 1.0}),
    ("dpp", {"similarity": "taken"}),
    ("explore", {}),
    ("explore", {"epsilon": 1.0, "candidates": "all"}),
    ("explore", {"strategy": "ucb"}),
    ("explore", {"strategy": "thompson", "weight": 1.0}),
    ("exposure_fair", {}),
    ("exposure_fair", {"groups": "popularity", "shares": [2.0, 1.0, 1.0], "rank_weight": "reciprocal"}),
    ("exposure_fair", {"target": "taken", "step": 0.5}),
    ("exposure_fair", {"target": "items", "half_life": 1.0}),
    ("mmr", {}),
    ("mmr", {"weight": 1.0, "similarity": "taken"}),
    ("niche_floor", {}),
    ("niche_floor", {"slots": 1000, "placement": "spread", "window": 2}),
    ("popularity_discount", {}),
    ("popularity_discount", {"weight": 1.0, "window": 2, "scale": "softmax"}),
    ("proportional", {}),
    ("proportional", {"method": "dhondt", "focus": 0.6}),
    ("xquad", {}),
    ("xquad", {"aspects": "popularity", "success": 1.0}),
]


def test_every_kind_is_in_the_catalog():
    assert {kind for kind, _ in CATALOG} == set(kinds("rerankers"))


@pytest.mark.parametrize("clause", RERANKER_CLAUSES)
@pytest.mark.parametrize(("kind", "fields"), CATALOG, ids=str)
def test_contract(kind, fields, clause):
    assert check_reranker(kind, skip=RERANKER_CLAUSES.keys() - {clause}, **fields) == [clause]


def candidates(count, seed=0):
    seen = example_observation()
    users = np.arange(seen.n_users, dtype=np.int32)
    scores = np.random.default_rng(seed).normal(size=seen.n_items)
    return seen, Ranking(users, *top_k_shared(scores, users, count, seen.live, seen.blocked))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(CATALOG), min_size=1, max_size=3),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(0, 9),
)
def test_lists_of_rerankers_give_valid_slates(specs, depth, n, seed):
    seen, ranking = candidates(depth, seed)
    found = (ranking.items >= 0).sum(axis=1)
    for place, (kind, fields) in enumerate(specs):
        length = n if place == len(specs) - 1 else max(n, depth // 2)
        ranking = build_reranker({"kind": kind, **fields}).rerank(
            ranking, seen, length, np.random.default_rng(seed)
        )
        validate_ranking(ranking, seen, ranking.users, length)
        found = np.minimum(found, length)
        np.testing.assert_array_equal((ranking.items >= 0).sum(axis=1), found)


KEEPS = [
    ("calibrated", {"weight": 0.0}),
    ("consumption", {"weight": 0.0}),
    ("dpp", {"weight": 0.0}),
    ("explore", {"epsilon": 0.0}),
    ("explore", {"strategy": "ucb", "weight": 0.0}),
    ("explore", {"strategy": "thompson", "weight": 0.0}),
    ("exposure_fair", {"step": 0.0}),
    ("mmr", {"weight": 0.0}),
    ("niche_floor", {"slots": 0}),
    ("popularity_discount", {"weight": 0.0}),
    ("xquad", {"weight": 0.0}),
]


@pytest.mark.parametrize(("kind", "fields"), KEEPS)
def test_switched_off_it_keeps_the_order(kind, fields):
    seen, ranking = candidates(30)
    got = build_reranker({"kind": kind, **fields}).rerank(ranking, seen, 8, np.random.default_rng(1))
    np.testing.assert_array_equal(got.items, ranking.items[:, :8])


@pytest.mark.parametrize(
    "kind", ["calibrated", "consumption", "dpp", "explore", "mmr", "niche_floor", "proportional", "xquad"]
)
def test_a_users_slate_does_not_depend_on_who_else_is_served(kind):
    seen, ranking = candidates(30)
    reranker = build_reranker({"kind": kind})
    whole = reranker.rerank(ranking, seen, 7, np.random.default_rng(1))
    some = Ranking(ranking.users[5:9], ranking.items[5:9], ranking.scores[5:9])
    part = reranker.rerank(some, seen, 7, np.random.default_rng(1))
    np.testing.assert_array_equal(part.items, whole.items[5:9])


def test_depth_is_one_field_for_all():
    for kind in kinds("rerankers"):
        assert build_reranker({"kind": kind}).candidates == 200
        assert build_reranker({"kind": kind, "candidates": 50}).candidates == 50
        assert build_reranker({"kind": kind, "candidates": "all"}).candidates > 1_000_000_000
        for wrong in (0, -1, "some", 2.5, True, 100_001):
            with pytest.raises(
                BadInput, match='candidates: must be a whole number from 1 to 100000, or "all"'
            ):
                build_reranker({"kind": kind, "candidates": wrong})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "calibrated", "solver": "flow", "rank_weight": "log"}, "it chooses a set"),
        ({"kind": "calibrated", "solver": "flow", "normalize": "running"}, 'use solver = "greedy"'),
        (
            {"kind": "calibrated", "prior_weight": 1.5},
            "prior_weight: must be at least 0 and at most 1, but is 1.5",
        ),
        ({"kind": "consumption", "values": "empirical"}, "at least one positive number"),
        ({"kind": "consumption", "values": "empirical", "sample": [1, -1]}, "at least 0"),
        ({"kind": "consumption", "success": 1.0}, "between 0 and 1"),
        ({"kind": "consumption", "success": [0.5, 0]}, "between 0 and 1"),
        ({"kind": "consumption", "success": "high"}, "between 0 and 1"),
        ({"kind": "consumption", "tail": 1}, "tail: must be more than 1, but is 1"),
        ({"kind": "exposure_fair", "shares": [0, 0]}, "not all 0"),
        ({"kind": "mmr", "similarity": "color"}, "similarity"),
        ({"kind": "mmrr"}, 'Did you mean "mmr"?'),
    ],
)
def test_bad_fields_are_answered(spec, words):
    with pytest.raises(BadInput) as caught:
        build_reranker(spec)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "consumption", "success": [0.5, 0.5]}, "2 numbers, but items have 6 topics"),
        ({"kind": "exposure_fair", "shares": [1, 1]}, "2 numbers, but there are 6 groups"),
        ({"kind": "exposure_fair", "groups": "providers"}, "does not know who made an item"),
    ],
)
def test_what_only_shows_in_a_world_is_answered_too(spec, words):
    seen, ranking = candidates(30)
    with pytest.raises(PolicyError, match=words):
        build_reranker(spec).rerank(ranking, seen, 5, np.random.default_rng(0))


class OrderOnly(Popularity):
    """A policy without scores."""

    kind = "order_only"
    gives_scores = False


def test_a_policy_without_scores_is_refused_by_whoever_weighs_them():
    check_chain(Popularity(), [build_reranker({"kind": kind}) for kind in kinds("rerankers")])
    check_chain(OrderOnly(), [])
    check_chain(OrderOnly(), [build_reranker({"kind": kind}) for kind in ("niche_floor", "explore")])
    for spec in ({"kind": "mmr"}, {"kind": "explore", "strategy": "ucb"}):
        chain: list[Reranker] = [build_reranker({"kind": "niche_floor"}), build_reranker(spec)]
        with pytest.raises(BadInput, match=f'"{spec["kind"]}" weighs scores, but policy "order_only"'):
            check_chain(OrderOnly(), chain)


class Forgets(type(build_reranker({"kind": "exposure_fair"}))):
    """Remembers, and does not say so."""

    def state(self):
        return {}

    def restore(self, state):
        pass


class Shares(type(build_reranker({"kind": "exposure_fair"}))):
    """Hands out its own array and goes on writing to it."""

    def shown(self, seen, users, slates):
        super().shown(seen, users, slates)
        self._kept = getattr(self, "_kept", self._owed)
        self._kept[:] = self._owed

    def state(self):
        return super().state() | {"owed": self._kept}

    def restore(self, state):
        super().restore(state)
        self._kept = state["owed"]


@pytest.mark.parametrize(("broken", "words"), [(Forgets, "after state"), (Shares, "must hand out copies")])
def test_the_state_clause_can_fail(broken, words):
    with pytest.raises(AssertionError, match=f'clause "state": .*{words}'):
        check_reranker(broken, step=0.2)


@pytest.mark.parametrize("scale", ["minmax", "softmax"])
def test_scores_made_comparable_by_hand(scale):
    items = np.array([[4, 2, 7, -1], [1, 0, -1, -1]], np.int32)
    scores = np.array([[3.0, 1.0, -1.0, -np.inf], [2.0, 2.0, -np.inf, -np.inf]], np.float32)
    got = scaled(scores, items, scale)
    if scale == "minmax":
        np.testing.assert_allclose(got, [[1, 0.5, 0, 0], [0, 0, 0, 0]])
    else:
        parts = np.exp([3.0, 1.0, -1.0])
        np.testing.assert_allclose(got, [[*parts / parts.sum(), 0], [0.5, 0.5, 0, 0]])
        np.testing.assert_allclose(got.sum(axis=1), 1)
