"""Position: planted attention comes back, weighted takes are unbiased, and what cannot be known is not made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.interactions import Exposures, Interactions, Source
from echodrift.policies.registry import build_log_transform
from echodrift.policies.testing.example import example_observation
from echodrift.policies.transforms.examination import RankCounts, count_by_rank, examination
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy.optimize import minimize


def cascade(attention, *, users=900, items=60, slate=8, rounds=20, biased=True, seed=0, before=0):
    """People walk down slates, going on with probability `attention`, and take what attracts them.

    biased: attractive items are shown higher. Nobody's taste matters: attraction belongs to the item.
    """
    rng = default_rng(seed)
    attraction = 0.02 + 0.78 * rng.random(items) ** 4
    rows, kept = [], []
    for round in range(-before, rounds):
        order = (1.5 * np.log(attraction) if biased else 0) + rng.gumbel(size=(users, items))
        slates = np.argsort(-order, axis=1)[:, :slate].astype(np.int32)
        depth = rng.geometric(1 - attention, users)  # ranks looked at: at least one
        takes = (np.arange(slate) < depth[:, None]) & (rng.random(slates.shape) < attraction[slates])
        who, where = np.nonzero(takes)
        rows.append(np.stack([who, slates[who, where], np.full(who.size, round), where + 1]))
        if round >= 0:
            kept.append(Exposures(round, np.arange(users, dtype=np.int32), slates, np.zeros(users, bool)))
    user, item, when, rank = np.concatenate(rows, axis=1).astype(np.int32)
    log = Interactions(user, item, when, rank.astype(np.int16), np.full(user.size, Source.SLATE, np.int8))
    seen = example_observation(users=users, items=items)
    return replace(seen, log=log, exposures=tuple(kept)), attraction


@pytest.mark.parametrize("attention", [0.6, 0.85, 0.97])
def test_planted_attention_is_recovered_although_better_items_are_shown_higher(attention):
    seen, _ = cascade(attention)
    truth = attention ** np.arange(8)
    found, known = examination(count_by_rank(seen))
    assert known.all()
    np.testing.assert_allclose(found, truth, rtol=0.15, atol=0.01)
    # what one would read off the takes per rank is further away
    cells = count_by_rank(seen)
    rate = np.bincount(cells.rank, cells.takes) / np.bincount(cells.rank, cells.shows)
    assert np.abs(rate / rate[0] - truth).mean() > 1.5 * np.abs(found - truth).mean()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_em_finds_the_maximum_that_a_general_optimizer_finds(seed):
    rng = default_rng(seed)
    item, rank = (part.ravel().astype(np.int64) for part in np.meshgrid(np.arange(3), np.arange(3)))
    shows = rng.integers(20, 60, item.size).astype(float)
    theta, gamma = np.array([1, 0.7, 0.4]), rng.uniform(0.2, 0.7, 3)
    takes = np.clip(rng.binomial(shows.astype(int), theta[rank] * gamma[item]), 1, shows - 1).astype(float)

    def loss(x, full=False):
        p = 1 / (1 + np.exp(-x))
        probability = p[rank] * p[3 + item]
        return -(takes * np.log(probability) + (shows - takes) * np.log1p(-probability)).sum()

    def at(ratios):
        best = minimize(
            lambda x: (
                -(
                    takes * np.log(np.exp(x)[item] * ratios[rank])
                    + (shows - takes) * np.log(np.maximum(1 - np.exp(x)[item] * ratios[rank], 1e-12))
                ).sum()
            ),
            np.log(gamma),
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000},
        )
        return best.fun

    general = min(minimize(loss, rng.normal(size=6), method="BFGS").fun for _ in range(4))
    found, _ = examination(RankCounts(item, rank, shows, takes))
    assert at(found / found.max()) <= general + 1e-2


def test_a_weighted_count_is_the_attraction_whatever_the_rank():
    """E[takes/p_r] per show = Σ_r share_r · (p_r γ)/p_r = γ, in closed form and in the log of a cascade."""
    attention, gamma, shares = 0.7, 0.3, np.array([0.1, 0.2, 0.7])
    ranks = np.arange(1, 4)
    seen = example_observation(users=3, items=1)
    none = np.zeros(3, np.int32)
    log = Interactions(none, none, none, ranks.astype(np.int16), np.zeros(3, np.int8))
    transform = build_log_transform({"kind": "position_debias", "attention": attention})
    weight = transform.prepare(replace(seen, log=log)).log.weight
    expected_takes = shares * attention ** (ranks - 1) * gamma
    assert expected_takes @ weight == pytest.approx(gamma, rel=1e-6)
    assert expected_takes.sum() < 0.7 * gamma  # without weights

    seen, attraction = cascade(0.8, rounds=10)
    cells = count_by_rank(seen)
    shows = np.bincount(cells.item, cells.shows)
    # variance of a show's weighted take is below γ/p
    noise = (
        np.sqrt(attraction * np.bincount(cells.item, cells.shows * 0.8 ** -cells.rank.astype(float))) / shows
    )
    error = np.abs(seen.popularity / shows - attraction)
    for attention, slack in ((0.8, 0.0), ("estimate", 0.05)):
        transform = build_log_transform({"kind": "position_debias", "attention": attention})
        counts = transform.prepare(seen).popularity / shows
        assert (np.abs(counts - attraction) < 5 * noise + slack * attraction).all()
    assert (error > 5 * noise + slack * attraction).mean() > 0.2  # without weights


def test_only_entries_from_slates_are_weighed():
    seen, _ = cascade(0.8, users=20, rounds=3)
    source = np.arange(len(seen.log)) % 4
    seen = replace(seen, log=replace(seen.log, source=source.astype(np.int8)))
    for fields in ({"attention": 0.8}, {"attention": 1.5, "examination": "power"}):
        log = build_log_transform({"kind": "position_debias", "max_weight": 3.0, **fields}).prepare(seen).log
        rank = log.rank.astype(float)
        wanted = 0.8 ** (1 - rank) if fields["attention"] == 0.8 else rank**1.5
        wanted = np.where(source == Source.SLATE, np.minimum(wanted, 3), 1)
        np.testing.assert_allclose(log.weight, wanted, rtol=1e-6)
        assert (wanted == 3).any()


def test_self_normalization_keeps_the_balance_of_sources():
    seen, _ = cascade(0.8, users=20, rounds=3)
    source = (np.arange(len(seen.log)) % 2).astype(np.int8)
    seen = replace(seen, log=replace(seen.log, source=source))
    log = build_log_transform({"kind": "position_debias", "attention": 0.8, "self_normalized": True})
    weight = log.prepare(seen).log.weight
    assert weight[source == 0].sum() == pytest.approx((source == 0).sum(), rel=1e-5)
    assert (weight[source == 1] == 1).all()


def test_shows_and_takes_are_counted_as_by_hand():
    seen = example_observation(users=3, items=6)
    slates = np.array([[0, 1, 2], [1, 0, -1], [5, 4, 3]], np.int32)
    organic = np.array([False, False, True])
    people = np.arange(3, dtype=np.int32)
    kept = (Exposures(4, people, slates, organic), Exposures(5, people[:1], slates[:1], organic[:1]))
    log = Interactions(
        np.array([0, 0, 1, 2, 0], np.int32),
        np.array([0, 1, 1, 5, 1], np.int32),
        np.array([3, 4, 4, 4, 5], np.int32),  # round 3: its slates were not kept
        np.array([1, 2, 1, 1, 2], np.int16),
        np.array([0, 0, 0, 1, 0], np.int8),
    )
    cells = count_by_rank(replace(seen, log=log, exposures=kept))
    got = {(i, r): (s, t) for i, r, s, t in zip(*cells, strict=True)}
    assert got == {(0, 0): (2, 0), (0, 1): (1, 0), (1, 0): (1, 1), (1, 1): (2, 2), (2, 2): (2, 0)}
    # a cut log says nothing of the rounds before it
    cut = count_by_rank(replace(seen, log=log.part(4), exposures=kept))
    assert dict(zip(zip(cut.item, cut.rank, strict=True), cut.shows, strict=True)) == {
        (0, 0): 1,
        (1, 1): 1,
        (2, 2): 1,
    }


def test_ranks_that_share_no_items_are_not_corrected_and_that_is_said():
    """Ranks 1 and 2 swap two items; 3 and 4 swap two others: nothing links the two."""
    item = np.array([0, 1, 0, 1, 2, 3, 2, 3])
    rank = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    shows = np.full(8, 1000.0)
    takes = np.array([500, 250, 250, 125, 100, 50, 10, 5.0])
    found, known = examination(RankCounts(item, rank, shows, takes))
    np.testing.assert_array_equal(known, [True, True, False, False])
    np.testing.assert_allclose(found, [1, 0.5, 0.5, 0.5], rtol=1e-3)

    people = np.arange(50, dtype=np.int32)
    fixed = Exposures(0, people, np.tile(np.array([0, 1, 2], np.int32), (50, 1)), np.zeros(50, bool))
    log = Interactions(
        people[:20], np.repeat(np.array([0, 1], np.int32), 10), np.zeros(20, np.int32),
        np.repeat(np.array([1, 2], np.int16), 10), np.zeros(20, np.int8),
    )  # fmt: skip
    transform = build_log_transform({"kind": "position_debias"})
    seen = transform.prepare(replace(example_observation(users=50, items=3), log=log, exposures=(fixed,)))
    assert (seen.log.weight == 1).all()
    assert "warning" in transform.remarks()[0] and "ranks 2, 3" in transform.remarks()[0]


def test_without_kept_slates_it_says_what_to_set():
    seen, _ = cascade(0.8, users=20, rounds=3)
    transform = build_log_transform({"kind": "position_debias"})
    with pytest.raises(PolicyError, match="raise platform.keep_exposures, or give attention as a number"):
        transform.prepare(replace(seen, exposures=()))
    organic = np.full(len(seen.log), Source.ORGANIC, np.int8)
    before = replace(seen, log=replace(seen.log, source=organic), exposures=())
    assert (transform.prepare(before).log.weight == 1).all()  # round 0: nothing was shown yet


def test_entries_from_before_the_kept_slates_are_weighed_too():
    seen, _ = cascade(0.8, before=10)
    transform = build_log_transform({"kind": "position_debias"})
    log = transform.prepare(seen).log
    for rank in range(1, 9):
        weights = log.weight[log.rank == rank]
        assert (weights == weights[0]).all() and weights.size
    assert "estimates attention" in transform.remarks()[0]


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_in_the_loop_the_estimate_is_nearer_to_shuffled_slates_than_takes_per_rank(epsilon):
    """What a slate in random order gets per rank (RandTopN of Wang et al. 2018) is what takes say of attention."""
    from echodrift.agents.behavior import Behavior
    from echodrift.agents.dynamics.choice import ChoiceKeys, visit
    from echodrift.agents.generate import generate
    from echodrift.agents.settings import WorldConfig
    from echodrift.policies.registry import build_policy
    from echodrift.sim.loop import Simulation
    from echodrift.sim.platform import Platform
    from echodrift.sim.recommender import PolicyRecommender
    from echodrift.sim.streams import Streams

    streams = Streams(3)
    # Without cool-downs, in which what is taken at the top of a slate is missing from later ones.
    world = generate(WorldConfig(users=600, items=600, topics=24), Behavior(repeat=0), streams, 30, 10)
    platform = Platform(slate=10, warmup=60, retrain_every=5)
    model = {"kind": "matrix_factorization", "dim": 8, "regularization": 30.0}
    recommender = PolicyRecommender(build_policy({"kind": "bandit", "epsilon": epsilon, "policy": model}))
    simulation = Simulation(world, platform, recommender, streams, 30)
    for _ in range(25):
        now = simulation.step()
    seen = replace(now.seen, log=simulation.log.view(), exposures=tuple(simulation.exposures))
    cells = count_by_rank(seen)
    found, _ = examination(cells)
    rate = np.bincount(cells.rank, cells.takes) / np.bincount(cells.rank, cells.shows)
    users, slates = now.users[~now.organic], now.slates[~now.organic]
    taken, rng = np.zeros(10), default_rng(0)
    for seed in range(60):
        mixed = np.ascontiguousarray(rng.permuted(slates, axis=1))
        choices = visit(world, now.round, users, mixed, ChoiceKeys.from_streams(Streams(1000 + seed)))
        taken += np.bincount(choices.ranks[choices.taken >= 0] - 1, minlength=10)
    truth = taken / taken[0]
    assert np.abs(found - truth).mean() < np.abs(rate / rate[0] - truth).mean()


def test_a_rank_that_nothing_was_taken_from_links_no_items():
    """A stands at ranks 1 and 2, B at 2 and 3, nobody takes from rank 2: whose doing rank 3 is, cannot be known."""
    cells = RankCounts(
        np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), np.full(4, 1000.0), np.array([500.0, 0, 0, 100])
    )
    found, known = examination(cells)
    np.testing.assert_array_equal(known, [True, False, False])
    np.testing.assert_array_equal(found, [1, 1, 1])
    # twice as attractive and half as visible give the same takes
    for gamma, theta in ((0.2, 0.5), (0.4, 0.25)):
        assert gamma * theta * 1000 == 100
    people = np.arange(1000, dtype=np.int32)
    past = tuple(
        Exposures(when, people, np.tile(np.array(row, np.int32), (1000, 1)), np.zeros(1000, bool))
        for when, row in enumerate([[0, 1, 2], [3, 0, 1]])
    )
    taken = [(u, 0, 0, 1) for u in range(500)] + [(u, 1, 1, 3) for u in range(100)]
    user, item, when, rank = np.array(taken, np.int32).T
    log = Interactions(user, item, when, rank.astype(np.int16), np.zeros(600, np.int8))
    transform = build_log_transform({"kind": "position_debias"})
    seen = transform.prepare(replace(example_observation(users=1000, items=4), log=log, exposures=past))
    assert (seen.log.weight == 1).all()
    assert "warning" in transform.remarks()[0] and "ranks 2, 3" in transform.remarks()[0]


def test_a_rank_without_takes_is_not_known_though_its_items_link_it():
    item, rank = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    found, known = examination(RankCounts(item, rank, np.full(4, 100.0), np.array([50.0, 20, 0, 0])))
    np.testing.assert_array_equal(known, [True, False])
    np.testing.assert_array_equal(found, [1, 1])


def test_no_more_takes_than_shows():
    """Two entries of the log for a slot that was shown once: somebody else's count, cut."""
    fixed = Exposures(0, np.zeros(1, np.int32), np.array([[2, 0]], np.int32), np.zeros(1, bool))
    none = np.zeros(3, np.int32)
    log = Interactions(
        none, np.array([2, 2, 0], np.int32), none, np.array([1, 1, 2], np.int16), none.astype(np.int8)
    )
    cells = count_by_rank(replace(example_observation(users=1, items=3), log=log, exposures=(fixed,)))
    np.testing.assert_array_equal(cells.item, [0, 2])
    np.testing.assert_array_equal(cells.takes, [1, 1])
    np.testing.assert_array_equal(cells.shows, [1, 1])


def test_without_takes_from_the_first_rank_nothing_is_known():
    item, rank = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    found, known = examination(RankCounts(item, rank, np.full(4, 100.0), np.array([0, 0, 50.0, 20])))
    np.testing.assert_array_equal(known, [False, False])
    np.testing.assert_array_equal(found, [1, 1])
