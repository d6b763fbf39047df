"""The exposure family against hand-computed and brute-force values."""

import numpy as np
import pytest
from echodrift.agents.values import item_values
from echodrift.analysis.measures.exposure import gini
from echodrift.analysis.measures.panel import UserPanel
from echodrift.analysis.measures.popularity import profile_popularity
from echodrift.analysis.measures.testing import random_round, random_setup, random_world
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def run():
    """A world with arrivals and retirements, its setup, and 45 rounds."""
    rng = np.random.default_rng(42)
    world = random_world(rng, users=40, items=60, newborn=20)
    setup = random_setup(world, rng, splits={"group=odd": np.arange(40) % 2 == 1})
    return world, setup, [random_round(world, rng, index) for index in range(45)]


def slots(slates, users, keep):
    return [int(i) for row, user in zip(slates, users, strict=True) if keep(user) for i in row if i >= 0]


@pytest.mark.parametrize(("label", "keep"), [("", lambda u: True), (":group=odd", lambda u: u % 2 == 1)])
def test_niche_and_popularity_are_means_over_slots(last_values, run, label, keep):
    world, setup, rounds = run
    values = last_values(setup, rounds[:1], "niche_exposure", "niche_consumed", "average_popularity",
                       "average_popularity_consumed")  # fmt: skip
    shown, taken = (slots(ids, rounds[0].users, keep) for ids in (rounds[0].slates, rounds[0].taken))
    assert values["niche_exposure" + label] == pytest.approx(np.mean([world.items.niche[i] for i in shown]))
    assert values["niche_consumed" + label] == pytest.approx(np.mean([world.items.niche[i] for i in taken]))
    assert values["average_popularity" + label] == pytest.approx(
        np.mean([setup.popularity[i] / 40 for i in shown])
    )
    consumed = np.mean([setup.popularity[i] / 40 for i in taken])
    assert values["average_popularity_consumed" + label] == pytest.approx(consumed)


def test_niche_demand_follows_the_live_catalog(last_values, run):
    world, setup, rounds = run
    for round in (rounds[0], rounds[30]):
        live = [i for i in range(80) if world.items.birth[i] <= round.index < world.items.retirement[i]]
        niche = sum(world.items.demand[i] for i in live if world.items.niche[i])
        expected = niche / sum(world.items.demand[i] for i in live)
        assert last_values(setup, [round], "niche_demand")["niche_demand"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5, 5], 0.0), ([0, 0, 0, 8], 0.75), ([1, 2, 3, 4], 0.25), ([3], 0.0), ([0, 0], np.nan)],
)
def test_gini_by_hand(counts, expected):
    assert gini(np.array(counts)) == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts):
    x = np.array(counts)
    pairs = np.abs(x[:, None] - x[None, :]).sum()
    assert gini(x) == pytest.approx(pairs / (2 * x.size * x.sum()), abs=1e-12)


@pytest.mark.parametrize("last", [3, 19, 20, 44])
def test_windows_look_back_20_rounds(last_values, run, last):
    world, setup, rounds = run
    names = ["exposure_gini", "coverage", "extinct_share"]
    values = last_values(setup, rounds[: last + 1], *names, *(f"{name}_consumed" for name in names))
    recent = rounds[max(0, last - 19) : last + 1]
    live = [i for i in range(80) if world.items.birth[i] <= last < world.items.retirement[i]]
    old = [i for i in live if last - max(world.items.birth[i], 0) >= 20]
    for field, twin in (("slates", ""), ("taken", "_consumed")):
        flat = [i for r in recent for i in slots(getattr(r, field), r.users, lambda u: True)]
        counts = np.bincount(flat, minlength=80)
        assert values[f"exposure_gini{twin}"] == pytest.approx(gini(counts[live]))
        assert values[f"coverage{twin}"] == pytest.approx(np.mean(counts[live] > 0))
        expected = np.mean(counts[old] == 0) if last >= 20 else np.nan
        assert values[f"extinct_share{twin}"] == pytest.approx(expected, nan_ok=True)


