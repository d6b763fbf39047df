"""Limited consumption: the paper's theorems in numbers, simulated values, and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.rerankers.consumption import Consumption
from echodrift.policies.rerankers.consumption_values import (
    empirical_gains,
    gain_table,
    success_gains,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma as gamma_function

P = np.array([0.5, 0.3, 0.2])


def best_slots(p, gains, n):
    """The slots of each topic in the slate of largest Σ_t p_t V_t(a_t): the n largest additions. Ties: the lower id."""
    worth = np.asarray(p)[:, None] * gains[:, :n]
    chosen = np.argsort(-worth, axis=None, kind="stable")[:n]
    return np.bincount(chosen // worth.shape[1], minlength=len(worth))


def gamma_shares(p, gamma):
    """p^γ / Σ p^γ: what the best slates of ever more slots tend to (Theorem 1 of Peng et al., WWW 2024)."""
    return p**gamma / (p**gamma).sum()


def limit_shares_by_success(success):
    """Where one item is consumed: in proportion to 1/log(1/(1 − q_t)), whatever the tastes (their Theorem 3)."""
    weights = -1 / np.log1p(-np.asarray(success))
    return weights / weights.sum()


def value_table(*args, **fields):
    """V(0), V(1), …: the gains summed up."""
    gains = gain_table(*args, **fields)
    return np.concatenate([np.zeros((len(gains), 1)), gains.cumsum(axis=1)], axis=1)


def shares(values, n, consumed, **fields):
    """The best slate's shares at given tastes."""
    return best_slots(P, gain_table(values, 3, n, consumed, **fields), n) / n


# Kinds of consumption values, with the shares that theory predicts in the limit.
CHECKS = [
    ("uniform, k = 5", shares("uniform", 6000, 5), [0.4155, 0.3218, 0.2627], gamma_shares(P, 0.5)),
    ("exponential, k = 1", shares("exponential", 6000, 1), [0.5, 0.3, 0.2], gamma_shares(P, 1)),
    ("pareto 3, k = 1", shares("pareto", 6000, 1, tail=3.0), [0.5822, 0.2705, 0.1473], gamma_shares(P, 1.5)),
    (
        "bernoulli 0.2, k = 1",
        shares("bernoulli", 300, 1, success=0.2),
        [0.340, 0.333, 0.327],
        gamma_shares(P, 0),
    ),
    (
        "success by topic",
        shares("bernoulli", 3000, 1, success=[0.05, 0.1, 0.2]),
        [0.5817, 0.2837, 0.1347],
        limit_shares_by_success([0.05, 0.1, 0.2]),
    ),
    (
        "fading c/i, c = 0.5",
        shares("bernoulli", 3000, 1, success=0.5, fading=1.0),
        [0.4437, 0.3155, 0.2408],
        gamma_shares(P, 1 / 1.5),
    ),
]


@pytest.mark.parametrize(("name", "got", "printed", "theory"), CHECKS, ids=[row[0] for row in CHECKS])
def test_best_shares_are_those_of_the_theorems(name, got, printed, theory):
    np.testing.assert_allclose(got, printed, atol=0.0006)
    np.testing.assert_allclose(got, theory, atol=0.007)


def closed_forms(a, k):
    """Return the closed forms of the best slate's value for each kind of consumption value."""
    harmonic = lambda m: sum(1 / j for j in range(1, m + 1))
    return {
        "bernoulli": 1 - 0.7**a if k == 1 else None,
        "uniform": a / 2 if a <= k else k - k * (k + 1) / (2 * (a + 1)),
        "exponential": a if a <= k else k + k * (harmonic(a) - harmonic(k)),
        "pareto": gamma_function(a + 1) * gamma_function(1 - 1 / 2.5) / gamma_function(a + 1 - 1 / 2.5)
        if k == 1
        else None,
    }


@pytest.mark.parametrize("values", ["bernoulli", "uniform", "exponential", "pareto"])
def test_values_are_the_closed_forms(values):
    for k in (1, 3):
        table = value_table(values, 2, 12, k, success=0.3, tail=2.5)
        assert table.shape == (2, 13) and (table[:, 0] == 0).all()
        for a in range(1, 13):
            wanted = closed_forms(a, k)[values]
            assert wanted is None or table[:, a] == pytest.approx(wanted, rel=1e-9)


