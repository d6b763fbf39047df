"""Base class of policies that fit user and item factors: windowed counts, rankings, checkpoints, remarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import PolicyError
from ..base import FactorPolicy, State
from ..cold_start import ColdStart
from ..interactions import FloatArray, IntArray, Observation

MAX_COLLAPSED_SCORE = 1e-4
"""If no score can exceed this, regularization has shrunk all factors to nearly 0; fitted scores aim at 1."""


def is_collapsed(of_users: FloatArray, of_items: FloatArray) -> bool:
    """Return whether every score ⟨w_u, h_i⟩ is surely within ±`MAX_COLLAPSED_SCORE`."""
    reach = np.abs(of_users).max(initial=0) * np.abs(of_items).max(initial=0)
    return bool(reach * of_items.shape[1] < MAX_COLLAPSED_SCORE)


class FittedFactorPolicy(FactorPolicy):
    """A policy that learns one row of factors per user and per item. Its configuration has a `window`."""

    cold_columns = 2
    config: Any

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._users: FloatArray | None = None
        self._items: FloatArray | None = None
        self._cold: ColdStart | None = None

    def factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return user and item factors with the two columns of `ColdStart.factors`."""
        if self._cold is None:
            raise PolicyError(f"{self.kind}: rank() before fit()")
        return self._cold.factors(self._users, self._items, users, seen.n_items)

    def remarks(self) -> list[str]:
        """Warn if there are more dimensions than data, or if regularization has shrunk all factors to nearly 0."""
        if self._cold is None or self._users is None or self._items is None:
            return []
        remarks = self.dim_warning(self._cold.warm, self._cold.taken)
        if is_collapsed(self._users[self._cold.warm], self._items):
            remarks.append(
                f"warning: regularization = {self.config.regularization:g} is too strong for this log: all factors "
                f"are nearly 0, so the ranking of {self.kind} is meaningless. Lower it"
            )
        return remarks

    def state(self) -> State:
        """Return the factors and what is known of cold users and items."""
        if self._cold is None:
            return {}
        state = self._cold.state()
        if self._users is not None and self._items is not None:
            state |= {"users": self._users, "items": self._items}
        return {name: value.copy() for name, value in state.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        if not state:
            return
        self._cold = ColdStart.from_state(state)
        self._users = np.array(state["users"]) if "users" in state else None
        self._items = np.array(state["items"]) if "items" in state else None
