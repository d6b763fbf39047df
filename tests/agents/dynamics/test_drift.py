"""Drift: the identities of docs/model.md, and that a rate of zero switches each effect off."""

import numpy as np
import pytest
from echodrift.agents.dynamics.drift import drift_fatigue, drift_shares, drift_tastes, rewire, word_of_mouth
from echodrift.sim.streams import Streams

STREAMS = Streams(11)
INTENT, NEUTRAL = STREAMS.key("visit.intent"), STREAMS.key("drift.neutral")


def one_type_world(make_world, users, shares, **behavior):
    """Return a world in which all users have the same shares."""
    world = make_world(users=users, items=40, taste_shares=shares, behavior=behavior)
    assert np.allclose(world.users.shares, shares)
    return world


def draw_visits(world, rng, hit):
    """Return (intents, satisfied) drawn independently of echodrift."""
    users = len(world.users)
    edges = np.cumsum(world.users.shares[0].astype(float))[:-1]
    intents = np.searchsorted(edges, rng.random(users)).astype(np.int32)
    return intents, rng.random(users) < np.asarray(hit)[intents]


def test_expected_change_of_shares_is_the_identity(make_world):
    shares, hit = np.array([0.6, 0.3, 0.1]), np.array([0.9, 0.5, 0.2])
    world = one_type_world(make_world, 40_000, shares.tolist(), reinforcement=0.03, disappointment=0.02)
    intents, satisfied = draw_visits(world, np.random.default_rng(0), hit)
    users = np.arange(40_000, dtype=np.int32)
    drift_shares(world, 0, users, intents, satisfied, float(shares @ hit), INTENT, NEUTRAL)
    change = world.users.shares.astype(float) - shares
    expected = (0.03 + 0.02) * shares * (hit - shares @ hit)
    assert np.all(np.abs(change.mean(axis=0) - expected) < 4.5 * change.std(axis=0) / 200 + 1e-7)
    assert world.users.shares.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_nothing_moves_on_average_when_every_taste_is_served_alike_but_users_wander(make_world):
    shares, rates = np.array([0.6, 0.3, 0.1]), (0.04, 0.02)
    world = one_type_world(
        make_world, 40_000, shares.tolist(), reinforcement=rates[0], disappointment=rates[1]
    )
    users = np.arange(40_000, dtype=np.int32)
    intents, satisfied = draw_visits(world, np.random.default_rng(1), [0.7] * 3)
    drift_shares(world, 0, users, intents, satisfied, 0.7, INTENT, NEUTRAL)
    moved = world.users.shares.astype(float)
    assert moved.mean(axis=0) == pytest.approx(shares, abs=5e-4)
    # Concentration Σs² grows by (hρ² + (1−h)ρ₋²)(1 − Σs²) per visit: the variance of the step.
    grown = (moved**2).sum(axis=1).mean() - shares @ shares
    step = 0.7 * rates[0] ** 2 + 0.3 * rates[1] ** 2
    assert grown == pytest.approx(step * (1 - shares @ shares), abs=4e-4)
    shadow = world.users.neutral.astype(float)
    assert shadow.mean(axis=0) == pytest.approx(shares, abs=5e-4)


def test_shadow_repeats_the_shares_where_service_is_neutral(make_world):
    """With every visit satisfied for sure, the shadow and the shares see the same draws: they are equal."""
    world = make_world(users=50)
    users = np.arange(50, dtype=np.int32)
    from echodrift.agents.dynamics.people import draw_taste
    from echodrift.philox import uniform

    for round in range(20):
        intents = np.array(
            [draw_taste(world.users.shares[u], 3, uniform(INTENT, round, u, 0)) for u in users],
            dtype=np.int32,
        )
        drift_shares(world, round, users, intents, np.ones(50, bool), 1.0, INTENT, NEUTRAL)
        assert np.array_equal(world.users.shares, world.users.neutral)


def test_shares_stay_a_distribution_under_the_hardest_disappointment(make_world):
    world = make_world(behavior={"reinforcement": 0.9, "disappointment": 0.99})
    rng = np.random.default_rng(3)
    users = np.arange(60, dtype=np.int32)
    for round in range(50):
        intents = rng.integers(0, 3, 60).astype(np.int32)
        drift_shares(world, round, users, intents, rng.random(60) < 0.5, 0.5, INTENT, NEUTRAL)
        for shares in (world.users.shares, world.users.neutral):
            assert shares.min() >= 0
            assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_taste_moves_toward_what_was_taken_item_by_item(make_world):
    world = make_world(behavior={"movement": 0.25})
    before = world.users.tastes.copy()
    users, intents = np.array([4, 9], np.int32), np.array([0, 2], np.int32)
    taken = np.array([[7, 8], [3, -1]], np.int32)
    drift_tastes(world, users, intents, taken)
    x = world.items.topics
    assert world.users.tastes[4, 0] == pytest.approx(
        0.75 * (0.75 * before[4, 0] + 0.25 * x[7]) + 0.25 * x[8], abs=1e-6
    )
    assert world.users.tastes[9, 2] == pytest.approx(0.75 * before[9, 2] + 0.25 * x[3], abs=1e-6)
    untouched = np.ones_like(before, bool)
    untouched[4, 0] = untouched[9, 2] = False
    assert np.array_equal(world.users.tastes[untouched], before[untouched])
    assert world.users.tastes.sum(axis=2) == pytest.approx(1, abs=1e-5)