def test_rounds_that_were_not_seen_leave_the_window_empty(last_values):
    rng = np.random.default_rng(0)
    world = random_world(rng)
    setup = random_setup(world, rng)
    early, late = random_round(world, rng, 4, active=1.0), random_round(world, rng, 30, active=1.0)
    alone = last_values(setup, [late], "coverage", "intra_user_diversity")
    assert last_values(setup, [early, late], "coverage", "intra_user_diversity") == alone


def test_profile_popularity_is_the_mean_over_takes():
    popularity = np.array([10, 1, 4])
    profile = profile_popularity(popularity, np.array([0, 0, 2]), np.array([0, 2, 1]), 3)
    np.testing.assert_array_equal(profile, [7, np.nan, 1])


@pytest.mark.parametrize(("label", "keep"), [("", lambda u: True), (":group=odd", lambda u: u % 2 == 1)])
@pytest.mark.parametrize(
    ("column", "field"), [("popularity_lift", "slates"), ("popularity_lift_consumed", "taken")]
)
def test_popularity_lift_compares_the_same_users(last_values, run, column, field, label, keep):
    _, setup, rounds = run
    setup.profile_popularity[::7] = np.nan
    round = rounds[0]
    gap_q = gap_p = 0.0
    for user, row in zip(round.users, getattr(round, field), strict=True):
        items = [setup.popularity[i] for i in row if i >= 0]
        if keep(user) and items and not np.isnan(setup.profile_popularity[user]):
            weight = 1 / float(setup.world.users.activity[user])
            gap_q += weight * np.mean(items)
            gap_p += weight * setup.profile_popularity[user]
    assert last_values(setup, [round], column)[column + label] == pytest.approx((gap_q - gap_p) / gap_p)


def test_a_platform_that_shows_everybody_their_own_profile_has_no_lift(last_values):
    rng = np.random.default_rng(0)
    world = random_world(rng, users=20)
    setup = random_setup(world, rng)
    round = random_round(world, rng, active=1.0, slate=1)
    setup.popularity[:] = 3
    setup.profile_popularity[:] = 3
    assert last_values(setup, [round], "popularity_lift")["popularity_lift"] == pytest.approx(0)


def test_exhausted_share_counts_blocked_items_among_the_most_wanted(last_values, run):
    world, setup, rounds = run
    round = rounds[30]
    panel = setup.fresh().shared(UserPanel).users
    assert panel.tolist() == list(range(40))
    v = item_values(world, panel, 80, start=True).astype(float)
    shares = []
    for user in panel:
        odds = np.exp(v[user])
        demand = (
            world.users.shares_start[user][:, None] * odds / odds[:, :60].sum(axis=1, keepdims=True)
        ).sum(axis=0)
        wanted = [i for i in np.argsort(-demand) if round.live[i]][:50]
        shares.append(np.mean([bool(round.blocked[user, i // 8] >> (i % 8) & 1) for i in wanted]))
    values = last_values(setup, [round], "exhausted_share")
    assert values["exhausted_share"] == pytest.approx(np.mean(shares))
    assert values["exhausted_share:group=odd"] == pytest.approx(np.mean(shares[1::2]))


def test_nothing_is_exhausted_while_nothing_is_blocked(last_values, run):
    _, setup, rounds = run
    rounds[0].blocked[:] = 0
    assert last_values(setup, rounds[:1], "exhausted_share")["exhausted_share"] == 0


def test_panel_is_the_same_in_every_arm_and_unlike_in_every_seed():
    rng = np.random.default_rng(0)
    world = random_world(rng, users=500)
    setup = random_setup(world, rng)
    panel = UserPanel(setup).users
    assert panel.size == 200 and np.unique(panel).size == 200
    np.testing.assert_array_equal(panel, UserPanel(setup.fresh()).users)
    other = type(setup)(world, 10, setup.popularity, np.uint64(12), setup.profile_popularity)
    assert not np.array_equal(panel, UserPanel(other).users)
