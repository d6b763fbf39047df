"""Generated worlds: distributions as configured, and parts that depend on nothing else."""

import networkx as nx
import numpy as np
import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.generate import generate, topic_weights
from echodrift.agents.items import NEVER
from echodrift.agents.lifetimes import draw_lifetimes
from echodrift.agents.settings import WorldConfig
from echodrift.agents.values import item_values
from echodrift.errors import BadInput
from echodrift.sim.streams import Streams
from hypothesis import given, settings
from hypothesis import strategies as st


def test_items_follow_their_distributions(make_world):
    world = make_world(items=20_000, topics=8, blend=0.3, quality_sd=2.0, tag_noise=0.25, topic_skew=1.0)
    x = world.items.topics
    assert x.sum(axis=1) == pytest.approx(1, abs=1e-5)
    primary = x.argmax(axis=1)
    assert np.bincount(primary, minlength=8) / 20_000 == pytest.approx(topic_weights(8, 1.0), abs=0.02)
    assert world.items.quality.std() == pytest.approx(2.0, rel=0.03)
    wrong = (world.items.tag.argmax(axis=1) != primary).mean()
    assert wrong == pytest.approx(0.25, abs=0.02)
    assert np.all(world.items.tag.sum(axis=1) == 1)


def test_tastes_are_distinct_focused_and_follow_homophily(make_world):
    narrow = make_world(
        users=3000,
        topics=10,
        taste_shares=[0.5, 0.3, 0.2],
        homophily=1.0,
        communities=3,
        community_focus=0.05,
    )
    topic = narrow.users.tastes.argmax(axis=2)
    assert all(np.unique(row).size == 3 for row in topic[:200])
    assert np.take_along_axis(narrow.users.tastes, topic[:, :, None], 2).min() > 0.84
    free = make_world(users=3000, topics=10, homophily=0.0, communities=3, community_focus=0.05)

    def likeness(world):
        interest = world.users.mean_topics()
        centers = np.array([interest[world.users.community == c].mean(axis=0) for c in range(3)])
        return centers.var(axis=0).sum()

    assert likeness(narrow) > 10 * likeness(free)
    first = free.users.tastes.argmax(axis=2)[:, 0]
    assert np.bincount(first, minlength=10) / 3000 == pytest.approx(topic_weights(10, 1.0), abs=0.04)


def test_groups_have_values_of_their_own(make_world):
    world = make_world(users=4000, groups=[
        {"name": "mainstream", "share": 0.7},
        {"name": "niche", "share": 0.3, "taste_shares": [0.5, 0.5], "activity": 0.9, "appetite": 5, "topic_skew": 0,
         "quality_weight": 0.2, "outside": 1.0},
    ])  # fmt: skip
    users = world.users
    niche = users.group == 1
    assert niche.mean() == pytest.approx(0.3, abs=0.03)
    assert set(users.n_tastes[niche]) == {2} and set(users.n_tastes[~niche]) == {3}
    assert users.shares[niche] == pytest.approx(np.tile([0.5, 0.5, 0], (niche.sum(), 1)))
    assert users.activity[niche].mean() > users.activity[~niche].mean() + 0.2
    assert set(users.appetite[niche]) == {5} and set(users.quality_weight[niche]) == {np.float32(0.2)}
    assert users.outside[niche].mean() == pytest.approx(1.0, abs=0.1)
    assert np.all(users.minority[niche] == 1) and np.all(users.minority[~niche] == 2)


def test_drawn_shares_are_sorted(make_world):
    world = make_world(taste_shares="dirichlet", tastes=4)
    assert np.all(np.diff(world.users.shares, axis=1) <= 0)
    assert world.users.shares.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_demand_target_and_niche_by_brute_force(make_world):
    world = make_world(users=7, items=30, arrivals=1.0, horizon=10, graph={"kind": "none"})
    total, catalog = len(world.items), 30
    assert total > catalog
    demand, target = np.zeros(total), np.zeros((7, 6))
    for user in range(7):
        v = item_values(world, np.array([user], np.int32), total)[0].astype(float)
        for taste in range(3):
            weights = np.exp(v[taste]) / np.exp(v[taste, :catalog]).sum()
            demand += world.users.shares[user, taste] * weights
            target[user] += world.users.shares[user, taste] * weights[:catalog] @ world.items.topics[:catalog]
    assert world.items.demand == pytest.approx(demand, rel=1e-4)
    assert world.users.target == pytest.approx(target, abs=1e-5)
    assert world.items.demand[:catalog].sum() == pytest.approx(7, rel=1e-4)
    assert world.items.niche[:catalog].sum() == 24
    cut = np.quantile(demand[:catalog], 0.8)
    assert np.array_equal(world.items.niche[catalog:], demand[catalog:] < cut)


