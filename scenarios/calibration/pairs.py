"""The distinct pairs of users and items of a log, and the filter by which a log was collected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...wording import counted

CAPPED = 0.5
"""Share of users with exactly as many items as the most active one, from which on their number was capped."""


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs, sorted by user and item; ids are dense."""

    user: NDArray[np.int32]
    """(n,)"""
    item: NDArray[np.int32]
    """(n,)"""
    users: int
    items: int
    topics: NDArray[np.float64] | None = None
    """(items, topics) what is known of the items' topics; rows sum to one. None if nothing is."""
    ties: sparse.csr_matrix | None = None
    """(users, users) 1 where the first follows the second; None without a graph."""

    def __len__(self) -> int:
        return self.user.size

    @property
    def user_counts(self) -> NDArray[np.int64]:
        """(users,) items of each user."""
        return np.bincount(self.user, minlength=self.users)

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """(items,) users of each item."""
        return np.bincount(self.item, minlength=self.items)

    def matrix(self) -> sparse.csr_matrix:
        """Return the pairs as a matrix (users, items) of ones."""
        return sparse.csr_matrix((np.ones(len(self)), (self.user, self.item)), shape=(self.users, self.items))

    def of_items(self, least: int) -> Pairs:
        """Return the pairs of items with at least this many users; users without an item and other items are gone."""
        keep = (self.item_counts >= least)[self.item]
        users, user = np.unique(self.user[keep], return_inverse=True)
        items, item = np.unique(self.item[keep], return_inverse=True)
        return Pairs(
            user.astype(np.int32),
            item.astype(np.int32),
            users.size,
            items.size,
            None if self.topics is None else self.topics[items],
            None if self.ties is None else self.ties[users][:, users],
        )


@dataclass(frozen=True)
class Filter:
    """How a log was collected: which users and items are in it. The same is done to simulated logs."""

    least: int
    """Items of the least active user in the log."""
    most: int | None
    """Most items of a user, those that were taken most often; None if there is no such limit."""
    item_users: int
    """Users of an item, at least; applied last, to the log and to simulated ones."""

    def __str__(self) -> str:
        most = "" if self.most is None else f", the {self.most} taken most often"
        users = f"users with at least {counted(self.least, 'item')}{most}"
        return f"{users}; then items with at least {counted(self.item_users, 'user')}"


def find_filter(user_counts: NDArray[np.int64], item_users: int) -> Filter:
    """Return the filter that the number of items of each user shows.

    The least active user sets the least number. If half of the users or more have exactly as many items as the most
    active one, that number is a limit.
    """
    most = int(user_counts.max())
    capped = most > 1 and (user_counts == most).mean() >= CAPPED
    return Filter(int(user_counts.min()), most if capped else None, item_users)
