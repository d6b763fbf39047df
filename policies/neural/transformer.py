"""The causal transformer of `sequential` as pure functions of weights and a batch of sequences (jax).

Sequences are (B, L) int32 with the newest entry last and −1 before the first. Dropout masks are drawn by the
caller: `kept` (1 + 2·layers, B, L, dim) bool.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.random import Generator

from .jax_runtime import Weights

EPSILON = 1e-6
MASKED_LOGIT = -1e9
"""Logit of places that must not be attended to, and of items that must not be predicted."""


def initial_weights(rows: int, length: int, dim: int, layers: int, rng: Generator) -> Weights:
    """Draw initial weights: small embeddings, matrices with variance 1 / dim, identity norms."""

    def normal(*shape: int, scale: float) -> Any:
        return np.float32(scale) * rng.standard_normal(shape, dtype=np.float32)

    norm = np.stack([np.ones(dim, np.float32), np.zeros(dim, np.float32)])
    weights = {
        "item": normal(rows, dim, scale=0.02),
        "item_bias": np.zeros(rows, np.float32),
        "place": normal(length, dim, scale=0.02),
        "norm": norm,
    }
    for layer in range(layers):
        weights |= {
            f"attend.{layer}": normal(dim, 3 * dim, scale=dim**-0.5),
            f"attend_norm.{layer}": norm.copy(),
            f"inner.{layer}": normal(dim, dim, scale=dim**-0.5),
            f"inner_bias.{layer}": np.zeros(dim, np.float32),
            f"outer.{layer}": normal(dim, dim, scale=dim**-0.5),
            f"outer_bias.{layer}": np.zeros(dim, np.float32),
            f"forward_norm.{layer}": norm.copy(),
        }
    return weights


def _normalized(x: Any, norm: Any) -> Any:
    centered = x - x.mean(-1, keepdims=True)
    return centered / ((centered**2).mean(-1, keepdims=True) + EPSILON) ** 0.5 * norm[0] + norm[1]


def _times(x: Any, matrix: Any) -> Any:
    """Return x @ matrix for x (B, L, a), as one flat product: the gradient of a batched one takes twice as long."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _attention(x: Any, matrix: Any, allowed: Any, heads: int) -> Any:
    """Return the attention output of every place over the `allowed` places."""
    import jax
    import jax.numpy as jnp

    batch, length, dim = x.shape
    parts = _times(x, matrix).reshape(batch, length, 3, heads, dim // heads)
    query, key, value = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) * (dim // heads) ** -0.5
    shares = jax.nn.softmax(jnp.where(allowed, logits, MASKED_LOGIT), axis=-1)
    return jnp.einsum("bhqk,bkhd->bqhd", shares, value).reshape(batch, length, dim)


def encode(
    weights: Any, sequences: Any, kept: Any = None, keep: Any = 1.0, *, layers: int, heads: int
) -> Any:
    """Return h (B, L, dim): at every place, the encoding of the entries up to it."""
    import jax.numpy as jnp

    def dropped(x, site):
        return x if kept is None else jnp.where(kept[site], x / keep, 0)

    there = sequences >= 0
    dim, length = weights["item"].shape[1], sequences.shape[1]
    x = weights["item"][jnp.where(there, sequences, 0)] * dim**0.5 + weights["place"]
    x = dropped(x, 0) * there[:, :, None]
    causal = np.tril(np.ones((length, length), bool))
    allowed = (causal & there[:, None, :])[:, None]
    for layer in range(layers):
        inner = _normalized(x, weights[f"attend_norm.{layer}"])
        x = x + dropped(_attention(inner, weights[f"attend.{layer}"], allowed, heads), 1 + 2 * layer)
        inner = _normalized(x, weights[f"forward_norm.{layer}"])
        inner = jnp.maximum(_times(inner, weights[f"inner.{layer}"]) + weights[f"inner_bias.{layer}"], 0)
        inner = _times(inner, weights[f"outer.{layer}"]) + weights[f"outer_bias.{layer}"]
        x = x + dropped(inner, 2 + 2 * layer)
    return _normalized(x, weights["norm"])


def last_hidden(weights: Any, sequences: Any, *, layers: int, heads: int) -> Any:
    """Return h (B, dim) at the newest place."""
    return encode(weights, sequences, layers=layers, heads=heads)[:, -1]


def full_loss(weights, sequences, targets, kept, keep, known, *, layers, heads):
    """Return the mean of −log softmax over the known items, over all places with a target (≥ 0)."""
    import jax
    import jax.numpy as jnp

    h = encode(weights, sequences, kept, keep, layers=layers, heads=heads)
    wanted, own = _target_logits(weights, h, targets)
    logits = _times(h, weights["item"].T) + (weights["item_bias"] + MASKED_LOGIT * (1 - known))
    return (wanted * (jax.nn.logsumexp(logits, axis=-1) - own)).sum() / jnp.maximum(wanted.sum(), 1)


def sampled_loss(weights, sequences, targets, kept, keep, sample, others, *, layers, heads):
    """Return `full_loss` with the sum over the other items estimated from `sample` (negatives,).

    The sample is drawn uniformly, with replacement, from the known items, the same for the whole batch; `others`
    is log(known items / size of the sample). Draws that equal a place's own target are left out there.
    """
    import jax
    import jax.numpy as jnp

    h = encode(weights, sequences, kept, keep, layers=layers, heads=heads)
    wanted, own = _target_logits(weights, h, targets)
    logits = _times(h, weights["item"][sample].T) + (weights["item_bias"][sample] + others)
    logits = jnp.where(targets[:, :, None] == sample, MASKED_LOGIT, logits)
    rest = jax.nn.logsumexp(logits, axis=-1)
    return (wanted * jax.nn.softplus(rest - own)).sum() / jnp.maximum(wanted.sum(), 1)


def _target_logits(weights: Any, h: Any, targets: Any) -> Any:
    """Return (B, L) where there is a target, and its logit."""
    import jax.numpy as jnp

    safe = jnp.where(targets >= 0, targets, 0)
    own = (h * weights["item"][safe]).sum(-1) + weights["item_bias"][safe]
    return (targets >= 0).astype(own.dtype), own


@njit(cache=True)
def last_entries(user, item, known, n_users, length):
    """Return (n_users, length) int32: each user's last entries of known items, in time order, −1 before them."""
    sequences = np.full((n_users, length), -1, np.int32)
    place = np.full(n_users, length, np.int64)
    for j in range(user.size - 1, -1, -1):
        u = user[j]
        if place[u] > 0 and known[item[j]]:
            place[u] -= 1
            sequences[u, place[u]] = item[j]
    return sequences
