"""AMP-CF: gradients against an independent loss, K = 1 against plain softmax MF, planted tastes, closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.personas.persona import Persona
from echodrift.policies.personas.persona_training import Objective, batches, gradients, initial
from echodrift.policies.testing.example import COLD_USER, example_observation
from echodrift.policies.validation import validate_ranking
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import stats

SMALL = {"dim": 8, "iterations": 5}


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


@pytest.fixture(scope="session")
def two_tastes(observe):
    """Return a maker of logs: everybody takes some items of two clusters out of six; item i is in i // size."""

    def make(users=120, per_taste=8, clusters=6, size=12, seed=0):
        rng = default_rng(seed)
        tastes = np.array([rng.permutation(clusters)[:2] for _ in range(users)])
        own = [
            np.concatenate([t * size + rng.permutation(size)[:per_taste] for t in pair]) for pair in tastes
        ]
        user = np.repeat(np.arange(users), 2 * per_taste)
        return observe(user, np.concatenate(own), users, clusters * size), tastes

    return make


# ---- the loss and its gradient ---------------------------------------------------------------------


def loss_by_the_book(parameters, users, candidates, log_q, alpha, lambda_p, lambda_n, regularization):
    """A training step, one positive and one candidate at a time."""
    total = 0.0
    temperature = np.exp(parameters["log_temperature"][0])

    def attention(u, j):
        mapped = [parameters["user_map"] @ p for p in parameters["personas"][u]]
        v = parameters["item_map"] @ parameters["items"][j]
        cosines = [m @ v / np.linalg.norm(m) / np.linalg.norm(v) for m in mapped]
        weights = np.exp(np.array(cosines) / temperature)
        return weights / weights.sum()

    def entropy(a):
        return -(a * np.log(a)).sum()

    for u, row in zip(users, candidates, strict=True):
        y = []
        for j in row:
            x = attention(u, j) @ parameters["personas"][u]
            y.append(x @ parameters["items"][j] + parameters["biases"][j] - log_q[j])
        total += alpha * (np.log(np.exp(y).sum()) - y[0]) + lambda_p * entropy(attention(u, row[0]))
        total -= lambda_n * np.mean([entropy(attention(u, j)) for j in row[1:]])
        squares = (parameters["personas"][u] ** 2).sum() + (parameters["items"][row[0]] ** 2).sum()
        total += regularization / 2 * squares
    return total


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0, 0.0), (0.6, 0.3, 0.2, 0.05)])
def test_the_gradient_is_that_of_the_loss_in_the_paper(weights):
    rng = default_rng(0)
    start = initial(4, 5, 3, 4, 2, rng)
    parameters = {name: array + 0.4 * rng.standard_normal(array.shape) for name, array in start.items()}
    users = rng.integers(0, 4, 7).astype(np.int32)
    candidates = rng.integers(0, 5, (7, 4)).astype(np.int32)
    candidates[0, 1:] = candidates[0, 0]  # every negative is the positive itself
    log_q = np.log(rng.dirichlet(np.ones(5)))
    loss, rows, columns, found = gradients(parameters, users, candidates, log_q, Objective(*weights))
    assert loss == pytest.approx(loss_by_the_book(parameters, users, candidates, log_q, *weights), rel=1e-10)
    for name, array in parameters.items():
        whole = np.zeros_like(array)
        at = rows if name == "personas" else columns if name in ("items", "biases") else slice(None)
        whole[at] = found[name]
        for place in np.ndindex(*array.shape):
            kept, sides = array[place], []
            for move in (1e-5, -1e-5):
                array[place] = kept + move
                sides.append(loss_by_the_book(parameters, users, candidates, log_q, *weights))
            array[place] = kept
            assert whole[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-6), (name, place)


