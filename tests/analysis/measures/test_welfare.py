"""Welfare and regret against brute force, and measures in a world drawn by the model."""

import math
from itertools import permutations

import numpy as np
import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.dynamics.choice import slate_value
from echodrift.agents.generate import generate
from echodrift.agents.settings import WorldConfig
from echodrift.agents.values import item_values
from echodrift.analysis.measures import build
from echodrift.analysis.measures.panel import UserPanel
from echodrift.analysis.measures.regret import available_items
from echodrift.analysis.measures.testing import random_round, random_setup, random_world
from echodrift.sim.oracles import oracle_slates
from echodrift.sim.streams import Streams


def test_welfare_is_the_mean_over_visits():
    rng = np.random.default_rng(0)
    world = random_world(rng, users=50)
    setup = random_setup(world, rng, splits={"odd": np.arange(50) % 2 == 1})
    round = random_round(world, rng)
    values = build(setup, ["welfare", "welfare_start"]).update(round)
    odd = round.users % 2 == 1
    assert values["welfare"] == pytest.approx(round.surplus.mean())
    assert values["welfare_start"] == pytest.approx(round.surplus_start.mean())
    assert values["welfare:odd"] == pytest.approx(round.surplus[odd].mean())


def expected_surplus(world, user, slate):
    """Σ_k s_k E over depth of log(1 + Σ exp(v − v_0)), written out."""
    v = item_values(world, np.array([user], np.int32), len(world.items))[0].astype(float)
    attention, total = float(world.users.attention[user]), 0.0
    for share, values in zip(world.users.shares[user], v, strict=True):
        for depth in range(1, len(slate) + 1):
            stops = attention ** (depth - 1) - (attention**depth if depth < len(slate) else 0)
            odds = sum(math.exp(values[i] - world.users.outside[user]) for i in slate[:depth])
            total += float(share) * stops * math.log1p(odds)
    return total


def test_regret_by_brute_force_with_one_slot():
    """With one slot greedy is exact, so the oracle is the best of all available items."""
    rng = np.random.default_rng(2)
    world = random_world(rng, users=12, items=15)
    setup = random_setup(world, rng, slate=1)
    round = random_round(world, rng, slate=1, active=1.0)
    weights, lost = [], []
    free = available_items(round, np.arange(round.users.size))
    for row, user in enumerate(round.users):
        best = max(expected_surplus(world, user, [i]) for i in np.flatnonzero(free[row]))
        lost.append(best - expected_surplus(world, user, [i for i in round.slates[row] if i >= 0]))
        weights.append(1 / float(world.users.activity[user]))
    value = build(setup, ["regret"]).update(round)["regret"]
    assert value == pytest.approx(np.average(lost, weights=weights), rel=1e-4)
    assert value > 0


def test_regret_of_the_oracles_own_slates_is_zero():
    rng = np.random.default_rng(3)
    world = random_world(rng, users=30, items=40)
    round = random_round(world, rng, slate=5, active=1.0)
    rows = np.arange(30)
    round.blocked[:] = 0
    round.slates[:] = oracle_slates(world, round.users, 5, available_items(round, rows), "surplus")
    assert build(random_setup(world, rng, slate=5), ["regret"]).update(round)["regret"] == pytest.approx(
        0, abs=1e-9
    )


def test_greedy_slates_lose_little_against_all_orders():
    """No slate of three from six items beats the oracle by more than a few percent: regret is near its floor."""
    rng = np.random.default_rng(4)
    world = random_world(rng, users=6, items=6)
    users = np.arange(6, dtype=np.int32)
    slates = oracle_slates(world, users, 3, np.ones((6, 6), bool), "surplus")
    greedy = slate_value(world, users, slates, "surplus")
    for user in users:
        best = max(expected_surplus(world, user, slate) for slate in permutations(range(6), 3))
        assert 0.9 * best <= greedy[user] <= best + 1e-6


def test_a_slate_could_hold_what_is_live_and_not_in_its_cool_down():
    rng = np.random.default_rng(0)
    world = random_world(rng, users=20, items=30, newborn=4)
    round = random_round(world, rng, 3, active=0.7)
    rows = np.arange(0, round.users.size, 2)
    round.blocked[:] = 0
    born = world.items.n_born(round.index)
    assert (available_items(round, rows) == round.live[:born]).all() and not round.live[born:].any()
    user, item = round.users[rows[1]], int(np.flatnonzero(round.live)[5])
    round.blocked[user, item >> 3] |= 1 << (item & 7)
    free = available_items(round, rows)
    assert not free[1, item] and (free.sum(axis=1) == round.live.sum() - (np.arange(rows.size) == 1)).all()


def test_regret_is_about_the_panel_and_every_5_rounds():
    rng = np.random.default_rng(0)
    world = random_world(rng, users=400)
    setup = random_setup(world, rng)
    round = random_round(world, rng, 5, active=1.0)
    measures = build(setup, ["regret"])
    before = measures.update(round)["regret"]
    outsiders = ~np.isin(round.users, setup.fresh().shared(UserPanel).users)
    round.slates[outsiders] = 0
    assert build(setup, ["regret"]).update(round)["regret"] == before
    assert math.isnan(measures.update(random_round(world, rng, 6))["regret"])


def test_current_and_first_target_agree_before_any_drift():
    """In a generated world at round 0, today's target is the target."""
    world = generate(WorldConfig(users=150, items=80), Behavior(), Streams(1), 5, 10)
    rng = np.random.default_rng(0)
    values = build(random_setup(world, rng), ["miscalibration", "miscalibration_current"]).update(
        random_round(world, rng, active=1.0)
    )
    assert values["miscalibration_current"] == pytest.approx(values["miscalibration"], rel=1e-4)
