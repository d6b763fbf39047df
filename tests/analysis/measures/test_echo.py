"""The echo family against other libraries and brute force."""

from dataclasses import replace
from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest
from echodrift.agents.social_graph import SocialGraph
from echodrift.analysis.measures import build
from echodrift.analysis.measures.echo import CommunityGap, Homogenization, draw_pairs, mean_overlap
from echodrift.analysis.measures.testing import random_round, random_setup, random_world
from echodrift.analysis.measures.window import Window
from scipy.spatial.distance import pdist


@pytest.fixture
def run():
    rng = np.random.default_rng(4)
    world = random_world(rng, users=24, items=30, appetite=3)
    return world, random_setup(world, rng), [random_round(world, rng, index) for index in range(50)]


def consumption(rounds, users):
    """Return each user's takes in the last 20 rounds, word of mouth included."""
    taken = [[] for _ in range(users)]
    for round in rounds[-20:]:
        for user, row in zip(round.users, round.taken, strict=True):
            taken[user] += [int(i) for i in row if i >= 0]
        for user, item in zip(round.heard_users, round.heard_items, strict=True):
            taken[user].append(int(item))
    return taken


def test_baskets_hold_distinct_items_first(run):
    _, setup, rounds = run
    window = Window(setup)
    for round in rounds:
        window.update(round)
    baskets = window.baskets()
    for user, taken in enumerate(consumption(rounds, 24)):
        count, distinct = baskets.takes[user], baskets.distinct[user]
        assert sorted(baskets.items[user, :count]) == sorted(taken)
        assert sorted(baskets.items[user, :distinct]) == sorted(set(taken))
    assert (baskets.takes > baskets.distinct).any()


def jaccard_over_all_subsamples(one, other, sample):
    """Enumerate every pair of subsamples."""
    values = [
        len(set(a) & set(b)) / len(set(a) | set(b))
        for a, b in product(combinations(one, sample), combinations(other, sample))
    ]
    return np.mean(values)


@pytest.mark.parametrize("sample", [1, 2, 3, 5])
def test_overlap_is_the_exact_mean_over_all_subsamples(sample):
    rng = np.random.default_rng(sample)
    world = random_world(rng, users=8, items=12, appetite=2)
    window = Window(random_setup(world, rng))
    rounds = [random_round(world, rng, index) for index in range(6)]
    for round in rounds:
        window.update(round)
    sets = [set(taken) for taken in consumption(rounds, 8)]
    pairs = [(i, j) for i, j in combinations(range(8), 2) if min(len(sets[i]), len(sets[j])) >= sample]
    assert pairs and any(sets[i] & sets[j] for i, j in pairs)
    everything = np.array(list(combinations(range(8), 2)), np.int32)
    expected = np.mean([jaccard_over_all_subsamples(sets[i], sets[j], sample) for i, j in pairs])
    overlap, compared = mean_overlap(window, everything, sample)
    assert overlap == pytest.approx(expected) and compared == pytest.approx(len(pairs) / 28)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1], 1),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], 0),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 4, 4], np.nan),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], (5 * 4 / 6 + 1) / 6),
    ],
)
def test_overlap_by_hand(one, other, expected):
    """The last case: of the six subsamples of the second, one equals the first, five share four of six items."""
    rng = np.random.default_rng(0)
    world = random_world(rng, users=2, items=12, appetite=6)
    round = random_round(world, rng, active=1.0)
    round.taken[:] = -1
    round.taken[0, : len(one)], round.taken[1, : len(other)] = one, other
    nobody = np.empty(0, np.int32)
    window = Window(random_setup(world, rng)).update(replace(round, heard_users=nobody, heard_items=nobody))
    overlap, compared = mean_overlap(window, np.array([[0, 1]], np.int32), sample=5)
    assert overlap == pytest.approx(expected, nan_ok=True) and compared == (not np.isnan(expected))


def test_pairs_are_uniform_among_the_allowed():
    labels = np.array([0, 0, 0, 1, 1, 2])
    for same in (True, False):
        pairs = draw_pairs(labels, same, np.random.default_rng(0), 60_000)
        allowed = {(i, j) for i in range(6) for j in range(6) if i != j and (labels[i] == labels[j]) == same}
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        assert {tuple(pair) for pair in found.tolist()} == allowed
        np.testing.assert_allclose(counts / counts.sum(), 1 / len(allowed), rtol=0.1)
    assert draw_pairs(np.arange(4), True, np.random.default_rng(0)).shape == (0, 2)
    assert draw_pairs(np.zeros(4), False, np.random.default_rng(0)).shape == (0, 2)


def test_homogenization_and_gap_average_over_their_pairs(last_values, run):
    world, setup, rounds = run
    values = last_values(setup, rounds, "homogenization", "community_gap")
    window = Window(setup)
    for round in rounds:
        window.update(round)
    gap = CommunityGap(setup)
    community = world.users.community
    assert (community[gap._within[:, 0]] == community[gap._within[:, 1]]).all()
    assert (community[gap._between[:, 0]] != community[gap._between[:, 1]]).all()
    expected = mean_overlap(window, gap._within)[0] - mean_overlap(window, gap._between)[0]
    assert values["community_gap"] == pytest.approx(expected)
    assert values["homogenization"] == pytest.approx(mean_overlap(window, Homogenization(setup)._pairs)[0])


