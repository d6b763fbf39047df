"""The part of the social graph that the platform sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..agents.social_graph import SocialGraph
from ..philox import uniform_of_pairs
from ..policies.interactions import Friends


def visible_ties(graph: SocialGraph, hidden: float, key: np.uint64) -> Callable[[], Friends]:
    """Return a function that returns the ties the platform sees now; a tie that rewires stays visible or hidden.

    hidden: share of ties that it never sees. key: stream key of the draw per tie.
    """
    if hidden == 0:
        return lambda: Friends(read_only(graph.indptr), read_only(graph.indices))
    # One draw for both directions, so that a tie is hidden in both or in neither.
    follower = np.repeat(np.arange(len(graph.indptr) - 1), np.diff(graph.indptr))
    low, high = np.minimum(follower, graph.indices), np.maximum(follower, graph.indices)
    seen = uniform_of_pairs(key, low, high) >= hidden
    indptr = np.concatenate([[0], np.cumsum(seen)])[graph.indptr]
    return lambda: Friends(read_only(indptr), read_only(graph.indices[seen]))


def read_only(array: NDArray) -> NDArray:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view
