"""Organic visits: what is found and how often, by brute force and in closed form, and never what is blocked."""

import numpy as np
import pytest
from echodrift.agents.dynamics.choice import ChoiceKeys, taste_values, visit
from echodrift.agents.dynamics.drift import drift_shares
from echodrift.agents.dynamics.organic import (
    OrganicKeys,
    consideration_shares,
    organic_slates,
)
from echodrift.agents.dynamics.people import draw_intents
from echodrift.agents.values import item_values
from echodrift.philox import gumbel
from echodrift.sim.streams import Streams
from scipy.special import softmax

KEYS = OrganicKeys.from_streams(Streams(2))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_first_item_is_drawn_in_proportion_to_popularity(make_world, exponent):
    world = make_world(
        users=4000, items=10, topics=3, behavior={"organic_popularity": exponent}, graph={"kind": "none"}
    )
    world.taken[:] = np.arange(10) ** 2
    users = np.arange(4000, dtype=np.int32)
    seen = organic_slates(world, 0, users, np.zeros_like(users), 1, np.zeros((4000, 2), np.uint8), KEYS)
    expected = (1.0 + world.taken) ** exponent
    observed = np.bincount(seen[:, 0], minlength=10) / 4000
    assert observed == pytest.approx(expected / expected.sum(), abs=4.5 * np.sqrt(0.25 / 4000))


def test_without_replacement_it_agrees_with_successive_sampling(make_world):
    world = make_world(
        users=6000, items=5, topics=3, behavior={"organic_popularity": 1.0}, slate=2, graph={"kind": "none"}
    )
    world.taken[:] = [0, 1, 3, 7, 15]
    users = np.arange(6000, dtype=np.int32)
    seen = organic_slates(world, 0, users, np.zeros_like(users), 2, np.zeros((6000, 1), np.uint8), KEYS)
    assert np.all(seen[:, 0] != seen[:, 1])
    w = np.array([1, 2, 4, 8, 16]) / 31
    included = w + sum(w[j] * w / (1 - w[j]) * (np.arange(5) != j) for j in range(5))
    observed = np.bincount(seen.ravel(), minlength=5) / 6000
    assert observed == pytest.approx(included, abs=0.03)
    # The order is random: the popular item is first as often as second among those who saw it.
    first, second = (seen[:, 0] == 4).sum(), (seen[:, 1] == 4).sum()
    assert first / (first + second) == pytest.approx(0.5, abs=0.04)


def test_blocked_and_retired_items_never_appear_and_a_slate_may_be_short(make_world):
    world = make_world(users=50, items=12, topics=3)
    world.items.retirement[3] = 0
    users = np.arange(50, dtype=np.int32)
    blocked = np.zeros((50, 2), np.uint8)
    blocked[:, 0] = 0b11110111
    seen = organic_slates(world, 0, users, np.zeros_like(users), 6, blocked, KEYS)
    assert set(np.unique(seen)) == {-1, 8, 9, 10, 11}
    assert np.all((seen >= 0).sum(axis=1) == 4)
    assert np.all(seen[:, 4:] == -1)


def test_slates_fill_up_even_where_one_item_has_nearly_all_the_weight(make_world):
    world = make_world(users=40, items=30, topics=3, behavior={"organic_popularity": 1.5}, slate=10)
    world.taken[7] = 1_000_000
    users = np.arange(40, dtype=np.int32)
    seen = organic_slates(world, 0, users, np.zeros_like(users), 10, np.zeros((40, 4), np.uint8), KEYS)
    assert np.all(seen >= 0) and all(np.unique(row).size == 10 and 7 in row for row in seen)
    others = np.bincount(seen[seen != 7], minlength=30)[np.arange(30) != 7]
    assert others.min() > 0 and others.max() < 40