def test_communities_with_their_own_items_have_a_gap():
    """Two communities, each taking from its own ten items: overlap inside, none across."""
    rng = np.random.default_rng(0)
    world = random_world(rng, users=20, items=20, communities=2)
    setup = random_setup(world, rng)
    measures = build(setup, ["community_gap", "homogenization", "pairs_compared"])
    for index in range(20):
        round = random_round(world, rng, index, active=1.0)
        own = 10 * world.users.community[round.users]
        round.taken[:] = (own + rng.integers(0, 10, own.size))[:, None]
        round.heard_items[:] = 10 * world.users.community[round.heard_users]
        values = measures.update(round)
    assert values["community_gap"] > 0.1 and values["pairs_compared"] == 1
    assert 0 < values["homogenization"] < values["community_gap"]


def test_diversity_by_brute_force(last_values, run):
    world, setup, rounds = run
    topics = world.items.topics.astype(float)
    taken = consumption(rounds, 24)
    inside = [pdist(topics[items], "cosine").mean() for items in taken if len(items) > 1]
    between = pdist([topics[items].mean(axis=0) for items in taken if items], "cosine").mean()
    values = last_values(setup, rounds, "intra_user_diversity", "inter_user_diversity")
    assert values["intra_user_diversity"] == pytest.approx(np.mean(inside), rel=1e-5)
    assert values["inter_user_diversity"] == pytest.approx(between, rel=1e-5)


def graph_of(network):
    """Return a SocialGraph with both directions of every tie of an undirected networkx graph."""
    matrix = nx.to_scipy_sparse_array(network, format="csr")
    ties = matrix.indices.astype(np.int32)
    return SocialGraph(matrix.indptr.astype(np.int64), ties, np.ones(ties.size, np.float32))


def test_modularity_equals_networkx():
    rng = np.random.default_rng(0)
    world = random_world(rng, users=34, communities=4)
    setup, round = random_setup(world, rng), random_round(world, rng)
    communities = [set(np.flatnonzero(world.users.community == c).tolist()) for c in range(4)]
    directed = nx.DiGraph()
    directed.add_nodes_from(range(34))
    graph = world.graph
    directed.add_edges_from(
        (u, int(v)) for u in range(34) for v in graph.indices[graph.indptr[u] : graph.indptr[u + 1]]
    )
    value = build(setup, ["modularity"]).update(round)["modularity"]
    assert value == pytest.approx(nx.community.modularity(directed, communities, weight=None))
    club = nx.karate_club_graph()
    world.graph = graph_of(club)
    value = build(setup, ["modularity"]).update(round)["modularity"]
    assert value == pytest.approx(nx.community.modularity(club, communities, weight=None))


def test_taste_assortativity_equals_networkx_for_one_number_per_user():
    """With two topics the vector is (p, 1 − p), so the vector form is the scalar coefficient of p."""
    rng = np.random.default_rng(0)
    world = random_world(rng, users=34, topics=2)
    club = nx.karate_club_graph()
    world.graph = graph_of(club)
    setup, round = random_setup(world, rng), random_round(world, rng)
    people = world.users
    liking = {u: float((people.shares[u] * people.tastes[u, :, 0]).sum()) for u in range(34)}
    nx.set_node_attributes(club, liking, "liking")
    value = build(setup, ["taste_assortativity"]).update(round)["taste_assortativity"]
    assert value == pytest.approx(nx.numeric_assortativity_coefficient(club, "liking"), abs=1e-5)


def test_taste_assortativity_by_definition(last_values, run):
    world, setup, rounds = run
    graph = world.graph
    m = world.users.mean_topics().astype(float)
    source = np.repeat(np.arange(24), np.diff(graph.indptr))
    ends = np.concatenate([m[source], m[graph.indices]])
    a, b = m[source] - ends.mean(axis=0), m[graph.indices] - ends.mean(axis=0)
    expected = (a * b).sum(axis=1).mean() / ((ends - ends.mean(axis=0)) ** 2).sum(axis=1).mean()
    value = last_values(setup, rounds[:1], "taste_assortativity")["taste_assortativity"]
    assert value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("swapped", "expected"), [(False, 1), (True, -1)])
def test_taste_assortativity_reaches_both_ends(swapped, expected):
    rng = np.random.default_rng(0)
    world = random_world(rng, users=4, topics=2, tastes=1)
    world.users.tastes[:, 0] = [[1, 0], [1, 0], [0, 1], [0, 1]]
    pairs = [(0, 2), (1, 3)] if swapped else [(0, 1), (2, 3)]
    world.graph = graph_of(nx.Graph(pairs) if not swapped else nx.from_edgelist(pairs))
    order = list(nx.Graph(pairs))
    world.users.tastes[:] = world.users.tastes[order]
    value = build(random_setup(world, rng), ["taste_assortativity"]).update(random_round(world, rng))
    assert value["taste_assortativity"] == pytest.approx(expected)


def test_no_ties_no_value():
    rng = np.random.default_rng(0)
    world = random_world(rng, degree=0)
    values = build(random_setup(world, rng), ["modularity", "taste_assortativity"]).update(
        random_round(world, rng)
    )
    assert np.isnan(list(values.values())).all()
