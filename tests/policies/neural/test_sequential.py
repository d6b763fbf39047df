"""The causal transformer: its forward pass and losses in plain numpy, and sequences that were planted."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.baselines import Popularity
from echodrift.policies.interactions import Interactions, Observation
from echodrift.policies.neural import transformer
from echodrift.policies.neural.jax_runtime import Training, compiled
from echodrift.policies.neural.sequential import Sequential
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy.special import logsumexp, softmax

SMALL = {"dim": 16, "max_length": 8, "batch": 32, "learning_rate": 0.01}
SHAPE = {"layers": 2, "heads": 2}


@pytest.fixture(scope="session")
def cycle(observe):
    """Return a maker of logs: users mostly go on to the next item of a circle, else jump to a popular one."""

    def make(users=96, items=20, length=14, follow=0.9):
        rng = default_rng(0)
        table = np.empty((users, length), np.int32)
        table[:, 0] = rng.integers(0, items, users)
        for at in range(1, length):
            jump = (items * rng.random(users) ** 3).astype(np.int32)
            table[:, at] = np.where(rng.random(users) < follow, (table[:, at - 1] + 1) % items, jump)
        return observe(np.tile(np.arange(users), length), table.T.ravel(), users, items), table[:, -1]

    return make


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def fitted(seen, seed=1, **fields):
    policy = Sequential(**fields)
    policy.fit(seen, default_rng(seed))
    return policy


def top(policy, seen, n=1):
    return policy.rank(seen, everyone(seen), n, default_rng(0)).items


def loose_weights(rows=9, length=5, dim=6):
    """Weights in which nothing is 0 or 1 by default."""
    weights = transformer.initial_weights(rows, length, dim, SHAPE["layers"], default_rng(0))
    rng = default_rng(1)
    return {
        name: w + np.float32(0.3) * rng.standard_normal(w.shape, dtype=np.float32)
        for name, w in weights.items()
    }


SEQUENCES = np.array([[-1, -1, 4, 2, 2], [8, 0, 3, 1, 5], [-1, -1, -1, -1, 7]], np.int32)
TARGETS = np.array([[-1, -1, 2, 2, 6], [0, 3, 1, 5, 5], [-1, -1, -1, -1, 0]], np.int32)


def norm(x, scale):
    return scale[0] * (x - x.mean()) / np.sqrt(x.var() + 1e-6) + scale[1]


def in_numpy(weights, sequence, heads=2, layers=2):
    """h of one sequence, place by place, from the documented formulas."""
    w = {name: array.astype(float) for name, array in weights.items()}
    dim = w["item"].shape[1]
    places = [t for t, item in enumerate(sequence) if item >= 0]
    x = {t: np.sqrt(dim) * w["item"][sequence[t]] + w["place"][t] for t in places}
    for layer in range(layers):
        parts = {
            t: (norm(x[t], w[f"attend_norm.{layer}"]) @ w[f"attend.{layer}"]).reshape(3, heads, -1) for t in x
        }
        read = {}
        for t in places:
            past = [s for s in places if s <= t]
            read[t] = np.concatenate(
                [
                    softmax([parts[t][0, h] @ parts[s][1, h] / np.sqrt(dim / heads) for s in past])
                    @ [parts[s][2, h] for s in past]
                    for h in range(heads)
                ]
            )
        x = {t: x[t] + read[t] for t in places}
        for t in places:
            inner = norm(x[t], w[f"forward_norm.{layer}"]) @ w[f"inner.{layer}"] + w[f"inner_bias.{layer}"]
            x[t] = x[t] + np.maximum(inner, 0) @ w[f"outer.{layer}"] + w[f"outer_bias.{layer}"]
    return {t: norm(x[t], w["norm"]) for t in places}


def numpy_loss(weights, known):
    """Mean −log softmax over the known items, over all targets."""
    terms = []
    for sequence, targets in zip(SEQUENCES, TARGETS, strict=True):
        for t, h in in_numpy(weights, sequence).items():
            logits = (weights["item"] @ h + weights["item_bias"]).astype(float)
            terms.append(logsumexp(logits[known]) - logits[targets[t]])
    return np.mean(terms)


def test_the_network_is_the_documented_one():
    weights = loose_weights()
    got = np.asarray(compiled(transformer.encode, **SHAPE)(weights, SEQUENCES))
    last = np.asarray(compiled(transformer.last_hidden, **SHAPE)(weights, SEQUENCES))
    for row, sequence in enumerate(SEQUENCES):
        want = in_numpy(weights, sequence)
        for t, h in want.items():
            np.testing.assert_allclose(got[row, t], h, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(last[row], want[4], rtol=1e-3, atol=1e-4)


def test_no_place_sees_what_comes_after_it():
    run, weights = compiled(transformer.encode, **SHAPE), loose_weights()
    before = np.asarray(run(weights, SEQUENCES))
    for t in range(1, 5):
        changed = SEQUENCES.copy()
        changed[1, t:] = (changed[1, t:] + 1) % 9
        after = np.asarray(run(weights, changed))
        np.testing.assert_array_equal(after[1, :t], before[1, :t])
        assert (abs(after[1, t:] - before[1, t:]).max(axis=1) > 1e-3).all()


def test_an_empty_place_is_trained_to_predict_nothing(observe, monkeypatch):
    """With nothing before it to read, it would read the future; each entry has those before it to go by."""
    entries = {0: [3, 1], 1: [4], 2: [5, 2, 5, 0], 3: [1, 2, 3, 4, 5, 0, 6, 7], 4: []}
    user, item = np.array([(u, i) for u, own in entries.items() for i in own]).T
    batches = []
    monkeypatch.setattr(Training, "step", lambda self, step, rate, *batch: batches.append(batch[:2]))
    fitted(observe(user, item, 5, 8), iterations=1, dim=4, max_length=5, batch=2)
    found = [
        (tuple(item for item in row[: t + 1] if item >= 0), after[t])
        for read, predicted in batches
        for row, after in zip(read.tolist(), predicted.tolist(), strict=True)
        for t in np.flatnonzero(np.array(after) >= 0)
    ]
    latest = {u: own[-6:] for u, own in entries.items()}
    assert sorted(found) == sorted(
        (tuple(own[:t]), own[t]) for own in latest.values() for t in range(1, len(own))
    )


@pytest.mark.slow
def test_short_histories_teach_an_order(observe):
    """Three entries each, so that every history begins at an empty place; under 0.7 where that place is trained too."""
    rng, users, items = default_rng(3), 150, 40
    table = np.empty((users, 3), np.int32)
    table[:, 0] = rng.integers(0, items, users)
    for at in (1, 2):
        jump = rng.integers(0, items, users)
        table[:, at] = np.where(rng.random(users) < 0.9, (table[:, at - 1] + 1) % items, jump)
    seen = observe(np.tile(np.arange(users), 3), table.T.ravel(), users, items)
    policy = fitted(seen, 3, iterations=15, **SMALL)
    assert (top(policy, seen)[:, 0] == (table[:, -1] + 1) % items).mean() > 0.8


def test_the_full_loss_is_the_documented_one():
    weights, known = loose_weights(), np.array([1, 1, 1, 1, 0, 1, 1, 0, 1], np.float32)
    got = compiled(transformer.full_loss, **SHAPE)(weights, SEQUENCES, TARGETS, None, 1.0, known)
    np.testing.assert_allclose(got, numpy_loss(weights, known > 0), rtol=1e-4)


def test_a_sample_of_everything_is_the_full_loss():
    loss, weights = compiled(transformer.sampled_loss, **SHAPE), loose_weights()
    every = default_rng(0).permutation(9).astype(np.int32)
    full = numpy_loss(weights, np.ones(9, bool))
    got = loss(weights, SEQUENCES, TARGETS, None, 1.0, every, np.float32(0))
    np.testing.assert_allclose(got, full, rtol=1e-4)
    twice = loss(weights, SEQUENCES, TARGETS, None, 1.0, np.r_[every, every], np.float32(np.log(9 / 18)))
    np.testing.assert_allclose(twice, full, rtol=1e-4)
    many = default_rng(1).integers(0, 9, 20_000).astype(np.int32)
    near = loss(weights, SEQUENCES, TARGETS, None, 1.0, many, np.float32(np.log(9 / 20_000)))
    np.testing.assert_allclose(near, full, rtol=0.02)


def test_dropout_keeps_its_share_and_the_scale():
    policy = Sequential(dropout=0.3, max_length=10, dim=20, batch=30)
    kept, keep = policy._dropout(default_rng(0))
    assert kept.shape == (5, 30, 10, 20) and abs(keep - 0.7) < 1e-4
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / kept.size)
    weights = loose_weights()
    run = compiled(transformer.encode, **SHAPE)
    everything = np.ones((5, 3, 5, 6), bool)
    np.testing.assert_array_equal(run(weights, SEQUENCES, everything, 1.0), run(weights, SEQUENCES))
    other = everything.copy()
    other[4, 1, 4, 0] = False
    assert (np.asarray(run(weights, SEQUENCES, other, 1.0)) != run(weights, SEQUENCES)).any()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40),
    st.integers(1, 6),
    st.sets(st.integers(0, 5)),
)
def test_sequences_are_the_latest_known_entries(entries, length, unknown):
    known = ~np.isin(np.arange(6), list(unknown))
    user, item = np.array(entries, np.int32).reshape(-1, 2).T.copy()
    got = transformer.last_entries(user, item, known, 4, length)
    for u in range(4):
        own = [i for who, i in entries if who == u and known[i]][-length:]
        assert list(got[u]) == [-1] * (length - len(own)) + own


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "full"},
        pytest.param({"loss": "sampled", "negatives": 12, "heads": 4, "layers": 1}, marks=pytest.mark.slow),
    ],
)
def test_a_planted_order_is_learned(cycle, observe, fields):
    seen, last = cycle()
    policy = fitted(seen, iterations=30, dropout=0.1, **SMALL, **fields)
    right = (top(policy, seen)[:, 0] == (last + 1) % 20).mean()
    popular = Popularity()
    popular.fit(seen, default_rng(0))
    assert right > 0.9 > 5 * (top(popular, seen)[:, 0] == (last + 1) % 20).mean()
    for seed in range(2):
        policy.fit(seen, default_rng(seed))
    assert (top(policy, seen)[:, 0] == (last + 1) % 20).mean() > 0.9
    # the newest entry decides, for old and for new users, without a refit; scores are each user's own
    user, item = np.r_[seen.log.user, everyone(seen), 96, 96], np.r_[seen.log.item, everyone(seen) % 20, 3, 4]
    later = observe(user, item, 98, 20)
    policy.fold_in(later, np.array([96], np.int32), default_rng(0))
    ranked = policy.rank(later, everyone(later), 20, default_rng(0))
    assert (ranked.items[:96, 0] == (np.arange(96) + 1) % 20).mean() > 0.9
    assert ranked.items[96, 0] == 5
    assert (np.diff(seen.popularity[ranked.items[97]]) <= 0).all()
    alone = policy.rank(later, np.array([96, 5], np.int32), 20, default_rng(0))
    np.testing.assert_array_equal(alone.items, ranked.items[[96, 5]])
    # the last bit may depend on the row of the block (policies/topk.py)
    np.testing.assert_allclose(alone.scores, ranked.scores[[96, 5]], rtol=1e-6)


def test_items_that_nobody_took_stand_last_in_a_random_order(cycle, observe):
    base, _ = cycle()
    seen = observe(base.log.user, base.log.item, 96, 64)
    firsts = set()
    for seed in range(4):
        items = top(fitted(seen, seed, iterations=1, dropout=0.1, **SMALL), seen, 64)
        assert (items[:, :20] < 20).all() and (items[:, 20] == items[0, 20]).all()
        firsts.add(items[0, 20])
    assert len(firsts) > 1


def test_histories_without_a_next_item(observe):
    """One entry per user: nothing to predict, and still a ranking that starts at popularity."""
    seen = observe([0, 1, 2, 3], [1, 1, 1, 2], 5, 4)
    items = top(fitted(seen, iterations=2, **SMALL), seen, 4)
    assert np.isin(items[:, :2], (1, 2)).all() and items[4, 0] == 1


def test_bad_fields_and_divergence(cycle):
    with pytest.raises(BadInput, match="dim = 10 must be a multiple of heads = 4"):
        Sequential(dim=10, heads=4)
    seen, _ = cycle()
    with pytest.raises(PolicyError, match=r"lower learning_rate"):
        fitted(seen, iterations=3, **{**SMALL, "learning_rate": 1e30})


def test_a_window_forgets(cycle):
    seen, _ = cycle()
    rounds = np.repeat(np.arange(14), 96).astype(np.int32)
    log = Interactions(seen.log.user, seen.log.item, rounds, seen.log.rank, seen.log.source)
    seen = Observation(14, 96, 20, log, seen.tags, seen.live, seen.blocked, seen.friends)
    sequences = partial(fitted(seen, iterations=1, window=3, **SMALL).sequences, seen)
    assert ((sequences(8) >= 0).sum(axis=1) == 3).all()
    np.testing.assert_array_equal(sequences(3), log.item.reshape(14, 96)[-3:].T)
