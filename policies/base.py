"""The base classes of everything that ranks in the simulation loop: Policy, Reranker, LogTransform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..config import Config
from ..errors import PolicyError
from ..wording import settings
from .fields import validated
from .interactions import FloatArray, IntArray, Observation
from .search_space import SearchSpace
from .size import BLOCK, Size, dimensions
from .topk import top_k_dense, top_k_factors

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Ranking:
    """Ranked items for some users, best first."""

    users: IntArray
    """(B,)"""
    items: IntArray
    """(B, n) int32; −1 pads the end of a row where the catalog was exhausted."""
    scores: FloatArray
    """(B, n) float32, in the policy's own unit; −inf where the item is −1."""


class Component:
    """Something with a `kind` and a validated configuration. Construct it with keyword arguments.

    A field that is unknown, out of range or not a plain value raises BadInput.
    """

    kind: ClassVar[str] = ""
    """The name in study files; the registry sets it."""
    Config: ClassVar[type[Config]] = Config
    """The fields it accepts."""

    def __init__(self, **fields: Any) -> None:
        self.config = validated(self.kind or type(self).__name__, self.Config, fields)

    def __repr__(self) -> str:
        fields = ", ".join(f"{key}={value!r}" for key, value in self.config.model_dump().items())
        return f"{type(self).__name__}({fields})"


class Policy(Component, ABC):
    """Ranks items for users from what the platform has observed."""

    space: ClassVar[SearchSpace] = {}
    """What `echodrift tune` tries by default."""
    gives_scores: bool = True
    """False if only the order of its scores means anything; rerankers that weigh scores are then refused."""
    weighs_entries: ClassVar[bool] = False
    """Whether its loss treats fractional counts as weights of log entries.

    Checked by `transforms.weights.check_transforms`. False if it works on single entries, or needs whole counts.
    """
    weighs_when: ClassVar[Mapping[str, Any]] = {}
    """Field values that this requires, e.g. `{"binary": False}`; with other values, weights would be lost."""
    reads_tags: ClassVar[bool] = False
    """Whether it reads `seen.tags`: offline evaluation learns topics from a log only for policies that do."""
    counts_log: ClassVar[bool] = True
    """Whether it counts the log into a matrix of users × items (`seen.counts`), which takes memory of its own."""
    library_bytes: ClassVar[int] = 0
    """Memory of libraries that only this policy loads."""

    @classmethod
    def space_for(cls, fields: Mapping[str, Any]) -> SearchSpace:
        """Return the search space for a policy with these fields; `space`, unless they call for another."""
        return cls.space

    @classmethod
    def learns_weights(cls, fields: Mapping[str, Any]) -> str | None:
        """Return None if it learns from weighted entries with these fields, otherwise the reason as a clause."""
        if not cls.weighs_entries:
            return "works on single entries or whole counts, for which there are no weights"
        given = cls.Config(**fields).model_dump()
        wrong = {name: value for name, value in cls.weighs_when.items() if given[name] != value}
        if not wrong:
            return None
        has, needs = (settings({name: values[name] for name in wrong}) for values in (given, wrong))
        return f"loses weights with {has}: set {needs}"

    @abstractmethod
    def fit(self, seen: Observation, rng: Generator) -> None:
        """Learn from `seen.log`. Called when a refit is due; a warm start is welcome."""

    @abstractmethod
    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Return the best n available items for each user, without duplicates."""

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Learn about users whose history in `seen.log` the last fit has not seen; leave items unchanged.

        `users` (B,) are not cold in the next `rank`. Nobody else's ranking changes. A policy that reads
        histories when it ranks overrides this with an empty method. PolicyError: it cannot place new users.
        """
        raise PolicyError(
            f"{self.kind or type(self).__name__} cannot rank for users that it was not fitted on: it has no fold_in()"
        )

    def memory(self, size: Size) -> float:
        """Return its approximate peak bytes in a run of this size; limits how many runs execute in parallel.

        Include what it has learned and what training and ranking need besides; exclude the log and its counts
        (`counts_log`). Default: factors of `dim` dimensions, and a dense block of scores.
        """
        return size.factors(dimensions(self.config)) + size.dense_scores

    def require_finite(self, remedy: str, *arrays: NDArray[Any]) -> None:
        """Raise PolicyError with the settings and the remedy if training left NaN or infinite values."""
        if not all(np.isfinite(array).all() for array in arrays):
            raise PolicyError(
                f"training of {self.kind or type(self).__name__} ended in NaN or infinite values: {remedy}. "
                f"Settings: {self._settings()}"
            )

    def _settings(self) -> str:
        return settings(self.config.model_dump(mode="json", exclude_none=True))

    def remarks(self) -> list[str]:
        """Return sentences about the last fit for the user; "warning: …" reaches the report."""
        return []

    def dim_warning(self, warm: NDArray[np.bool_], taken: NDArray[Any]) -> list[str]:
        """Return a warning if `dim` exceeds the users or items of the last fit; see `ColdStart` for both arrays."""
        dim, users, items = self.config.model_dump()["dim"], np.count_nonzero(warm), np.count_nonzero(taken)
        if dim <= min(users, items):
            return []
        warning = (
            f"warning: {self.kind} has dim = {dim}, but its last fit saw only {users} users and {items} items with "
            f"entries: too few to learn {dim} dimensions from. Lower dim, or give it a longer log"
        )
        return [warning]

    @property
    def keeps_state(self) -> bool:
        """Whether it overrides state() and restore(), so that its runs can have checkpoints."""
        return keeps_state(type(self))

    def state(self) -> State | None:
        """Return what a checkpoint must store (arrays only); None: an interrupted run restarts from round 0."""
        return None

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        raise NotImplementedError(f"{type(self).__name__} has no restore() to match its state()")