def test_catalog_turnover_keeps_its_size_and_ids_by_birth(make_world):
    world = make_world(items=50, arrivals=2.0, horizon=60)
    items = world.items
    assert np.all(np.diff(items.birth) >= 0)
    assert all(items.live(round).sum() == 50 for round in range(60))
    assert (items.retirement < NEVER).sum() > 60
    gone = items.retirement < NEVER
    assert np.all(items.retirement[gone] > items.birth[gone])
    shrinking = make_world(items=50, arrivals=0.0, retirements=5.0, horizon=60, slate=7)
    assert shrinking.items.live(59).sum() == 7


def test_oldest_retire_first_and_random_ones_do_not(make_world):
    oldest = make_world(items=30, arrivals=2.0, horizon=60).items
    gone = np.flatnonzero(oldest.retirement < NEVER)
    order = gone[np.argsort(oldest.retirement[gone], kind="stable")]
    assert np.all(np.diff(oldest.birth[order]) >= 0)
    mixed = make_world(items=30, arrivals=2.0, horizon=60, retire="random").items
    gone = np.flatnonzero(mixed.retirement < NEVER)
    assert np.any(np.diff(mixed.birth[gone[np.argsort(mixed.retirement[gone], kind="stable")]]) < 0)


def test_a_longer_horizon_changes_nothing_of_what_was_there(make_world):
    short, long = make_world(arrivals=2.0, horizon=10), make_world(arrivals=2.0, horizon=40)
    n = len(short.items)
    for name in ("topics", "quality", "provider", "birth", "tag"):
        assert np.array_equal(getattr(short.items, name), getattr(long.items, name)[:n])
    assert short.items.demand == pytest.approx(long.items.demand[:n], rel=1e-5)


@pytest.mark.parametrize(
    "graph",
    [
        {"kind": "watts_strogatz", "degree": 6},
        {"kind": "barabasi_albert", "attach": 3},
        {"kind": "powerlaw_cluster", "attach": 3, "triangle": 0.8},
        {"kind": "stochastic_block", "degree": 6, "within": 0.9},
        {"kind": "none"},
    ],
)
def test_graphs_are_symmetric_and_have_the_asked_degree(make_world, graph):
    world = make_world(users=400, communities=4, graph=graph)
    source = np.repeat(np.arange(400), np.diff(world.graph.indptr))
    ties = set(zip(source.tolist(), world.graph.indices.tolist(), strict=True))
    assert all((b, a) in ties and a != b for a, b in ties)
    degree = len(ties) / 400
    assert degree == pytest.approx(0 if graph["kind"] == "none" else 6, abs=0.6)
    if graph["kind"] == "stochastic_block":
        same = [world.users.community[a] == world.users.community[b] for a, b in ties]
        assert np.mean(same) == pytest.approx(0.9, abs=0.04)
    if graph["kind"] == "powerlaw_cluster":
        clustered = nx.average_clustering(nx.Graph(list(ties)))
        plain = make_world(users=400, graph={"kind": "barabasi_albert", "attach": 3}).graph
        base = nx.Graph(zip(np.repeat(np.arange(400), np.diff(plain.indptr)), plain.indices, strict=True))
        assert clustered > 2 * nx.average_clustering(base)


