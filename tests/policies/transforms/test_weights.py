"""Weights of entries: what counts make of them, what policies make of them, and which policies are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.errors import BadInput
from echodrift.policies.interactions import Blocked, Interactions, count_pairs
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.registry import build_log_transform, build_policy, kinds, policy_class
from echodrift.policies.testing.example import example_observation
from echodrift.policies.ties import tie_width
from echodrift.policies.transforms.weights import check_transforms, reweighted
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

LEARNS = [
    ("popularity", {}),
    ("content", {}),
    ("content", {"half_life": 3.0, "window": 6}),
    ("item_knn", {"binary": False, "shrink": 0.5}),
    ("item_knn", {"binary": False, "weighting": "bm25"}),
    ("user_knn", {"binary": False, "weighting": "tfidf"}),
    ("ease", {"binary": False, "l2": 3.0}),
    ("matrix_factorization", {"dim": 4}),
    ("ials", {"dim": 4, "binary": False}),
    ("spectral_mf", {"dim": 4, "binary": False}),
    ("social_mf", {"dim": 4}),
    ("social_poisson", {"mode": "pf", "dim": 4}),
    ("list_mf", {"dim": 4, "iterations": 3}),
    ("bandit", {"policy": {"kind": "ials", "dim": 4, "binary": False}}),
    pytest.param("mult_vae", {"binary": False, "dim": 4, "iterations": 2}, marks=pytest.mark.slow),
    pytest.param("mult_dae", {"binary": False, "dim": 4, "iterations": 2}, marks=pytest.mark.slow),
]
REFUSED = [
    ("hashed_mf", {}, "single entries"),
    ("persona", {}, "single entries"),
    ("sequential", {}, "single entries"),
    ("ials", {}, "set binary = false"),
    ("ease", {}, "set binary = false"),
    ("mult_vae", {}, "set binary = false"),
    ("mult_vae", {"binary": False, "likelihood": "gaussian"}, 'set likelihood = "multinomial"'),
    ("matrix_factorization", {"model": "bpr"}, 'set model = "als"'),
    ("matrix_factorization", {"binary": True}, "set binary = false"),
    ("social_poisson", {}, 'set mode = "pf"'),
    ("bandit", {"policy": {"kind": "hashed_mf"}}, "has the model hashed_mf, which works on single entries"),
]

entries = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 6), st.sampled_from([0.0, 0.25, 1.0, 2.5])), max_size=40
)


def log_of(rows) -> Interactions:
    user, item, weight = (np.array(c) for c in zip(*rows, strict=True)) if rows else (np.empty(0),) * 3
    none = np.zeros(len(rows), np.int32)
    ids = (user.astype(np.int32), item.astype(np.int32), none, none.astype(np.int16), none.astype(np.int8))
    return Interactions(*ids, weight.astype(np.float32))


@settings(max_examples=100, deadline=None)
@given(entries)
def test_counts_are_sums_of_weights_and_zeros_leave_no_trace(rows):
    dense = np.zeros((5, 7), np.float32)
    for user, item, weight in rows:
        dense[user, item] += weight
    log = log_of(rows)
    counts = count_pairs(log, 5, 7)
    np.testing.assert_array_equal(counts.toarray(), dense)
    assert counts.nnz == np.count_nonzero(dense) and counts.dtype == np.float32
    plain, ones = (count_pairs(replace(log, weight=w), 5, 7) for w in (None, np.ones(len(rows), np.float32)))
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(plain, part), getattr(ones, part))


@given(entries, st.integers(0, 20), st.integers(0, 20))
def test_parts_carry_weights(rows, first, last):
    log = log_of(rows)
    keep = np.arange(len(log)) % 3 != 1
    np.testing.assert_array_equal(log.part(first, last).weight, [w for *_, w in rows][first:last])
    np.testing.assert_array_equal(log.where(keep).weight, log.weight[keep])
    assert replace(log, weight=None).where(keep).weight is None


def doubled(seen, times):
    """The same log twice: entries written `times` over, and entries that weigh `times`."""
    log = seen.log
    columns = (log.user, log.item, log.round, log.rank, log.source)
    written = Interactions(*(np.repeat(column, times) for column in columns))
    return replace(seen, log=written), replace(seen, log=replace(log, weight=times.astype(np.float32)))


@pytest.mark.parametrize(("kind", "fields"), LEARNS)
def test_an_entry_of_weight_k_is_learned_like_k_entries(kind, fields):
    if kind.startswith("mult"):
        pytest.importorskip("jax")
    seen = example_observation()
    times = default_rng(3).integers(1, 5, len(seen.log))
    assert policy_class(kind).learns_weights(fields) is None
    users, rankings = np.arange(seen.n_users, dtype=np.int32), []
    for learned in (*doubled(seen, times), seen):
        policy = build_policy({"kind": kind, **fields})
        policy.fit(learned, default_rng(1))
        rankings.append(policy.rank(seen, users, 20, default_rng(2)))
    np.testing.assert_array_equal(rankings[0].items, rankings[1].items)
    np.testing.assert_allclose(rankings[0].scores, rankings[1].scores, rtol=1e-5)
    assert (rankings[2].items != rankings[1].items).any(), "weights made no difference"


@pytest.mark.parametrize(("model", "confidence"), [("matrix_factorization", 7.0), ("ials", None)])
def test_als_solves_the_weighted_normal_equations(model, confidence):
    """The last half sweep leaves every item at the optimum of Σ over entries, here added up one by one."""
    seen = example_observation(users=12)
    weight = default_rng(8).uniform(0.1, 6, len(seen.log)).astype(np.float32)
    log, alpha, ridge = seen.log, 0.2, 0.5
    seen = replace(seen, log=replace(log, weight=weight))
    fields = {"dim": 2, "regularization": ridge, "iterations": 4}
    fields |= (
        {"confidence": confidence}
        if confidence
        else {"binary": False, "unobserved_weight": alpha, "solver": "exact"}
    )
    policy = build_policy({"kind": model, **fields})
    policy.fit(seen, default_rng(0))
    state = policy.state()
    users, items = state["users"].astype(float), state["items"].astype(float)
    for item in np.unique(log.item):
        mine, w = users[log.user[log.item == item]], weight[log.item == item].astype(float)
        takers = users[np.unique(log.user[log.item == item])]
        if confidence:  # c = 1 + confidence·count where taken and 1 elsewhere, p = 1 where taken
            normal = users.T @ users + ridge * np.eye(2)
            right = takers.sum(axis=0)
            scale = confidence
        else:
            normal = alpha * users.T @ users + ridge * (w.sum() + alpha * len(users)) * np.eye(2)
            right, scale = np.zeros(2), 1.0
        for row, entry in zip(mine, w, strict=True):
            normal += scale * entry * np.outer(row, row)
            right = right + scale * entry * row
        np.testing.assert_allclose(items[item], np.linalg.solve(normal, right), rtol=2e-3, atol=1e-4)


def test_popularity_adds_weights_up_and_ties_do_not_reorder():
    seen = example_observation(users=2, items=4)
    log = log_of([(0, 0, 0.2), (1, 0, 0.2), (0, 1, 0.3), (0, 2, 0.1), (1, 2, 0.25)])
    seen = replace(seen, log=log, live=np.ones(4, bool), blocked=Blocked(2, 4))
    np.testing.assert_allclose(seen.popularity, [0.4, 0.3, 0.35, 0])
    for seed in range(20):
        policy = build_policy({"kind": "popularity"})
        policy.fit(seen, default_rng(seed))
        ranking = policy.rank(seen, np.array([0], np.int32), 4, default_rng(0))
        np.testing.assert_array_equal(ranking.items, [[0, 2, 1, 3]])


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=30), st.integers(0, 5))
def test_tie_breaks_part_equal_counts_only(counts, seed):
    counts = np.array(counts)
    broken = counts + default_rng(seed).uniform(0, 1, counts.size) * tie_width(counts)
    clear = counts[:, None] - counts > 1e-6 * counts.max()
    assert (broken[:, None] > broken)[clear].all()
    assert tie_width(np.floor(counts)) == 1


def test_profiles_are_weighted_means_of_tags():
    seen = example_observation()
    weight = default_rng(2).uniform(0.1, 3, len(seen.log)).astype(np.float32)
    seen = replace(seen, log=replace(seen.log, weight=weight))
    profiles = topic_profiles(seen, half_life=4.0)
    worth = weight * 2.0 ** ((seen.log.round - seen.log.round.max()) / 4)
    for user in range(seen.n_users):
        own = seen.log.user == user
        if not own.any():
            own = slice(None)
            worth_of = weight  # the population's profile does not fade
        else:
            worth_of = worth[own]
        np.testing.assert_allclose(
            profiles[user], np.average(seen.tags[seen.log.item[own]], axis=0, weights=worth_of), rtol=1e-5
        )


@pytest.mark.parametrize(("kind", "fields", "why"), REFUSED)
def test_a_weighting_transform_before_a_policy_that_loses_weights_is_refused(kind, fields, why):
    weighing = [
        build_log_transform({"kind": "recent_window"}),
        build_log_transform({"kind": "selection_debias"}),
    ]
    with pytest.raises(BadInput) as raised:
        check_transforms(policy_class(kind), weighing, fields)
    assert why in str(raised.value) and "selection_debias" in str(raised.value)
    dropping = [{"kind": "recent_window"}, {"kind": "purge"}, {"kind": "downweight_slate", "weight": 0.0}]
    check_transforms(policy_class(kind), [build_log_transform(spec) for spec in dropping], fields)


def test_every_policy_that_claims_weights_is_checked():
    checked = {getattr(case, "values", case)[0] for case in LEARNS} | {"random"}
    # what an adapter does with them is its own tests' business
    assert {kind for kind in kinds() if policy_class(kind).weighs_entries} <= checked | {"adapter"}
    weighing = [build_log_transform({"kind": "position_debias"})]
    check_transforms(policy_class("random"), weighing)
    check_transforms(policy_class("matrix_factorization"), weighing)
    check_transforms(policy_class("hashed_mf"), [])


@settings(max_examples=50, deadline=None)
@given(entries, st.integers(0, 9))
def test_self_normalized_weights_keep_the_total_of_what_they_weigh(rows, seed):
    rows = [row for row in rows if row[2] > 0]
    seen = replace(example_observation(users=5, items=7), log=log_of(rows))
    rng = default_rng(seed)
    factors, chosen = rng.uniform(0.2, 5, len(rows)), rng.random(len(rows)) < 0.5
    result = reweighted(seen, factors, chosen, self_normalized=True)
    np.testing.assert_array_equal(result.log.weight[~chosen], seen.log.weight[~chosen])
    np.testing.assert_allclose(result.log.weight[chosen].sum(), seen.log.weight[chosen].sum(), rtol=1e-5)
    kept = result.log.weight[chosen] / seen.log.weight[chosen] / factors[chosen]
    np.testing.assert_allclose(kept, kept[:1].repeat(kept.size), rtol=1e-5)
