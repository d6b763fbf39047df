"""Base class of Mult-VAE and Mult-DAE: fields, batches of histories, and the sparse input layer."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from ...errors import WrongFields
from ...machine import blas_on_one_thread
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from ..topk import USER_BLOCK
from . import vae
from .jax_runtime import Training, Weights, padded_size
from .network_policy import NeuralPolicy


class Autoencoder(NeuralPolicy):
    """An autoencoder of users' histories: from the items that a user took, through a bottleneck, to item scores."""

    item_tables = ("input", "output", "output_bias")
    weighs_entries = True
    # The Gaussian likelihood would use weights as targets, with the same precision for all.
    weighs_when = {"binary": False, "likelihood": "multinomial"}
    space = {
        "dim": Choice((16, 32, 64, 128, 200)),
        "dropout": Choice((0.2, 0.35, 0.5, 0.65)),
        "learning_rate": Range(3e-4, 1e-2),
        "iterations": Choice((12, 25, 50, 100)),
    }

    class Config(NeuralPolicy.Config):
        likelihood: Literal["multinomial", "logistic", "gaussian"] = "multinomial"
        """Likelihood of a user's takes: one softmax over items, independent Bernoulli variables, or Gaussian."""
        missing_weight: float = Field(default=0.1, ge=0, le=1e6)
        """gaussian: weight of a pair that was never taken, against 1 for one that was."""
        binary: bool = True
        """Use whether a pair was taken, not how often."""
        dim: int = Field(default=64, ge=1, le=4096)
        """Dimensions of the bottleneck layer."""
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Share of a user's items that are hidden from the network in a training step."""
        batch: int = Field(default=100, ge=1, le=100_000)
        """Users in a training step."""
        iterations: int = Field(default=25, ge=1)
        """Passes over the users in a fit from scratch."""
        refit_iterations: int = Field(default=2, ge=1)
        """Passes over the users in a refit with warm start."""

        @model_validator(mode="after")
        def _coins_are_tossed_once(self) -> Any:
            if self.likelihood == "logistic" and not self.binary:
                text = 'likelihood = "logistic" is for pairs taken or not: it needs binary = true'
                raise WrongFields(text, "likelihood", "binary")
            return self

    config: Any

    def inputs(self, seen: Observation) -> sparse.csr_matrix:
        """Return (n_users, n_items) the histories that the network reads: known items only."""
        counts = seen.counts_in(self.config.window)
        known = self.known(seen.n_items)[counts.indices]
        data = np.where(known, 1 if self.config.binary else counts.data, 0).astype(np.float32)
        kept = sparse.csr_matrix((data, counts.indices, counts.indptr), counts.shape, copy=True)
        kept.eliminate_zeros()
        return kept

    def initialize_new_items(self, weights: Weights, newly: NDArray[np.bool_], seen: Observation) -> None:
        """Initialize output biases of newly known items from their popularity; Adam alone would take long."""
        bias = vae.initial_bias(self.config.likelihood, self.inputs(seen), self.config.missing_weight)
        weights["output_bias"][: newly.size][newly] = bias[newly]

    @abstractmethod
    def step_function(self) -> Callable[..., Any]:
        """Return the compiled training step."""

    @abstractmethod
    def step_inputs(self, progress: float, rng: Generator) -> tuple[Any, ...]:
        """Return the arguments of the loss after the batch; progress runs from 0 to 1, and is 1 in warm refits."""

    @abstractmethod
    def head(self, hidden: FloatArray) -> FloatArray:
        """Return the last layer before the output (B, d) for the sums that enter the first one."""

    def train(self, training: Training, seen: Observation, rng: Generator, warm: bool) -> None:
        """Pass over the users in batches."""
        x, step = self.inputs(seen), self.step_function()
        known = self.known(padded_size(seen.n_items)).astype(np.float32)
        passes = self.config.refit_iterations if warm else self.config.iterations
        last = max(passes * math.ceil(np.count_nonzero(np.diff(x.indptr)) / self.config.batch) - 1, 1)
        for at, batch in enumerate(self.batches(x, passes, rng)):
            more = self.step_inputs(1.0 if warm else at / last, rng)
            training.step(step, self.config.learning_rate, *batch, known, self.config.missing_weight, *more)

    def batches(self, x: sparse.csr_matrix, passes: int, rng: Generator) -> Iterator[tuple[Any, ...]]:
        """Yield noisy, x, present of every training step; each pass has the users in a new order."""
        size, rows, keep = self.config.batch, padded_size(x.shape[1]), 1 - self.config.dropout
        there = np.flatnonzero(np.diff(x.indptr))
        lengths = np.diff(x.indptr)
        for _ in range(passes):
            order = rng.permutation(there)
            for start in range(0, order.size, size):
                users = order[start : start + size]
                draws = rng.random(int(lengths[users].sum()), dtype=np.float32)
                noisy, full = np.zeros((2, size, rows), np.float32)
                vae.fill_batch(x.indptr, x.indices, x.data, users, draws, np.float32(keep), noisy, full)
                yield noisy, full, (np.arange(size) < users.size).astype(np.float32)

    def encode(self, seen: Observation, users: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Read the present histories, without dropout and without noise."""
        x = self.inputs(seen)[users]
        lengths = np.diff(x.indptr)
        squares = np.asarray(x.multiply(x).sum(axis=1), np.float32).ravel()
        x.data /= np.repeat(np.sqrt(squares), lengths)
        table = self._weights["input"][: x.shape[1]]
        sums = np.zeros((-(-users.size // USER_BLOCK) * USER_BLOCK, table.shape[1]), np.float32)
        sums[: users.size] = x[:, : len(table)] @ table
        # Blocks have a fixed size: for another one BLAS may pick another kernel, which rounds differently.
        with blas_on_one_thread():
            blocks = [
                self.head(sums[at : at + USER_BLOCK] + self._weights["input_bias"])
                for at in range(0, len(sums), USER_BLOCK)
            ]
        h = np.concatenate(blocks) if blocks else sums
        return h[: users.size], lengths > 0

    def decode(self) -> tuple[FloatArray, FloatArray]:
        """Return the output layer."""
        return self._weights["output"], self._weights["output_bias"]

    def remarks(self) -> list[str]:
        """Warn if the bottleneck layer has more dimensions than there are users or items."""
        if self._cold is None or not self._weights:
            return []
        users, items = int(self._cold.warm.sum()), int((self._cold.taken > 0).sum())
        if self.config.dim <= min(users, items):
            return []
        warning = (
            f"warning: {self.kind} has dim = {self.config.dim}, but its last fit saw only {users} users with "
            f"history and {items} items: the network can learn every history by heart. Lower dim."
        )
        return [warning]
