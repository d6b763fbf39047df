"""Twins: planted tastes, shares and qualities are found again; the assembled world keeps its contracts."""

import os
from pathlib import Path

import numpy as np
import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.items import NEVER
from echodrift.errors import BadInput
from echodrift.policies.interactions import Source
from echodrift.scenarios.real_logs.choice_model import build_catalog
from echodrift.scenarios.real_logs.communities import find_communities
from echodrift.scenarios.real_logs.quality import find_quality, model_demand
from echodrift.scenarios.real_logs.scale import (
    REFERENCE_SATISFACTION,
    find_shift,
    reference_values,
    satisfaction,
)
from echodrift.scenarios.real_logs.tastes import Tastes, find_tastes
from echodrift.scenarios.real_logs.twin import draw_world, infer_twin, observed_niche, scaled_activity
from echodrift.scenarios.specs.study import LogConfig
from echodrift.sim.streams import Streams

MATCH = 6.0
SHARES = {1: [1.0], 2: [0.625, 0.375], 3: [0.5, 0.3, 0.2]}


def planted(users, length, topics=12, items=3000, seed=0):
    """Histories drawn from the simulator's own choice model; a third of the users each has 1, 2, 3 tastes."""
    rng = np.random.default_rng(seed)
    x = 0.8 * np.eye(topics)[rng.integers(0, topics, items)] + 0.2 * rng.dirichlet(
        np.full(topics, 0.05), items
    )
    quality = rng.normal(0, 1, items)
    count = rng.integers(1, 4, users)
    shares, tastes = np.zeros((users, 3)), np.zeros((users, 3, topics))
    taken = np.empty((users, length), np.int32)
    for u in range(users):
        shares[u, : count[u]] = SHARES[count[u]]
        own = rng.choice(topics, 3, replace=False)
        tastes[u] = 0.85 * np.eye(topics)[own] + 0.15 * rng.dirichlet(np.ones(topics), 3)
        value = np.exp(MATCH * tastes[u] @ x.T + quality)
        taken[u] = rng.choice(items, length, p=shares[u] @ (value / value.sum(axis=1, keepdims=True)))
    user = np.repeat(np.arange(users, dtype=np.int32), length)
    return user, taken.ravel(), x, quality, Tastes(tastes, shares, count.astype(np.int32))


@pytest.mark.slow
def test_planted_tastes_are_recovered():
    """Stated tolerance, 60 choices each: K right for 90 % of the users, dominant topic for 93 % (the draws
    themselves part from the planted order for about 4 %), shares within .08 on average where K is right."""
    user, item, x, quality, truth = planted(400, 60)
    found = find_tastes(user, item, 400, build_catalog(x, quality, MATCH), 3)
    right = found.count == truth.count
    assert right.mean() > 0.9
    same = found.tastes[:, 0].argmax(axis=1) == truth.tastes[:, 0].argmax(axis=1)
    assert same.mean() > 0.93
    several = right & (truth.count > 1)
    assert np.abs(found.shares - truth.shares)[several].mean() < 0.08
    for k in (1, 2, 3):
        mean = found.shares[right & (truth.count == k)].mean(axis=0)
        np.testing.assert_allclose(mean[:k], SHARES[k], atol=0.05)
    focus = np.take_along_axis(found.tastes[:, 0], truth.tastes[:, 0].argmax(axis=1)[:, None], axis=1)
    assert abs(focus[same].mean() - 0.85) < 0.08


def test_tastes_are_points_on_the_simplex_dominant_first():
    user, item, x, quality, _ = planted(60, 25)
    found = find_tastes(user, item, 60, build_catalog(x, quality, MATCH), 3)
    np.testing.assert_allclose(found.tastes.sum(axis=2), 1)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    assert (np.diff(found.shares, axis=1) <= 0).all() and found.tastes.min() >= 0
    assert ((found.shares > 0).sum(axis=1) == found.count).all()
    again = find_tastes(user, item, 60, build_catalog(x, quality, MATCH), 3)
    np.testing.assert_array_equal(found.tastes, again.tastes)


def test_short_histories_and_limits():
    user, item, x, quality, _ = planted(30, 5)
    catalog = build_catalog(x, quality, MATCH)
    assert (find_tastes(user, item, 30, catalog, 3).count == 1).all()
    assert (find_tastes(user, item, 30, catalog, 3, choose_count=False).count == 3).all()
    assert find_tastes(user, item, 30, catalog, 1).shares.shape == (30, 1)
    flat = find_tastes(user, item, 30, build_catalog(x, quality, 0.0), 3)
    assert np.isfinite(flat.tastes).all() and (flat.count == 1).all()


