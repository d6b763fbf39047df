"""HashedMF: its gradient, dense training without tables, planted probabilities, admission, expiry, real logs."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.factors.matrix_factorization import MatrixFactorization
from echodrift.policies.hashing.hashed_mf import HashedMF
from echodrift.policies.hashing.id_tables import ExactTable, HashTable
from echodrift.policies.hashing.logistic_mf import START_SQUARES, Parameters, one_pass, train
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

QUICK = {"dim": 4, "iterations": 5, "refit_iterations": 2, "negatives": 4}


def fitted(seen, seed=0, **fields) -> HashedMF:
    policy = HashedMF(**{**QUICK, **fields})
    policy.fit(seen, default_rng(seed))
    return policy


def planted(users, items, size, seed=0, taste=1.5):
    """Return a random log and log(N · P(i | u)) of the softmax world it comes from."""
    rng = default_rng(seed)
    logits = taste * rng.normal(size=(users, 3)) @ rng.normal(size=(3, items)) / np.sqrt(3)
    logits += -np.log1p(np.arange(items))[rng.permutation(items)]
    chance = np.exp(logits)
    chance /= chance.sum(axis=1, keepdims=True)
    user = rng.integers(0, users, size)
    item = (rng.random((size, 1)) > np.cumsum(chance, axis=1)[user]).sum(axis=1)
    return user, np.minimum(item, items - 1), np.log(items * chance)


def distinct(rows):
    """Return how many of the rows differ."""
    return len(np.unique(rows, axis=0))


def everything(policy, users, items):
    """Return f for all pairs (users, items)."""
    one, two = np.meshgrid(np.arange(users), np.arange(items), indexing="ij")
    pairs = one.ravel().astype(np.int32), two.ravel().astype(np.int32)
    return policy.log_lift(*pairs).reshape(users, items)


# ---- the trainer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_follows_the_finite_differences_of_the_loss(parts):
    rng, dim, k, rate, ridge = default_rng(parts), 3, 4, 0.05, 0.07
    w = rng.normal(size=(6, dim + 1)).astype(np.float32)
    h = rng.normal(size=(20, dim + 1)).astype(np.float32)
    user_rows = np.array([[2, 5]], np.int32)[:, :parts]
    item_rows = rng.permutation(np.arange(1, 20))[: (k + 1) * parts].reshape(k + 1, parts).astype(np.int32)

    def loss(flat):
        left, right = flat[: w.size].reshape(w.shape), flat[w.size :].reshape(h.shape)
        one, total = left[user_rows[0]].sum(axis=0), 0.0
        for i in range(k + 1):
            two = right[item_rows[i]].sum(axis=0)
            score = one[:dim] @ two[:dim] + one[dim] + two[dim] - math.log(k)
            total += math.log1p(math.exp(-score if i == 0 else score))
        touched = [left[user_rows[0]], right[item_rows.ravel()]]
        return total + ridge / 2 * sum((part**2).sum() for part in touched)

    start = np.concatenate([w.ravel(), h.ravel()]).astype(np.float64)
    slope = np.array([(loss(start + e) - loss(start - e)) / 2e-6 for e in 1e-6 * np.eye(start.size)])
    squares = [np.full((len(table), 2), 0.3, np.float32) for table in (w, h)]
    tables = [w.copy(), h.copy()]
    zero, others = np.zeros(1, np.int32), np.arange(1, k + 1, dtype=np.int32)[None]
    one_pass(
        zero, zero, others, tables[0], squares[0], tables[1], squares[1],
        user_rows, item_rows, rate, ridge, True,
    )  # fmt: skip
    for before, after, sums, g in zip(
        (w, h),
        tables,
        squares,
        (slope[: w.size].reshape(w.shape), slope[w.size :].reshape(h.shape)),
        strict=True,
    ):
        total = 0.3 + np.stack([(g[:, :dim] ** 2).mean(axis=1), g[:, dim] ** 2], axis=1)
        assert sums == pytest.approx(total, rel=1e-4)
        step = rate * g / np.sqrt(np.repeat(total, [dim, 1], axis=1))
        assert after == pytest.approx(before - step, abs=2e-5)


def dense(user, item, negatives, w, h, rate, ridge):
    """Train embeddings (users, dim + 1) and (items, dim + 1) without any table, in float64."""
    sums = [np.full((len(table), 2), START_SQUARES) for table in (w, h)]

    def step(table, squares, row, g):
        squares[row] += (g[:-1] ** 2).mean(), g[-1] ** 2
        table[row, :-1] -= rate * g[:-1] / math.sqrt(squares[row, 0])
        table[row, -1] -= rate * g[-1] / math.sqrt(squares[row, 1])

    for u, i, others in zip(user, item, negatives, strict=True):
        mine, slope = w[u].copy(), np.zeros(w.shape[1])
        for j, label in [(i, 1), *((j, 0) for j in others)]:
            score = mine[:-1] @ h[j, :-1] + mine[-1] + h[j, -1] - math.log(len(others))
            miss = 1 / (1 + math.exp(-score)) - label
            slope += miss * np.append(h[j, :-1], 1)
            step(h, sums[1], j, miss * np.append(mine[:-1], 1) + ridge * h[j])
        step(w, sums[0], u, slope + ridge * w[u])


def started(dim, rows, ids, key=5):
    """Parameters in which the row of each id has the values that belong to the id."""
    parameters = Parameters(dim, np.uint64(key))
    parameters.grow(int(rows.max()) + 1)
    parameters.start(rows[:, 0], ids)
    return parameters


def test_tables_where_nobody_shares_train_as_if_there_were_none():
    users, items, size = 12, 30, 400
    rng = default_rng(1)
    user, item = rng.integers(0, users, size).astype(np.int32), rng.integers(0, items, size).astype(np.int32)
    ids, pool = (np.arange(users), np.arange(items)), np.arange(items, dtype=np.int32)
    plain = [each[:, None].astype(np.int32) + 1 for each in ids]
    churned = []
    for each in ids:
        table = ExactTable(np.uint64(2))
        table.add(np.arange(100, 140))
        table.drop(np.arange(103, 140, 2))
        table.add(each[::-1].copy())
        churned.append(table.rows_of(each))
    wide = [HashTable(np.uint64(4), 100_000).rows_of(each) for each in ids]
    results = []
    for rows in (plain, churned, wide):
        assert all(distinct(side) == len(side) for side in rows)
        tables = [started(3, side, each) for side, each in zip(rows, ids, strict=True)]
        train(
            user, item, *tables, *rows, pool,
            negatives=3, passes=2, learning_rate=0.1, regularization=0.02, rng=default_rng(8),
        )  # fmt: skip
        results.append([table.of(side) for table, side in zip(tables, rows, strict=True)])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    # the same draws as the trainer's, no tables, no rows, float64
    w, h = (started(3, side, each).of(side).astype(np.float64) for side, each in zip(plain, ids, strict=True))
    first, rng = (w.copy(), h.copy()), default_rng(8)
    draws = [(rng.permutation(size), rng.integers(0, items, (size, 3), dtype=np.int32)) for _ in range(2)]
    order, negatives = (np.concatenate(each) for each in zip(*draws, strict=True))
    dense(user[order], item[order], negatives, w, h, 0.1, 0.02)
    assert np.abs(w - first[0]).max() > 0.1
    assert results[0][0] == pytest.approx(w, abs=2e-4) and results[0][1] == pytest.approx(h, abs=2e-4)


@pytest.mark.parametrize("negatives", [1, 8])
def test_the_score_is_the_log_lift_whatever_the_number_of_negatives(observe, negatives):
    """With one taste for all, log(N·P(i)) is known; without the correction it would be off by log k = 2.1."""
    chance = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01])
    item = np.repeat(np.arange(8), (chance * 20_000).astype(int))
    user = default_rng(0).permutation(item.size) % 5
    seen = observe(user, item)
    policy = fitted(seen, dim=1, regularization=0.0, negatives=negatives, iterations=6)
    lift = everything(policy, 5, 8)
    assert lift.mean(axis=0)[:6] == pytest.approx(np.log(8 * chance)[:6], abs=0.25)


# ---- the policy ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(observe):
    user, item, truth = planted(150, 100, 12_000)
    return observe(user, item, users=150, items=100), truth


def agreement(policy, truth):
    got = everything(policy, *truth.shape)
    return float(np.corrcoef(got.ravel(), truth.ravel())[0, 1])


def test_every_table_finds_planted_tastes_and_collisions_cost(world):
    seen, truth = world
    fields = {"dim": 6, "iterations": 10, "negatives": 8, "regularization": 0.01}
    exact = agreement(fitted(seen, **fields), truth)
    assert exact > 0.88
    huge = fitted(seen, **fields, table="hash", slots=1_000_000)
    assert distinct(huge.rows_of("items", 100)) > 98
    assert agreement(huge, truth) == pytest.approx(exact, abs=0.01)
    tight = agreement(fitted(seen, **fields, table="hash", load=4.0, sides="items"), truth)
    assert tight < exact - 0.1
    assert agreement(fitted(seen, **fields, table="quotient_remainder", load=1.0), truth) > 0.6


def test_sides_and_load_set_the_number_of_rows(world):
    seen, _ = world
    policy = fitted(seen, table="hash", load=2.0, sides="items")
    assert distinct(policy.rows_of("users", 150)) == 150
    assert policy.rows_of("items", 100).max() <= 50
    assert "150 of 150 users in 150 rows (exact); 100 of 100 items in 50 rows (hash)" in policy.remarks()[0]
    assert fitted(seen, table="hash", slots=7).rows_of("users", 150).max() == 7


@pytest.mark.parametrize("table", ["exact", "hash"])
def test_rare_items_share_the_default_row_and_are_ordered_at_random(observe, table):
    user = np.repeat(np.arange(20), 12)
    item = np.tile(np.r_[[0, 1, 2, 3] * 2, [0, 1, 2, 3]], 20)
    rare = np.arange(4, 24)
    seen = observe(np.r_[user, np.arange(20)], np.r_[item, rare], items=30)
    policy = fitted(seen, table=table, sides="items", admission="threshold", threshold=2)
    rows = policy.rows_of("items", 30)[:, 0]
    assert (rows[:4] > 0).all() and (rows[4:] == 0).all()
    lift = everything(policy, 20, 30)
    assert (lift[:, 4:] == lift[:, 4:5]).all() and (lift[:, :4] > lift[:, 4:5]).all()
    assert policy._items is not None and not policy._items.parameters.values[0, :-1].any()
    orders = []
    for seed in range(2):
        other = fitted(seen, seed=seed, table=table, sides="items", admission="threshold", threshold=2)
        ranked = other.rank(seen, np.arange(20, dtype=np.int32), 30, default_rng(0)).items
        assert (np.sort(ranked[:, :4]) == np.arange(4)).all() and (
            ranked[:, 4:] == ranked[0, 4:]
        ).mean() > 0.8
        orders.append(list(ranked[0, 4:]))
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_expiry_frees_rows_and_the_next_owner_inherits_only_without_reset(observe):
    rng = default_rng(0)
    old = rng.integers(0, 10, 300), rng.integers(0, 20, 300)
    new = rng.integers(0, 10, 40), rng.integers(20, 30, 40)
    first = observe(*old, users=10, items=20, now=1)
    both = np.concatenate([old, new], axis=1)
    later = observe(*both, users=10, items=31, rounds=np.repeat([0, 8], [300, 40]), now=9)
    kept = fitted(first, sides="items", expire_after=20)
    kept.fit(later, default_rng(1))
    assert kept.rows_of("items", 31)[:30, 0].min() >= 1
    started_at = {}
    for reset in (True, False):
        policy = fitted(
            first, sides="items", expire_after=5, reset_on_reuse=reset, replay=0.0, learning_rate=0.1
        )
        assert policy._items is not None
        before = policy._items.parameters.values.copy()
        policy.fit(later, default_rng(1))
        rows = policy.rows_of("items", 31)[:, 0]
        assert (rows[:20] == 0).all() and rows[30] == 0, "inactive and untaken items have no row"
        assert sorted(rows[20:30]) == list(range(11, 21)), "rows freed last go first"
        assert policy._items.table.rows == 21, "memory is capped: no row was added"
        # at a learning rate of nearly nothing, a row is what it was when its new owner got it
        still = HashedMF(**{**policy.config.model_dump(exclude_none=True), "learning_rate": 1e-12})
        still.restore(fitted(first, sides="items", expire_after=5).state())
        still.fit(later, default_rng(1))
        assert still._items is not None
        started_at[reset] = np.abs(still._items.parameters.values[rows[20:30]] - before[rows[20:30]]).max()
    assert started_at[False] < 1e-6 and started_at[True] > 0.05


def test_an_expired_item_that_returns_gets_a_row_again(observe):
    user, item = np.tile(np.arange(6), 4), np.repeat(np.arange(4), 6)
    first = observe(user, item, now=1)
    policy = fitted(first, sides="items", expire_after=3)
    seen = observe(np.r_[user, user[:12]], np.r_[item, item[:12]], rounds=np.repeat([0, 9], [24, 12]), now=10)
    policy.fit(seen, default_rng(1))
    assert list(policy.rows_of("items", 4)[:, 0] > 0) == [True, True, False, False]
    again = np.r_[item, item[:12], item]
    seen = observe(np.r_[user, user[:12], user], again, rounds=np.r_[seen.log.round, np.full(24, 11)], now=12)
    policy.fit(seen, default_rng(2))
    rows = policy.rows_of("items", 4)[:, 0]
    assert (rows > 0).all() and len(set(rows)) == 4


def test_a_refit_learns_what_is_new_only(observe):
    rng = default_rng(3)
    old, new = rng.integers(0, 12, (2, 200)), rng.integers(0, 6, (2, 30))
    first = observe(*old, users=12, items=12, now=1)
    policy = fitted(first, replay=0.0)
    before = everything(policy, 12, 12)
    rows, when = np.concatenate([old, new], axis=1), np.repeat([0, 3], [200, 30])
    policy.fit(observe(*rows, users=12, items=12, rounds=when, now=4), default_rng(1))
    assert policy._users is not None
    idle = policy._of_users[6:]
    once = fitted(first, replay=0.0)._of_users[6:]
    assert np.array_equal(idle, once), "users without new entries are where they were"
    assert not np.allclose(everything(policy, 12, 12)[:6], before[:6], atol=1e-3)
    still = policy._of_users.copy()
    policy.fit(observe(*rows, users=12, items=12, rounds=when, now=5), default_rng(1))
    assert np.array_equal(policy._of_users, still), "nothing new, nothing learned"


def test_folded_in_users_get_their_tastes(world):
    seen, truth = world
    new = np.arange(120, 150, dtype=np.int32)
    before = replace(seen, log=seen.log.where(seen.log.user < 120))
    for table in ("exact", "hash"):
        policy = fitted(before, table=table, dim=6, iterations=10, sides="users")
        policy.fold_in(seen, new, default_rng(4))
        lift = everything(policy, 150, 100)[120:]
        tastes = truth[120:] - truth.mean(axis=0)
        found = np.corrcoef((lift - lift.mean(axis=0)).ravel(), tastes.ravel())[0, 1]
        assert found > 0.6


@given(
    table=st.sampled_from(["exact", "hash", "quotient_remainder"]),
    admission=st.sampled_from(["none", "threshold", "probabilistic"]),
    threshold=st.integers(1, 10),
    slots=st.integers(1, 40),
    entries=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_any_settings_on_any_log_rank_everything(observe, table, admission, threshold, slots, entries):
    user, item = np.array(entries).T
    seen = observe(user, item, users=6, items=8)
    policy = fitted(
        seen, table=table, slots=slots, admission=admission, threshold=threshold, iterations=1, dim=2
    )
    ranked = policy.rank(seen, np.arange(6, dtype=np.int32), 8, default_rng(0)).items
    assert (np.sort(ranked, axis=1) == np.arange(8)).all()


def test_wrong_settings_are_refused_in_a_sentence(observe, world):
    seen, _ = world
    with pytest.raises(BadInput, match="not both"):
        HashedMF(table="hash", slots=5, load=1.0)
    with pytest.raises(BadInput, match="expire_after frees the row"):
        HashedMF(table="hash", expire_after=5)
    with pytest.raises(PolicyError, match=r"NaN or infinite values: lower learning_rate\. "):
        fitted(seen, learning_rate=1e30)
    wide = fitted(observe([0, 1], [0, 1]), dim=64).remarks()[1]
    assert wide.startswith("warning: hashed_mf has dim = 64, but") and "2 users and 2 items" in wide


# ---- real logs -----------------------------------------------------------------------------------


@pytest.fixture
def movielens(real_logs, observe):
    """Return (training observation, held-out users and items): 20 % of each user's ratings, at random."""
    table = pd.read_csv(real_logs / "ml-latest-small" / "ratings.csv")
    user = table.userId.astype("category").cat.codes.to_numpy(np.int32)
    item = table.movieId.astype("category").cat.codes.to_numpy(np.int32)
    held = default_rng(0).random(user.size) < 0.2
    seen = observe(user[~held], item[~held], users=int(user.max()) + 1, items=int(item.max()) + 1)
    seen.blocked.set(seen.log.user, seen.log.item)
    return seen, user[held], item[held]


