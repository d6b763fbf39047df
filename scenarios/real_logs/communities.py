"""Communities of a log's users: from the social graph where there is one, else by dominant topic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALLEST = 0.02
"""Communities below this share of the users are dissolved into the nearest larger one."""


def find_communities(
    interests: NDArray[np.float64], indptr: NDArray[np.int64] | None, indices: NDArray[np.int32] | None
) -> NDArray[np.int32]:
    """Return (users,) communities 0…C−1, largest first, ties by the smallest user.

    interests (users, topics): mean topics of each user. With ties (compressed rows): Louvain modularity
    (Blondel et al. 2008; networkx, seed 0) on the undirected graph. Without: the largest topic of
    `interests`. Small communities and users without ties go where the mean interests are closest (cosine).
    """
    if indptr is None or indices is None:
        labels = interests.argmax(axis=1)
    else:
        labels = _louvain(indptr, indices)
    values, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(sizes >= max(2, SMALLEST * labels.size))
    if not kept.size:
        kept = np.array([sizes.argmax()])
    centers = np.stack([interests[labels == label].mean(axis=0) for label in kept])
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    place = np.full(values.size, -1)
    place[kept] = np.arange(kept.size)
    found = place[labels]
    lost = found < 0
    found[lost] = (interests[lost] @ centers.T).argmax(axis=1)
    sizes = np.bincount(found, minlength=kept.size)
    first = np.array([np.flatnonzero(found == c)[0] for c in range(kept.size)])
    rank = np.empty(kept.size, np.int32)
    rank[np.lexsort((first, -sizes))] = np.arange(kept.size)
    return rank[found].astype(np.int32)


def _louvain(indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> NDArray[np.int64]:
    import networkx as nx

    users = indptr.size - 1
    source = np.repeat(np.arange(users), np.diff(indptr))
    graph = nx.Graph()
    graph.add_nodes_from(range(users))
    graph.add_edges_from(zip(source.tolist(), indices.tolist(), strict=True))
    labels = np.empty(users, np.int64)
    groups = nx.community.louvain_communities(graph, seed=0)
    for group in groups:
        labels[list(group)] = min(group)
    return labels