def test_normalizer_is_exact_for_few_mixtures_and_close_for_many():
    rng = np.random.default_rng(4)
    tastes = rng.dirichlet(np.full(6, 0.3), 50)
    for mixtures, tolerance in (
        (np.eye(6)[rng.integers(0, 6, 900)], 1e-4),
        (rng.dirichlet(np.full(6, 0.2), 900), 0.02),
    ):
        quality = rng.normal(0, 1, 900)
        log_z, expected = build_catalog(mixtures, quality, MATCH).log_z(tastes)
        values = np.exp(MATCH * tastes @ mixtures.T + quality)
        np.testing.assert_allclose(log_z, np.log(values.sum(axis=1)), atol=tolerance)
        np.testing.assert_allclose(
            expected, values @ mixtures / values.sum(axis=1, keepdims=True), atol=tolerance
        )


def test_one_taste_is_the_penalized_maximum():
    """With one user and one taste the result beats every other point of a grid on the simplex."""
    rng = np.random.default_rng(5)
    x = np.eye(3)[rng.integers(0, 3, 300)]
    item = rng.choice(np.flatnonzero(x[:, 1] == 1), 200).astype(np.int32)
    item[:40] = np.flatnonzero(x[:, 2] == 1)[:40]
    catalog = build_catalog(x, np.zeros(300), MATCH)
    found = find_tastes(np.zeros(200, np.int32), item, 1, catalog, 1).tastes[0, 0]

    def likelihood(a):
        return MATCH * (x[item] @ a).mean() - float(catalog.log_z(a[None])[0][0])

    grid = [np.array([i, j, 20 - i - j]) / 20 for i in range(21) for j in range(21 - i)]
    assert likelihood(found) > max(likelihood(a) for a in grid) - 0.02
    assert found.argmax() == 1


def test_quality_reproduces_the_counts_and_the_planted_order():
    _, item, x, quality, truth = planted(400, 60)
    counts, weight = np.bincount(item, minlength=3000).astype(float), np.full(400, 60.0)
    found = find_quality(truth, weight, x, counts, MATCH, np.zeros(3000))
    demand = model_demand(truth, weight, x, found, MATCH)
    assert abs(found.mean()) < 1e-9 and demand.sum() == pytest.approx(24000, rel=1e-4)
    assert np.corrcoef(demand, counts)[0, 1] > 0.99
    assert np.corrcoef(found, quality)[0, 1] > 0.8 and 0.6 < found.std() < 1.1


def test_model_demand_equals_brute_force():
    rng = np.random.default_rng(6)
    x, quality = rng.dirichlet(np.ones(4), 30), rng.normal(0, 1, 30)
    tastes = Tastes(
        rng.dirichlet(np.ones(4), (5, 2)), np.array([[0.7, 0.3]] * 4 + [[1.0, 0.0]]), np.full(5, 2, np.int32)
    )
    weight = np.arange(1.0, 6.0)
    expected = np.zeros(30)
    for u in range(5):
        for k in range(2):
            value = np.exp(MATCH * x @ tastes.tastes[u, k] + quality)
            expected += weight[u] * tastes.shares[u, k] * value / value.sum()
    np.testing.assert_allclose(model_demand(tastes, weight, x, quality, MATCH), expected, rtol=1e-4)


def test_scale_brings_the_reference_visit_to_its_satisfaction():
    _, item, x, quality, truth = planted(200, 20)
    counts = np.bincount(item, minlength=3000)
    shift = find_shift(reference_values(truth.tastes, truth.shares, x, quality - 7, counts, MATCH, 0.5))
    values = reference_values(truth.tastes, truth.shares, x, quality - 7 + shift, counts, MATCH, 0.5)
    assert satisfaction(values) == pytest.approx(REFERENCE_SATISFACTION, abs=1e-6)
    one = np.array([[0.0, 0.0]])
    assert satisfaction(one) == pytest.approx(0.15 * 1 / 2 + 0.85 * 2 / 3)


def test_niche_never_separates_tied_items():
    assert observed_niche(np.array([9, 1, 1, 1, 1])).tolist() == [False, True, True, True, True]
    assert observed_niche(np.arange(10)).sum() == 8
    tied = observed_niche(np.array([1] * 6 + [2] * 3 + [5]))
    assert tied.tolist() == [True] * 9 + [False]
    assert observed_niche(np.array([1] * 7 + [2] * 3)).tolist() == [True] * 7 + [False] * 3


