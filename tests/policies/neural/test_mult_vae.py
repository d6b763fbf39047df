"""Mult-VAE and Mult-DAE: every term of the loss against scipy, and what is learned against what was planted."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.baselines import Popularity
from echodrift.policies.neural import jax_runtime, vae
from echodrift.policies.neural.mult_dae import MultDAE
from echodrift.policies.neural.mult_vae import MultVAE
from echodrift.policies.registry import build_policy, kinds, policy_class
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import integrate, optimize, sparse, stats
from scipy.special import gammaln, logsumexp
from sklearn.preprocessing import normalize

SMALL = {"dim": 8, "batch": 32, "learning_rate": 0.01}


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


@pytest.fixture(scope="session")
def blocks(observe):
    """Return a maker of logs whose users take items of their own group, popular ones more; some pairs held out."""

    def make(users=90, items=60, groups=3, hidden=0.25):
        rng = default_rng(0)
        appeal = rng.random(items) ** 2
        own = np.arange(users)[:, None] % groups == np.arange(items) % groups
        taken = own & (rng.random((users, items)) < 0.2 + 0.6 * appeal)
        out = taken & (rng.random((users, items)) < hidden)
        user, item = np.nonzero(taken & ~out)
        seen = observe(user, item, users, items)
        seen.blocked.set(user.astype(np.int32), item.astype(np.int32))
        return seen, out

    return make


def fitted(kind, seen, seed=1, **fields):
    policy = kind(**fields)
    policy.fit(seen, default_rng(seed))
    return policy


def case(seed=0, users=4, items=7, counts=False):
    rng = default_rng(seed)
    x = (rng.random((users, items)) < 0.5).astype(np.float32)
    if counts:
        x *= rng.integers(1, 5, x.shape)
    return x, rng.normal(size=(2, users, items)).astype(np.float32)


def likelihood_of(name):
    return jax_runtime.compiled(named_likelihood, name=name)


def named_likelihood(f, x, known, missing_weight, *, name):
    return vae.log_likelihood(name, f, x, known, missing_weight)


# ---- the terms of the loss -----------------------------------------------------------------------


def test_multinomial_likelihood_is_scipys_without_the_constant():
    x, (f, _) = case(counts=True)
    got = likelihood_of("multinomial")(f, x, np.ones(7, np.float32), 0.1)
    n = x.sum(1)
    constant = gammaln(n + 1) - gammaln(x + 1).sum(1)
    p = np.exp(f.astype(float) - logsumexp(f.astype(float), axis=1, keepdims=True))
    want = [stats.multinomial.logpmf(x[u], n[u], p[u] / p[u].sum()) for u in range(4)]
    np.testing.assert_allclose(got + constant, want, rtol=1e-5)


def test_multinomial_likelihood_by_hand():
    f = np.log(np.array([[1.0, 2, 5]], np.float32))
    got = likelihood_of("multinomial")(f, np.array([[2.0, 0, 1]], np.float32), np.ones(3, np.float32), 0)
    np.testing.assert_allclose(got, [2 * np.log(1 / 8) + np.log(5 / 8)], rtol=1e-6)


def test_logistic_likelihood_is_scipys():
    x, (f, _) = case()
    got = likelihood_of("logistic")(f, x, np.ones(7, np.float32), 0.1)
    np.testing.assert_allclose(got, stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-f))).sum(1), rtol=1e-5)


def test_gaussian_likelihood_is_scipys_up_to_a_constant():
    x, (f, g) = case(counts=True)
    scale = np.where(x > 0, 1, 1 / np.sqrt(0.3))
    for_f, for_g = (np.asarray(likelihood_of("gaussian")(h, x, np.ones(7, np.float32), 0.3)) for h in (f, g))
    want = (stats.norm.logpdf(x, f, scale) - stats.norm.logpdf(x, g, scale)).sum(1)
    np.testing.assert_allclose(for_f - for_g, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
def test_items_outside_the_model_do_not_count(likelihood):
    x, (f, _) = case()
    wide = np.full((4, 3), 9, np.float32)
    known = np.r_[np.ones(7), np.zeros(3)].astype(np.float32)
    got = likelihood_of(likelihood)(np.hstack([f, wide]), np.hstack([x, 0 * wide]), known, 0.3)
    want = likelihood_of(likelihood)(f, x, known[:7], 0.3)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_divergence_is_the_integral():
    mu, logvar = np.array([[0.3, -1.2]], np.float32), np.array([[-0.5, 0.8]], np.float32)

    def one(m, s):
        q = stats.norm(m, s)
        return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), -12, 12)[0]

    want = one(0.3, np.exp(-0.25)) + one(-1.2, np.exp(0.4))
    np.testing.assert_allclose(vae.divergence(mu, logvar), [want], rtol=1e-5)
    z = default_rng(0).normal(mu, np.exp(logvar / 2), (200_000, 2))
    drawn = (stats.norm.logpdf(z, mu, np.exp(logvar / 2)) - stats.norm.logpdf(z)).sum(1)
    assert abs(drawn.mean() - want) < 5 * drawn.std() / np.sqrt(len(z))


def in_numpy(weights, noisy, x, present, noise, beta, missing_weight, likelihood):
    """The documented loss in double precision."""
    w = {name: array.astype(float) for name, array in weights.items()}
    hidden = np.tanh(noisy @ w["input"] + w["input_bias"])
    code = hidden @ w["code"] + w["code_bias"]
    dim = code.shape[1] // 2
    mu, sd = code[:, :dim], np.exp(code[:, dim:] / 2)
    f = np.tanh((mu + sd * noise) @ w["top"] + w["top_bias"]) @ w["output"].T + w["output_bias"]
    if likelihood == "multinomial":
        fits = (x * (f - logsumexp(f, axis=1, keepdims=True))).sum(1)
    elif likelihood == "logistic":
        fits = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-f))).sum(1)
    else:
        fits = -(np.where(x > 0, 1, missing_weight) * (x - f) ** 2).sum(1) / 2
    apart = (-np.log(sd**2) + sd**2 + mu**2 - 1).sum(1) / 2
    return (beta * apart - fits)[present > 0].mean()


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
def test_the_loss_and_its_slope(likelihood):
    import jax

    x, _ = case(users=5)
    rng = default_rng(3)
    weights = MultVAE(hidden=4, dim=3).fresh_weights(7, rng)
    weights = {name: w + 0.1 * rng.standard_normal(w.shape, dtype=np.float32) for name, w in weights.items()}
    noise, present = rng.standard_normal((5, 3), dtype=np.float32), np.array([1, 1, 1, 0, 1], np.float32)
    noisy = normalize(x).astype(np.float32)
    known = np.ones(7, np.float32)
    arguments = (noisy, x, present, known, 0.3, 0.7, noise)
    loss, slopes = jax.jit(jax.value_and_grad(lambda w: vae.vae_loss(w, *arguments, likelihood=likelihood)))(
        weights
    )
    numpy_loss = lambda w: in_numpy(w, noisy, x, present, noise, 0.7, 0.3, likelihood)
    np.testing.assert_allclose(loss, numpy_loss(weights), rtol=1e-5)
    for name in weights:
        move = rng.normal(size=weights[name].shape)
        ends = [
            numpy_loss({**weights, name: weights[name].astype(float) + step * move}) for step in (1e-4, -1e-4)
        ]
        np.testing.assert_allclose(
            (slopes[name] * move).sum(), (ends[0] - ends[1]) / 2e-4, rtol=1e-3, atol=1e-4
        )


def test_the_penalty_of_the_dae():
    x, _ = case()
    weights = MultDAE(dim=3).fresh_weights(7, default_rng(0))
    arguments = (normalize(x).astype(np.float32), x, np.ones(4, np.float32), np.ones(7, np.float32), 0.1)
    with_it, without = (
        vae.dae_loss(weights, *arguments, lam, likelihood="multinomial") for lam in (0.5, 0.0)
    )
    squares = (weights["input"] ** 2).sum() + (weights["output"] ** 2).sum()
    np.testing.assert_allclose(with_it - without, 0.5 * squares, rtol=1e-4)
    policy = MultDAE(regularization=0.3, batch=20)
    assert policy.step_inputs(1.0, default_rng(0)) == (pytest.approx(0.015),)


def quadratic(weights, target):
    return ((weights["w"] - target) ** 2).sum()


def test_steps_are_adams():
    """Kingma and Ba, ICLR 2015, algorithm 1."""
    w, m, v, target = np.array([1.0, -2.0]), 0.0, 0.0, np.array([3.0, 0.5], np.float32)
    training = jax_runtime.Training({"w": w.astype(np.float32)})
    for t in range(1, 6):
        training.step(jax_runtime.adam_step(quadratic), 0.1, target)
        g = 2 * (w - target)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    weights, moments = training.result()
    np.testing.assert_allclose(weights["w"], w, rtol=1e-5)
    np.testing.assert_allclose(moments["second.w"], v, rtol=1e-4)
    again = jax_runtime.Training(weights, moments)
    for each in (training, again):
        each.step(jax_runtime.adam_step(quadratic), 0.1, target)
    np.testing.assert_array_equal(training.result()[0]["w"], again.result()[0]["w"])


# ---- inputs, annealing, start --------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(1, 4)), max_size=30),
    st.floats(0.1, 1.0),
    st.integers(0, 99),
)
def test_inputs_are_normalized_before_dropout(entries, keep, seed):
    dense = np.zeros((6, 9), np.float32)
    for user, item, count in entries:
        dense[user, item] = count
    matrix, users = sparse.csr_matrix(dense), default_rng(seed).permutation(6)[:4]
    draws = default_rng(seed).random(matrix.nnz, dtype=np.float32)
    noisy, x = np.zeros((2, 5, 9), np.float32)
    vae.fill_batch(matrix.indptr, matrix.indices, matrix.data, users, draws, np.float32(keep), noisy, x)
    np.testing.assert_array_equal(x[:4], dense[users])
    assert not x[4].any() and not noisy[4].any()
    left = noisy != 0
    np.testing.assert_allclose(noisy[:4][left[:4]], (normalize(dense[users]) / keep)[left[:4]], rtol=1e-5)
    if keep == 1:
        assert (left[:4] == (dense[users] > 0)).all()


def test_dropout_hides_its_share():
    policy = MultVAE(dropout=0.3, batch=50)
    x = sparse.csr_matrix(np.ones((50, 100), np.float32))
    batches = list(policy.batches(x, 4, default_rng(0)))
    kept = np.mean([(noisy[:, :100] > 0).mean() for noisy, _, _ in batches])
    assert abs(kept - 0.7) < 5 * np.sqrt(0.21 / 20_000)
    assert len(batches) == 4 and not (batches[0][0] == batches[1][0]).all()


def test_every_user_with_history_is_in_each_pass_once(blocks):
    seen, _ = blocks(users=45)
    x = seen.counts.copy()
    batches = list(MultVAE(batch=20).batches(x, 1, default_rng(0)))
    assert [int(present.sum()) for _, _, present in batches] == [20, 20, 5]
    rows = np.concatenate([full[present > 0] for _, full, present in batches])[:, : seen.n_items]
    assert sorted(map(bytes, rows)) == sorted(map(bytes, x.toarray()))


def test_beta_rises_to_its_cap_and_stays(blocks, monkeypatch):
    policy = MultVAE(beta=0.4, anneal_share=0.5, iterations=4, hidden=32, **SMALL)
    assert [policy.annealed(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert MultVAE(anneal_share=0).annealed(0) == 0.2
    used, annealed = [], policy.annealed
    monkeypatch.setattr(policy, "annealed", lambda progress: used.append(annealed(progress)) or used[-1])
    seen, _ = blocks()
    policy.fit(seen, default_rng(0))
    assert used == pytest.approx([min(0.4, 0.8 * step / 11) for step in range(12)])
    used.clear()
    policy.fit(seen, default_rng(0))
    assert used == [0.4] * (3 * policy.config.refit_iterations)


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
def test_the_first_bias_is_the_best_model_without_users(blocks, likelihood):
    seen, _ = blocks(users=60, items=12)
    x = seen.counts.copy()
    dense, known = x[np.diff(x.indptr) > 0].toarray(), np.ones(12, np.float32)
    assert (dense.sum(0) > 0).all()

    fits = likelihood_of(likelihood)

    def loss(f):
        f = np.tile(f, (len(dense), 1)).astype(np.float32)
        return -float(fits(f, dense, known, 0.2).sum())

    got = vae.initial_bias(likelihood, x, 0.2)
    best = optimize.minimize(loss, np.zeros(12), method="Powell", options={"maxiter": 60, "xtol": 1e-4}).fun
    assert loss(got) <= best + 2e-3 * abs(best)
    assert loss(got + 0.3 * (np.arange(12) % 2)) > loss(got)


# ---- the policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (MultVAE, {"hidden": 32}),
        pytest.param(MultVAE, {"hidden": 32, "likelihood": "logistic"}, marks=pytest.mark.slow),
        pytest.param(MultVAE, {"hidden": 32, "likelihood": "gaussian"}, marks=pytest.mark.slow),
        (MultDAE, {}),
    ],
)
def test_planted_blocks_are_found(recall, blocks, kind, fields):
    seen, held = blocks()
    popular = Popularity()
    popular.fit(seen, default_rng(1))
    policy = fitted(kind, seen, iterations=60, **SMALL, **fields)
    ranked = policy.rank(seen, everyone(seen), 5, default_rng(0)).items
    assert (ranked % 3 == everyone(seen)[:, None] % 3).mean() > 0.95
    assert recall(policy, seen, held) > 1.8 * recall(popular, seen, held)


def test_scores_are_the_forward_pass_at_the_mean(blocks):
    seen, _ = blocks()
    policy = fitted(MultVAE, seen, hidden=32, iterations=2, **SMALL)
    w = {
        name[7:]: array.astype(float) for name, array in policy.state().items() if name.startswith("weight.")
    }
    hidden = np.tanh(normalize(seen.counts.toarray()) @ w["input"][:60] + w["input_bias"])
    mu = (hidden @ w["code"] + w["code_bias"])[:, :8]
    f = np.tanh(mu @ w["top"] + w["top_bias"]) @ w["output"][:60].T + w["output_bias"][:60]
    of_users, of_items = policy.factors(seen, everyone(seen))
    np.testing.assert_allclose(of_users @ of_items.T, f, atol=2e-4)
    some = policy.rank(seen, np.array([7, 3], np.int32), 60, default_rng(0))
    whole = policy.rank(seen, everyone(seen), 60, default_rng(0))
    np.testing.assert_array_equal(some.items, whole.items[[7, 3]])
    # the last bit may depend on the row of the block (policies/topk.py)
    np.testing.assert_allclose(some.scores, whole.scores[[7, 3]], rtol=1e-6)


def test_histories_are_read_when_ranking(blocks, observe):
    seen, _ = blocks()
    policy = fitted(MultDAE, seen, iterations=60, **SMALL)
    group = lambda where, user: policy.rank(where, np.array([user], np.int32), 5, default_rng(0)).items % 3
    assert (group(seen, 0) == 0).all()
    # user 0 turns to group 1, and user 90 is new, with three takes from group 2
    users = np.r_[seen.log.user[seen.log.user != 0], [0] * 4, [90] * 3]
    items = np.r_[seen.log.item[seen.log.user != 0], [1, 4, 7, 10], [2, 5, 8]]
    later = observe(users, items, 91, 60)
    policy.fold_in(later, np.array([90], np.int32), default_rng(0))
    assert (group(later, 0) == 1).all() and (group(later, 90) == 2).all()


def test_cold_users_and_untaken_items(blocks, observe):
    base, _ = blocks()
    seen = observe(base.log.user, base.log.item, 92, 63)
    later = observe(np.r_[seen.log.user, 91], np.r_[seen.log.item, 62], 92, 200)
    policy = fitted(MultDAE, seen, iterations=2, **SMALL)
    for where in (seen, later):  # 91's only item is not known yet
        got = policy.rank(where, np.array([90, 91], np.int32), 60, default_rng(0)).items
        assert (np.diff(seen.popularity[got], axis=1) <= 0).all()
    firsts = set()
    for seed in range(5):
        policy = fitted(MultDAE, seen, seed, iterations=1, **SMALL)
        got = policy.rank(later, everyone(later)[:3], 200, default_rng(0))
        assert (got.items[:, :60] < 60).all() and (got.items[:, 60:] >= 60).all()
        assert (got.items[:, 60] == got.items[0, 60]).all()
        firsts.add(got.items[0, 60])
    assert len(firsts) > 1


@pytest.mark.slow
def test_a_grown_catalog_keeps_what_was_learned(recall, blocks, observe):
    base, held = blocks()
    policy = fitted(MultVAE, base, hidden=32, iterations=60, **SMALL)
    before = policy.state()
    user, item = np.r_[base.log.user, np.arange(0, 90, 3)], np.r_[base.log.item, np.full(30, 300)]
    grown = observe(user, item, 90, 301)  # item 300 is taken by group 0
    grown.blocked.set(base.log.user, base.log.item)
    policy.fit(grown, default_rng(5))
    assert policy.state()["weight.input"].shape[0] == 320
    assert abs(policy.state()["weight.input"][:60] - before["weight.input"][:60]).max() < 0.2
    wide = np.hstack([held, np.zeros((90, 241), bool)])
    assert recall(policy, grown, wide) > 0.9 * recall(
        fitted(MultVAE, base, hidden=32, iterations=60, **SMALL), base, held
    )
    of_users, of_items = policy.factors(grown, everyone(grown))
    scores = (of_users @ of_items.T)[:, 300].reshape(-1, 3)
    assert scores[:, 0].mean() > scores[:, 1:].mean()


@pytest.mark.parametrize("rows", [1, 64, 65, 999, 2000, 9724, 100_000])
def test_tables_are_padded_by_an_eighth_at_most(rows):
    size = jax_runtime.padded_size(rows)
    assert rows <= size and size - rows < max(64, rows / 8 + 1)
    assert jax_runtime.padded_size(size) == size


# ---- bad input -----------------------------------------------------------------------------------


def test_training_that_diverges_is_reported(blocks):
    seen, _ = blocks()
    with pytest.raises(PolicyError, match="lower learning_rate") as caught:
        fitted(MultVAE, seen, hidden=32, iterations=3, **{**SMALL, "learning_rate": 1e30})
    assert "hidden = 32" in str(caught.value)


def test_bad_fields_are_refused():
    with pytest.raises(BadInput, match="binary = true"):
        MultVAE(likelihood="logistic", binary=False)
    with pytest.raises(BadInput, match="dropout"):
        MultDAE(dropout=1.0)


def test_a_narrow_layer_that_is_wide_is_remarked_on(blocks):
    few, many = blocks(items=7)[0], blocks(items=8)[0]
    said = fitted(MultDAE, few, iterations=1, **SMALL).remarks()
    assert said[0].startswith("warning: mult_dae has dim = 8, but its last fit saw only")
    assert fitted(MultDAE, many, iterations=1, **SMALL).remarks() == []


@pytest.mark.parametrize("missing", ["jax", "jaxlib", "optax"])
def test_a_missing_extra_is_answered_with_the_line_to_paste(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BadInput, match=rf'needs {missing}.*pip install "echodrift\[neural\]"'):
        build_policy({"kind": "mult_vae"})
    assert policy_class("mult_dae") is MultDAE and "mult_vae" in kinds()


def test_the_modules_load_without_jax():
    code = (
        "import sys; sys.modules['jax'] = sys.modules['jaxlib'] = sys.modules['optax'] = None;"
        "from echodrift.policies.registry import policy_class, kinds;"
        "assert {'mult_vae', 'mult_dae', 'sequential'} <= set(kinds());"
        "[policy_class(kind) for kind in ('mult_vae', 'mult_dae', 'sequential')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FIT = """