def free(world):
    return np.zeros((len(world.users), (len(world.items) + 7) // 8), np.uint8)


def some_world(make_world, items=60, **behavior):
    world = make_world(users=50, items=items, arrivals=1.0, behavior={"search": 0.8, **behavior})
    rng = np.random.default_rng(5)
    world.taken[:] = rng.zipf(1.7, len(world.items)).clip(max=500)
    world.users.fatigue[:] = rng.random(world.users.fatigue.shape)
    world.recent[:] = rng.integers(-1, items, world.recent.shape)
    return world, np.arange(50, dtype=np.int32), rng.integers(0, 3, 50).astype(np.int32)


@pytest.mark.parametrize(
    "behavior", [{}, {"social": 2.0, "fatigue": 1.0}, {"search": 3.0, "organic_popularity": 0.0}]
)
def test_slates_are_the_largest_of_noisy_values(make_world, behavior):
    """Against numpy, item by item: b·log(1 + taken) + κ·v + the Gumbel draw of this user and item."""
    world, users, intents = some_world(make_world, **behavior)
    seen = organic_slates(world, 3, users, intents, 7, free(world), KEYS)
    born = world.items.n_born(3)
    values = item_values(world, users, born, context=True)[users, intents].astype(float)
    noise = np.array([[gumbel(KEYS.items, 3, u, i) for i in range(born)] for u in users])
    scores = (
        world.behavior.organic_popularity * np.log1p(world.taken[:born])
        + world.behavior.search * values
        + noise
    )
    scores[:, ~world.items.live(3)[:born]] = -np.inf
    expected = np.argsort(-scores, axis=1)[:, :7]
    assert np.array_equal(np.sort(seen, axis=1), np.sort(expected, axis=1))


def test_a_visit_finds_items_in_proportion_to_what_it_wants(make_world):
    """With κ = 1 and b = 0 the first item is drawn from the demand of the visit's intent."""
    world, _, _ = some_world(make_world, items=12, search=1.0, organic_popularity=0.0)
    user, rounds = np.array([7], np.int32), 6000
    intent = np.array([1], np.int32)
    seen = [organic_slates(world, t, user, intent, 1, free(world), KEYS)[0, 0] for t in range(-rounds, 0)]
    observed = np.bincount(seen, minlength=12) / rounds
    expected = softmax(item_values(world, user, 12, context=True)[0, 1].astype(float))
    assert np.abs(observed - expected).max() < 4.5 * np.sqrt(0.25 / rounds)
    assert expected.max() > 3 / 12, "the demand is not flat"


def test_one_item_that_is_talked_about_enters_slates_and_changes_nothing_else(make_world):
    world, users, intents = some_world(make_world)
    before = organic_slates(world, 3, users, intents, 7, free(world), KEYS)
    world.taken[11] = 100_000
    after = organic_slates(world, 3, users, intents, 7, free(world), KEYS)
    entered = 0
    for one, other in zip(before, after, strict=True):
        assert set(other) - set(one) <= {11} and len(set(one) - set(other)) <= 1
        entered += 11 in other and 11 not in one
    assert entered > 10


def test_items_that_come_later_change_no_draw(make_world):
    world, users, intents = some_world(make_world)
    longer, *_ = some_world(make_world)
    longer.items.birth[70:] = 10_000
    world.taken[:], longer.taken[:] = 0, 0
    for each in (world, longer):
        each.recent[:], each.users.fatigue[:] = -1, 0
    slates = [organic_slates(each, 3, users, intents, 7, free(each), KEYS) for each in (world, longer)]
    assert np.array_equal(*slates)


def test_shares_of_what_is_considered(make_world):
    weights = 0.5 * np.log1p(np.random.default_rng(1).zipf(1.5, 3000).clip(max=10_000))
    shares = consideration_shares(weights, 400)
    assert shares.sum() == pytest.approx(400) and shares.max() <= 1
    rate = -np.log1p(-shares) / np.exp(weights)
    assert rate == pytest.approx(np.full(3000, rate[0]), rel=1e-6), "π = 1 − exp(−τw) with one τ"
    assert np.array_equal(consideration_shares(weights, 3000), np.ones(3000))
    heavy = np.array([50.0, *np.zeros(20)])
    assert consideration_shares(heavy, 5).sum() == pytest.approx(5)


def test_a_set_of_nearly_all_items_is_nearly_the_exact_draw(make_world):
    """The draw does not jump where a catalog outgrows the set: what differs are the few items outside of the set."""
    world, users, intents = some_world(make_world)
    exact = organic_slates(world, 3, users, intents, 7, free(world), KEYS)
    live = int(world.items.live(3).sum())
    world.behavior = world.behavior.model_copy(update={"consideration": live - 1})
    close = organic_slates(world, 3, users, intents, 7, free(world), KEYS)
    kept = np.mean([len(set(a) & set(b)) / 7 for a, b in zip(exact, close, strict=True)])
    assert 0.85 < kept < 1


def test_what_a_set_shows_is_close_to_what_the_whole_catalog_shows(make_world):
    world = make_world(
        users=20_000,
        items=400,
        topics=4,
        behavior={"search": 0.7, "consideration": 200},
        graph={"kind": "none"},
    )
    world.taken[:] = np.random.default_rng(0).zipf(1.5, 400).clip(max=300)
    world.users.tastes[:], world.users.quality_weight[:] = world.users.tastes[0], 1
    users = np.arange(20_000, dtype=np.int32)
    intents = np.zeros_like(users)
    counts = []
    for size in (200, 400):
        world.behavior = world.behavior.model_copy(update={"consideration": size})
        seen = organic_slates(world, 0, users, intents, 1, free(world), KEYS)
        counts.append(np.bincount(seen.ravel(), minlength=400) / seen.size)
    noise = np.abs(np.random.default_rng(1).multinomial(20_000, counts[1]) / 20_000 - counts[1]).sum() / 2
    assert np.abs(counts[0] - counts[1]).sum() / 2 < 0.05 + 2 * noise
    niche = np.argsort(world.taken)[:300]
    assert counts[0][niche].sum() == pytest.approx(counts[1][niche].sum(), abs=0.02)


def test_a_set_without_free_items_gives_way_to_the_whole_catalog(make_world):
    world, users, intents = some_world(make_world, items=100, consideration=10)
    world.taken[:20] = 1_000_000
    blocked = free(world)
    blocked[:, :2] = 255
    seen = organic_slates(world, 3, users, intents, 7, blocked, KEYS)
    assert np.all(seen >= 16) and all(np.unique(row).size == 7 for row in seen)


def test_shares_drift_by_the_service_of_the_slate_that_each_intent_finds(make_world):
    """E[Δs_k] = (ρ + ρ₋)·s_k·(h_k − h̄), with h_k on the slate that the same organic draws give under intent k."""
    rates, rounds = (0.03, 0.02), 3000
    world, users, _ = some_world(make_world, search=1.0, reinforcement=rates[0], disappointment=rates[1])
    start = world.users.shares.copy()
    total, squares = np.zeros(start.shape), np.zeros(start.shape)
    for repetition in range(rounds):
        streams = Streams(100 + repetition)
        keys = ChoiceKeys.from_streams(streams)
        intents = draw_intents(world, 3, users, keys.intent)
        slates = organic_slates(world, 3, users, intents, 5, free(world), KEYS)
        choices = visit(world, 3, users, slates, keys)
        assert np.array_equal(choices.intents, intents)
        satisfied = choices.taken[:, 0] >= 0
        drift_shares(world, 3, users, intents, satisfied, 0.5, keys.intent, streams.key("neutral"))
        change = world.users.shares.astype(float) - start
        total += change
        squares += change**2
        world.users.shares[:] = start
    under = [organic_slates(world, 3, users, np.full_like(users, k), 5, free(world), KEYS) for k in range(3)]
    hit = np.stack(
        [taste_values(world, users, slates, "hit")[:, k] for k, slates in enumerate(under)], axis=1
    )
    shares = start.astype(float)
    expected = sum(rates) * shares * (hit - (shares * hit).sum(axis=1, keepdims=True))
    error = np.sqrt(squares / rounds - (total / rounds) ** 2) / np.sqrt(rounds)
    z = (total / rounds - expected) / error
    assert np.abs(z).max() < 5 and np.sqrt(np.mean(z**2)) == pytest.approx(1, abs=0.35)
    wrong = taste_values(world, users, under[0], "hit")
    assert np.abs(hit[:, 2] - wrong[:, 2]).max() > 0.1, "the slates of the intents differ"
