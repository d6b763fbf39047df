"""iALS against the published objective, written out densely in float64."""

import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.factors.ials import IALS
from echodrift.policies.factors.implicit_loss import ImplicitLoss
from echodrift.policies.factors.row_solves import gram, half_sweep
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy.sparse.linalg import cg


@pytest.fixture(scope="session")
def made_up(observe):
    """Return a maker of logs, skewed so that rows have from 0 to more than 30 entries; with repeats."""

    def make(users=40, items=60, entries=500, seed=0):
        rng = default_rng(seed)
        user = (users * rng.random(entries) ** 3).astype(int)
        item = ((items - 3) * rng.random(entries) ** 1.5).astype(int)
        return observe(user, item, users, items)

    return make


def published_loss(users, items, counts, config, regularization=None) -> float:
    """The iALS sweep on dense float64 arrays; counts (users, items) are 0/1 for distinct pairs."""
    users, items = users.astype(float), items.astype(float)
    scores = users @ items.T
    a0, nu = config.unobserved_weight, config.frequency_exponent
    of_users = (counts.sum(1) + a0 * counts.shape[1]) ** nu
    of_items = (counts.sum(0) + a0 * counts.shape[0]) ** nu
    squares = of_users @ (users**2).sum(1) + of_items @ (items**2).sum(1)
    strength = config.regularization if regularization is None else regularization
    return (counts * (scores - 1) ** 2).sum() + a0 * (scores**2).sum() + strength * squares


def normal_equations(counts, items, config):
    """The optimal users for given items, one linear system each."""
    items = items.astype(float)
    out = np.zeros((counts.shape[0], items.shape[1]))
    shared = config.unobserved_weight * items.T @ items
    for u, row in enumerate(counts):
        scale = (row.sum() + config.unobserved_weight * counts.shape[1]) ** config.frequency_exponent
        system = shared + (items.T * row) @ items + config.regularization * scale * np.eye(items.shape[1])
        out[u] = np.linalg.solve(system, items.T @ row)
    return out


def dense(seen, binary=True):
    counts = seen.counts.toarray().astype(float)
    return (counts > 0).astype(float) if binary else counts


def fitted(seen, seed=0, **fields):
    policy = IALS(**fields)
    policy.fit(seen, default_rng(seed))
    return policy


def factors(policy):
    state = policy.state()
    return state["users"], state["items"]


@pytest.mark.parametrize("solver", [{"solver": "exact"}, {"cg_steps": 60}], ids=["exact", "many steps"])
@pytest.mark.parametrize("dim", [1, 4, 12, 30, 50])
@pytest.mark.parametrize("binary", [True, False])
def test_one_sweep_solves_the_normal_equations(made_up, dim, binary, solver):
    seen = made_up()
    config = IALS.Config(
        dim=dim,
        regularization=0.05,
        unobserved_weight=0.3,
        frequency_exponent=0.7,
        binary=binary,
        **solver,
    )
    loss, counts = ImplicitLoss.of(seen.counts, config), dense(seen, binary)
    start = default_rng(3).normal(size=(seen.n_items, dim)).astype(np.float32)
    sizes = np.diff(seen.counts.indptr)
    assert sizes.min() < 4 and sizes.max() > 25  # every way of solving a row is taken for some dim
    users, items = loss.sweep(np.zeros((seen.n_users, dim), np.float32), start)
    expected_users = normal_equations(counts, start, config)
    expected_items = normal_equations(counts.T, expected_users, config)
    expected = expected_users @ expected_items.T
    np.testing.assert_allclose(users @ items.T, expected, atol=2e-5 * np.abs(expected).max() + 1e-5)


@pytest.mark.parametrize("block", [1, 7, 100])
def test_block_steps_converge_to_the_same_users(made_up, block):
    """With the items held the loss is convex: one optimum, however it is reached."""
    seen = made_up(entries=900)
    config = IALS.Config(dim=20, regularization=0.02, solver="exact", block=block)
    loss = ImplicitLoss.of(seen.counts, config)
    items = default_rng(1).normal(size=(seen.n_items, 20)).astype(np.float32)
    expected = normal_equations(dense(seen), items, config) @ items.T.astype(float)
    users = np.zeros((seen.n_users, 20), np.float32)
    distances = []
    for _ in range(100):
        users, items = loss.solve_users(users, items)
        distances.append(np.abs(users @ items.T - expected).max())
    assert distances[-1] < 2e-3 * np.abs(expected).max()
    if block < 20:
        assert distances[0] > 5 * distances[-1], "one pass must not be exact, else nothing was tested"


@pytest.mark.parametrize("fields", [{"solver": "exact", "block": 4}, {"cg_steps": 3}, {"cg_steps": 1}])
def test_all_solvers_reach_the_same_loss(made_up, fields):
    seen = made_up(users=120, items=90, entries=4000)
    losses = []
    for solver in (fields, {"solver": "exact", "block": 64}):
        policy = fitted(seen, dim=10, regularization=0.05, iterations=60, **solver)
        losses.append(published_loss(*factors(policy), dense(seen), policy.config))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("dim", [5, 30])
