"""Assign the users of a log to communities: by the social graph if there is one, else by their largest topic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_SHARE = 0.02
"""Communities with a smaller share of the users are merged into the nearest larger one."""


def find_communities(
    interests: NDArray[np.float64], indptr: NDArray[np.int64] | None, indices: NDArray[np.int32] | None
) -> NDArray[np.int32]:
    """Return (users,) communities 0…C−1, largest first, ties by the smallest user.

    interests (users, topics): mean topics of each user. With ties (compressed sparse rows): Louvain modularity
    (Blondel et al. 2008; networkx, seed 0) on the undirected graph. Without: the largest topic of
    `interests`. Small communities and users without ties join the community with the closest mean
    interests (cosine).
    """
    if indptr is None or indices is None:
        labels = interests.argmax(axis=1)
    else:
        labels = _louvain(indptr, indices)
    values, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(sizes >= max(2, MIN_SHARE * labels.size))
    if not kept.size:
        kept = np.array([sizes.argmax()])
    centers = np.stack([interests[labels == label].mean(axis=0) for label in kept])
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    new_label = np.full(values.size, -1)
    new_label[kept] = np.arange(kept.size)
    community = new_label[labels]
    unassigned = community < 0
    community[unassigned] = (interests[unassigned] @ centers.T).argmax(axis=1)
    sizes = np.bincount(community, minlength=kept.size)
    first = np.array([np.flatnonzero(community == c)[0] for c in range(kept.size)])
    rank = np.empty(kept.size, np.int32)
    rank[np.lexsort((first, -sizes))] = np.arange(kept.size)
    return rank[community].astype(np.int32)


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