def test_edge_list_is_read_and_checked(make_world, tmp_path):
    file = tmp_path / "ties.csv"
    file.write_text("source,target\n0,1\n1,2\n2,1\n3,3\n")
    graph = make_world(graph={"kind": "edges", "path": str(file)}).graph
    assert graph.indices[graph.indptr[1] : graph.indptr[2]].tolist() == [0, 2]
    assert graph.ties == 4
    one_way = make_world(graph={"kind": "edges", "path": str(file), "directed": True}).graph
    assert one_way.ties == 3
    file.write_text("0,1\n1,99\n")
    with pytest.raises(BadInput, match=r"row 2: user 99 does not exist; users are numbered 0 to 59"):
        make_world(graph={"kind": "edges", "path": str(file)})
    file.write_text("0,1\n1,x\n")
    with pytest.raises(BadInput, match="row 2: expected two user numbers"):
        make_world(graph={"kind": "edges", "path": str(file)})
    with pytest.raises(BadInput, match="cannot read"):
        make_world(graph={"kind": "edges", "path": str(tmp_path / "missing.csv")})


def test_slate_larger_than_the_catalog_is_refused(make_world):
    with pytest.raises(BadInput, match="platform.slate = 90 is larger than the catalog"):
        make_world(slate=90)


@settings(max_examples=25, deadline=None)
@given(
    users=st.integers(1, 12),
    items=st.integers(1, 15),
    topics=st.integers(1, 5),
    skew=st.floats(0, 3),
    blend=st.floats(0, 1),
    focus=st.floats(0.01, 1),
    homophily=st.floats(0, 1),
    communities=st.integers(1, 20),
    arrivals=st.floats(0, 2),
)
def test_any_valid_world_is_sound(users, items, topics, skew, blend, focus, homophily, communities, arrivals):
    config = WorldConfig(
        users=users, items=items, topics=topics, topic_skew=skew, blend=blend, taste_focus=focus, homophily=homophily,
        communities=communities, arrivals=arrivals, taste_shares=[0.7, 0.3][:topics], graph={"kind": "none"},
    )  # fmt: skip
    world = generate(config, Behavior(), Streams(0), 5, 1)
    for rows in (world.items.topics, world.items.tag, world.users.shares, world.users.target):
        assert np.all(rows >= 0)
        assert rows.sum(axis=-1) == pytest.approx(1, abs=1e-4)
    assert world.users.tastes.sum(axis=2) == pytest.approx(1, abs=1e-4)
    assert np.isfinite(world.items.demand).all()


def test_random_retirement_does_not_look_at_age():
    """A newborn's chance to leave is everybody's: the median life of 1,000 items with 10 leaving is 69 rounds."""
    config = WorldConfig(items=1000, arrivals=10.0, retire="random")
    lives = draw_lifetimes(config, 1000, 400, 10, Streams(0))
    born = (lives.birth >= 1) & (lives.birth < 200)
    life = lives.retirement[born].astype(float) - lives.birth[born]
    assert np.median(life) == pytest.approx(np.log(2) / 0.01, rel=0.15)
    early, late = lives.birth[born] < 100, lives.birth[born] >= 100
    assert np.median(life[early]) == pytest.approx(np.median(life[late]), rel=0.3)


def test_one_taste_more_leaves_the_others_as_they_were(make_world):
    two, three = make_world(taste_shares=[0.6, 0.4]), make_world(taste_shares=[0.6, 0.3, 0.1])
    assert np.array_equal(two.users.tastes, three.users.tastes[:, :2])


def test_a_block_model_of_one_community_keeps_its_degree(make_world):
    world = make_world(users=400, communities=1, graph={"kind": "stochastic_block", "degree": 10})
    assert world.graph.ties / 400 == pytest.approx(10, abs=0.7)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Behavior(repeat=-3), "repeat"),
        (lambda: Behavior(attention=1.5), "attention = 1.5 is a probability in a cascade"),
        (lambda: Behavior(activity=0.0001), "activity"),
        (lambda: WorldConfig(graph={"kind": "watts_strogatz", "degree": 3}), "degree"),
    ],
)
def test_values_that_would_be_changed_in_silence_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
    assert Behavior(attention=1.5, examination="power").attention == 1.5


def test_attention_of_a_group_is_checked_against_the_examination(make_world):
    groups = [{"name": "a", "share": 1.0, "attention": 2.0}]
    with pytest.raises(BadInput, match=r"world.groups\[a\].attention = 2 is a probability"):
        make_world(groups=groups)
    assert make_world(groups=groups, behavior={"examination": "power"}).users.attention.mean() > 1.5