def test_one_persona_is_matrix_factorization_with_a_softmax_loss():
    """Plain MF, dense, written for this test: the same start and the same batches give the same parameters."""
    seen = example_observation()
    fields = {
        "personas": 1,
        "dim": 5,
        "negatives": 4,
        "iterations": 2,
        "log_q": False,
        "regularization": 0.02,
    }
    policy = Persona(**fields, learning_rate=0.1)
    policy.fit(seen, default_rng(9))

    rng = default_rng(9)
    rng.integers(0, 2**64, dtype=np.uint64)  # the order of ties
    start = initial(seen.n_users, seen.n_items, 1, 5, 5, rng)
    w, h, b = start["personas"][:, 0].astype(np.float64), start["items"].astype(np.float64), np.zeros(60)
    counts = seen.counts.tocoo()
    times = counts.data.astype(int)
    users, items = np.repeat(counts.row, times), np.repeat(counts.col, times)
    source = np.sort(items)
    sums = [np.zeros_like(w), np.zeros_like(h), np.zeros_like(b)]
    for _ in range(2):
        for who, candidates in batches(users, items, source, 4, rng):
            slopes = [np.zeros_like(w), np.zeros_like(h), np.zeros_like(b)]
            for u, row in zip(who, candidates, strict=True):
                y = h[row] @ w[u] + b[row]
                slope = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
                slope[0] -= 1
                np.add.at(slopes[1], row, slope[:, None] * w[u])
                np.add.at(slopes[2], row, slope)
                slopes[0][u] += slope @ h[row] + 0.02 * w[u]
                slopes[1][row[0]] += 0.02 * h[row[0]]
            for table, total, g in zip((w, h, b), sums, slopes, strict=True):
                total += g**2
                table -= 0.1 * g / (np.sqrt(total) + 1e-8)
    state = policy.state()
    np.testing.assert_allclose(state["personas"][:, 0], w, atol=2e-4)
    np.testing.assert_allclose(state["items"], h, atol=2e-4)
    taken = seen.popularity > 0
    warm = np.setdiff1d(everyone(seen), [COLD_USER]).astype(np.int32)
    scores = policy.scores(seen, warm, default_rng(0))
    np.testing.assert_allclose(scores[:, taken], (w[warm] @ h.T + b)[:, taken], atol=1e-3)


def test_negatives_come_with_the_frequency_of_the_log():
    items = np.repeat(np.arange(4, dtype=np.int32), [50, 30, 15, 5])
    drawn = np.concatenate(
        [c[:, 1:].ravel() for _, c in batches(np.zeros(100, np.int32), items, items, 200, default_rng(3))]
    )
    assert stats.chisquare(np.bincount(drawn), drawn.size * np.array([0.5, 0.3, 0.15, 0.05])).pvalue > 1e-3
    even = np.concatenate(
        [c[:, 1:].ravel() for _, c in batches(np.zeros(100, np.int32), items, 4, 200, default_rng(3))]
    )
    assert stats.chisquare(np.bincount(even)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("log_q", "wanted"), [(True, [0.5, 0.25, 0.15, 0.1]), (False, [0.25, 0.25, 0.25, 0.25])]
)
def test_scores_estimate_log_p_or_without_correction_the_ratio_to_popularity(observe, log_q, wanted):
    """All users are alike: p(j|u) = p(j), so the softmax of corrected scores is p and of plain ones even."""
    users, chances = 20, np.array([0.5, 0.25, 0.15, 0.1])
    item = np.tile(np.repeat(np.arange(4), (chances * 20).astype(int)), users)
    seen = observe(np.repeat(np.arange(users), 20), item, users, 4)
    policy = Persona(
        personas=1, dim=1, log_q=log_q, iterations=60, learning_rate=0.3, regularization=0.5, negatives=128
    )
    policy.fit(seen, default_rng(0))
    scores = policy.scores(seen, everyone(seen), default_rng(0)).mean(axis=0)
    np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(), wanted, atol=0.02)


# ---- personas ----------------------------------------------------------------------------------------


def divided(policy, tastes):
    """Share of users whose two tastes are each asked of another persona, in at least 9 of 12 items."""
    apart = 0
    for user, pair in enumerate(tastes):
        chosen = [policy.attention(user, np.arange(t * 12, t * 12 + 12)).argmax(axis=1) for t in pair]
        majority = [np.bincount(c, minlength=2).argmax() for c in chosen]
        pure = [(c == m).mean() for c, m in zip(chosen, majority, strict=True)]
        apart += majority[0] != majority[1] and min(pure) >= 0.75
    return apart / len(tastes)


def test_personas_divide_planted_tastes_among_themselves(two_tastes):
    seen, tastes = two_tastes()
    policy = Persona(personas=2, dim=8, temperature=0.2, iterations=40)
    policy.fit(seen, default_rng(1))
    untrained = Persona(personas=2, dim=8, temperature=0.2, iterations=1, learning_rate=1e-9)
    untrained.fit(seen, default_rng(1))
    assert divided(untrained, tastes) < 0.1 and divided(policy, tastes) > 0.6