def test_conjugate_gradients_are_those_of_scipy(made_up, steps, dim):
    """scipy's, in float64, from the same start, preconditioned by what a row without entries would have."""
    seen, rng = made_up(entries=1200), default_rng(2)
    config = IALS.Config(dim=dim, regularization=0.01, cg_steps=steps)
    start, items = (rng.normal(size=(n, dim)).astype(np.float32) for n in (seen.n_users, seen.n_items))
    users, turned = ImplicitLoss.of(seen.counts, config).solve_users(start, items)
    counts, items = dense(seen), items.astype(float)
    shared = config.unobserved_weight * items.T @ items
    long = np.flatnonzero(counts.sum(1) > 8)
    assert long.size > 20 and counts.sum(1).max() > dim
    for u in long:
        scale = counts[u].sum() + config.unobserved_weight * seen.n_items
        known = shared + config.regularization * scale * np.eye(dim)
        system, right = known + (items.T * counts[u]) @ items, items.T @ counts[u]
        expected = cg(system, right, start[u], rtol=0, maxiter=steps, M=np.linalg.inv(known))[0] @ items.T
        np.testing.assert_allclose(users[u] @ turned.T, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("solver", ["cg", "exact"])
def test_the_same_seed_gives_the_same_bits(made_up, solver):
    seen = made_up(entries=1200)
    first, second = (factors(fitted(seen, dim=12, solver=solver)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"solver": "exact"},
        {"solver": "exact", "block": 3},
        {"binary": False},
        {"frequency_exponent": 0.0},
    ],
)
def test_the_gradient_vanishes_at_convergence(made_up, fields):
    seen = made_up(entries=700)
    policy = fitted(seen, **{"dim": 6, "regularization": 0.1, "iterations": 200, **fields})
    counts, (users, items) = dense(seen, policy.config.binary), factors(policy)
    users, items = users.astype(float), items.astype(float)
    rng = default_rng(5)
    slope = []
    for scale in (1.0, 1.3):  # away from the optimum the same measurement must show a slope
        along = []
        for _ in range(20):
            du, di = rng.normal(size=users.shape), rng.normal(size=items.shape)
            step = 1e-4
            up, down = (
                published_loss(scale * users + s * du, scale * items + s * di, counts, policy.config)
                for s in (step, -step)
            )
            along.append(abs(up - down) / (2 * step))
        slope.append(max(along))
    assert slope[0] < 0.01 * slope[1]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 24),
    st.integers(1, 30),
    st.floats(1e-3, 10),
    st.floats(0, 2),
    st.floats(0, 2),
    st.booleans(),
    st.sampled_from(["cg", "exact"]),
    st.integers(1, 5),
)
def test_no_sweep_raises_the_loss(
    made_up, seed, dim, block, regularization, weight, exponent, binary, solver, cg_steps
):
    seen = made_up(users=15, items=22, entries=120, seed=seed)
    config = IALS.Config(
        dim=dim,
        solver=solver,
        cg_steps=cg_steps,
        block=block,
        regularization=regularization,
        unobserved_weight=weight,
        frequency_exponent=exponent,
        binary=binary,
    )
    loss, counts = ImplicitLoss.of(seen.counts, config), dense(seen, binary)
    rng = default_rng(seed)
    users, items = (rng.normal(size=(n, dim)).astype(np.float32) for n in counts.shape)
    before = published_loss(users, items, counts, config)
    for _ in range(4):
        users, items = loss.sweep(users, items)
        after = published_loss(users, items, counts, config)
        assert after <= before * (1 + 1e-5) + 1e-5
        before = after


def test_repeats_count_only_when_asked(observe):
    once = observe([0, 0, 1, 2, 2], [0, 1, 1, 2, 0], 3, 3)
    often = observe([0, 0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 1, 2, 0], 3, 3)
    for binary in (True, False):
        scores = [
            np.matmul(*(x if k == 0 else x.T for k, x in enumerate(factors(fitted(s, dim=2, binary=binary)))))
            for s in (once, often)
        ]
        assert np.array_equal(*scores) == binary
        if not binary:
            assert scores[1][0, 0] > scores[0][0, 0]


def test_fold_in_is_the_exact_solve(observe, made_up):
    seen = made_up()
    policy = fitted(seen, dim=8, solver="exact", block=2)
    newcomers = np.array([1, 7], np.int32)
    more = observe(
        np.concatenate([seen.log.user, [1, 1, 7]]), np.concatenate([seen.log.item, [3, 40, 5]]), 40, 60
    )
    users, items = factors(policy)
    policy.fold_in(more, newcomers, default_rng(0))
    after, items_after = factors(policy)
    assert np.array_equal(items, items_after)
    expected = normal_equations(dense(more), items, policy.config)
    np.testing.assert_allclose(after[newcomers], expected[newcomers], rtol=1e-3, atol=1e-4)
    rest = np.setdiff1d(np.arange(40), newcomers)
    assert np.array_equal(after[rest], users[rest])