def test_the_square_root_law_holds_at_every_size():
    """Proposition 2 of the paper, with the constant of its formalization: (2m + 1)/n."""
    limit = np.sqrt(P) / np.sqrt(P).sum()
    for k in (1, 2, 5):
        for n in range(40, 400, 7):
            assert np.abs(shares("uniform", n, k) - limit).max() <= 7 / n


def test_slots_stay_right_where_values_have_saturated():
    """1 − 0.5^a is 1 to the last bit from a = 54 on; what one more adds is not 0."""
    np.testing.assert_array_equal(
        best_slots(P, gain_table("bernoulli", 3, 900, 1, success=0.5), 900), [301, 300, 299]
    )


def test_consuming_everything_asks_for_the_top_topic_only():
    for values in ("bernoulli", "uniform", "exponential"):
        assert shares(values, 20, 20)[0] == 1
    top = [shares("exponential", 40, k)[0] for k in (1, 2, 5, 10, 20, 30, 40)]
    assert top == sorted(top) and top[0] == pytest.approx(0.5, abs=0.03) and top[-1] == 1


@pytest.mark.parametrize("consumed", [1, 2, 5])
def test_empirical_values_by_enumeration(consumed):
    sample = [0.0, 1.0, 1.0, 4.0]
    table = np.append(0, empirical_gains(sample, 4, consumed).cumsum())
    for a in range(5):
        sums = [sum(sorted(draw)[-consumed:]) for draw in itertools.product(sample, repeat=a)]
        assert table[a] == pytest.approx(np.mean(sums))


@pytest.mark.parametrize("consumed", [1, 2, 9])
def test_fading_values_by_enumeration(consumed):
    chances = [0.5, 0.25, 0.9]
    table = np.append(0, success_gains(chances, consumed).cumsum())
    for a in range(4):
        wanted = 0.0
        for outcome in itertools.product((0, 1), repeat=a):
            chance = math.prod(c if hit else 1 - c for c, hit in zip(chances, outcome, strict=False))
            wanted += chance * min(consumed, sum(outcome))
        assert table[a] == pytest.approx(wanted)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda p: sum(p) > 0.1),
    st.sampled_from(["bernoulli", "uniform", "exponential", "pareto", "empirical"]),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_best_slots_against_all_allocations(p, values, consumed, n):
    fields = {"success": [0.2, 0.5, 0.8], "fading": 0.5, "tail": 2.0, "sample": [0.0, 1.0, 3.0]}
    table = value_table(values, 3, n, consumed, **fields)
    total = lambda slots: sum(p[t] * table[t, a] for t, a in enumerate(slots))
    best = max(total(s) for s in itertools.product(range(n + 1), repeat=3) if sum(s) == n)
    got = best_slots(np.array(p), gain_table(values, 3, n, consumed, **fields), n)
    assert got.sum() == n and total(got) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize(
    "fields",
    [
        {"values": "exponential"},
        {"values": "uniform", "consumed": 2},
        {"values": "bernoulli", "success": 0.3},
    ],
)
def test_single_topic_slates_are_the_best_ones(observation, ranking_of, minmax, weight, fields):
    subsets = np.array(list(itertools.combinations(range(12), 5)))
    for seed in range(10):
        rng = np.random.default_rng([seed, 7])
        tags = np.eye(4)[rng.integers(0, 4, 12)]
        seen = observation(tags, [list(rng.integers(0, 12, 9))])
        scores, p = rng.random(12), topic_profiles(seen)[0]
        slate = Consumption(weight=weight, **fields).rerank(ranking_of(scores), seen, 5, rng).items[0]
        s = minmax(scores)
        table = value_table(
            fields["values"], 1, 5, fields.get("consumed", 1), success=fields.get("success", 0.5)
        )[0]

        def value(chosen, tags=tags, p=p, s=s, table=table):
            slots = tags[chosen].sum(axis=-2).astype(int)
            return (1 - weight) * s[chosen].sum(axis=-1) / 5 + weight * (p * table[slots]).sum(
                axis=-1
            ) / table[-1]

        assert value(slate) == pytest.approx(value(subsets).max(), abs=1e-9)