def test_fatigue_builds_up_by_exposure_and_recovers(make_world):
    world = make_world(behavior={"fatigue": 1.0, "fatigue_recovery": 0.5})
    users, slates = np.array([2], np.int32), np.array([[1, 5, -1, -1]], np.int32)
    drift_fatigue(world, users, slates)
    topics = (world.items.topics[1] + world.items.topics[5]) / 4
    assert world.users.fatigue[2] == pytest.approx(topics, abs=1e-6)
    drift_fatigue(world, np.empty(0, np.int32), np.empty((0, 4), np.int32))
    assert world.users.fatigue[2] == pytest.approx(topics / 2, abs=1e-6)
    assert world.users.fatigue[[0, 1, 3]].max() == 0


def test_word_of_mouth_copies_friends_in_proportion_to_influence(make_world):
    world = make_world(
        users=400, behavior={"word_of_mouth": 0.6}, graph={"kind": "watts_strogatz", "degree": 4}
    )
    graph = world.graph
    # Every friend took one item of their own, so an item names the friend it came from.
    world.recent[:] = -1
    world.recent[:, 0] = np.arange(400) % 80
    heard, total, weight = {}, 0, []
    blocked = np.zeros((400, 10), np.uint8)
    users = np.arange(400, dtype=np.int32)
    rounds = 50
    for round in range(rounds):
        who, items = word_of_mouth(world, round, users, blocked, np.full((400, 1), -1), STREAMS.key("wom"))
        total += who.size
        for user, item in zip(who, items, strict=True):
            ties = slice(graph.indptr[user], graph.indptr[user + 1])
            match = graph.indices[ties] % 80 == item
            assert match.any()
            heard[user] = heard.get(user, 0) + 1
            weight.append((graph.influence[ties] * match).sum() / graph.influence[ties].sum())
    assert total / (400 * rounds) == pytest.approx(0.6, abs=4.5 * np.sqrt(0.24 / (400 * rounds)))
    # E[w_picked] = Σ w² when friends are picked in proportion to w.
    shares = [
        graph.influence[a:b] / graph.influence[a:b].sum()
        for a, b in zip(graph.indptr, graph.indptr[1:], strict=False)
    ]
    assert np.mean(weight) == pytest.approx(np.mean([(s**2).sum() for s in shares]), abs=0.01)


def test_word_of_mouth_skips_what_is_blocked_retired_or_just_taken(make_world):
    world = make_world(users=30, behavior={"word_of_mouth": 1.0})
    world.recent[:] = -1
    world.recent[:, 0] = 17
    users = np.arange(30, dtype=np.int32)
    free = np.zeros((30, 10), np.uint8)
    none = np.full((30, 1), -1)
    assert word_of_mouth(world, 0, users, free, none, NEUTRAL)[0].size == 30
    blocked = free.copy()
    blocked[:, 2] |= 1 << 1
    assert word_of_mouth(world, 0, users, blocked, none, NEUTRAL)[0].size == 0
    assert word_of_mouth(world, 0, users, free, np.full((30, 1), 17), NEUTRAL)[0].size == 0
    world.items.retirement[17] = 0
    assert word_of_mouth(world, 0, users, free, none, NEUTRAL)[0].size == 0


def test_rewiring_swaps_the_least_similar_friend_for_a_friend_of_a_friend(make_world):
    world = make_world(users=200, behavior={"rewiring": 1.0}, homophily=0.9)
    before = world.graph.indices.copy()
    interest = world.users.mean_topics()
    interest /= np.linalg.norm(interest, axis=1, keepdims=True)
    source = np.repeat(np.arange(200), np.diff(world.graph.indptr))

    def likeness():
        return (interest[source] * interest[world.graph.indices]).sum(axis=1).mean()

    start = likeness()
    for round in range(5):
        rewire(world, round, NEUTRAL)
        assert np.all(world.graph.indices != source)
        keys = source * 200 + world.graph.indices
        assert np.unique(keys).size == keys.size, "a tie was doubled"
    assert likeness() > start
    assert (before != world.graph.indices).sum() <= 5 * 200


@pytest.mark.parametrize("rate", ["reinforcement", "movement", "fatigue", "word_of_mouth", "rewiring"])
def test_a_rate_of_zero_switches_the_effect_off(make_simulation, rate):
    off = {
        "reinforcement": 0,
        "disappointment": 0,
        "movement": 0,
        "fatigue": 0,
        "word_of_mouth": 0,
        "rewiring": 0,
    }
    kept = {
        "reinforcement": lambda w: (w.users.shares, w.users.neutral),
        "movement": lambda w: (w.users.tastes,),
        "fatigue": lambda w: (w.users.fatigue,),
        "word_of_mouth": lambda w: (w.taken[:0],),
        "rewiring": lambda w: (w.graph.indices,),
    }[rate]
    still = make_simulation(behavior=off)
    before = [array.copy() for array in kept(still.world)]
    moving = make_simulation(behavior={**off, rate: 0.5})
    told = 0
    for _ in range(8):
        assert still.step().heard_users.size == 0
        told += moving.step().heard_users.size
    assert all(np.array_equal(a, b) for a, b in zip(before, kept(still.world), strict=True))
    if rate == "word_of_mouth":
        assert told > 0
    else:
        assert any(not np.array_equal(a, b) for a, b in zip(before, kept(moving.world), strict=True))