def test_a_planted_structure_is_found(observe):
    """Two groups of users with their own items: what was held out lies in the own group."""
    rng = default_rng(0)
    user = np.repeat(np.arange(60), 8)
    item = np.concatenate([rng.choice(20, 8, replace=False) + 20 * (u % 2) for u in range(60)])
    seen = observe(user, item, 60, 40)
    policy = fitted(seen, dim=2, regularization=0.1)
    users, items = factors(policy)
    scores = users @ items.T
    own = np.arange(60)[:, None] % 2 == np.arange(40)[None, :] // 20
    assert scores[own].min() > np.abs(scores[~own]).max()


def test_a_warm_refit_stays_near_the_optimum_and_places_newborns(observe, made_up):
    seen = made_up(users=60, items=50, entries=1500)
    policy = fitted(seen, dim=6, regularization=0.1)
    grown = observe(
        np.concatenate([seen.log.user, np.arange(0, 60, 3)]),
        np.concatenate([seen.log.item, np.repeat([52, 53], 10)]),
        61,
        55,
    )
    policy.fit(grown, default_rng(1))
    cold = fitted(grown, dim=6, regularization=0.1)
    warm_loss, cold_loss = (
        published_loss(*factors(each), dense(grown), each.config) for each in (policy, cold)
    )
    assert warm_loss <= cold_loss * 1.01
    items = factors(policy)[1]
    assert items[[52, 53]].any(axis=1).all() and not items[54].any()


def test_training_that_overflows_is_named(made_up):
    policy = IALS(dim=64)
    # Below what the field accepts, since no value that it accepts is known to overflow.
    policy.config = policy.config.model_copy(update={"regularization": 1e-30})
    with pytest.raises(PolicyError, match=r"NaN or infinite values.*raise regularization"):
        policy.fit(made_up(), default_rng(0))


def test_bad_fields_are_refused():
    for fields in (
        {"regularization": 0.0},
        {"unobserved_weight": -1.0},
        {"block": 0},
        {"cg_steps": 0},
        {"solver": "lu"},
    ):
        with pytest.raises(BadInput):
            IALS(**fields)


def test_more_dimensions_than_data_and_too_much_regularization_are_remarked(observe):
    seen = observe([0, 1, 1], [0, 1, 2], 5, 9)
    remark = fitted(seen, dim=3).remarks()[0]
    assert remark.startswith("warning:") and "dim = 3" in remark and "only 2 users and 3 items" in remark
    assert fitted(seen, dim=2).remarks() == []
    crushed = fitted(seen, dim=2, regularization=1e4).remarks()[0]
    assert crushed.startswith("warning:") and "regularization = 10000" in crushed


def test_half_sweep_survives_a_gram_that_is_not_finite(made_up):
    seen = made_up()
    rows, columns = np.zeros((40, 3), np.float32), np.full((60, 3), 1e30, np.float32)
    with np.errstate(all="ignore"):
        rows, _ = half_sweep(seen.counts, rows, columns, gram(columns, 0.1), np.ones(40, np.float32), 3)
    assert np.isnan(rows).all()


def holdout(real_logs):
    """Positive ratings of MovieLens in time order: (users, items, log), and where the last tenths begin."""
    table = pd.read_csv(real_logs / "ml-latest-small" / "ratings.csv")
    table = table[table.rating >= 4].sort_values("timestamp", kind="stable")
    user, item = pd.factorize(table.userId)[0], pd.factorize(table.movieId)[0]
    # users come and go in blocks of time: a random fifth keeps everyone in both parts
    order = default_rng(0).permutation(user.size)
    return user[order], item[order]


@pytest.mark.slow
@pytest.mark.data
def test_real_log_warm_refits_rank_as_well_as_cold_ones_and_better_than_popularity(observe, ndcg, real_logs):
    from echodrift.policies.baselines import Popularity

    user, item = holdout(real_logs)
    users, items, train, early = user.max() + 1, item.max() + 1, int(0.8 * user.size), int(0.75 * user.size)
    seen = observe(user[:train], item[:train], users, items)
    seen.blocked.set(seen.log.user, seen.log.item)
    warm, cold, popular = IALS(), IALS(), Popularity()
    warm.fit(observe(user[:early], item[:early], users, items), default_rng(0))
    for policy in (warm, cold, popular):
        policy.fit(seen, default_rng(1))
    quality = [ndcg(policy, seen, user[train:], item[train:]) for policy in (warm, cold, popular)]
    assert quality[0] > quality[1] - 0.01
    assert quality[1] > 1.5 * quality[2]
