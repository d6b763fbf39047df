"""Base class of the neural policies: training, warm starts, growing item tables, cold users, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from ...config import Config as BaseConfig
from ...errors import PolicyError
from ..base import FactorPolicy, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation
from ..size import Size
from . import jax_runtime
from .jax_runtime import MAX_AHEAD, Training, Weights


class NeuralPolicy(FactorPolicy):
    """score(u, i) = ⟨h(history of u), w_i⟩ + b_i with a network h, trained by Adam on histories.

    Only items in the log at the time of a fit are known: the others are no input, get no probability and
    rank below the known ones in the random order of `ColdStart`. Rankings read the histories of the
    round; a user whose history holds no known item gets the bestsellers. New users need no fold-in.

    Tables have a row per item and are larger than the catalog (`jax_runtime.padded_size`), so that new items
    seldom change a shape: a new shape costs one to three seconds of compilation. Compiled functions are shared
    by all policies of a process.
    """

    cold_columns = 2
    library_bytes = 260 * 2**20  # jax, with one compiled network

    class Config(BaseConfig):
        learning_rate: float = Field(default=0.001, gt=0)
        """Step size of Adam."""
        warm_start: bool = True
        """Start a refit from the last weights and Adam's last moments."""
        window: int | None = Field(default=None, ge=1)
        """Learn from, and rank by, the last so many rounds only; all time when omitted."""

    config: Any
    item_tables: ClassVar[tuple[str, ...]] = ()
    """The weights that have a row per item."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        jax_runtime.require_jax(self.kind)
        self._cold: ColdStart | None = None
        self._weights: Weights = {}
        self._moments: dict[str, NDArray[Any]] = {}

    @abstractmethod
    def fresh_weights(self, rows: int, rng: Generator) -> Weights:
        """Draw initial weights, for tables of so many rows."""

    @abstractmethod
    def initialize_new_items(self, weights: Weights, newly: NDArray[np.bool_], seen: Observation) -> None:
        """Initialize, in `weights`, the items that are `newly` (n_items,) known from their statistics in the log."""

    @abstractmethod
    def train(self, training: Training, seen: Observation, rng: Generator, warm: bool) -> None:
        """Make the training passes of a fit, or of a refit from earlier weights if `warm`."""

    @abstractmethod
    def encode(self, seen: Observation, users: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return h (B, d) of the present histories, and (B,) whether they hold a known item."""

    @abstractmethod
    def decode(self) -> tuple[FloatArray, FloatArray]:
        """Return w (rows, d) and b (rows,)."""

    @final
    def fit(self, seen: Observation, rng: Generator) -> None:
        """Train on the histories so far; from the last weights if there are any."""
        log = seen.last(self.config.window)
        before = self.known(seen.n_items) if self._weights else np.zeros(seen.n_items, bool)
        self._cold = ColdStart(seen.counts_in(self.config.window), rng)
        if len(log) == 0:
            self._weights, self._moments = {}, {}
            return
        fresh = self.fresh_weights(jax_runtime.padded_size(seen.n_items), rng)
        warm = bool(self._weights) and self.config.warm_start
        weights = _grown(self._weights, fresh, self.item_tables) if warm else fresh
        self.initialize_new_items(weights, self.known(seen.n_items) & ~(before & warm), seen)
        blank = {
            f"{which}.{name}": np.zeros_like(w) for which in ("first", "second") for name, w in fresh.items()
        }
        tables = [f"{which}.{name}" for which in ("first", "second") for name in self.item_tables]
        moments = _grown(self._moments, blank, tables) if warm else None
        # Everything is in copies now; the old ones would take as much memory as training itself.
        self._weights, self._moments = {}, {}
        training = Training(weights, moments)
        del fresh, blank, weights, moments
        self.train(training, seen, rng, warm)
        weights, moments = training.result()
        self.require_finite("lower learning_rate", *weights.values())
        self._weights, self._moments = weights, moments

    def training_memory(self, size: Size, columns: int, rows: int) -> float:
        """Return the bytes that training takes in every network; scores are ranked in small blocks.

        columns: total columns of all tables with a row per item: values and two moments, each here, on jax's device
        and in the result, and a gradient. rows: histories or places in a batch, each with a number per item and its
        gradient, 4096 at a time, and the batches that wait.
        """
        weights = size.items * columns * 4
        return 12 * weights + (4 + 2 * MAX_AHEAD) * min(rows, 4096) * size.items * 4

    def known(self, rows: int) -> NDArray[np.bool_]:
        """Return (rows,) whether each item was known at the last fit; false beyond its catalog."""
        taken = self._cold.taken if self._cold else np.empty(0, np.float32)
        found = np.zeros(max(rows, taken.size), bool)
        found[: taken.size] = taken > 0
        return found[:rows]

    @final
    def factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return (h, 1, 0) for users with history, (0, 0, 1) for the cold; (w, b, place among bestsellers)."""
        if self._cold is None:
            raise PolicyError(f"{self.kind}: rank() before fit()")
        n_items = seen.n_items
        if not self._weights:
            return self._cold.factors(None, None, users, n_items)
        of_users, warm = self.encode(seen, users)
        table, bias = self.decode()
        width = table.shape[1]
        known = self.known(n_items)
        items = np.zeros((n_items, width + 2), np.float32)
        items[known, :width], items[known, width] = (
            table[:n_items][known[: len(table)]],
            bias[:n_items][known[: len(table)]],
        )
        rows = np.zeros((users.size, width + 2), np.float32)
        rows[warm, :width] = of_users[warm]
        rows[:, width], rows[:, width + 1] = warm, ~warm
        # Below every possible score of a known item, but close enough for float32 to keep their order.
        reach = np.linalg.norm(rows[:, :width], axis=1).max(initial=0) * np.linalg.norm(table, axis=1).max()
        floor = bias[: known.size][known[: bias.size]].min(initial=0) - reach - 2
        items[~known, width] = floor + self._cold.ties(n_items)[~known]
        items[:, width + 1] = self._cold.bestsellers(n_items)
        return rows, items

    @final
    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Do nothing: rankings read the histories of the round."""

    @final
    def state(self) -> State:
        """Return weights, Adam's moments, and what is known of cold users and items."""
        if self._cold is None:
            return {}
        kept = {f"weight.{name}": array for name, array in self._weights.items()} | self._moments
        return self._cold.state() | {name: array.copy() for name, array in kept.items()}

    @final
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        own = {name: np.array(array) for name, array in state.items() if name not in self._cold.state()}
        self._weights = {name[7:]: array for name, array in own.items() if name.startswith("weight.")}
        self._moments = {name: array for name, array in own.items() if not name.startswith("weight.")}


def _grown(old: Mapping[str, NDArray[Any]], fresh: Mapping[str, NDArray[Any]], tables: Any) -> dict[str, Any]:
    """Return copies of the old arrays; tables are extended with the additional rows of the fresh ones."""
    grown = {name: np.array(array) for name, array in old.items()}
    for name in tables:
        grown[name] = np.concatenate([old[name], fresh[name][len(old[name]) :]])
    return grown