@pytest.mark.slow
@pytest.mark.data
def test_quality_beside_implicit_on_movielens(ndcg, movielens):
    """ALS of implicit at its best of a small grid is 0.02 ahead; BPR of implicit is far behind both."""
    seen, user, item = movielens
    peers = {
        "als": MatrixFactorization(dim=32, regularization=30.0, confidence=3.0),
        "bpr": MatrixFactorization(model="bpr", dim=32, regularization=0.03),
        "own": HashedMF(),
    }
    found = {}
    for name, policy in peers.items():
        policy.fit(seen, default_rng(0))
        found[name] = ndcg(policy, seen, user, item)
    assert found["own"] > found["bpr"] + 0.05 and found["own"] > found["als"] - 0.035


@pytest.mark.slow
@pytest.mark.data
def test_a_warm_refit_on_movielens_costs_a_quarter_at_equal_quality(ndcg, movielens):
    seen, user, item = movielens
    size = len(seen.log)
    log = replace(seen.log, round=(np.arange(size) * 20 // size - 20).astype(np.int32))
    order = default_rng(5).permutation(size)
    log = replace(log, user=log.user[order], item=log.item[order])
    whole = replace(seen, log=log, round=0)
    early = replace(whole, log=log.part(0, size * 19 // 20), round=-1)
    cold, warm = HashedMF(), HashedMF()
    warm.fit(early, default_rng(0))
    seconds = []
    for policy in (cold, warm):
        start = time.process_time()
        policy.fit(whole, default_rng(1))
        seconds.append(time.process_time() - start)
    assert seconds[1] < seconds[0] / 4
    assert ndcg(warm, whole, user, item) > ndcg(cold, whole, user, item) - 0.01