@pytest.mark.parametrize("mean", [0.05, 0.5, 0.9])
def test_activity_is_proportional_within_its_range(mean):
    counts = np.array([5, 20, 21, 60, 400])
    activity = scaled_activity(counts, mean)
    assert activity.mean() == pytest.approx(mean) and activity.min() >= 0.001 and activity.max() <= 1
    inside = (activity > 0.001) & (activity < 1)
    ratio = activity[inside] / counts[inside]
    np.testing.assert_allclose(ratio, ratio[0])


def test_communities_from_ties_and_from_topics():
    interests = np.repeat(np.eye(3), [6, 4, 2], axis=0)
    assert find_communities(interests, None, None).tolist() == [0] * 6 + [1] * 4 + [2] * 2
    groups = [range(5), range(5, 11)]
    rows = [[v for v in group if v != u] for group in groups for u in group] + [[]]
    indptr = np.cumsum([0] + [len(row) for row in rows])
    found = find_communities(interests, indptr, np.array([v for row in rows for v in row], np.int32))
    assert found[:11].tolist() == [1] * 5 + [0] * 6 and found[11] == 0


def small_log(folder, **fields):
    user, item, x, _, _ = planted(120, 30, topics=4, items=150, seed=9)
    rows = [
        f"{u},{i},{1 + u % 5},{1000 + n * 7 % 3601}" for n, (u, i) in enumerate(zip(user, item, strict=True))
    ]
    (folder / "log.csv").write_text("userId,itemId,rating,timestamp\n" + "\n".join(rows))
    genres = [f"{i},name {i},genre {x[i].argmax()}" for i in range(150)]
    (folder / "items.csv").write_text("itemId,title,genres\n" + "\n".join(genres))
    ties = [f"{u},{(u + d) % 121}" for u in range(121) for d in (1, 2)]
    (folder / "ties.csv").write_text("\n".join(ties))
    files = {"log": "log.csv", "items": "items.csv", "social": "ties.csv"}
    return LogConfig(**{**{key: str(folder / name) for key, name in files.items()}, **fields})


