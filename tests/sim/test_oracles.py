"""The oracles against brute force."""

import itertools

import numpy as np
import pytest
from echodrift.agents.dynamics.choice import slate_value
from echodrift.agents.values import item_values
from echodrift.sim.oracles import oracle_items, oracle_slates
from scipy.special import logsumexp

USERS = np.arange(60, dtype=np.int32)


def odds_of(world, users):
    values = item_values(world, users, len(world.items), context=True).astype(float)
    return np.exp(values - world.users.outside[users, None, None])


@pytest.fixture
def available():
    free = np.random.default_rng(0).random((60, 80)) < 0.6
    free[5] = False
    free[5, :3] = True
    return free


def test_oracle_item_ranks_by_the_probability_of_being_taken_alone(make_world, available):
    world = make_world()
    odds = odds_of(world, USERS)
    alone = (world.users.shares[:, :, None] * odds / (1 + odds)).sum(axis=1)
    alone[~available] = -1
    items = oracle_items(world, USERS, 5, available)
    assert items[5].tolist()[3:] == [-1, -1] and set(items[5, :3]) == {0, 1, 2}
    for user in range(60):
        best = np.sort(alone[user][available[user]])[::-1][:5]
        assert alone[user, items[user, : best.size]] == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("objective", ["hit", "surplus"])
def test_oracle_slate_is_the_greedy_slate(make_simulation, everything, available, objective):
    simulation = make_simulation(behavior=everything)
    for _ in range(4):
        simulation.step()
    world = simulation.world
    value = {"hit": lambda s: s / (1 + s), "surplus": np.log1p}[objective]
    odds, shares = odds_of(world, USERS), world.users.shares.astype(float)
    slates = oracle_slates(world, USERS, 5, available, objective)
    assert np.all(slates[5, 3:] == -1)
    for user in range(60):
        so_far, free = np.zeros(3), available[user].copy()
        for item in slates[user][slates[user] >= 0]:
            gain = shares[user] @ (value(so_far[:, None] + odds[user]) - value(so_far)[:, None])
            assert free[item] and gain[item] >= gain[free].max() * (1 - 1e-5)
            free[item], so_far = False, so_far + odds[user, :, item]


@pytest.mark.parametrize("objective", ["hit", "surplus"])
def test_greedy_is_within_its_bound_of_the_best_set(make_world, objective):
    world = make_world(
        users=12, items=12, behavior={"attention": 1.0, "attention_sd": 0}, slate=3, graph={"kind": "none"}
    )
    users = np.arange(12, dtype=np.int32)
    greedy = oracle_slates(world, users, 3, np.ones((12, 12), bool), objective)
    reached = slate_value(world, users, greedy, objective)
    for user in users:
        sets = np.array(list(itertools.combinations(range(12), 3)), dtype=np.int32)
        best = slate_value(world, np.full(len(sets), user, np.int32), sets, objective).max()
        assert (1 - 1 / np.e) * best <= reached[user] <= best + 1e-6


def test_list_coverage_beats_item_relevance_for_minorities(make_world):
    """Perfect item-wise relevance neglects a minority taste that a slate built as a whole serves."""
    world = make_world(users=300, items=300, topics=10, slate=5)
    users = np.arange(300, dtype=np.int32)
    free = np.ones((300, 300), bool)
    item_wise, whole = oracle_items(world, users, 5, free), oracle_slates(world, users, 5, free)
    assert slate_value(world, users, whole, "hit").mean() > slate_value(world, users, item_wise, "hit").mean()


@pytest.mark.parametrize("outside", [-60.0, -700.0])
def test_oracles_hold_where_people_must_choose(make_world, available, outside):
    """In logarithms of exact numbers: −log P(nothing is taken) of one item, and of the slate so far with each further item."""
    world = make_world(behavior={"outside": outside, "match": 12.0})
    values = item_values(world, USERS, len(world.items), context=True).astype(float)
    log_odds = values - world.users.outside[USERS, None, None].astype(float)
    shares = world.users.shares.astype(float)
    worth = {
        "hit": lambda log_sums, user: -logsumexp(np.log(shares[user])[:, None] - log_sums, axis=0),
        "surplus": lambda log_sums, user: shares[user] @ log_sums,
    }
    items = oracle_items(world, USERS, 5, available)
    slates = {objective: oracle_slates(world, USERS, 5, available, objective) for objective in worth}
    for user in range(60):
        alone = np.where(available[user], worth["hit"](np.logaddexp(0, log_odds[user]), user), -np.inf)
        shown = items[user][items[user] >= 0]
        assert alone[shown] == pytest.approx(np.sort(alone)[::-1][: shown.size], abs=2e-4)
        for objective, found in slates.items():
            log_sums, free = np.zeros((3, 1)), available[user].copy()
            for item in found[user][found[user] >= 0]:
                after = np.logaddexp(log_sums, log_odds[user])
                reached = worth[objective](after, user)
                assert free[item] and reached[item] >= reached[free].max() - 2e-4
                free[item], log_sums = False, after[:, [item]]
    assert len({tuple(row) for row in items.tolist()}) > 30, "not the first items for everybody"


def test_the_value_of_a_slate_has_no_cap(make_world):
    world = make_world(behavior={"outside": -500.0, "attention": 1.0, "attention_sd": 0.0})
    slates = np.arange(300, dtype=np.int32).reshape(60, 5) % 80
    values = item_values(world, USERS, 80, context=True).astype(float)
    shown = np.take_along_axis(values, slates[:, None, :].repeat(3, axis=1), axis=2)
    exact = logsumexp(shown - world.users.outside[:, None, None].astype(float), axis=2)
    shares = world.users.shares.astype(float)
    assert slate_value(world, USERS, slates) == pytest.approx((shares * exact).sum(axis=1), rel=1e-6)
    assert slate_value(world, USERS, slates, "hit") == pytest.approx(np.ones(60))
