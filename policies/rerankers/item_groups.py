"""Groups of items: by provider, by topic, or by level of popularity (niche, mid, head)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import PolicyError
from ..interactions import Observation

Groups = Literal["auto", "providers", "topics", "popularity"]
NICHE, HEAD = 0.8, 0.05
"""Shares of the live items, ordered by how often they were taken, that are niche and head; mid is in between."""
NO_PROVIDERS = (
    'groups = "providers", but this platform does not know who made an item, or providers have one item each. Use a '
    'world with providers and more items, or groups = "topics" or "popularity"'
)
LEVELS = ("niche", "mid", "head")


def niche_items(seen: Observation, share: float, window: int | None) -> NDArray[np.bool_]:
    """Return (items,) true for the `share` of the live items that was taken least (in the last `window` rounds).

    Items taken equally often are all niche or all not, so with an empty log all live items are niche.
    """
    return _level(seen, window, share) == 0


def item_groups(seen: Observation, groups: Groups) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return (items,) the group of each item as a number from 0 on, and (groups,) the id of each group.

    "auto": providers if the platform knows them, else topics. Topic of an item: its largest tag, the first of
    equals. Popularity: 0 niche, 1 mid, 2 head.
    """
    providers = seen.providers
    if groups == "providers" and providers is None:
        raise PolicyError(NO_PROVIDERS)
    if providers is not None and groups in ("auto", "providers"):
        if len(providers) != seen.n_items:
            raise PolicyError(
                f"seen.providers has {len(providers)} entries for {seen.n_items} items: it needs one each"
            )
        known, of_item = np.unique(providers, return_inverse=True)
        return of_item.astype(np.int32), known.astype(np.int64)
    if groups == "popularity":
        return _level(seen, None, NICHE), np.arange(len(LEVELS))
    return seen.tags.argmax(axis=1).astype(np.int32), np.arange(seen.tags.shape[1])


def _level(seen: Observation, window: int | None, niche: float) -> NDArray[np.int32]:
    taken = np.bincount(seen.last(window).item, minlength=seen.n_items)
    among = np.sort(taken[seen.live]) if seen.live.any() else np.sort(taken)
    if among.size == 0:
        return np.zeros(0, np.int32)
    cut = among[max(int(np.ceil(niche * among.size)) - 1, 0)]
    head = among[max(int(np.ceil((1 - HEAD) * among.size)) - 1, 0)]
    return ((taken > cut).astype(np.int32) + ((taken > cut) & (taken > head))).astype(np.int32)
