"""Social ties: whether friends have similar tastes, and whether ties follow communities."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit

from .base import Column, Measure, Round


class TasteAssortativity(Measure):
    """Assortativity of mean topic vectors over ties: the covariance of the two ends divided by the variance.

    m_u = Σ_k s_uk a_uk. r = mean over ties of ⟨m_u − m̄, m_v − m̄⟩ / mean over tie ends of |m − m̄|², where m̄
    is also the mean over tie ends, so that r is Pearson's correlation in vector form (Newman, "Mixing
    patterns in networks", Phys. Rev. E 2003). Range [−1, 1]; high = friends are similar. NaN without ties or
    if all tie ends are equal.
    """

    columns: ClassVar = (
        Column(
            "taste_assortativity", "similarity of friends' tastes", "correlation", -1, 1, "neither", "echo"
        ),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Compare the ends of every tie."""
        graph = round.world.graph
        return {
            "taste_assortativity": _assortativity(
                round.world.users.mean_topics(), graph.indptr, graph.indices
            )
        }


class Modularity(Measure):
    """Newman's modularity of the communities on the current ties: ties inside beyond what degrees would give.

    Q = Σ_c [L_c / m − (out-degree of c)(in-degree of c) / m²] over m directed ties, unweighted: the
    directed form (Leicht & Newman, Phys. Rev. Lett. 2008), equal to the usual one while ties are mutual.
    Range [−1, 1]; high = ties stay inside communities. Changes only if ties rewire; NaN without ties.
    """

    columns: ClassVar = (
        Column("modularity", "ties inside communities (modularity)", "", -1, 1, "neither", "echo"),
    )

    def update(self, round: Round) -> dict[str, float]:
        """Count ties by community."""
        graph, community = round.world.graph, round.world.users.community
        if not graph.ties:
            return {"modularity": np.nan}
        outgoing, incoming, inside = _ties_by_community(
            graph.indptr, graph.indices, community, int(community.max()) + 1
        )
        ties = graph.ties
        return {"modularity": float(inside / ties - (outgoing / ties) @ (incoming / ties))}


@njit(cache=True)
def _assortativity(vectors, indptr, indices):
    users, topics = vectors.shape
    ends = np.zeros(users)
    for u in range(users):
        ends[u] += indptr[u + 1] - indptr[u]
    for v in indices:
        ends[v] += 1.0
    if indices.size == 0:
        return np.nan
    mean = np.zeros(topics)
    for u in range(users):
        for t in range(topics):
            mean[t] += ends[u] * vectors[u, t]
    mean /= ends.sum()
    centered = np.empty((users, topics), np.float32)
    variance = 0.0
    for u in range(users):
        square = 0.0
        for t in range(topics):
            centered[u, t] = vectors[u, t] - mean[t]
            square += np.float64(centered[u, t]) ** 2
        variance += ends[u] * square
    variance /= ends.sum()
    if variance <= 1e-12:
        return np.nan
    # ⟨c_u, Σ_v c_v⟩ over a user's friends v takes one inner product per user instead of one per tie.
    around = np.empty(topics, np.float32)
    covariance = 0.0
    for u in range(users):
        around[:] = 0.0
        for tie in range(indptr[u], indptr[u + 1]):
            friend = centered[indices[tie]]
            for t in range(topics):
                around[t] += friend[t]
        dot = 0.0
        for t in range(topics):
            dot += np.float64(centered[u, t]) * np.float64(around[t])
        covariance += dot
    return min(max(-1.0, covariance / indices.size / variance), 1.0)


@njit(cache=True)
def _ties_by_community(indptr, indices, community, count):
    outgoing = np.zeros(count)
    incoming = np.zeros(count)
    inside = 0
    for u in range(indptr.size - 1):
        for tie in range(indptr[u], indptr[u + 1]):
            outgoing[community[u]] += 1.0
            incoming[community[indices[tie]]] += 1.0
            inside += community[u] == community[indices[tie]]
    return outgoing, incoming, inside