def test_items_arrive_in_the_warm_up_too():
    config = WorldConfig(users=5, items=300, arrivals=2.0)
    without = draw_lifetimes(config, 300, 50, 10, Streams(0))
    lives = draw_lifetimes(config, 300, 50, 10, Streams(0), warmup=40)
    first, gone = slice(0, 300), slice(300, 300 + lives.birth.size - without.birth.size)
    early = lives.birth[first] >= -40
    assert 50 < early.sum() < 115 and gone.stop - 300 == early.sum()
    # The catalog of round 0 is live then, what left before it is not, and all that comes later is as it was.
    assert (lives.birth[first] < 0).all() and (lives.retirement[first] > 0).all()
    assert (np.diff(lives.birth[first]) >= 0).all() and (lives.retirement[gone] < 0).all()
    assert (lives.birth[gone.stop :] == without.birth[300:]).all()
    live = [((lives.birth <= round) & (lives.retirement > round)).sum() for round in range(-41, 50)]
    assert set(live) == {300}
    # The oldest leave first, before round 0 and after it.
    left = np.flatnonzero(lives.retirement < 50)
    assert left.size > early.sum() and lives.birth[left].max() < lives.birth[first][early].min()
    still = draw_lifetimes(WorldConfig(users=5, items=300), 300, 50, 10, Streams(0), warmup=40)
    assert (still.birth < -40).all() and still.birth.size == 300
    short = draw_lifetimes(config, 300, 5, 10, Streams(0), warmup=40)
    assert (short.birth == lives.birth[: short.birth.size]).all()


@pytest.mark.parametrize("retire", ["oldest", "random"])
@pytest.mark.parametrize(
    ("catalog", "arrivals", "retirements"),
    [
        (300, 2.0, "match"), (300, 2.0, 0.0), (300, 9.0, 0.0), (300, 2.0, 5.0), (12, 30.0, "match"), (10, 3.0, 0.5),
        (300, 0.01, 9.0),
    ],
)  # fmt: skip
def test_whatever_the_rates_the_catalog_has_its_size_in_round_0(catalog, arrivals, retirements, retire):
    config = WorldConfig(items=catalog, arrivals=arrivals, retirements=retirements, retire=retire)
    lives = draw_lifetimes(config, catalog, 30, 10, Streams(1), warmup=60)
    live = [np.flatnonzero((lives.birth <= round) & (lives.retirement > round)) for round in range(-61, 1)]
    assert (live[-1] == np.arange(catalog)).all() and min(map(len, live)) >= 10
    assert (lives.retirement > lives.birth).all()
    # Known by a round from 0 on: the first ids, whatever retired before.
    for round in (0, 7):
        known = np.flatnonzero(lives.birth <= round)
        assert (known == np.arange(known.size)).all()
    if retirements == 0.0:
        assert (lives.retirement > 0).all() and 10 <= len(live[0]) < catalog


def test_items_of_the_warm_up_are_taken_while_they_live_and_never_shown_later():
    from echodrift.scenarios.design.load import load_study
    from echodrift.scenarios.execution.build import build_run

    study = load_study(
        {
            "name": "t",
            "rounds": 5,
            "seeds": 1,
            "world": {"users": 80, "items": 100, "arrivals": 1.5},
            "platform": {"warmup": 30, "slate": 5},
            "arms": [{"name": "a", "policy": {"kind": "popularity"}}],
        }
    )
    simulation = build_run(study, study.arms[0], 0).simulation
    log, items = simulation.log.view(), simulation.world.items
    assert (log.round >= items.birth[log.item]).all() and (log.round < items.retirement[log.item]).all()
    gone = np.flatnonzero(items.retirement <= 0)
    assert (items.birth[log.item] >= -30).any() and np.isin(log.item, gone).any()
    # True demand and niche labels are those of the catalog of round 0.
    assert items.demand[: items.catalog].sum() == pytest.approx(80)
    assert items.niche[: items.catalog].sum() == 80
    for _ in range(5):
        now = simulation.step()
        assert not np.isin(now.slates, gone).any() and now.seen.n_items >= items.catalog + gone.size
        assert not now.seen.live[gone].any()