def test_twin_keeps_the_contracts_of_a_world(tmp_path):
    config = small_log(tmp_path, arrivals=2.0)
    behavior = Behavior(appetite_spread=1)
    found = infer_twin(config, behavior)
    world, log = draw_world(config, behavior, Streams(3), 30, 10, found)
    items, users, catalog = world.items, world.users, world.items.catalog
    assert catalog == len(found.log.items) < len(items) and len(items.names) == len(items)
    np.testing.assert_allclose(items.topics.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(items.tag.sum(axis=1), 1, rtol=1e-5)
    wrong = (items.tag.argmax(axis=1) != items.topics.argmax(axis=1)).mean()
    assert 0.02 < wrong < 0.25
    assert items.live(0).sum() == catalog == items.live(29).sum()
    assert (items.retirement[items.retirement != NEVER] >= 1).all()
    assert (items.niche[:catalog] == found.niche).all()
    born = items.names[catalog].removeprefix("new: like ")
    model = items.names.index(born)
    np.testing.assert_array_equal(items.topics[catalog], items.topics[model])
    assert items.quality[catalog] == items.quality[model] and items.niche[catalog] == items.niche[model]
    np.testing.assert_allclose(users.tastes.sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(users.shares.sum(axis=1), 1, rtol=1e-5)
    assert users.activity.mean() == pytest.approx(behavior.activity, abs=1e-4)
    assert set(users.appetite.tolist()) == {1, 2, 3} and users.outside.mean() == pytest.approx(4, abs=0.2)
    assert items.demand[:catalog].sum() == pytest.approx(len(users), rel=1e-3)
    assert users.tastes is not users.tastes_start and users.shares is not users.shares_start
    assert world.graph.indptr.size == len(users) + 1 and (world.graph.influence > 0).all()
    assert any("ties of 1 users without a history" in note for note in found.notes)

    assert (log.source == Source.IMPORTED).all() and (log.rank == 0).all()
    assert (np.diff(log.round) >= 0).all() and np.bincount(log.round + 20).min() >= len(log) // 20
    assert (np.bincount(log.item, minlength=catalog) == found.log.item_counts).all()


def test_seed_changes_only_what_is_drawn(tmp_path):
    config = small_log(tmp_path)
    found = infer_twin(config, Behavior())
    one, log = draw_world(config, Behavior(), Streams(1), 5, 10, found)
    same, _ = draw_world(config, Behavior(), Streams(1), 5, 10)
    other, log_other = draw_world(config, Behavior(), Streams(2), 5, 10, found)
    for part in ("topics", "quality", "tag", "demand", "niche"):
        np.testing.assert_array_equal(getattr(one.items, part), getattr(same.items, part))
    np.testing.assert_array_equal(one.users.tastes, other.users.tastes)
    np.testing.assert_array_equal(one.items.quality, other.items.quality)
    np.testing.assert_array_equal(log.item, log_other.item)
    assert (one.users.outside != other.users.outside).any() and (one.items.tag != other.items.tag).any()
    one.users.tastes[:] = 0
    assert draw_world(config, Behavior(), Streams(1), 5, 10, found)[0].users.tastes.sum() > 0


def test_without_items_time_or_ties(tmp_path):
    config = small_log(tmp_path)
    rows = Path(config.log).read_text().splitlines()
    (tmp_path / "bare.csv").write_text("\n".join(",".join(row.split(",")[:2]) for row in rows))
    bare = LogConfig(log=str(tmp_path / "bare.csv"), topics=4)
    found = infer_twin(bare, Behavior())
    world, log = draw_world(bare, Behavior(), Streams(0), 5, 10, found)
    assert (log.round == -1).all() and world.graph.ties == 0 and found.topics.source == "co-consumption"
    assert world.items.topics.shape[1] == 4 and len(np.unique(world.users.community)) > 1


def test_slate_larger_than_the_catalog(tmp_path):
    (tmp_path / "tiny.csv").write_text(
        "user,item\n" + "".join(f"{u},{i}\n" for u in range(6) for i in range(5))
    )
    config = LogConfig(log=str(tmp_path / "tiny.csv"))
    with pytest.raises(BadInput, match=r"platform.slate = 10 is larger.*5 items.*at most 5"):
        draw_world(config, Behavior(), Streams(0), 5, 10)
    world, _ = draw_world(config, Behavior(), Streams(0), 5, 5)
    assert np.isfinite(world.items.quality).all() and np.isfinite(world.users.tastes).all()


def data(*names):
    folder = Path(os.environ.get("ECHODRIFT_DATA", Path(__file__).parents[4] / "shared" / "data"))
    paths = [folder / name for name in names]
    for path in paths:
        if not path.exists():
            pytest.skip(f"{path} is not there: put the real logs there or set ECHODRIFT_DATA")
    return [str(path) for path in paths]


@pytest.mark.slow
@pytest.mark.data
def test_movielens():
    log, items = data("ml-latest-small/ratings.csv", "ml-latest-small/movies.csv")
    config = LogConfig(log=log, items=items)
    found = infer_twin(config, Behavior())
    assert (len(found.log), len(found.log.users), len(found.log.items)) == (100_004, 671, 9_066)
    assert found.names[0] == "Toy Story (1995)" and len(found.topics.names) == 19
    check_real(config, found)


@pytest.mark.slow
@pytest.mark.data
def test_lastfm_with_friends():
    log, friends = data("lastfm-2k/user_artists.dat", "lastfm-2k/user_friends.dat")
    config = LogConfig(log=log, social=friends, topics=20)
    found = infer_twin(config, Behavior())
    assert len(found.log.users) == 1_877 and found.ties.indices.size == 25_218
    assert 3 <= found.community.max() + 1 <= 20
    check_real(config, found)


def check_real(config, found):
    counts, weight = found.log.item_counts, found.log.user_counts.astype(float)
    demand = model_demand(found.tastes, weight, found.topics.mixtures, found.quality, MATCH)
    assert np.corrcoef(demand, counts)[0, 1] > 0.99
    kinds = np.bincount(found.tastes.count, minlength=4)[1:] / len(found.log.users)
    assert kinds.min() > 0.05 and abs(found.niche.mean() - 0.8) < 0.02
    world, _ = draw_world(config, Behavior(), Streams(0), 10, 10, found)
    people, items = world.users, world.items
    values = reference_values(people.tastes, people.shares, items.topics, items.quality, counts, MATCH, 0.5)
    assert satisfaction(values) == pytest.approx(REFERENCE_SATISFACTION, abs=1e-3)
