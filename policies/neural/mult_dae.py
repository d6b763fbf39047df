"""Mult-DAE: a denoising autoencoder of users' histories with a multinomial likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from pydantic import Field

from ..interactions import FloatArray
from ..search_space import Range
from ..size import Size
from . import vae
from .autoencoder import Autoencoder
from .jax_runtime import Weights, adam_step


class MultDAE(Autoencoder):
    """Mult-DAE: a denoising autoencoder of users' histories (multinomial, logistic or Gaussian likelihood).

    score(u, i) = f_i(x_u), f = W₂ tanh(W₁ x_u / ‖x_u‖₂ + b₁) + b₂, trained with items of x_u hidden.

    Minimizes the mean over users of −Σ_i x_ui log softmax_i(f) + (regularization / batch)·(‖W₁‖² + ‖W₂‖²)
    (Liang, Krishnan, Hoffman and Jebara, WWW 2018, arXiv 1802.05814; code dawenl/vae_cf: one tanh layer of
    200, dropout 0.5 of the input, L2 of 0.01 / batch size). Likelihoods, starting bias and what else differs
    from the authors' code: see `mult_vae`.

    Cost per pass: 10·users·items·dim flops plus Adam on 2·items·dim weights per step; ranking: entries·dim,
    then as a factor model with `dim` dimensions.
    """

    kind = "mult_dae"
    space = Autoencoder.space | {"regularization": Range(1e-3, 1)}

    class Config(Autoencoder.Config):
        dim: int = Field(default=200, ge=1, le=4096)
        """Units of the tanh layer."""
        regularization: float = Field(default=0.01, ge=0, le=1e9)
        """Weight of the squared weights, divided by `batch`."""

    config: Config

    def fresh_weights(self, rows: int, rng: Generator) -> Weights:
        """Draw both layers with Glorot's variance."""
        dim = self.config.dim
        return {
            "input": vae.glorot(rng, rows, dim, rows + dim),
            "input_bias": np.zeros(dim, np.float32),
            "output": vae.glorot(rng, rows, dim, rows + dim),
            "output_bias": np.zeros(rows, np.float32),
        }

    def step_function(self) -> Callable[..., Any]:
        """Return the compiled step, which policies with the same likelihood share."""
        return adam_step(vae.dae_loss, likelihood=self.config.likelihood)

    def step_inputs(self, progress: float, rng: Generator) -> tuple[Any, ...]:
        """Return the weight of the penalty."""
        return (self.config.regularization / self.config.batch,)

    def memory(self, size: Size) -> float:
        """Return the bytes of a fit: two tables of `dim` columns."""
        return self.training_memory(size, 2 * self.config.dim, self.config.batch)

    def head(self, hidden: FloatArray) -> FloatArray:
        """Return the tanh layer."""
        return np.tanh(hidden)
