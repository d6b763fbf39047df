"""The visit: vectorized against the one-person reference, closed forms against simulation."""

import numpy as np
import pytest
from echodrift.agents.dynamics.choice import ChoiceKeys, slate_value, visit
from echodrift.agents.dynamics.reference import value_of, visit_one
from echodrift.agents.values import item_values
from echodrift.sim.streams import Streams

KEYS = ChoiceKeys.from_streams(Streams(5))


@pytest.mark.parametrize("examination", ["cascade", "power"])
@pytest.mark.parametrize("effects", [False, True])
def test_vectorized_visit_makes_the_choices_of_the_reference(
    make_simulation, random_slates, everything, effects, examination
):
    behavior = {**(everything if effects else {}), "examination": examination, "outside": 2.0}
    simulation = make_simulation(behavior=behavior, groups=[
        {"name": "narrow", "share": 0.5, "taste_shares": [1.0]}, {"name": "broad", "share": 0.5}
    ])  # fmt: skip
    for _ in range(6):
        simulation.step()
    world = simulation.world
    users = np.arange(60, dtype=np.int32)
    slates = random_slates(60, 80, 5)
    choices = visit(world, 6, users, slates, KEYS)
    assert (choices.taken >= 0).sum() > 30
    for user in users:
        alone = visit_one(world, 6, int(user), slates[user], KEYS)
        assert alone.intent == choices.intents[user]
        assert alone.depth == choices.depth[user]
        assert alone.taken == [item for item in choices.taken[user] if item >= 0]
        assert alone.surplus == pytest.approx(choices.surplus[user])
        for item, rank in zip(choices.taken[user], choices.ranks[user], strict=True):
            assert (item < 0 and rank == 0) or slates[user, rank - 1] == item


def test_whole_catalog_values_equal_the_reference(make_simulation, everything):
    simulation = make_simulation(behavior=everything)
    for _ in range(4):
        simulation.step()
    world = simulation.world
    users = np.array([3, 17], dtype=np.int32)
    values = item_values(world, users, 80, context=True)
    for b, user in enumerate(users):
        for taste in range(3):
            expected = [value_of(world, int(user), taste, item) for item in range(80)]
            assert values[b, taste] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("examination", ["cascade", "power"])
def test_hit_probability_and_surplus_agree_with_simulated_visits(make_world, examination):
    world = make_world(behavior={"examination": examination, "appetite": 1, "outside": 3.0, "attention": 0.7})
    slate = np.array([[4, 9, 33, 1, 60]], dtype=np.int32)
    user = np.array([1], dtype=np.int32)
    draws = 6000
    hits, surplus = np.zeros((3, 2)), []
    for round in range(draws):
        choices = visit(world, round, user, slate, KEYS)
        hits[choices.intents[0]] += (choices.taken[0, 0] >= 0, 1)
        surplus.append(choices.surplus[0])
    rate = hits[:, 0] / hits[:, 1]
    error = np.sqrt(choices.hit[0] * (1 - choices.hit[0]) / hits[:, 1])
    assert np.all(np.abs(rate - choices.hit[0]) < 4.5 * error + 1e-9)
    assert hits[:, 1] / draws == pytest.approx(world.users.shares[1], abs=0.03)
    expected = slate_value(world, user, slate, "surplus")[0]
    assert np.mean(surplus) == pytest.approx(expected, abs=4.5 * np.std(surplus) / np.sqrt(draws))
    assert slate_value(world, user, slate, "hit")[0] == pytest.approx(world.users.shares[1] @ choices.hit[0])


def test_appetite_bounds_what_is_taken_and_the_best_come_first(make_world):
    world = make_world(
        behavior={"appetite": 2, "appetite_spread": 1, "outside": -5.0, "attention": 1.0, "attention_sd": 0}
    )
    users = np.arange(60, dtype=np.int32)
    slates = np.tile(np.arange(5, dtype=np.int32), (60, 1))
    choices = visit(world, 0, users, slates, KEYS)
    assert np.array_equal((choices.taken >= 0).sum(axis=1), np.minimum(world.users.appetite, 5))
    assert set(world.users.appetite) == {1, 2, 3}


def test_surplus_at_start_tastes_differs_exactly_by_the_moved_match(make_simulation):
    simulation = make_simulation(behavior={"movement": 0.3, "outside": 2.0})
    for _ in range(5):
        now = simulation.step()
    world = simulation.world
    choices = visit(world, 5, now.users, now.slates, KEYS)
    people, topics = world.users, world.items.topics.astype(float)
    for b, user in enumerate(now.users):
        z = choices.intents[b]
        moved = (people.tastes_start[user, z] - people.tastes[user, z]).astype(float)
        expected = sum(world.behavior.match * moved @ topics[item] for item in choices.taken[b] if item >= 0)
        assert choices.surplus_start[b] - choices.surplus[b] == pytest.approx(expected, abs=1e-5)
