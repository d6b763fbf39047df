"""Mult-VAE: a variational autoencoder of users' histories with a multinomial likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from pydantic import Field

from ..interactions import FloatArray
from ..search_space import Choice, Range
from ..size import Size
from . import vae
from .autoencoder import Autoencoder
from .jax_runtime import Weights, adam_step


class MultVAE(Autoencoder):
    """Mult-VAE: a variational autoencoder of users' histories (multinomial, logistic or Gaussian likelihood).

    z_u ~ N(0, I), x_u ~ Multinomial(N_u, softmax(f(z_u))); score(u, i) = f_i(μ(x_u)).

    Maximizes, summed over users, E_q[log p(x_u | z)] − β·KL(q(z | x_u) ‖ N(0, I)) with
    q = N(μ(x_u), diag σ²(x_u)) and log p(x_u | z) = Σ_i x_ui log softmax_i(f(z)) (Liang, Krishnan, Hoffman
    and Jebara, WWW 2018, arXiv 1802.05814; code dawenl/vae_cf). Encoder: x / ‖x‖₂, dropout, tanh layer of
    `hidden`, then μ and log σ²; decoder: tanh layer of `hidden`, then one linear output per item. One draw
    of z per user and step; z = μ when ranking. The other likelihoods, of f_ui: logistic,
    Σ_i x log σ(f) + (1 − x) log(1 − σ(f)); gaussian, −Σ_i c_ui (x − f)² / 2 with c = 1 where x > 0 and
    `missing_weight` elsewhere.

    β rises linearly, step by step, over the first `anneal_share` of a fit's steps and then stays constant. The
    authors' code lets it rise over 200,000 steps and stops at 0.2, after 40,000 of its 46,800 steps on ML-20M;
    a small log has a few hundred steps, so the share is the same here. In warm refits β is at its maximum.

    Differs from the authors' code: hidden = 600, dim = 200, batches of 500 users and 200 passes are sized
    for 137,000 users; the defaults here are smaller: on logs of a thousand users more passes, and more passes
    per refit, make held-out rankings worse. The output's bias starts at the log of each item's
    share of the takes, because Adam moves it by about `learning_rate` per step, too little for the steps
    of a small log. The last weights are kept, not those of the best validation score. Items that nobody
    took have no probability.

    Cost per pass: 10·users·items·hidden flops (both item tables, forward and backward) plus Adam on
    2·items·hidden weights per step; one compilation of one to three seconds per size of catalog. Ranking:
    entries·hidden, then as a factor model with `hidden` dimensions.
    """

    kind = "mult_vae"
    space = Autoencoder.space | {"hidden": Choice((100, 200, 400, 600)), "beta": Range(0.02, 1)}

    class Config(Autoencoder.Config):
        hidden: int = Field(default=200, ge=1, le=4096)
        """Units of the tanh layers of encoder and decoder."""
        beta: float = Field(default=0.2, ge=0, le=1e6)
        """Weight of the KL term once annealed; 1 is the evidence lower bound."""
        anneal_share: float = Field(default=0.85, ge=0, le=1)
        """Share of the steps of a fit from scratch over which β rises to `beta`."""

    config: Config

    def fresh_weights(self, rows: int, rng: Generator) -> Weights:
        """Draw all layers with Glorot's variance."""
        wide, dim = self.config.hidden, self.config.dim
        return {
            "input": vae.glorot(rng, rows, wide, rows + wide),
            "input_bias": np.zeros(wide, np.float32),
            "code": vae.glorot(rng, wide, 2 * dim, wide + 2 * dim),
            "code_bias": np.zeros(2 * dim, np.float32),
            "top": vae.glorot(rng, dim, wide, dim + wide),
            "top_bias": np.zeros(wide, np.float32),
            "output": vae.glorot(rng, rows, wide, rows + wide),
            "output_bias": np.zeros(rows, np.float32),
        }

    def step_function(self) -> Callable[..., Any]:
        """Return the compiled step, which policies with the same likelihood share."""
        return adam_step(vae.vae_loss, likelihood=self.config.likelihood)

    def step_inputs(self, progress: float, rng: Generator) -> tuple[Any, ...]:
        """Return β and the noise of z."""
        noise = rng.standard_normal((self.config.batch, self.config.dim), dtype=np.float32)
        return self.annealed(progress), noise

    def annealed(self, progress: float) -> float:
        """Return β after a share `progress` of the steps."""
        share = self.config.anneal_share
        return self.config.beta * min(1.0, progress / share if share else 1.0)

    def memory(self, size: Size) -> float:
        """Return the bytes of a fit: two tables of `hidden` columns."""
        return self.training_memory(size, 2 * self.config.hidden, self.config.batch)

    def head(self, hidden: FloatArray) -> FloatArray:
        """Return the decoder's tanh layer at z = μ."""
        weights, dim = self._weights, self.config.dim
        mu = np.tanh(hidden) @ weights["code"][:, :dim] + weights["code_bias"][:dim]
        return np.tanh(mu @ weights["top"] + weights["top_bias"])
