"""Give every item of a log a mixture of topics: from genres, from item–tag pairs, or from co-consumption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .plsa import choose_topic_count, fit_plsa
from .tables import Naming, Setting, of_world

LABEL_WORDS = 3
"""Number of tags in the name of a topic that is learned from tags."""


@dataclass(frozen=True)
class ItemTopics:
    """The topics of the catalog."""

    mixtures: NDArray[np.float64]
    """(items, topics) rows sum to one."""
    names: list[str]
    """Genres, the strongest tags of each topic, or "topic 1", … if there are neither."""
    source: Literal["genres", "tags", "co-consumption"]
    notes: tuple[str, ...]


def topics_from_genres(
    genres: sparse.csr_matrix, names: list[str], taken: sparse.csr_matrix, setting: Naming = of_world
) -> ItemTopics:
    """Return mixtures that split every item equally over its genres.

    genres (items, genres): rows sum to one, or are empty; taken (items, users): who took what, from which
    items without a genre get their mixture (`fill_from_users`).
    """
    if not genres.nnz:
        key = setting("items")
        raise key.wrong(
            f"No item of the log has a genre in the item file ({key}). Leave it out to learn topics from the log."
        )
    mixtures, notes = fill_from_users(genres.toarray(), taken, "no genre")
    used = mixtures.sum(axis=0) > 0
    mixtures = mixtures[:, used]
    kept = [name for name, is_used in zip(names, used, strict=True) if is_used]
    return ItemTopics(mixtures / mixtures.sum(axis=1, keepdims=True), kept, "genres", notes)


def topics_from_tags(
    tags: sparse.csr_matrix,
    labels: list[str],
    taken: sparse.csr_matrix,
    topics: int | Literal["auto"],
    setting: Naming = of_world,
) -> ItemTopics:
    """Factorize item–tag counts (items, tags) into topics (`plsa`); items without a tag are filled from their users."""
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
    """Factorize who took what (items, users): items taken by the same people have the same topic."""
    mixtures, _, notes = _factorize(taken, topics, "co-consumption", setting("topics"))
    return ItemTopics(mixtures, [f"topic {t + 1}" for t in range(mixtures.shape[1])], "co-consumption", notes)


def fill_from_users(
    mixtures: NDArray[np.float64], taken: sparse.csr_matrix, missing: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return mixtures with empty rows filled by the mean mixture of the other items that the item's users took.

    Users count equally. If nothing is known about them either, the row is the catalog's mean mixture.
    missing: what such items lack, for the note.
    """
    empty = mixtures.sum(axis=1) <= 0
    if not empty.any():
        return mixtures, ()
    mixtures = mixtures.copy()
    known = sparse.diags((~empty).astype(float)) @ taken
    totals = np.asarray(known.sum(axis=0)).ravel()
    profiles = np.asarray(known.T @ mixtures) / np.maximum(totals, 1)[:, None]
    filled = taken[empty] @ profiles
    mean = mixtures[~empty].mean(axis=0)
    sums = filled.sum(axis=1, keepdims=True)
    mixtures[empty] = np.where(sums > 0, filled / np.where(sums > 0, sums, 1), mean)
    note = f"{int(empty.sum()):,} of {empty.size:,} items have {missing}; "
    return mixtures, (note + "their topics are the mean of the other items that their users took.",)


def _factorize(
    matrix: sparse.csr_matrix, topics: int | str, source: str, key: Setting
) -> tuple[NDArray, NDArray, tuple[str, ...]]:
    if topics == "auto":
        count, scores = choose_topic_count(matrix)
        reason = (
            f"chosen from {', '.join(map(str, scores))} by held-out likelihood"
            if scores
            else "there are too few data to choose"
        )
        notes = (f"{count} topics were learned from {source} ({reason}).",)
    else:
        count = int(topics)
        if not 1 <= count < max(2, min(matrix.shape)):
            raise key.wrong(
                f"{key} = {count}: {source} gives a table of {matrix.shape[0]:,} × {matrix.shape[1]:,}; "
                f'the number of topics must be from 1 to {max(1, min(matrix.shape) - 1)}, or "auto".'
            )
        notes = (f"{count} topics were learned from {source} ({key}).",)
    model = fit_plsa(matrix, count)
    return model.theta, model.phi, notes
