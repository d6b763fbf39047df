"""Protocol for LensKit's components and pipelines (0.14 and later: `Pipeline.train`, `lenskit.score`); optional."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ...errors import BadInput
from .protocols import Protocol


class LensKit(Protocol):
    """A scorer (wrapped with `topn_pipeline`) or a pipeline with a "scorer"; users are scored one by one.

    Ids in LensKit are the simulator's: users 0…, items 0…; `rating` holds how often an item was taken.
    """

    def __init__(self, model: Any, dense: bool = False) -> None:
        try:
            from lenskit.pipeline import Pipeline, topn_pipeline  # type: ignore[import-not-found]
        except ImportError as error:
            raise BadInput(
                f"this adapter needs LensKit 0.14 or later, with pipelines ({error}): pip install -U lenskit"
            ) from error
        super().__init__(model, dense)
        self.pipeline = model if isinstance(model, Pipeline) else topn_pipeline(model)

    def fit(self, counts: sparse.csr_matrix, seed: int) -> None:
        from lenskit.data import from_interactions_df  # type: ignore[import-not-found]
        from lenskit.training import TrainingOptions  # type: ignore[import-not-found]

        pairs = counts.tocoo()
        table = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col, "rating": pairs.data})
        data = from_interactions_df(table)
        self.pipeline.train(data, TrainingOptions(rng=seed))

    def scores(self, users, histories, most, hidden, again) -> NDArray[Any]:
        from lenskit import score  # type: ignore[import-not-found]
        from lenskit.data import ItemList, RecQuery  # type: ignore[import-not-found]

        size = histories.shape[1]
        every = np.arange(size)
        items, known = ItemList(item_ids=every), self._known(every)
        found = np.full((users.size, size), -np.inf)
        for row, user in enumerate(users):
            own = slice(histories.indptr[row], histories.indptr[row + 1])
            taken, often = histories.indices[own], histories.data[own]
            history = ItemList(item_ids=taken[known[taken]], rating=often[known[taken]])
            answer = score(self.pipeline, RecQuery(user_id=int(user), history_items=history), items)
            values = np.asarray(answer.scores("numpy"), np.float64)
            # NaN means that LensKit has no score for the item.
            found[row] = np.where(np.isnan(values), -np.inf, values)
        return found

    def _known(self, items: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether each item was in the training data: some scorers crash on a history with others."""
        scorer = getattr(self.pipeline.node("scorer"), "component", None)
        for name in ("items", "items_"):
            vocabulary = getattr(scorer, name, None)
            if vocabulary is not None and hasattr(vocabulary, "numbers"):
                return np.asarray(vocabulary.numbers(items, missing="negative")) >= 0
        return np.ones(items.size, bool)
