"""Measures by the source of a slot, stability of slates, overlap since round 0 and kinds of profiles: by brute force."""

import numpy as np
import pytest
from echodrift import run
from echodrift.analysis.measures import USUAL, build, catalog, computed
from echodrift.analysis.measures.base import SOURCES
from echodrift.analysis.measures.echo import CumulativeOverlap
from echodrift.analysis.measures.exposure import gini
from echodrift.analysis.measures.popularity import profile_groups
from echodrift.analysis.measures.testing import random_round, random_setup, random_world
from echodrift.analysis.recording.recorder import Recorder
from echodrift.cli.catalog import warnings
from echodrift.errors import BadInput
from echodrift.policies.registry import build_policy
from echodrift.scenarios.design.all_mistakes import check_names
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.build import build_run
from echodrift.sim.recommender import PolicyRecommender


@pytest.fixture
def rounds():
    rng = np.random.default_rng(3)
    world = random_world(rng, users=40, items=50)
    return world, random_setup(world, rng), [random_round(world, rng, t, sources=True) for t in range(25)]


def is_from(round, row, column, source):
    organic, cold = bool(round.organic[row]), bool(round.cold[row, column])
    if source == "own":
        # Users without a recommender have no cold-start slots; random rounds may mark some.
        return (not organic or bool(round.unserved[row])) and not cold
    if source == "cold":
        return (not organic or bool(round.unserved[row])) and cold
    return source == "all" or organic


def slots(round, source):
    """Return the lists of shown and of taken items of a source, slot by slot."""
    shown, taken = [], []
    for row in range(round.users.size):
        for column, item in enumerate(round.slates[row].tolist()):
            if item >= 0 and is_from(round, row, column, source):
                shown.append(item)
                taken += [item] * (item in round.taken[row].tolist())
    return shown, taken


@pytest.mark.parametrize(("suffix", "source"), [(suffix, source) for suffix, (source, _) in SOURCES.items()])
def test_columns_count_the_slots_of_their_source(rounds, suffix, source):
    world, setup, past = rounds
    niche, live = world.items.niche, world.items.live(24)
    names = [f"{name}{suffix}" for name in (
        "niche_exposure", "niche_consumed", "exposure_gini", "coverage_consumed", "extinct_share", "coverage_round",
        "average_popularity", "average_popularity_current_consumed",
    )]  # fmt: skip
    measures = build(setup, names)
    world.taken[:] = np.arange(world.taken.size)
    for round in past:
        values = measures.update(round)
    shown, taken = slots(past[-1], source)
    window = [slots(round, source) for round in past[5:]]
    counts, takes = (
        np.bincount([item for part in window for item in part[k]], minlength=live.size) for k in (0, 1)
    )
    users = len(world.users)
    assert values == pytest.approx(
        dict(
            zip(
                names,
                [
                    niche[shown].mean(),
                    niche[taken].mean(),
                    gini(counts[live]),
                    (takes[live] > 0).mean(),
                    (counts[live] == 0).mean(),
                    np.isin(np.flatnonzero(live), shown).mean(),
                    setup.popularity[shown].mean() / users,
                    np.mean(taken) / users,
                ],
                strict=True,
            )
        )
    )


def test_an_organic_arm_and_people_without_a_recommender_are_never_empty(make_simulation):
    columns = ("niche_exposure", "niche_exposure_organic", "niche_exposure_all", "niche_exposure_cold")
    recorder = Recorder(organic := make_simulation(), columns)
    organic.step()
    row = recorder.rows[0]
    assert row["niche_exposure"] == row["niche_exposure_organic"] == row["niche_exposure_all"] > 0
    assert np.isnan(row["niche_exposure_cold"])
    popular = PolicyRecommender(build_policy({"kind": "popularity"}), [])
    recorder = Recorder(simulation := make_simulation(popular, behavior={"organic": 0.3}), columns)
    simulation.step()
    row = recorder.rows[0]
    assert row["niche_exposure"] < row["niche_exposure_all"] < row["niche_exposure_organic"]


def test_slate_stability_compares_with_the_visit_before(rounds):
    _, setup, past = rounds
    column = build(setup, ["slate_stability"])
    last: dict[int, set[int]] = {}
    for round in past:
        found, weights = [], []
        for row, user in enumerate(round.users.tolist()):
            kept = round.part("own").slates[row]
            slate = {int(item) for item in kept if item >= 0}
            if not slate:
                continue
            if user in last:
                found.append(len(slate & last[user]) / len(slate))
                weights.append(1 / float(setup.world.users.activity[user]))
            last[user] = slate
        value = column.update(round)["slate_stability"]
        assert value == pytest.approx(np.average(found, weights=weights) if found else np.nan, nan_ok=True)


