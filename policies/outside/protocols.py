"""Protocols for models of other libraries: one class per convention for fitting and querying a model.

If a model returns lists instead of scores, items that it does not list have −inf.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...errors import PolicyError
from ..interactions import FloatArray, IntArray
from .models import accepts, call_quietly

Name = Literal["auto", "implicit", "recommend", "predict", "transform", "lenskit"]
FILTERED = -np.finfo(np.float32).max / 2
"""Some libraries mark items that they filtered out by scores below this."""


class Protocol(ABC):
    """One way to fit and query a model."""

    reads_history: ClassVar[bool] = True
    """Whether it ranks by the histories passed to `scores`, so that new users need no fold-in."""

    def __init__(self, model: Any, dense: bool = False) -> None:
        self.model = model
        self.dense = dense

    @abstractmethod
    def fit(self, counts: sparse.csr_matrix, seed: int) -> None:
        """Train the model on how often each user took each item."""

    @abstractmethod
    def scores(
        self, users: IntArray, histories: sparse.csr_matrix, most: int, hidden: IntArray, again: bool
    ) -> NDArray[Any]:
        """Return (B, items) scores; −inf where the model has none.

        histories (B, items): what each of `users` took. most: how many items per user suffice. hidden: items
        that nobody may be shown. again: compute the users' factors from their histories, as they are new.
        """

    def model_items(self, default: int) -> int:
        """Return the number of items the model was fitted on; `default` if it does not expose it."""
        model = self.model
        for name in ("item_factors", "similarity"):
            shape = getattr(getattr(model, name, None), "shape", None)
            if shape:
                return int(shape[0])
        return int(getattr(model, "n_features_in_", default))

    def as_input(self, counts: sparse.csr_matrix) -> Any:
        """Return the matrix in the form that the model expects."""
        return counts.toarray() if self.dense else counts


class Implicit(Protocol):
    """`fit(user_items)`, `recommend(userids, user_items, N, filter_already_liked_items, filter_items, …)`."""

    @property
    def reads_history(self) -> bool:  # type: ignore[override]
        """Whether it ranks by histories: neighbor models do, factor models do not."""
        return not hasattr(self.model, "user_factors")

    def fit(self, counts: sparse.csr_matrix, seed: int) -> None:
        # The library continues from existing factors, and crashes if the number of users or items has changed.
        for name in ("user_factors", "item_factors", "_user_norms", "_item_norms", "_YtY", "_XtX"):
            if hasattr(self.model, name):
                setattr(self.model, name, None)
        # Its plain neighbor models silently require float64.
        plain = (
            getattr(getattr(type(self.model), "fit", None), "__qualname__", "") == "ItemItemRecommender.fit"
        )
        call_quietly(self.model.fit, counts.astype(np.float64) if plain else counts)

    def scores(self, users, histories, most, hidden, again) -> NDArray[Any]:
        size = histories.shape[1]
        options: dict[str, Any] = {"N": min(most, size), "filter_already_liked_items": False}
        if hidden.size and accepts(self.model.recommend, "filter_items"):
            options["filter_items"] = hidden
        if again:
            options["recalculate_user"] = True
        return scores_of_lists(self.model.recommend(users, histories, **options), users.size, size)


class Recommend(Protocol):
    """`fit(X)`, and `recommend(users, n)` → item ids (B, k) best first, or (ids, scores)."""

    reads_history = False

    def fit(self, counts: sparse.csr_matrix, seed: int) -> None:
        call_quietly(self.model.fit, self.as_input(counts))

    def scores(self, users, histories, most, hidden, again) -> NDArray[Any]:
        if again:
            raise PolicyError(
                "recommend(users, n) has no way to pass the history of a user that the model was not fitted on"
            )
        size = histories.shape[1]
        return scores_of_lists(self.model.recommend(users, min(most + hidden.size, size)), users.size, size)


class Predict(Protocol):
    """`fit(X)`, or `fit(X, X)` where a target is needed, and `predict(X[users])` → scores (B, items)."""

    def fit(self, counts: sparse.csr_matrix, seed: int) -> None:
        matrix = self.as_input(counts)
        if _needs_target(self.model.fit):
            self.model.fit(matrix, counts.toarray())
        else:
            call_quietly(self.model.fit, matrix)

    def scores(self, users, histories, most, hidden, again) -> NDArray[Any]:
        return checked_scores(self.model.predict(self.as_input(histories)), histories.shape, "predict(X)")


class Transform(Protocol):
    """`fit(X)`, and `inverse_transform(transform(X[users]))` (or `transform(X) @ components_`) → scores."""

    def fit(self, counts: sparse.csr_matrix, seed: int) -> None:
        call_quietly(self.model.fit, self.as_input(counts))

    def scores(self, users, histories, most, hidden, again) -> NDArray[Any]:
        codes = self.model.transform(self.as_input(histories))
        if hasattr(self.model, "inverse_transform"):
            back = self.model.inverse_transform(codes)
        elif hasattr(self.model, "components_"):
            back = codes @ self.model.components_
        else:
            raise PolicyError(
                f"{type(self.model).__name__} has transform(), but neither inverse_transform() nor components_: "
                "there is no way back from its codes to items"
            )
        return checked_scores(back, histories.shape, "inverse_transform(transform(X))")


def checked_scores(scores: Any, shape: tuple[int, ...], source: str) -> NDArray[Any]:
    """Return a matrix of scores as an array of the expected shape; PolicyError if it is not one."""
    if sparse.issparse(scores):
        scores = scores.toarray()
    scores = np.asarray(scores)
    if scores.shape != shape or scores.dtype.kind not in "fiu":
        raise PolicyError(
            f"{source} must give a number for every user and item, shape (users, items) = {tuple(shape)}; got "
            f"{scores.shape} of {scores.dtype}"
        )
    return scores


def scores_of_lists(answer: Any, rows: int, size: int) -> FloatArray:
    """Return a list of items, with or without scores, as a matrix of scores; −inf where an item is not listed."""
    ids, scores = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    try:
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.shape[0] != rows or ids.dtype.kind not in "iu":
            raise ValueError(f"ids of shape {ids.shape} and type {ids.dtype}")
        if scores is None:
            scores = np.broadcast_to(-np.arange(ids.shape[1], dtype=np.float32), ids.shape)
        scores = np.asarray(scores, np.float64)
        if scores.shape != ids.shape:
            raise ValueError(f"scores of shape {scores.shape} for ids of shape {ids.shape}")
    except (TypeError, ValueError) as error:
        raise PolicyError(
            f"recommend() must return item ids (users, k) = ({rows}, k), whole numbers, or a tuple (ids, scores) of "
            f"such arrays; got {error}"
        ) from None
    if ids.size and int(ids.max()) >= size:
        raise PolicyError(
            f"recommend() lists item {int(ids.max())}, which does not exist: ids run from 0 to {size - 1}, and -1 "
            "fills a row that is shorter"
        )
    known = (ids >= 0) & ~(scores <= FILTERED)
    row, place = np.nonzero(known)
    found = np.full((rows, size), -np.inf)
    found[row, ids[row, place]] = scores[row, place]
    return found


def _needs_target(fit: Any) -> bool:
    import inspect

    try:
        target = inspect.signature(fit).parameters.get("y")
    except (TypeError, ValueError):
        return False
    return target is not None and target.default is inspect.Parameter.empty