def test_an_explanation_points_at_the_history_of_the_same_taste(two_tastes):
    seen, tastes = two_tastes()
    policy = Persona(personas=2, dim=8, temperature=0.2, iterations=40)
    policy.fit(seen, default_rng(1))
    right = []
    for user, (first, second) in enumerate(tastes):
        for taste in (first, second):
            for item in range(taste * 12, taste * 12 + 12):
                told = policy.explain(user, item)
                assert set(told.items) == set(seen.counts[user].indices)
                assert (np.diff(told.attentions) <= 0).all()
                weights = policy.attention(user, np.array([item]))[0]
                assert told.persona == weights.argmax() and told.attention == pytest.approx(weights.max())
                right.append((told.items[:4] // 12 == taste).mean())
    assert np.mean(right) > 0.85  # 0.5 by chance
    other = Persona(personas=2, dim=8, temperature=0.2)
    other.restore(policy.state())
    with pytest.raises(BadInput, match=r"a restored policy does not hold: explain\(user, item, seen\)"):
        other.explain(3, 7)
    again = other.explain(3, 7, seen)
    assert again.persona == policy.explain(3, 7).persona
    assert np.array_equal(again.items, policy.explain(3, 7).items)


def test_held_out_items_of_both_tastes_come_first(two_tastes):
    seen, tastes = two_tastes()
    seen.blocked.set(seen.log.user, seen.log.item)
    for fields in ({"temperature": 0.3}, {"learn_temperature": True}, {"negative_sampling": "uniform"}):
        policy = Persona(personas=2, dim=8, iterations=40, **fields)
        policy.fit(seen, default_rng(1))
        top = policy.rank(seen, everyone(seen), 8, default_rng(0)).items // 12
        both = np.stack([(top == t[:, None]).sum(axis=1) for t in tastes.T])
        assert both.sum(axis=0).mean() > 7 and np.minimum(*both).mean() > 3


def test_at_temperature_one_attention_is_bounded(two_tastes):
    seen, _ = two_tastes(users=60)
    bound = np.e**2 / (np.e**2 + 3)
    largest = {}
    for temperature in (1.0, 0.1):
        policy = Persona(personas=4, dim=8, temperature=temperature, iterations=20)
        policy.fit(seen, default_rng(1))
        weights = np.stack([policy.attention(user, np.arange(72)) for user in range(60)])
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
        largest[temperature] = weights.max()
    assert 0.3 < largest[1.0] <= bound < 0.9 < largest[0.1]


def test_a_learned_temperature_moves_and_a_fixed_one_stays(two_tastes):
    seen, _ = two_tastes(users=60)
    for learned in (False, True):
        policy = Persona(**SMALL, temperature=0.5, learn_temperature=learned)
        policy.fit(seen, default_rng(1))
        assert (abs(np.exp(policy.state()["log_temperature"][0]) - 0.5) > 0.01) == learned


def test_the_entropy_terms_sharpen_attention_on_what_was_taken(two_tastes):
    seen, _ = two_tastes(users=60)
    entropy = []
    for strength in (0.0, 2.0):
        policy = Persona(personas=3, dim=8, iterations=15, temperature=0.5, lambda_p=strength)
        policy.fit(seen, default_rng(1))
        taken = [policy.attention(user, seen.counts[user].indices) for user in range(60)]
        entropy.append(np.mean([-(a * np.log(a)).sum(axis=1).mean() for a in taken]))
    assert entropy[1] < entropy[0] - 0.1


def test_attention_and_ranking_agree_with_the_formula():
    seen = example_observation()
    policy = Persona(personas=3, dim=5, attention_dim=2, temperature=0.3, iterations=3)
    policy.fit(seen, default_rng(1))
    state = {name: array.astype(np.float64) for name, array in policy.state().items() if array.dtype == "f4"}
    user, known = 6, np.flatnonzero(seen.popularity)
    mapped = state["personas"][user] @ state["user_map"].T
    other = state["items"][known] @ state["item_map"].T
    cosines = (other @ mapped.T) / np.linalg.norm(other, axis=1)[:, None] / np.linalg.norm(mapped, axis=1)
    weights = np.exp(cosines / 0.3)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(policy.attention(user, known), weights, atol=1e-5)
    y = (
        np.einsum("jk,kd,jd->j", weights, state["personas"][user], state["items"][known])
        + state["biases"][known]
    )
    scores = policy.scores(seen, np.array([user], np.int32), default_rng(0))[0]
    np.testing.assert_allclose(scores[known], y, atol=1e-4)
    untaken = np.flatnonzero(seen.popularity == 0)
    assert scores[untaken].max() < scores[known].min() and np.unique(scores[untaken]).size == untaken.size


# ---- refits, new users, odd logs ------------------------------------------------------------------------


def test_a_folded_in_user_gets_items_of_their_tastes_and_items_stay(two_tastes, observe):
    seen, tastes = two_tastes()
    new = np.arange(100, 120, dtype=np.int32)
    before = observe(*(a[seen.log.user < 100] for a in (seen.log.user, seen.log.item)), 120, 72)
    policy = Persona(personas=2, dim=8, temperature=0.3, iterations=40)
    policy.fit(before, default_rng(1))
    kept = policy.state()
    handed_out = {name: array.copy() for name, array in kept.items()}
    policy.fold_in(seen, new, default_rng(2))
    for name, array in policy.state().items():
        if name not in ("personas", "sums.personas", "warm"):
            assert np.array_equal(array, kept[name]), name
    # what state() handed out before is a snapshot, whatever happens later
    assert all(np.array_equal(kept[name], handed_out[name]) for name in kept if name != "warm")
    seen.blocked.set(seen.log.user, seen.log.item)
    top = policy.rank(seen, new, 8, default_rng(0)).items // 12
    hits = (top[:, :, None] == tastes[new][:, None, :]).any(axis=2).sum(axis=1)
    assert hits.mean() > 7
    # explanations rest on the histories that were folded in
    assert set(policy.explain(100, 0).items) == set(seen.counts[100].indices)


def test_a_warm_refit_makes_its_own_passes_and_goes_on_from_the_last_parameters(two_tastes):
    seen, _ = two_tastes(users=40)
    once = Persona(dim=8, iterations=4, refit_iterations=1)
    once.fit(seen, default_rng(1))
    before = once.state()["items"].copy()
    once.fit(seen, default_rng(2))
    moved = np.abs(once.state()["items"] - before).mean()
    cold = Persona(dim=8, iterations=4, warm_start=False)
    cold.fit(seen, default_rng(1))
    cold.fit(seen, default_rng(2))
    assert moved < 0.3 * np.abs(cold.state()["items"] - before).mean()
    assert once.state()["sums.items"].sum() > cold.state()["sums.items"].sum() / 4


def test_more_personas_than_history_is_said_and_no_crash(observe):
    seen = observe([0, 1, 2, 2], [0, 1, 0, 2], 4, 5)
    policy = Persona(personas=6, dim=3)
    policy.fit(seen, default_rng(0))
    validate_ranking(policy.rank(seen, everyone(seen), 5, default_rng(0)), seen, everyone(seen), 5)
    assert policy.remarks()[0].startswith("warning: half of the users")
    assert policy.explain(2, 0).items.size == 2
    short = observe(np.r_[np.repeat([0, 1, 2], 8), 3], np.r_[np.tile(np.arange(8), 3), 0], 4, 8)
    policy = Persona(personas=3, dim=3)
    policy.fit(short, default_rng(0))
    [said] = policy.remarks()
    assert said.startswith("personas = 3 ") and "rest on nothing" in said
    wide = Persona(personas=1, dim=20)
    wide.fit(short, default_rng(0))
    assert wide.remarks()[0].startswith("warning: dim = 20 is more than there are")
    assert not Persona().remarks()


def test_training_that_runs_away_is_named():
    with pytest.raises(PolicyError, match="lower learning_rate"):
        Persona(learning_rate=1e30, dim=4, iterations=3).fit(example_observation(), default_rng(0))


def test_what_cannot_be_explained_is_refused():
    seen = example_observation()
    policy = Persona(**SMALL)
    with pytest.raises(BadInput, match="no history"):
        policy.explain(0, 0)
    policy.fit(seen, default_rng(0))
    for user in (COLD_USER, -1, 10**6):
        with pytest.raises(BadInput, match=f"user {user}: the last fit"):
            policy.explain(user, 0)
    untaken = int(np.flatnonzero(seen.popularity == 0)[0])
    for item in (untaken, 10**6, -1):
        with pytest.raises(BadInput, match=f"item {item}: nobody"):
            policy.explain(0, item)


def test_a_users_scores_do_not_depend_on_who_else_is_ranked():
    seen = example_observation(users=100)
    policy = Persona(**SMALL)
    policy.fit(seen, default_rng(0))
    everybody = policy.scores(seen, everyone(seen), default_rng(0))
    assert np.array_equal(
        policy.scores(seen, np.array([61, 7], np.int32), default_rng(0)), everybody[[61, 7]]
    )


logs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12)


@given(
    first=logs,
    second=logs,
    personas=st.integers(1, 5),
    dim=st.integers(1, 4),
    options=st.fixed_dictionaries(
        {
            "attention_dim": st.sampled_from([None, 1, 6]),
            "temperature": st.floats(0.01, 100),
            "learn_temperature": st.booleans(),
            "negative_sampling": st.sampled_from(["unigram", "uniform"]),
            "log_q": st.booleans(),
            "binary": st.booleans(),
            "lambda_p": st.sampled_from([0.0, 1.0]),
            "lambda_n": st.sampled_from([0.0, 1.0]),
        }
    ),
)
@settings(max_examples=25, deadline=None)
def test_any_log_and_configuration_can_be_ranked_and_refitted(observe, first, second, personas, dim, options):
    policy = Persona(personas=personas, dim=dim, iterations=2, negatives=3, **options)
    for log, items in ((first, 5), (first + second, 7)):
        pairs = np.array(log, int).reshape(-1, 2)
        seen = observe(pairs[:, 0], pairs[:, 1], 4, items)
        policy.fit(seen, default_rng(0))
        ranking = policy.rank(seen, everyone(seen), items, default_rng(0))
        validate_ranking(ranking, seen, everyone(seen), items)
        assert (ranking.items >= 0).all()