def test_greedy_of_mixtures_written_plainly(observation, ranking_of, minmax, mixtures):
    rng = np.random.default_rng(1)
    tags = mixtures(rng, 30, 5)
    seen = observation(tags, [list(rng.integers(0, 30, 9)) for _ in range(8)])
    raw = rng.normal(size=(8, 30))
    got = Consumption(weight=0.6, values="uniform").rerank(ranking_of(raw), seen, 7, rng).items
    table = value_table("uniform", 1, 7, 1)[0]
    for u, p in enumerate(topic_profiles(seen)):
        s, left, slots = minmax(raw[u]), list(np.argsort(-np.float32(raw[u]), kind="stable")), np.zeros(5)
        for r in range(7):
            worth = lambda a: p @ np.interp(a, np.arange(8), table) / table[-1]  # noqa: B023
            item = max(left, key=lambda i: 0.4 * s[i] / 7 + 0.6 * (worth(slots + tags[i]) - worth(slots)))
            assert got[u, r] == item
            left.remove(item)
            slots += tags[item]


@pytest.mark.parametrize(("values", "alone"), [("exponential", True), ("uniform", False)])
def test_the_top_topic_alone_may_come_before_everything_is_consumed(values, alone):
    """At k = 12 of 20 by brute force over all allocations; exponential values: as 0.6·12/20 > 0.35."""
    p = np.array([0.6, 0.35, 0.05])
    table = value_table(values, 3, 20, 12)
    every = [(a, b, 20 - a - b) for a in range(21) for b in range(21 - a)]
    best = max(every, key=lambda slots: sum(p[t] * table[t, a] for t, a in enumerate(slots)))
    got = best_slots(p, gain_table(values, 3, 20, 12), 20)
    np.testing.assert_array_equal(got, best)
    assert (got[0] == 20) == alone


def test_where_everything_is_consumed_what_succeeds_decides():
    """Linear values: p·success alone; fading ones go on sharing, by p^(1/fading)."""
    every = gain_table("bernoulli", 3, 30, 30, success=[0.1, 0.9, 0.3])
    np.testing.assert_array_equal(best_slots(P, every, 30), [0, 30, 0])
    fading = gain_table("bernoulli", 3, 3000, 3000, success=0.5, fading=2.0)
    np.testing.assert_allclose(best_slots(P, fading, 3000) / 3000, gamma_shares(P, 0.5), atol=0.002)


@pytest.mark.parametrize(("fading", "success", "gamma"), [(0.5, 0.9, 0), (1.0, 0.5, 2 / 3), (2.0, 0.5, 0.5)])
def test_what_fading_does_to_the_limit(fading, success, gamma):
    far = [shares("bernoulli", n, 1, success=success, fading=fading) for n in (300, 6000)]
    off = [np.abs(s - gamma_shares(P, gamma)).max() for s in far]
    assert off[1] < off[0] + 1e-3 and off[1] < 0.02


@pytest.mark.parametrize("weight", [0.6, 0.8, 1.0])
def test_topics_of_different_success_through_the_reranker(observation, ranking_of, minmax, weight):
    """Against all slates: each topic has its own gains, all divided by the largest value of a whole slate."""
    success, subsets, moved = [0.8, 0.3, 0.05], np.array(list(itertools.combinations(range(12), 5))), 0
    tables = np.array([[1 - (1 - q) ** a for a in range(6)] for q in success])
    for seed in range(20):
        rng = np.random.default_rng([seed, 9])
        topic = rng.permutation(np.arange(12) % 3)
        tags = np.eye(3)[topic]
        seen = observation(tags, [list(rng.integers(0, 12, 9))])
        scores, p = rng.random(12), topic_profiles(seen)[0]
        fields = {"values": "bernoulli", "weight": weight}
        slate = Consumption(success=success, **fields).rerank(ranking_of(scores), seen, 5, rng).items[0]
        same = Consumption(success=0.8, **fields).rerank(ranking_of(scores), seen, 5, rng).items[0]
        s = minmax(scores)

        def value(chosen, tags=tags, p=p, s=s):
            slots = tags[chosen].sum(axis=-2).astype(int)
            worth = (p * tables[np.arange(3), slots]).sum(axis=-1) / tables[:, -1].max()
            return (1 - weight) * s[chosen].sum(axis=-1) / 5 + weight * worth

        assert value(slate) == pytest.approx(value(subsets).max(), abs=1e-9)
        moved += set(slate) != set(same)
    assert moved > 3
