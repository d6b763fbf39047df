"""Which social ties the platform sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..agents.social_graph import SocialGraph
from ..philox import uniform_of_pairs
from ..policies.interactions import Friends


def visible_ties(graph: SocialGraph, hidden: float, key: np.uint64) -> Callable[[], Friends]:
    """Return a function that gives the ties the platform sees now; ties that rewire stay seen or unseen.

    hidden: share of ties that it never sees. key: of the draw that each tie has.
    """
    if hidden == 0:
        return lambda: Friends(read_only(graph.indptr), read_only(graph.indices))
    # One draw for both directions: a tie that is hidden one way does not show the other way.
    follower = np.repeat(np.arange(len(graph.indptr) - 1), np.diff(graph.indptr))
    low, high = np.minimum(follower, graph.indices), np.maximum(follower, graph.indices)
    seen = uniform_of_pairs(key, low, high) >= hidden
    indptr = np.concatenate([[0], np.cumsum(seen)])[graph.indptr]
    return lambda: Friends(indptr, graph.indices[seen])


def read_only(array: NDArray) -> NDArray:
    """Return a view of an array that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view