import hashlib, sys, os
import numpy as np
if sys.argv[1] == "after":
    import jax, jax.numpy as jnp
    jnp.ones(3).block_until_ready()
from echodrift.policies.testing.example import example_observation
from echodrift.policies.registry import build_policy
seen = example_observation(users=300, items=900)
result = hashlib.sha256()
for kind in ({"kind": "mult_vae", "hidden": 300, "iterations": 20}, {"kind": "sequential", "iterations": 2}):
    policy = build_policy(kind)
    policy.fit(seen, np.random.default_rng(1))
    for _, array in sorted(policy.state().items()):
        result.update(np.ascontiguousarray(array).tobytes())
    result.update(policy.rank(seen, np.arange(300, dtype=np.int32), 10, np.random.default_rng(2)).scores.tobytes())
assert "NPROC" not in os.environ
print(result.hexdigest())
"""


@pytest.mark.slow
def test_processes_agree_to_the_bit_whoever_started_jax_first():
    found = {
        subprocess.run([sys.executable, "-c", FIT, when], check=True, capture_output=True, text=True).stdout
        for when in ("first", "after", "first")
    }
    assert len(found) == 1


def test_without_a_device_of_its_own_jaxs_cpu_is_used(monkeypatch):
    from jaxlib import xla_client

    real = xla_client.make_cpu_client

    def moved(**fields):
        if list(fields) == ["asynchronous"]:
            raise TypeError("made otherwise in this version")
        return real(**fields)

    monkeypatch.setattr(xla_client, "make_cpu_client", moved)
    assert jax_runtime.device.__wrapped__().platform == "cpu"
