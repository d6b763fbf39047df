"""Matrix factorization with embeddings in an ID table: collisionless, hashed, or quotient-remainder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...config import Config as BaseConfig
from ...errors import PolicyError, WrongFields
from ..base import FactorPolicy, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Interactions, Observation, count_pairs
from ..search_space import Choice, Range
from .embeddings import Side
from .id_tables import Admission
from .logistic_mf import Parameters, train

TIE_SCALE = 100.0
"""Factor on `ColdStart.tie_offsets`, which are made for scores near 0: ids that share a row have equal scores of
several units, where float32 resolves steps of 5e-7."""
_REMEDY = "lower learning_rate"  # It sets the length of Adagrad's steps, whatever the regularization


class HashedMF(FactorPolicy):
    """Matrix factorization whose ids share rows of a hash table, or own one each in a collisionless table.

    score(u, i) = ⟨w_u, h_i⟩ + b_u + b_i, an estimate of log(N · P(i | u)); only the ID table varies.

    After Monolith (Liu et al., ORSUM@RecSys 2022, arXiv 2209.07663, sections on the hash table, feature
    filtering and online training): `id_tables` says what the tables are, `logistic_mf` what is minimized.
    The paper trains DeepFM; here the model is the smallest that has embeddings for users and items, so that
    a difference between tables is a difference of tables.

    Batch stage: a fit from scratch, `iterations` passes over the log. Online stage (`warm_start`): a refit
    makes `refit_iterations` passes over the entries since the last fit, with `replay` newly drawn older entries
    for each; rows and Adagrad's sums continue from their last values. Before either, ids are admitted by
    their occurrences in the log, and ids that are inactive for longer than `expire_after` lose their row.
    Ids without a row share one: zero vector, learned bias. A hash slot has no owner: it serves every id,
    new ones from the start. M is fixed at the fit from scratch; a growing catalog raises the load.

    Cost: O(entries · (1 + negatives) · dim) per pass, twice that for quotient_remainder; ranking as a factor model.
    """

    kind = "hashed_mf"
    cold_columns = 2
    bias_columns = 2  # b_i, whose user column is 1, and b_u
    space = {
        "dim": Choice((8, 16, 32, 64)),
        "learning_rate": Range(0.01, 0.3),
        "regularization": Range(0.001, 1.0),
        "negatives": Choice((4, 16, 32)),
    }

    class Config(BaseConfig):
        dim: int = Field(default=32, ge=1, le=4096)
        """Dimensions of the factors."""
        table: Literal["exact", "hash", "quotient_remainder"] = "exact"
        """exact: one row per admitted id; hash: M slots; quotient_remainder: the sum of two of M rows."""
        sides: Literal["both", "users", "items"] = "both"
        """Which ids use the table, admission and expiry; the other side is exact, without filters."""
        slots: int | None = Field(default=None, ge=1, le=2**30)
        """hash, quotient_remainder: M, for each of users and items; not together with `load`."""
        load: float | None = Field(default=None, ge=0.001, le=1e6)
        """hash, quotient_remainder: n/M, ids known at the first fit per slot; 1 when `slots` is omitted too."""
        admission: Admission = "none"
        """Which ids get a row: all; from `threshold` occurrences; or with a probability that rises with them."""
        threshold: int = Field(default=5, ge=1)
        """threshold: required occurrences; probabilistic: occurrences that give probability 0.95."""
        expire_after: int | None = Field(default=None, ge=1)
        """exact: rounds without occurrence after which an id loses its row; never when omitted."""
        reset_on_reuse: bool = True
        """exact: start a reused row anew (false: the next owner inherits embedding and optimizer state)."""
        learning_rate: float = Field(default=0.1, gt=0)
        """Adagrad's step size."""
        regularization: float = Field(default=0.03, ge=0, le=1e9)
        """λ, per step that touches a row."""
        negatives: int = Field(default=16, ge=1, le=1000)
        """k, random items per log entry, drawn anew in every pass."""
        iterations: int = Field(default=20, ge=1)
        """Passes of a fit from scratch."""
        refit_iterations: int = Field(default=5, ge=1)
        """Passes of a refit with warm start, over what is new and `replay`."""
        replay: float = Field(default=1.0, ge=0)
        """Number of older entries per new one in a refit."""
        warm_start: bool = True
        """Train a refit on what is new, from the last parameters."""
        window: int | None = Field(default=None, ge=1)
        """Learn from the last so many rounds only; all time when omitted."""

        @model_validator(mode="after")
        def _consistent(self) -> Any:
            if self.slots is not None and self.load is not None:
                raise WrongFields("give slots (M) or load (n/M), not both", "slots", "load")
            if self.table != "exact" and self.expire_after is not None:
                raise WrongFields(
                    f'expire_after frees the row that an id owns, and in table = "{self.table}" rows are shared: '
                    'leave it out, or use table = "exact"',
                    "expire_after",
                    "table",
                )
            return self

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._users: Side | None = None
        self._items: Side | None = None
        self._cold: ColdStart | None = None
        self._of_users: FloatArray = np.empty((0, 0), np.float32)
        self._until = 0

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Run the batch stage, or the online stage if there are earlier parameters to start from."""
        log = seen.last(self.config.window)
        counts = seen.counts if self.config.window is None else count_pairs(log, seen.n_users, seen.n_items)
        self._cold = ColdStart(counts, rng)
        if len(log) == 0:
            self._users = self._items = None
            return
        batch = not self.config.warm_start or self._users is None
        if batch:
            self._users = Side(self.config, "users", seen.n_users, rng)
            self._items = Side(self.config, "items", seen.n_items, rng)
        users, items = self._sides()
        users.update(log.user, log.round, seen.n_users, seen.learned_until)
        items.update(log.item, log.round, seen.n_items, seen.learned_until)
        entries = log if batch else self._online(log, rng)
        self._until = seen.learned_until
        passes = self.config.iterations if batch else self.config.refit_iterations
        item_rows = items.rows_of(seen.n_items)
        self._train(seen, entries, passes, users.parameters, users.rows_of(seen.n_users), item_rows, rng)
        self.require_finite(_REMEDY, users.parameters.values, items.parameters.values)
        self._of_users = users.parameters.of(users.rows_of(seen.n_users))

    def _online(self, log: Interactions, rng: Generator) -> Interactions:
        """Return the entries since the last fit and, before them, some older ones."""
        first = int(np.searchsorted(log.round, self._until, side="left"))
        replayed = min(round(self.config.replay * (len(log) - first)), first)
        keep = np.zeros(len(log), bool)
        keep[first:] = True
        keep[rng.choice(first, replayed, replace=False)] = True
        return log.where(keep)

    def _train(
        self,
        seen: Observation,
        entries: Interactions,
        passes: int,
        of_users: Parameters,
        user_rows: IntArray,
        item_rows: IntArray,
        rng: Generator,
        **how: Any,
    ) -> None:
        # Items that could have been shown: retired items are no negatives, so their slots are not pushed down.
        shown = seen.live.copy()
        shown[entries.item] = True
        train(
            entries.user,
            entries.item,
            of_users,
            self._sides()[1].parameters,
            user_rows,
            item_rows,
            np.flatnonzero(shown).astype(np.int32),
            negatives=self.config.negatives,
            passes=passes,
            learning_rate=self.config.learning_rate,
            regularization=self.config.regularization,
            rng=rng,
            **how,
        )

    def _sides(self) -> tuple[Side, Side]:
        if self._users is None or self._items is None:
            raise PolicyError("hashed_mf has no tables: fit() it on a log with entries first")
        return self._users, self._items

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Train separate rows for the users, items fixed; they last until the next fit, outside the table."""
        if self._cold is None or self._users is None or users.size == 0:
            return
        items = self._sides()[1]
        own = seen.last(self.config.window)
        own = own.where(np.isin(own.user, users) & (own.item < items.ids))
        row_of = np.zeros((seen.n_users, 1), np.int32)
        row_of[users, 0] = np.arange(1, users.size + 1)
        guests = Parameters(self.config.dim, self._users.parameters.key)
        guests.grow(users.size + 1)
        guests.start(row_of[users, 0], users.astype(np.int64))
        item_rows = items.rows_of(seen.n_items)
        self._train(seen, own, self.config.iterations, guests, row_of, item_rows, rng, learn_items=False)
        self.require_finite(_REMEDY, guests.values)
        grown = np.zeros((max(seen.n_users, len(self._of_users)), self.config.dim + 1), np.float32)
        grown[: len(self._of_users)] = self._of_users
        warm = np.zeros(len(grown), bool)
        warm[: self._cold.warm.size] = self._cold.warm
        grown[users] = guests.values[1 : users.size + 1]
        warm[users] = np.bincount(own.user, minlength=len(grown))[users] > 0
        self._of_users, self._cold.warm = grown, warm

    def factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return user factors (w, 1, b_u) and item factors (h, b_i, 1), with the two columns of `ColdStart`."""
        if self._cold is None:
            raise PolicyError("hashed_mf: rank() before fit()")
        if self._users is None:
            return self._cold.factors(None, None, users, seen.n_items)
        items = self._sides()[1]
        of_items = np.insert(items.parameters.of(items.rows_of(seen.n_items)), self.config.dim + 1, 1, axis=1)
        of_items[:, -2] += np.float32(TIE_SCALE) * self._cold.tie_offsets(seen.n_items)
        of_users = np.insert(self._of_users, self.config.dim, 1, axis=1)
        return self._cold.factors(of_users, of_items, users, seen.n_items)

    def log_lift(self, users: IntArray, items: IntArray) -> FloatArray:
        """Return f for the pairs users[j], items[j], as trained: without the offsets that break ties in rankings."""
        one, other = self._of_users[users], self._sides()[1]
        two = other.parameters.of(other.rows_of(int(items.max(initial=-1)) + 1))[items]
        return np.einsum("jd,jd->j", one[:, :-1], two[:, :-1]) + one[:, -1] + two[:, -1]

    def rows_of(self, side: Literal["users", "items"], count: int) -> IntArray:
        """Return (count, parts): the rows of ids 0 … count − 1; 0 for those without."""
        return self._sides()[side == "items"].rows_of(count)

    def remarks(self) -> list[str]:
        """Report how many rows each side has, and warn if `dim` is too large for the log."""
        if self._cold is None or self._users is None or self._items is None:
            return []
        remarks = [f"{self.kind}: {self._users.describe()}; {self._items.describe()}"]
        return remarks + self.dim_warning(self._cold.warm, self._cold.taken)

    def state(self) -> State:
        """Return tables, parameters with Adagrad's sums, the user factors, and where the last fit ended."""
        if self._cold is None:
            return {}
        state = self._cold.state() | {"until": np.array(self._until)}
        if self._users is not None and self._items is not None:
            state |= {"of_users": self._of_users, **self._users.state(), **self._items.state()}
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        self._until = int(state["until"])
        self._users = self._items = None
        if "of_users" in state:
            self._of_users = np.array(state["of_users"])
            self._users = Side.from_state(self.config, "users", state)
            self._items = Side.from_state(self.config, "items", state)
