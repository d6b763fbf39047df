"""The spectrum against numpy's dense SVD, and the penalty against finite differences of its own objective."""

import numpy as np
import pytest
from echodrift.errors import BadInput
from echodrift.policies.factors.ials import IALS
from echodrift.policies.factors.spectral_mf import SpectralMF
from echodrift.policies.factors.spectrum import (
    effective_rank,
    effective_rank_of,
    exponent_for,
    singular_values,
    top_pair,
    with_exponent,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng


@pytest.fixture(scope="session")
def popular_and_grouped(observe):
    """Return a maker of logs with a planted top component: six groups with items of their own, and 12 for all."""

    def make(users=120, items=80, seed=0):
        rng = default_rng(seed)
        chance = np.full((users, items), 0.02)
        chance[np.arange(users)[:, None] % 6 == np.arange(items)[None, :] % 6] = 0.4
        chance[:, :12] = 0.7
        user, item = np.nonzero(rng.random((users, items)) < chance)
        return observe(user, item, users, items)

    return make


def fitted(seen, seed=0, **fields):
    policy = SpectralMF(**{"dim": 12, "regularization": 0.02, **fields})
    policy.fit(seen, default_rng(seed))
    return policy


def scores(policy):
    state = policy.state()
    return state["users"].astype(float) @ state["items"].T


def svd_rank(matrix):
    """exp of the entropy of the singular values, by the dense SVD."""
    sigma = np.linalg.svd(matrix, compute_uv=False)
    shares = sigma / sigma.sum()
    shares = shares[shares > 1e-9]
    return np.exp(-(shares * np.log(shares)).sum())


# ---- spectrum ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30), st.integers(1, 12))
def test_singular_values_are_those_of_the_dense_matrix(seed, users, items, dim):
    rng = default_rng(seed)
    w = (rng.normal(size=(users, dim)) * rng.exponential(size=dim)).astype(np.float32)
    h = rng.normal(size=(items, dim)).astype(np.float32)
    expected = np.linalg.svd(w.astype(float) @ h.T, compute_uv=False)[: min(users, items, dim)]
    found = singular_values(w, h)
    assert found.shape == (dim,)
    np.testing.assert_allclose(found[: expected.size], expected, atol=2e-6 * expected[0])
    assert effective_rank(w, h) == pytest.approx(svd_rank(w.astype(float) @ h.T), rel=1e-3)


def test_effective_rank_in_closed_form():
    eye = np.eye(9, 5, dtype=np.float32)
    assert effective_rank(eye, np.eye(7, 5, dtype=np.float32)) == pytest.approx(5)
    assert effective_rank(np.ones((4, 3), np.float32), np.ones((6, 3), np.float32)) == pytest.approx(1)
    assert effective_rank(np.zeros((4, 3), np.float32), np.ones((6, 3), np.float32)) == 0
    # shares 1/2, 1/4, 1/4: entropy 1.5 ln 2
    assert effective_rank_of(np.array([2.0, 1.0, 1.0])) == pytest.approx(2**1.5)


def test_an_exponent_changes_the_singular_values_and_nothing_else():
    rng = default_rng(0)
    w, h = rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=(15, 4)).astype(np.float32)
    u, sigma, v = np.linalg.svd(w.astype(float) @ h.T, full_matrices=False)
    u, sigma, v = u[:, :4], sigma[:4], v[:4]
    for exponent in (0.0, 0.5, 1.0, 3.0):
        turn, values = with_exponent(w, h, exponent)
        new = sigma**exponent
        new *= np.linalg.norm(sigma) / np.linalg.norm(new)
        np.testing.assert_allclose(values, new, rtol=1e-5)
        np.testing.assert_allclose(w @ turn @ h.T.astype(float), (u * new) @ v, atol=1e-4)
    target = 2.5
    assert effective_rank_of(sigma ** exponent_for(sigma, target)) == pytest.approx(target, rel=1e-6)


def test_power_iteration_finds_the_top_pair():
    rng = default_rng(1)
    w, h = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(25, 5)).astype(np.float32)
    w[:, 0] *= 4
    u, sigma, v = np.linalg.svd(w @ h.T)
    left, right, top = top_pair(w, h, np.ones(25, np.float32) / 5)
    assert top == pytest.approx(sigma[0], rel=1e-4)
    assert abs(left @ u[:, 0]) == pytest.approx(1, abs=1e-3)
    assert abs(right @ v[0]) == pytest.approx(1, abs=1e-3)


# ---- the policy ----------------------------------------------------------------------------------


def test_without_a_penalty_it_is_ials(popular_and_grouped):
    plain, policy = (
        IALS(dim=12, regularization=0.02),
        SpectralMF(dim=12, regularization=0.02, spectral_penalty=0),
    )
    for seed in (0, 1):  # a fit and a refit
        for each in (plain, policy):
            each.fit(popular_and_grouped(seed=seed), default_rng(seed))
        for name in ("users", "items"):
            assert np.array_equal(plain.state()[name], policy.state()[name])


