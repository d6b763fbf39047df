"""Provider measures by hand, NaN where nobody provides, and rows of unmade items that count nowhere."""

import math

import numpy as np
import pytest
from echodrift.analysis.measures import MEASURES
from echodrift.analysis.measures.testing import random_round, random_setup, random_world
from echodrift.analysis.recording.recorder import Recorder
from echodrift.policies.registry import build_policy
from echodrift.sim.recommender import PolicyRecommender

COLUMNS = [name for name, where in MEASURES.items() if where.startswith("providers:")]
ACTIVE = [name for name in COLUMNS if not name.startswith("provider_exposure_gini")]


@pytest.fixture
def run():
    """A world with seven providers (two enter, two stop), its setup, and 30 rounds."""
    rng = np.random.default_rng(42)
    world = random_world(rng, users=40, items=60, newborn=20, creators=True)
    setup = random_setup(world, rng, splits={"group=odd": np.arange(40) % 2 == 1})
    return world, setup, [random_round(world, rng, index) for index in range(30)]


def half_mean_difference(counts):
    """The Gini coefficient by its definition: Σ_i Σ_j |x_i − x_j| / (2 n Σ x)."""
    total = sum(abs(a - b) for a in counts for b in counts)
    return total / (2 * len(counts) * sum(counts))


@pytest.mark.parametrize("what", ["slates", "taken"])
def test_concentration_over_providers_with_a_live_item(last_values, run, what):
    world, setup, rounds = run
    for owner in (2, 5):  # providers with nothing live any more (and one of them with retired items)
        world.items.retirement[world.items.provider == owner] = 25
    column = "provider_exposure_gini" + ("" if what == "slates" else "_consumed")
    found = last_values(setup, rounds, column)[column]
    counts = dict.fromkeys(range(7), 0)
    for round in rounds[10:]:  # the last 20
        for item in getattr(round, what)[getattr(round, what) >= 0]:
            counts[int(world.items.provider[item])] += 1
    assert found == pytest.approx(half_mean_difference([counts[p] for p in (0, 1, 3, 4, 6)]))


def test_survival_counts_first_providers_and_niche_ones_among_them(last_values, run):
    world, setup, rounds = run
    demand = [world.items.demand[:60][world.items.provider[:60] == p].sum() for p in range(5)]
    niche = [p for p in range(5) if demand[p] < np.quantile(demand, 0.8)]
    for index, gone in ((0, ()), (6, ()), (7, (1,)), (19, (1,)), (20, (1, 4))):
        values = last_values(
            setup, [rounds[index]], "provider_survival", "niche_provider_survival", "active_providers"
        )
        assert values["provider_survival"] == pytest.approx(1 - len(gone) / 5)
        assert values["niche_provider_survival"] == pytest.approx(np.mean([p not in gone for p in niche]))
        entrants = (3 <= index) + (10 <= index < 15)
        assert values["active_providers"] == 5 - len(gone) + entrants


def test_a_provider_at_the_cut_is_not_niche(last_values, run):
    """Demands 1, 2, 3, 4, 4: the cut at 80 % is 4, and 4 is not below it."""
    world, setup, rounds = run
    world.items.demand[:] = 0
    world.items.demand[:5] = [1, 2, 3, 4, 4]
    assert world.items.provider[:5].tolist() == [0, 1, 2, 3, 4]
    for index, survived in ((0, 1), (7, 2 / 3), (20, 2 / 3)):  # 1 stops in round 7, 4 in round 20
        values = last_values(setup, [rounds[index]], "niche_provider_survival")
        assert values["niche_provider_survival"] == pytest.approx(survived)


def test_supply_is_the_live_catalogs_topics_beside_those_of_demand(last_values, run):
    world, setup, rounds = run
    for index in (0, 17):
        values = last_values(setup, [rounds[index]], "supply_topics", "supply_gap")
        live = [i for i in range(80) if world.items.birth[i] <= index < world.items.retirement[i]]
        supply = np.mean([world.items.topics[i].astype(float) for i in live], axis=0)
        supply /= supply.sum()
        wanted = np.mean(world.users.target.astype(float), axis=0)
        wanted /= wanted.sum()
        entropy = -sum(p * math.log(p) for p in supply)
        assert values["supply_topics"] == pytest.approx(math.exp(entropy))
        assert values["supply_gap"] == pytest.approx(
            sum(abs(p - d) for p, d in zip(supply, wanted, strict=True)) / 2
        )


def test_demands_topics_are_those_of_the_catalog_weighted_by_true_demand(make_world):
    world = make_world(creators={})
    weighted = world.items.demand[:80] @ world.items.topics[:80] / world.items.demand[:80].sum()
    assert world.users.target.mean(axis=0) == pytest.approx(weighted, abs=1e-4)


def test_exposure_of_entrants_counts_slots_whole_and_by_group(last_values, run):
    world, setup, rounds = run
    round = rounds[12]
    values = last_values(setup, [round], "entrant_exposure", "entrant_exposure_consumed")
    for label, users in (("", range(40)), (":group=odd", range(1, 40, 2))):
        for name, lists in (("entrant_exposure", round.slates), ("entrant_exposure_consumed", round.taken)):
            owners = [
                world.items.provider[i]
                for u, row in zip(round.users, lists, strict=True)
                if u in users
                for i in row
                if i >= 0
            ]
            assert values[name + label] == pytest.approx(np.mean([p >= 5 for p in owners]))


def test_without_creators_only_concentration_has_a_value_and_without_providers_nothing(last_values):
    rng = np.random.default_rng(0)
    world = random_world(rng)
    values = last_values(random_setup(world, rng), [random_round(world, rng)], *COLUMNS)
    assert all(math.isnan(values[name]) for name in ACTIVE)
    assert values["provider_exposure_gini"] == 0.0  # one provider has everything: nobody to differ from
    alone = random_world(rng)
    alone.items.provider[:] = np.arange(40)
    values = last_values(random_setup(alone, rng), [random_round(alone, rng)], *COLUMNS)
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize("repeat", [0, 3])
def test_no_measure_counts_rows_of_items_that_nobody_made(make_simulation, repeat):
    """More reserved rows, full of rubbish, change not one bit of any column, nor of the Lorenz curves."""
    rows, curves = [], []
    for horizon in (24, 60):
        simulation = make_simulation(
            PolicyRecommender(build_policy({"kind": "matrix_factorization", "dim": 4}), []),
            horizon=horizon,
            behavior={"repeat": repeat, "word_of_mouth": 0.2, "social": 0.5, "fatigue": 0.2},
            creators={"production": 0.2, "threshold": 3.0, "patience": 4, "entry": 0.5},
        )
        items = simulation.world.items
        if horizon == 60:
            unborn = slice(items.catalog, None)
            items.niche[unborn], items.demand[unborn], items.topics[unborn] = True, 1e9, 7.0
            items.quality[unborn], items.tag[unborn] = 50.0, 3.0
        recorder = Recorder(simulation, split_by=["community"])
        for _ in range(24):
            simulation.step()
        rows.append(recorder.rows)
        curves.append(recorder.tables())
    assert simulation.world.creators.made > 120
    for short, long in zip(*rows, strict=True):
        assert short.keys() == long.keys()
        differing = [name for name in short if not np.array_equal(short[name], long[name], equal_nan=True)]
        assert not differing
    np.testing.assert_equal(curves[0], curves[1])
    filled = [name for name in rows[0][20] if ":" not in name and not math.isnan(rows[0][20][name])]
    assert set(COLUMNS) <= set(filled)