def keeps_state(policy: type[Policy]) -> bool:
    """Return whether a policy class overrides state() and restore()."""
    return all(getattr(policy, name) is not getattr(Policy, name) for name in ("state", "restore"))


class ScorePolicy(Policy):
    """A policy that scores every item for a block of users; ranking is shared."""

    block: ClassVar[int] = BLOCK
    """Users scored at once: bounds memory to block × items."""

    @abstractmethod
    def scores(self, seen: Observation, users: IntArray, rng: Generator) -> FloatArray:
        """Return (B, n_items) float32 scores; higher is better. A new array on every call."""

    @final
    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Score block by block and keep the best n available items; ties go to the lower id."""
        items = np.empty((users.size, n), np.int32)
        best = np.empty((users.size, n), np.float32)
        for start in range(0, users.size, self.block):
            part = users[start : start + self.block]
            rows = slice(start, start + part.size)
            items[rows], best[rows] = top_k_dense(
                self.scores(seen, part, rng), part, n, seen.live, seen.blocked
            )
        return Ranking(users, items, best)


class FactorPolicy(Policy):
    """A policy whose score is an inner product of user and item factors; ranking takes the fast path."""

    cold_columns: ClassVar[Literal[0, 2]] = 0
    """2 if the last columns of `factors` are those that `ColdStart.factors` adds, which are not learned."""
    bias_columns: int = 0
    """Number of bias columns before those: the users' side is 1 for users with history, or the items' side is 1."""

    def memory(self, size: Size) -> float:
        """Return the bytes of its factors; scores take little, since they are ranked in small blocks."""
        return size.factors(dimensions(self.config))

    @abstractmethod
    def factors(self, seen: Observation, users: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return user factors (B, d) and item factors (n_items, d), C-contiguous float32."""

    @final
    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Keep the best n available items by inner product; ties go to the lower id."""
        of_users, of_items = self.factors(seen, users)
        items, scores = top_k_factors(of_users, of_items, users, n, seen.live, seen.blocked)
        return Ranking(users, items, scores)


class Reranker(Component, ABC):
    """Turns one ranking into another, usually a shorter one."""

    @property
    def uses_scores(self) -> bool:
        """Whether it weighs scores; False where only the order of the candidates counts."""
        return True

    def check_world(self, topics: int | None, providers: int | None) -> None:
        """Raise BadInput if its settings do not fit a world, before anything runs.

        topics, providers: how many there are; None if that is known in a run only; 0 providers: the platform does
        not know who made an item.
        """

    @property
    def rescores(self) -> bool:
        """Whether it only assigns new scores: then it returns as many items as the next reranker wants.

        Other rerankers build a slate of the length that people see; the items left over follow in their old order.
        """
        return False

    @property
    @abstractmethod
    def candidates(self) -> int:
        """How many ranked items it wants to choose from, per user."""

    @abstractmethod
    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items per user, in the order to show them."""

    def shown(self, seen: Observation, users: IntArray, slates: IntArray) -> None:
        """Record the slates (B, n) that these users were shown this round; −1 pads shorter ones.

        Called once a round, after the last reranker, for the users that this one served. A reranker without
        memory from round to round need not override it.
        """

    def state(self) -> State:
        """Return what a checkpoint must store (arrays only); empty if the observation holds everything."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""


class LogTransform(Component, ABC):
    """What the platform does to its log before learning: debiasing, purging, windows.

    Only `seen.log` changes, and it stays in time order; rankings still see the log as it is.
    """

    @property
    def reads_slates(self) -> bool:
        """Whether it needs the slates that were shown, `seen.exposures`."""
        return False

    @property
    def weighs(self) -> bool:
        """Whether it gives entries weights, which not every policy can learn from."""
        return False

    @abstractmethod
    def prepare(self, seen: Observation) -> Observation:
        """Return a new observation for the policy to be fitted on; leave the given one unchanged."""

    def remarks(self) -> list[str]:
        """Return sentences about the last `prepare` for the user; "warning: …" reaches the report."""
        return []