def test_the_gradient_of_the_penalized_loss_vanishes(popular_and_grouped):
    seen = popular_and_grouped(users=60, items=40)
    policy = fitted(seen, dim=5, regularization=0.05, spectral_penalty=0.1, iterations=300)
    counts = (seen.counts.toarray() > 0).astype(float)
    state, config = policy.state(), policy.config
    users, items = state["users"].astype(float), state["items"].astype(float)
    sigma = np.linalg.svd(users @ items.T, compute_uv=False)
    assert sigma[0] > 1.2 * sigma[1], "the top singular value must be simple for a gradient to exist"

    def objective(w, h):
        x, a0 = w @ h.T, config.unobserved_weight
        ridge = ((counts.sum(1) + a0 * 40) * (w**2).sum(1)).sum()
        ridge += ((counts.sum(0) + a0 * 60) * (h**2).sum(1)).sum()
        fit = (counts * (x - 1) ** 2).sum() + a0 * (x**2).sum()
        top = np.linalg.svd(x, compute_uv=False)[0]
        return fit + config.regularization * ridge + config.spectral_penalty * top**2

    def slope(scale):
        rng, steepest = default_rng(2), 0.0
        for _ in range(15):
            du, dh = rng.normal(size=users.shape), rng.normal(size=items.shape)
            up, down = (objective(scale * users + s * du, scale * items + s * dh) for s in (1e-4, -1e-4))
            steepest = max(steepest, abs(up - down) / 2e-4)
        return steepest

    assert slope(1.0) < 0.01 * slope(1.2)


def test_the_penalty_lowers_the_top_singular_value_and_raises_the_effective_rank(popular_and_grouped):
    seen = popular_and_grouped()
    tops, ranks = [], []
    for penalty in (0.0, 0.02, 0.05, 0.1, 0.2):
        matrix = scores(fitted(seen, spectral_penalty=penalty, iterations=40))
        tops.append(np.linalg.svd(matrix, compute_uv=False)[0])
        ranks.append(svd_rank(matrix))
    assert (np.diff(tops) < 0).all() and tops[-1] < 0.8 * tops[0]
    assert (np.diff(ranks) > 0).all() and ranks[-1] > 1.05 * ranks[0]


def test_tied_top_singular_values_share_the_penalty(observe):
    """Two disjoint groups of the same size tie for the top; both must shrink alike, not in turn."""
    user, item = np.nonzero(np.kron(np.eye(2), np.ones((20, 15))))
    seen = observe(user, item, 40, 30)
    policy = fitted(seen, dim=2, spectral_penalty=0.3, iterations=200)
    sigma = np.linalg.svd(scores(policy), compute_uv=False)
    assert sigma[1] > 0.85 * sigma[0]


@pytest.mark.parametrize("control", ["regularization", "spectrum"])
@pytest.mark.parametrize("target", [2.5, 5.0])
def test_the_effective_rank_asked_for_is_reached(popular_and_grouped, control, target):
    seen = popular_and_grouped()
    policy = fitted(seen, spectral_penalty=0.0, effective_rank=target, control=control)
    assert svd_rank(scores(policy)) == pytest.approx(target, rel=0.025)
    (remark,) = policy.remarks()
    assert float(remark.split()[2]) == pytest.approx(svd_rank(scores(policy)), rel=1e-3)
    policy.fit(popular_and_grouped(seed=1), default_rng(3))  # a refit on another log
    assert svd_rank(scores(policy)) == pytest.approx(target, rel=0.025)


def test_the_effective_rank_can_be_raised(popular_and_grouped):
    seen = popular_and_grouped()
    before = svd_rank(scores(fitted(seen, spectral_penalty=0.0, regularization=0.15)))
    policy = fitted(seen, spectral_penalty=0.0, regularization=0.15, effective_rank=8.0)
    assert before < 6 and svd_rank(scores(policy)) == pytest.approx(8, rel=0.025)


def test_an_effective_rank_out_of_reach_is_refused_or_remarked(observe):
    with pytest.raises(BadInput, match=r"effective_rank = 20 cannot exceed dim = 12"):
        SpectralMF(dim=12, effective_rank=20.0)
    seen = observe([0, 0, 1, 1], [0, 1, 2, 3], 4, 5)  # rank 2
    for control in ("regularization", "spectrum"):
        policy = fitted(seen, effective_rank=6.0, control=control)
        assert any("where effective_rank = 6 was asked for" in remark for remark in policy.remarks())


@pytest.mark.parametrize(
    "fields", [{}, {"effective_rank": 4.0}, {"effective_rank": 4.0, "control": "spectrum"}]
)
def test_folding_in_a_known_user_gives_about_the_fitted_factors(popular_and_grouped, fields):
    seen = popular_and_grouped()
    policy = fitted(seen, iterations=60, **fields)
    before = scores(policy)
    who = np.array([4, 11], np.int32)
    policy.fold_in(seen, who, default_rng(0))
    after = scores(policy)
    rest = np.setdiff1d(np.arange(120), who)
    assert np.array_equal(after[rest], before[rest])
    np.testing.assert_allclose(after[who], before[who], atol=0.03)
    assert not np.array_equal(after[who], before[who])
