"""What a log's items are about: topic mixtures from genres, from item–tag pairs, or from co-consumption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .plsa import choose_topics, fit
from .tables import Naming, Setting, of_world

LABEL_WORDS = 3
"""Tags that name a topic learned from tags."""


@dataclass(frozen=True)
class ItemTopics:
    """The topics of the catalog."""

    mixtures: NDArray[np.float64]
    """(items, topics) rows sum to one."""
    names: list[str]
    """Genres; the strongest tags of a topic; or "topic 1", … where nothing names them."""
    source: Literal["genres", "tags", "co-consumption"]
    notes: tuple[str, ...]


def topics_from_genres(
    genres: sparse.csr_matrix, names: list[str], taken: sparse.csr_matrix, setting: Naming = of_world
) -> ItemTopics:
    """Return the equal split over an item's genres.

    genres (items, genres): rows sum to one, or are empty; taken (items, users): who took what, from which
    items without a genre get theirs (`fill_from_users`).
    """
    if not genres.nnz:
        key = setting("items")
        raise key.wrong(
            f"No item of the log has a genre in the item file ({key}). Leave it out to learn topics from the log."
        )
    mixtures, notes = fill_from_users(genres.toarray(), taken, "no genre")
    used = mixtures.sum(axis=0) > 0
    mixtures = mixtures[:, used]
    kept = [name for name, there in zip(names, used, strict=True) if there]
    return ItemTopics(mixtures / mixtures.sum(axis=1, keepdims=True), kept, "genres", notes)


def topics_from_tags(
    tags: sparse.csr_matrix,
    labels: list[str],
    taken: sparse.csr_matrix,
    topics: int | Literal["auto"],
    setting: Naming = of_world,
) -> ItemTopics:
    """Factorize item–tag counts (items, tags) into topics (`plsa`); untagged items are filled from their users."""
    mixtures, words, notes = _factorize(tags, topics, "tags", setting("topics"))
    mixtures[np.diff(tags.indptr) == 0] = 0
    mixtures, more = fill_from_users(mixtures, taken, "no tag")
    frequency = np.asarray(tags.sum(axis=0)).ravel()
    strength = words * np.sqrt(frequency / frequency.sum())[:, None]
    names = [
        " · ".join(labels[w] for w in np.argsort(-column, kind="stable")[:LABEL_WORDS])
        for column in strength.T
    ]
    return ItemTopics(mixtures, names, "tags", (*notes, *more))


def topics_from_users(
    taken: sparse.csr_matrix, topics: int | Literal["auto"], setting: Naming = of_world
) -> ItemTopics:
    """Factorize who took what (items, users): items taken by the same people are about the same topic."""
    mixtures, _, notes = _factorize(taken, topics, "co-consumption", setting("topics"))
    return ItemTopics(mixtures, [f"topic {t + 1}" for t in range(mixtures.shape[1])], "co-consumption", notes)


def fill_from_users(
    mixtures: NDArray[np.float64], taken: sparse.csr_matrix, lack: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return mixtures with empty rows filled: the mean mixture of what the item's users took otherwise.

    Users count equally. Where nothing is known of them either, the catalog's mean mixture.
    """
    empty = mixtures.sum(axis=1) <= 0
    if not empty.any():
        return mixtures, ()
    mixtures = mixtures.copy()
    known = sparse.diags((~empty).astype(float)) @ taken
    totals = np.asarray(known.sum(axis=0)).ravel()
    profiles = np.asarray(known.T @ mixtures) / np.maximum(totals, 1)[:, None]
    found = taken[empty] @ profiles
    mean = mixtures[~empty].mean(axis=0)
    sums = found.sum(axis=1, keepdims=True)
    mixtures[empty] = np.where(sums > 0, found / np.where(sums > 0, sums, 1), mean)
    return mixtures, (
        f"{int(empty.sum()):,} of {empty.size:,} items have {lack}; their topics are the mean of what their users took otherwise.",
    )


def _factorize(
    matrix: sparse.csr_matrix, topics: int | str, source: str, key: Setting
) -> tuple[NDArray, NDArray, tuple[str, ...]]:
    if topics == "auto":
        count, scores = choose_topics(matrix)
        how = (
            f"of {', '.join(map(str, scores))} by held-out likelihood"
            if scores
            else "because the data are too few to choose"
        )
        notes = (f"{count} topics were learned from {source} ({how}).",)
    else:
        count = int(topics)
        if not 1 <= count < max(2, min(matrix.shape)):
            raise key.wrong(
                f"{key} = {count}: {source} gives a table of {matrix.shape[0]:,} × {matrix.shape[1]:,}; "
                f'the number of topics must be from 1 to {max(1, min(matrix.shape) - 1)}, or "auto".'
            )
        notes = (f"{count} topics were learned from {source} ({key}).",)
    model = fit(matrix, count)
    return model.theta, model.phi, notes
