"""The simulator's choice model over the items of a log, with a fast normalizer for inference.

Under taste a, item i is chosen with probability exp(match·⟨a, x_i⟩ + q_i) / Z(a) (see `tastes`). The catalog is
summarized by at most `PROTOTYPES` weighted points, from which log Z(a) and the mean topics E_a[x] are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROTOTYPES = 256
"""Most points that represent the catalog in Z(a); exact where there are no more distinct mixtures."""
FOCUS = 0.85
"""Weight that a focused taste puts on its topic."""


@dataclass(frozen=True)
class Catalog:
    """The items as the choice model needs them: topics, quality, and the prototypes that represent them in Z."""

    topics: NDArray[np.float32]
    """(items, topics)"""
    quality: NDArray[np.float32]
    """(items,)"""
    points: NDArray[np.float32]
    """(prototypes, topics)"""
    log_mass: NDArray[np.float32]
    """(prototypes,) log Σ exp(q) over the items that each prototype represents."""
    match: float

    def log_z(self, tastes: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return log Z (n,) and E_a[x] (n, topics) for tastes (n, topics)."""
        values = tastes.astype(np.float32) @ (np.float32(self.match) * self.points.T)
        values += self.log_mass
        top = values.max(axis=1, keepdims=True)
        values -= top
        np.exp(values, out=values)
        total = values.sum(axis=1, keepdims=True)
        expected = (values @ self.points) / total
        return (top + np.log(total))[:, 0], expected


def build_catalog(topics: NDArray, quality: NDArray, match: float) -> Catalog:
    """Return the catalog with its prototypes: the distinct mixtures or, if too many, weighted k-means centers."""
    mixtures, member = np.unique(np.round(topics, 4), axis=0, return_inverse=True)
    mass = np.exp(np.asarray(quality, np.float64))
    if len(mixtures) > PROTOTYPES:
        from sklearn.cluster import KMeans

        means = KMeans(PROTOTYPES, n_init=1, init="random", max_iter=15, random_state=0)
        member = means.fit(topics, sample_weight=np.sqrt(mass)).labels_
    groups = int(member.max()) + 1
    total = np.bincount(member, mass, minlength=groups)
    points = np.stack([np.bincount(member, mass * column, minlength=groups) for column in topics.T], axis=1)
    used = total > 0
    points, total = points[used] / total[used, None], total[used]
    return Catalog(
        topics.astype(np.float32),
        quality.astype(np.float32),
        points.astype(np.float32),
        np.log(total).astype(np.float32),
        match,
    )


@dataclass(frozen=True)
class Patterns:
    """Typical tastes: one focused on each topic, and last one that is even over all topics."""

    points: NDArray[np.float64]
    """(topics + 1, topics)"""
    log_z: NDArray[np.float32]
    """(topics + 1,)"""
    expected: NDArray[np.float32]
    """(topics + 1, topics) mean topics of the items chosen under each pattern."""

    @classmethod
    def from_catalog(cls, catalog: Catalog) -> Patterns:
        """Return the patterns with their normalizers and means under a catalog."""
        topics = catalog.topics.shape[1]
        even = np.full((1, topics), 1 / topics)
        points = np.concatenate([FOCUS * np.eye(topics) + (1 - FOCUS) * even, even])
        return cls(points, *catalog.log_z(points))

    def nearest(self, weight: NDArray, pull: NDArray, match: float) -> NDArray[np.int64]:
        """Return (users, K): the index of the pattern that explains the items of each taste best.

        weight (users, K): expected number of items of each taste; pull (users, K, topics): sum of their topics.
        """
        return (match * (pull @ self.points.T) - weight[:, :, None] * self.log_z).argmax(axis=2)
