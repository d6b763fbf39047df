"""The taste family against hand-computed and brute-force values."""

import math

import numpy as np
import pytest
from echodrift.agents.values import item_values
from echodrift.analysis.measures import build
from echodrift.analysis.measures.calibration import current_target, divergence
from echodrift.analysis.measures.testing import random_round, random_setup, random_world
from scipy.special import softmax
from scipy.stats import entropy


@pytest.fixture
def run():
    rng = np.random.default_rng(8)
    world = random_world(rng, users=40, items=50, newborn=10)
    return world, random_setup(world, rng), random_round(world, rng, 5)


def value(setup, round, column):
    return build(setup, [column]).update(round)[column]


def weighted_mean(world, pairs):
    """Mean of (user, value) pairs, each user weighted by 1 / activity."""
    weights = [1 / float(world.users.activity[user]) for user, _ in pairs]
    return np.average([v for _, v in pairs], weights=weights)


def test_hit_rates_pick_the_tastes_of_round_0(run):
    world, setup, round = run
    visits = [(u, row, int(world.users.n_tastes[u])) for u, row in zip(round.users, round.hit, strict=True)]
    several = [(u, row, k) for u, row, k in visits if k > 1]
    assert 0 < len(several) < len(visits)
    minority = weighted_mean(world, [(u, row[k - 1]) for u, row, k in several])
    dominant = weighted_mean(world, [(u, row[0]) for u, row, _ in several])
    assert value(setup, round, "minority_hit_rate") == pytest.approx(minority)
    assert value(setup, round, "dominant_hit_rate") == pytest.approx(dominant)


def test_hit_rates_name_tastes_by_round_0_even_when_shares_have_crossed(run):
    world, setup, round = run
    before = value(setup, round, "minority_hit_rate")
    world.users.shares[:] = world.users.shares[:, ::-1]
    assert value(setup, round, "minority_hit_rate") == before


def test_satisfied_visits_count_visits(run):
    _, setup, round = run
    assert value(setup, round, "satisfied_visits") == pytest.approx(
        np.mean([any(row >= 0) for row in round.taken])
    )


def test_taste_shares_are_over_all_users_with_several_tastes(run):
    world, setup, round = run
    people = world.users
    people.shares[:, 0] += 0.1
    several = [u for u in range(40) if people.n_tastes[u] > 1]
    smallest = [people.shares[u, people.n_tastes[u] - 1] for u in several]
    shadow = [people.neutral[u, people.n_tastes[u] - 1] for u in several]
    assert value(setup, round, "minority_share") == pytest.approx(np.mean(smallest))
    assert value(setup, round, "minority_share_neutral") == pytest.approx(np.mean(shadow))
    assert value(setup, round, "dominant_share") == pytest.approx(np.mean(people.shares[several, 0]))


def test_effective_tastes_by_brute_force(run):
    world, setup, round = run
    plain, distinct = [], []
    for u in range(40):
        s = world.users.shares[u, : world.users.n_tastes[u]].astype(float)
        a = world.users.tastes[u, : s.size].astype(float)
        a /= np.linalg.norm(a, axis=1, keepdims=True)
        plain.append(math.exp(entropy(s)))
        distinct.append(math.exp(-np.sum(s * np.log(a @ a.T @ s))))
    assert value(setup, round, "effective_tastes") == pytest.approx(np.mean(plain), rel=1e-6)
    assert value(setup, round, "effective_tastes_distinct") == pytest.approx(np.mean(distinct), rel=1e-6)


@pytest.mark.parametrize(
    ("shares", "topics", "plain", "distinct"),
    [
        ([0.5, 0.5], [[1, 0], [0, 1]], 2, 2),
        ([0.5, 0.5], [[1, 0], [1, 0]], 2, 1),
        ([1, 0], [[1, 0], [0, 1]], 1, 1),
        ([0.5, 0.5], [[1, 0], [0.5, 0.5]], 2, 1 / (0.5 + 0.5 * math.sqrt(0.5))),
    ],
)
def test_merged_tastes_are_one_distinct_taste(shares, topics, plain, distinct):
    rng = np.random.default_rng(0)
    world = random_world(rng, users=3, topics=2, tastes=2)
    world.users.n_tastes[:], world.users.shares[:], world.users.tastes[:] = 2, shares, topics
    setup, round = random_setup(world, rng), random_round(world, rng)
    assert value(setup, round, "effective_tastes") == pytest.approx(plain)
    assert value(setup, round, "effective_tastes_distinct") == pytest.approx(distinct)


def brute_divergence(target, slate, topics):
    p = target.astype(float) / target.sum()
    q = np.mean([topics[i] for i in slate if i >= 0], axis=0)
    mixed = 0.99 * q / q.sum() + 0.01 * p
    return sum(pg * math.log(pg / mg) for pg, mg in zip(p, mixed, strict=True) if pg > 0)


def test_miscalibration_by_brute_force(run):
    world, setup, round = run
    pairs = [
        (u, brute_divergence(world.users.target[u], slate, world.items.topics))
        for u, slate in zip(round.users, round.slates, strict=True)
        if (slate >= 0).any()
    ]
    assert value(setup, round, "miscalibration") == pytest.approx(weighted_mean(world, pairs), rel=1e-5)


def test_divergence_reaches_both_ends_of_its_range():
    topics = np.eye(3, dtype=np.float32)
    target = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [1, 0, 0]], np.float32)
    slates = np.array([[0, 1, -1], [2, -1, -1], [-1, -1, -1]], np.int32)
    np.testing.assert_allclose(divergence(target, slates, topics), [0, math.log(100), np.nan], atol=1e-9)


def test_current_target_is_todays_demand_over_live_items(run):
    world, _, round = run
    world.users.tastes[:] = np.roll(world.users.tastes, 1, axis=2)
    users = np.array([3, 17, 20], np.int32)
    live = np.flatnonzero(round.live)
    assert live.size == 50 and live.max() > 50
    v = item_values(world, users, 60)[:, :, live].astype(float)
    demand = (world.users.shares[users][:, :, None] * softmax(v, axis=2)).sum(axis=1)
    expected = demand @ world.items.topics[live]
    np.testing.assert_allclose(current_target(world, users, round.live), expected, rtol=1e-4)


def test_current_miscalibration_uses_it_every_5_rounds(run):
    world, setup, round = run
    target = current_target(world, np.arange(40, dtype=np.int32), round.live)
    pairs = [
        (u, brute_divergence(target[u], slate, world.items.topics))
        for u, slate in zip(round.users, round.slates, strict=True)
        if (slate >= 0).any()
    ]
    assert value(setup, round, "miscalibration_current") == pytest.approx(
        weighted_mean(world, pairs), rel=1e-4
    )
    later = random_round(world, np.random.default_rng(0), 6)
    assert math.isnan(value(setup, later, "miscalibration_current"))
