"""The network and the losses of Mult-VAE and Mult-DAE as pure functions of weights and a batch (jax).

A batch is (B, rows): `x` what users took, `noisy` the same normalized and with dropout; `present` (B,) is 1
for a user and 0 for a row that fills up the batch; `known` (rows,) is 1 for an item of the model.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from scipy import sparse

from ..interactions import FloatArray

Likelihood = Literal["multinomial", "logistic", "gaussian"]
MASKED_LOGIT = -1e9
"""Logit of an item that is not in the model."""


def glorot(rng: Generator, rows: int, columns: int, fan: int) -> FloatArray:
    """Return (rows, columns) uniform draws with the variance 2 / fan (Glorot and Bengio, AISTATS 2010)."""
    limit = np.float32(np.sqrt(6 / fan))
    return limit * (2 * rng.random((rows, columns), dtype=np.float32) - 1)


def log_likelihood(likelihood: Likelihood, f: Any, x: Any, known: Any, missing_weight: Any) -> Any:
    """Return (B,) log p(x_u | f_u) over the known items, without terms that do not depend on f."""
    import jax
    import jax.numpy as jnp

    if likelihood == "multinomial":
        f = f + MASKED_LOGIT * (1 - known)
        return (x * f).sum(1) - x.sum(1) * jax.nn.logsumexp(f, axis=1)
    if likelihood == "logistic":
        return (known * (x * f - jax.nn.softplus(f))).sum(1)
    weight = known * jnp.where(x > 0, 1, missing_weight)
    return -(weight * (x - f) ** 2).sum(1) / 2


def divergence(mu: Any, logvar: Any) -> Any:
    """Return (B,) KL(N(mu, exp(logvar)) ‖ N(0, 1)), summed over dimensions."""
    import jax.numpy as jnp

    return (jnp.exp(logvar) + mu * mu - 1 - logvar).sum(1) / 2


def vae_loss(weights, noisy, x, present, known, missing_weight, beta, noise, *, likelihood):
    """Return the mean over users of −log p(x | z) + β·KL, with z drawn from `noise` (B, dim)."""
    import jax.numpy as jnp

    hidden = jnp.tanh(noisy @ weights["input"] + weights["input_bias"])
    mu, logvar = jnp.split(hidden @ weights["code"] + weights["code_bias"], 2, axis=1)
    z = mu + jnp.exp(logvar / 2) * noise
    top = jnp.tanh(z @ weights["top"] + weights["top_bias"])
    f = top @ weights["output"].T + weights["output_bias"]
    loss = beta * divergence(mu, logvar) - log_likelihood(likelihood, f, x, known, missing_weight)
    return (present * loss).sum() / present.sum()


def dae_loss(weights, noisy, x, present, known, missing_weight, regularization, *, likelihood):
    """Return the mean over users of −log p(x | h), plus regularization · Σ of squared weights."""
    import jax.numpy as jnp

    hidden = jnp.tanh(noisy @ weights["input"] + weights["input_bias"])
    f = hidden @ weights["output"].T + weights["output_bias"]
    loss = -log_likelihood(likelihood, f, x, known, missing_weight)
    penalty = (known[:, None] * (weights["input"] ** 2 + weights["output"] ** 2)).sum()
    return (present * loss).sum() / present.sum() + regularization * penalty


def initial_bias(likelihood: Likelihood, x: sparse.csr_matrix, missing_weight: float) -> FloatArray:
    """Return (n_items,) the output of the best model without user information, for items that somebody took."""
    users = max(np.count_nonzero(np.diff(x.indptr)), 1)
    total = np.asarray(x.sum(axis=0), np.float64).ravel()
    takers = np.bincount(x.indices, minlength=x.shape[1])
    with np.errstate(divide="ignore"):
        if likelihood == "multinomial":
            return np.log(total / total.sum()).astype(np.float32)
        if likelihood == "logistic":  # Smoothing by half a user on either side: no probability is 0 or 1
            return np.log((takers + 0.5) / (users - takers + 0.5)).astype(np.float32)
        weight = takers + missing_weight * (users - takers)
        return np.where(takers > 0, total / np.where(takers > 0, weight, 1), 0).astype(np.float32)


@njit(cache=True)
def fill_batch(indptr, indices, data, users, draws, keep, noisy, x):
    """Write the users' rows of a csr matrix to x, and normalized with entries dropped to noisy (zeros before)."""
    at = 0
    for b in range(users.size):
        first, last = indptr[users[b]], indptr[users[b] + 1]
        length = np.float32(0)
        for j in range(first, last):
            length += data[j] * data[j]
        scale = np.float32(1 / (np.sqrt(length) * keep)) if length > 0 else np.float32(0)
        for j in range(first, last):
            x[b, indices[j]] = data[j]
            if draws[at] < keep:
                noisy[b, indices[j]] = data[j] * scale
            at += 1
