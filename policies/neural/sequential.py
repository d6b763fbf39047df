"""A causal transformer over each user's latest items, in the manner of SASRec."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...errors import WrongFields
from ..interactions import FloatArray, IntArray, Observation
from ..search_space import Choice, Range
from ..size import Size
from . import transformer
from .jax_runtime import Training, Weights, adam_step, compiled, padded_size, to_device
from .network_policy import NeuralPolicy

BLOCK = 64
"""Users encoded at once when ranking; a constant, so that a score does not depend on who else is ranked."""


class Sequential(NeuralPolicy):
    """SASRec: a causal transformer over each user's latest takes, in order, trained to predict the next one.

    score(u, i) = ⟨h_u, w_i⟩ + b_i, trained to predict the next entry after the user's last `max_length` ones.
    h_u is the output at the newest place of a transformer (Kang and McAuley, ICDM 2018, arXiv 1808.09781;
    code kang205/SASRec): x = √dim·w_item + p_place, with places counted from the newest entry; then, `layers` times,
    x ← x + dropout(attention(norm(x))) and x ← x + dropout(W₂ max(0, W₁ norm(x) + b₁) + b₂), each place
    attending to itself and to earlier ones only; h = norm(x). Every place that holds an entry is trained to predict
    the entry after it: −log softmax over all known items (`loss` = "full"), or with the sum over the other items
    estimated from `negatives` uniform draws per step (`loss` = "sampled").

    Differs from the authors' code, whose loss is binary cross-entropy of the next item against one sampled item:
    with softmax losses the same network does much better (Klenitskiy and Vasilev, arXiv 2309.07602).
    The items' biases b start at the log of each item's share of the takes, so that a short training
    starts from popularity. Adam has its usual β₂ of 0.999, dropout is not applied to attention weights,
    `learning_rate` is 0.003 for ten passes where the authors use 0.001 for two hundred, and the last
    weights are used, not those of the best validation score.

    A fit trains on each user's last `max_length` + 1 entries, whatever the length of the log. Repeated takes
    are entries of their own. Cost per pass, with n = users · max_length places: n·(12·dim² + 4·max_length·dim)
    ·layers·3 flops for the network, and 6·n·items·dim ("full") or 6·n·negatives·dim ("sampled") for the
    loss; one compilation of a few seconds per size of catalog. Ranking: the network's forward third, then as
    a factor model with `dim` dimensions.
    """

    kind = "sequential"
    item_tables = ("item", "item_bias")
    space = {
        "dim": Choice((32, 64, 128)),
        "layers": Choice((1, 2, 3)),
        "dropout": Choice((0.1, 0.2, 0.35, 0.5)),
        "learning_rate": Range(3e-4, 1e-2),
        "iterations": Choice((5, 10, 20, 40)),
    }

    class Config(NeuralPolicy.Config):
        learning_rate: float = Field(default=0.003, gt=0)
        """Step size of Adam."""
        loss: Literal["full", "sampled"] = "sampled"
        """Softmax over all known items, or over a sample of them."""
        negatives: int = Field(default=256, ge=1, le=100_000)
        """sampled: draws of other items in a training step."""
        max_length: int = Field(default=50, ge=1, le=4096)
        """Entries that the network reads: the user's latest."""
        dim: int = Field(default=64, ge=1, le=4096)
        """Dimensions of items and places; a multiple of `heads`."""
        layers: int = Field(default=2, ge=1, le=64)
        """Blocks of attention and feed-forward."""
        heads: int = Field(default=1, ge=1)
        """Number of attention heads."""
        dropout: float = Field(default=0.2, ge=0, lt=1)
        """Share of the entries of x and of its updates that is set to zero in a training step."""
        batch: int = Field(default=64, ge=1, le=100_000)
        """Users in a training step."""
        iterations: int = Field(default=10, ge=1)
        """Passes over the users in a fit from scratch."""
        refit_iterations: int = Field(default=1, ge=1)
        """Passes over the users in a refit with warm start."""

        @model_validator(mode="after")
        def _heads_divide_dim(self) -> Any:
            if self.dim % self.heads:
                text = f"dim = {self.dim} must be a multiple of heads = {self.heads}"
                raise WrongFields(text, "dim", "heads")
            return self

    config: Config

    def fresh_weights(self, rows: int, rng: Generator) -> Weights:
        """Draw all weights."""
        return transformer.initial_weights(
            rows, self.config.max_length, self.config.dim, self.config.layers, rng
        )

    def initialize_new_items(self, weights: Weights, newly: NDArray[np.bool_], seen: Observation) -> None:
        """Initialize the biases of newly known items from their popularity."""
        taken = np.bincount(seen.last(self.config.window).item, minlength=seen.n_items)
        weights["item_bias"][: newly.size][newly] = np.log(taken[newly] / taken.sum())

    def sequences(self, seen: Observation, length: int) -> IntArray:
        """Return (n_users, length) the latest known entries of everybody, −1 before the first."""
        log = seen.last(self.config.window)
        return transformer.last_entries(log.user, log.item, self.known(seen.n_items), seen.n_users, length)

    def memory(self, size: Size) -> float:
        """Return the bytes of a fit: one table of `dim` columns, and about 40·`dim` numbers per place and layer."""
        config = self.config
        places = config.batch * config.max_length
        network = places * config.dim * 4 * 40 * config.layers
        scored = places if config.loss == "full" else 0
        sample = 6 * places * config.negatives * 4 if config.loss == "sampled" else 0
        return self.training_memory(size, config.dim, scored) + sample + network

    def train(self, training: Training, seen: Observation, rng: Generator, warm: bool) -> None:
        """Pass over the users in batches."""
        config = self.config
        sequences = self.sequences(seen, config.max_length + 1)
        with_target = np.flatnonzero(sequences[:, -2] >= 0)
        known = self.known(padded_size(seen.n_items))
        for _ in range(config.refit_iterations if warm else config.iterations):
            order = rng.permutation(with_target)
            for start in range(0, order.size, config.batch):
                rows = np.full((config.batch, config.max_length + 1), -1, np.int32)
                users = order[start : start + config.batch]
                rows[: users.size] = sequences[users]
                kept, keep = self._dropout(rng)
                step, more = self._step(known, rng)
                training.step(step, config.learning_rate, *_read_and_predict(rows), kept, keep, *more)

    def _dropout(self, rng: Generator) -> tuple[Any, np.float32]:
        """Return the dropout masks of a step and the share of entries that they keep."""
        config, steps = self.config, 1 << 16
        if config.dropout == 0:
            return None, np.float32(1)
        keep = max(round((1 - config.dropout) * steps), 1)
        shape = (1 + 2 * config.layers, config.batch, config.max_length, config.dim)
        return rng.integers(0, steps, shape, np.uint16) < keep, np.float32(keep / steps)

    def _step(self, known: NDArray[np.bool_], rng: Generator) -> tuple[Any, tuple[Any, ...]]:
        """Return the compiled step and the arguments of its loss after the batch."""
        shape = {"layers": self.config.layers, "heads": self.config.heads}
        if self.config.loss == "full":
            return adam_step(transformer.full_loss, **shape), (known.astype(np.float32),)
        items = np.flatnonzero(known).astype(np.int32)
        # With replacement, so that a small catalog does not change the sample's size and cause a compilation.
        sample = rng.choice(items, self.config.negatives)
        others = np.float32(np.log(items.size / self.config.negatives))
        return adam_step(transformer.sampled_loss, **shape), (sample, others)

    def encode(self, seen: Observation, users: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Read the users' latest entries, without dropout."""
        sequences = self.sequences(seen, self.config.max_length)[users]
        run = compiled(transformer.last_hidden, layers=self.config.layers, heads=self.config.heads)
        weights, h = to_device(self._weights), np.empty((users.size, self.config.dim), np.float32)
        for start in range(0, users.size, BLOCK):
            part = np.full((BLOCK, self.config.max_length), -1, np.int32)
            own = sequences[start : start + BLOCK]
            part[: len(own)] = own
            h[start : start + BLOCK] = np.asarray(run(weights, part))[: len(own)]
        return h, sequences[:, -1] >= 0

    def decode(self) -> tuple[FloatArray, FloatArray]:
        """Return the items' vectors, which are also the input embeddings, and their biases."""
        return self._weights["item"], self._weights["item_bias"]


def _read_and_predict(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return (B, L) the network's input and (B, L) the entry after each place that holds one, −1 elsewhere.

    The empty place before a user's first entry has no target: with nothing before it to attend to, its
    attention would be uniform over all places, including those of later entries.
    """
    read, after = rows[:, :-1], rows[:, 1:]
    return read, np.where(read >= 0, after, np.int32(-1))
