"""Measures of organic visits of people who search: each intent is judged by the slate that it finds."""

import numpy as np
import pytest
from echodrift.agents.dynamics.choice import ChoiceKeys, slate_value, taste_values, visit
from echodrift.analysis.recording.recorder import Recorder
from echodrift.sim.oracles import oracle_slates
from echodrift.sim.streams import Streams

COLUMNS = ("minority_hit_rate", "dominant_hit_rate", "regret", "satisfied_visits")
SEARCH = {"repeat": 0, "search": 1.0, "organic_popularity": 0.2}


def observed(simulation, rounds=1):
    recorder = Recorder(simulation, COLUMNS)
    states = [simulation.step() for _ in range(rounds)]
    return recorder.rows, states


def forced(simulation, now, intents, repetitions=400):
    """Return (B,) the share of satisfied visits if these users came with these intents, by simulation."""
    world, slates = simulation.world, simulation.organic_slates(now.round, 5, now.users, intents)
    hits = np.zeros(now.users.size)
    people = world.users
    people.shares[now.users] = np.eye(people.shares.shape[1], dtype=np.float32)[intents]
    for repetition in range(repetitions):
        keys = ChoiceKeys.from_streams(Streams(1000 + repetition))
        choices = visit(world, now.round, now.users, slates, keys)
        assert np.array_equal(choices.intents, intents)
        hits += choices.taken[:, 0] >= 0
    people.shares[:] = people.shares_start
    return hits / repetitions


def test_hit_rates_of_an_organic_arm_are_the_satisfied_visits_with_that_intent(make_simulation):
    simulation = make_simulation(
        users=150, behavior={**SEARCH, "reinforcement": 0, "disappointment": 0, "movement": 0}
    )
    [row], [now] = observed(simulation)
    # As before the round was recorded.
    simulation.world.taken -= np.bincount(
        now.choices.taken[now.choices.taken >= 0], minlength=simulation.world.taken.size
    )
    weights = 1 / simulation.world.users.activity[now.users]
    for column, intents in (
        ("minority_hit_rate", simulation.world.users.minority[now.users]),
        ("dominant_hit_rate", np.zeros_like(now.users)),
    ):
        rate = np.average(forced(simulation, now, intents), weights=weights)
        assert row[column] == pytest.approx(rate, abs=0.01)
    assert np.isnan(now.choices.hit).sum() == 2 * now.users.size, "only the visit's own intent is known"


def test_people_off_the_panel_are_left_out_and_those_on_it_stand_for_them(make_simulation):
    simulation = make_simulation(users=600, behavior={**SEARCH, "organic": 1.0})
    [row], [now] = observed(simulation)
    everyone = make_simulation(users=600, behavior={**SEARCH, "organic": 1.0})
    intents = everyone.world.users.minority[now.users]
    slates = everyone.organic_slates(0, 5, now.users, intents)
    hits = taste_values(everyone.world, now.users, slates, "hit")[np.arange(now.users.size), intents]
    weights = 1 / everyone.world.users.activity[now.users]
    true = np.average(hits, weights=weights)
    assert row["minority_hit_rate"] == pytest.approx(true, abs=4 * hits.std() / np.sqrt(100))
    assert row["minority_hit_rate"] != pytest.approx(true, abs=1e-9)


def test_regret_of_organic_visits_values_each_intent_by_its_own_slate(make_simulation):
    simulation = make_simulation(users=80, behavior={**SEARCH, "organic": 1.0})
    before = make_simulation(users=80, behavior={**SEARCH, "organic": 1.0})
    [row], [now] = observed(simulation)
    world, users = before.world, now.users
    shown = sum(
        world.users.shares[users, k]
        * taste_values(world, users, before.organic_slates(0, 5, users, np.full_like(users, k)))[:, k]
        for k in range(3)
    )
    live = np.broadcast_to(world.items.live(0), (users.size, len(world.items)))
    best = slate_value(world, users, oracle_slates(world, users, 5, live, "surplus"))
    weights = 1 / world.users.activity[users]
    assert row["regret"] == pytest.approx(np.average(best - shown, weights=weights), rel=1e-6)


def test_without_search_nothing_is_left_out(make_simulation):
    simulation = make_simulation(users=600, behavior={"organic": 1.0})
    [row], [now] = observed(simulation)
    hit, users = now.choices.hit, now.users
    assert not np.isnan(hit).any()
    weights = 1 / simulation.world.users.activity[users]
    assert row["dominant_hit_rate"] == pytest.approx(np.average(hit[:, 0], weights=weights))


def test_the_shadow_is_served_at_the_mean_rate_of_the_visits(make_simulation):
    """The mean probability of organic visits, from one intent each, agrees with the mean over all intents."""
    simulation = make_simulation(users=4000, behavior={**SEARCH, "organic": 1.0}, graph={"kind": "none"})
    before = make_simulation(users=4000, behavior={**SEARCH, "organic": 1.0}, graph={"kind": "none"})
    _, [now] = observed(simulation)
    users = now.users
    estimate = np.nansum(now.choices.hit, axis=1)
    shares = before.world.users.shares[users].astype(float)
    exact = sum(
        shares[:, k]
        * taste_values(
            before.world, users, before.organic_slates(0, 5, users, np.full_like(users, k)), "hit"
        )[:, k]
        for k in range(3)
    )
    assert estimate.mean() == pytest.approx(exact.mean(), abs=4 * estimate.std() / np.sqrt(users.size))