def test_a_slate_that_never_changes_is_perfectly_stable(make_simulation):
    popular = PolicyRecommender(build_policy({"kind": "popularity"}), [])
    simulation = make_simulation(
        popular, platform={"retrain_every": 100}, behavior={"organic": 0.0, "repeat": 0}
    )
    recorder = Recorder(simulation, ["slate_stability"])
    for _ in range(5):
        simulation.step()
    assert np.isnan(recorder.rows[0]["slate_stability"])
    assert [row["slate_stability"] for row in recorder.rows[1:]] == [1.0] * 4


def test_overlap_since_round_0_is_the_jaccard_of_all_takes(rounds):
    world, setup, past = rounds
    measure = build(setup, ["overlap_cumulative"])
    taken: dict[int, set[int]] = {user: set() for user in range(len(world.users))}
    for round in past:
        value = measure.update(round)["overlap_cumulative"]
        for user, items in zip(round.users.tolist(), round.taken.tolist(), strict=True):
            taken[user] |= {item for item in items if item >= 0}
        for user, item in zip(round.heard_users.tolist(), round.heard_items.tolist(), strict=True):
            taken[user].add(item)
        [overlap] = measure.measures
        members = np.flatnonzero(overlap._row >= 0)
        pairs = [(taken[members[a]], taken[members[b]]) for a, b in overlap._pairs.tolist()]
        known = [len(a & b) / len(a | b) for a, b in pairs if a | b]
        assert value == pytest.approx(np.mean(known))


def test_homogenization_in_chaneys_sense_is_the_difference_from_an_arm_over_the_same_pairs(tmp_path):
    arms = [{"name": kind, "policy": {"kind": kind}} for kind in ("popularity", "oracle_item")]
    study = {"name": "t", "rounds": 6, "seeds": 2, "world": {"users": 40, "items": 60}, "arms": arms}
    read = load_study(study)
    one, other = (build_run(read, arm, 1).recorder.measures.measures for arm in read.arms)
    pairs = [next(each for each in some if isinstance(each, CumulativeOverlap)) for some in (one, other)]
    assert (pairs[0]._pairs == pairs[1]._pairs).all() and (pairs[0]._row == pairs[1]._row).all()
    result = run(study, out=tmp_path / "o", jobs=1)
    [row] = result.compare("overlap_cumulative", reference="oracle_item", arms=["popularity"]).to_dict(
        "records"
    )
    means = result.rounds.groupby(["arm", "seed"])["overlap_cumulative"].mean()
    assert row["difference"] == pytest.approx((means["popularity"] - means["oracle_item"]).mean())
    assert row["difference"] > 0 and row["n"] == 2


def test_profiles_are_thirds_by_the_share_of_popular_items():
    popularity = np.array([50, 40, 3, 2, 1, 1, 1, 1, 1, 0, 9])  # the last was born later; 2 of 10 are popular
    users = [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5]
    items = [0, 1, 2, 3, 0, 2, 3, 1, 4, 10, 5, 0]
    found = profile_groups(popularity, np.array(users), np.array(items), 7, 10)
    # Takes of items that retired before round 0 belong to no profile.
    gone = [np.append(popularity, 50), np.append(users, [1, 2, 2]), np.append(items, [10, 10, 10])]
    again = profile_groups(*gone, 7, 10)
    assert all((again[name] == found[name]).all() for name in found)
    # Shares: 1, 0, 1/3, 1/2, 0, 1; user 6 has no profile.
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "profile=niche": [1, 4],
        "profile=diverse": [2, 3],
        "profile=blockbuster": [0, 5],
    }


def test_popularity_lift_by_profile_is_a_column_of_a_run(make_simulation):
    popular = PolicyRecommender(build_policy({"kind": "popularity"}), [])
    recorder = Recorder(simulation := make_simulation(popular), ["popularity_lift"], ["profile"])
    simulation.step()
    lifts = [
        recorder.rows[0][f"popularity_lift:profile={name}"] for name in ("niche", "diverse", "blockbuster")
    ]
    assert lifts[0] > lifts[1] > lifts[2]


def test_what_a_list_of_measures_means():
    usual = [column.name for column in catalog() if column.usual]
    assert computed([]) == computed([USUAL]) == usual
    assert computed(["welfare", "usual", "niche_exposure_all"])[-1] == "niche_exposure_all"
    assert "niche_exposure_all" not in usual and "niche_exposure" in usual
    arms = [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "random"}}]
    study = {"name": "x", "arms": arms, "primary": ["niche_exposure_all"]}
    told = "primary names niche_exposure_all, which measures leaves out"
    assert told in warnings(load_study(study))
    assert told not in warnings(load_study({**study, "measures": ["usual", "niche_exposure_all"]}))
    with pytest.raises(BadInput, match="there is no measure"):
        check_names(load_study({**study, "measures": ["usal"]}))
