"""Small worlds for rerankers: histories by hand, all items as candidates."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.policies.base import Ranking


def _ranking(scores) -> Ranking:
    """All items for every user, best first."""
    scores = np.atleast_2d(np.asarray(scores, np.float32))
    order = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
    return Ranking(np.arange(len(scores), dtype=np.int32), order, np.take_along_axis(scores, order, axis=1))


def _scaled(scores):
    """Minmax of one user's scores."""
    scores = np.asarray(np.float32(scores), np.float64)
    return (scores - scores.min()) / (scores.max() - scores.min())


def _mixtures(rng, items, topics):
    """Tags of one to three topics."""
    tags = rng.dirichlet(np.full(topics, 0.3), items)
    tags[rng.random(tags.shape) < 0.4] = 0
    tags[tags.sum(axis=1) == 0, 0] = 1
    return (tags / tags.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def observation(observe):
    """Return a maker of observations: observation(tags, histories), a list of items for every user.

    Each entry is at its round (default 0), and the log in the order of the rounds.
    """

    def make(tags, histories, rounds=None, now=10, **more):
        user = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
        item = np.array([item for history in histories for item in history], np.int32)
        when = np.zeros(len(item), np.int32) if rounds is None else np.concatenate(rounds)
        order = np.argsort(when, kind="stable")
        shape = len(histories), len(tags)
        return observe(user[order], item[order], *shape, when[order], now=now, tags=tags, **more)

    return make


@pytest.fixture(scope="session")
def ranking_of():
    return _ranking


@pytest.fixture(scope="session")
def minmax():
    return _scaled


@pytest.fixture(scope="session")
def mixtures():
    return _mixtures
