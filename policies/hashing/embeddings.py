"""The embeddings of users or of items: an ID table, the ids admitted to it, and the parameters of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..base import State
from ..interactions import IntArray
from ..ties import tie_key
from .id_tables import Admission, ExactTable, admitted, make_table
from .logistic_mf import DEFAULT, Parameters


class Settings(Protocol):
    """The settings of a policy that a `Side` reads (from `HashedMF.Config`)."""

    @property
    def sides(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def threshold(self) -> int: ...
    @property
    def reset_on_reuse(self) -> bool: ...
    @property
    def expire_after(self) -> int | None: ...
    @property
    def slots(self) -> int | None: ...
    @property
    def load(self) -> float | None: ...
    @property
    def dim(self) -> int: ...


class Side:
    """Users or items: their ID table, which ids have been admitted, and their parameters."""

    def __init__(self, config: Settings, name: str, count: int, rng: Generator) -> None:
        key = tie_key(rng)
        plain = config.sides not in ("both", name)
        self.name, self.kind = name, "exact" if plain else config.table
        self.admission: Admission = "none" if plain else config.admission
        self.threshold, self.reset = config.threshold, config.reset_on_reuse
        self.expire_after = None if plain else config.expire_after
        self.ids = count
        """Ids known at the last fit."""
        slots = config.slots or max(1, math.ceil(count / (config.load or 1.0)))
        self.table = make_table(self.kind, key, slots)
        self.parameters = Parameters(config.dim, key)
        self.admitted = np.zeros(0, bool)
        """(ids,) admitted ids; unused for exact tables (see their map) and without a filter (all are admitted)."""
        if not isinstance(self.table, ExactTable):
            self.parameters.grow(self.table.rows)
            owners = np.arange(1, self.table.rows)
            self.parameters.start(owners.astype(np.int32), owners)

    def update(self, ids: IntArray, rounds: IntArray, count: int, now: int) -> None:
        """Expire and admit ids, given their occurrences `ids` at `rounds`; `count` ids are known."""
        self.ids = count
        if not isinstance(self.table, ExactTable) and self.admission == "none":
            return
        wanted = admitted(
            self.parameters.key, self.admission, self.threshold, np.bincount(ids, minlength=count)
        )
        if not isinstance(self.table, ExactTable):
            wanted[: self.admitted.size] |= self.admitted
            self.admitted = wanted
            return
        if self.expire_after is not None:
            last = np.full(count, -(2**31), np.int64)
            np.maximum.at(last, ids, rounds)
            stale = now - last > self.expire_after
            self.table.drop(np.flatnonzero(stale))
            wanted &= ~stale
        new, rows, reused = self.table.add(np.flatnonzero(wanted))
        self.parameters.grow(self.table.rows)
        started = np.ones(new.size, bool) if self.reset else ~reused
        self.parameters.start(rows[started], new[started])

    def rows_of(self, count: int) -> IntArray:
        """Return (count, parts): the rows of ids 0 … count − 1."""
        rows = self.table.rows_of(np.arange(count))
        if not isinstance(self.table, ExactTable) and self.admission != "none":
            known = np.zeros(count, bool)
            known[: self.admitted.size] = self.admitted[:count]
            rows[~known] = DEFAULT
        return rows

    def describe(self) -> str:
        """Return a clause that says how many ids have how many rows."""
        rows = self.rows_of(self.ids)
        without = int((rows[:, 0] == DEFAULT).sum())
        return f"{self.ids - without} of {self.ids} {self.name} in {self.table.rows - 1} rows ({self.kind})"

    def state(self) -> State:
        """Return its arrays, each name prefixed with the side's name."""
        own = {
            "key": np.array(self.parameters.key),
            "values": self.parameters.values,
            "squares": self.parameters.squares,
            "count": np.array(self.ids),
            "admitted": self.admitted,
            **{f"table.{name}": value for name, value in self.table.state().items()},
        }
        return {f"{self.name}.{name}": value for name, value in own.items()}

    @classmethod
    def from_state(cls, config: Settings, name: str, state: Mapping[str, NDArray[Any]]) -> Side:
        """Return the side that `state` describes."""
        own = {at.removeprefix(f"{name}."): value for at, value in state.items() if at.startswith(f"{name}.")}
        restored = cls(config, name, 1, np.random.default_rng(0))
        restored.ids, restored.admitted = int(own["count"]), np.array(own["admitted"])
        restored.table.restore(
            {at.removeprefix("table."): v for at, v in own.items() if at.startswith("table.")}
        )
        restored.parameters.key = np.uint64(own["key"])
        restored.parameters.values, restored.parameters.squares = (
            np.array(own["values"]),
            np.array(own["squares"]),
        )
        return restored
