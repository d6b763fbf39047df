"""What tests of several policies share: observations of logs written by hand."""

from dataclasses import replace

import numpy as np
import pytest
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation


@pytest.fixture(scope="session")
def observe():
    """Return a maker of observations: observe(user, item, users, items), entries in time order, no ties.

    Without counts of users and items, they end with the last that has an entry; `more` are fields of
    the observation.
    """

    def make(user, item, users=None, items=None, rounds=0, ranks=0, now=100, tags=None, **more):
        user, item = np.asarray(user, np.int32), np.asarray(item, np.int32)
        users = int(user.max()) + 1 if users is None else users
        items = int(item.max()) + 1 if items is None else items
        rounds, ranks = (np.broadcast_to(np.asarray(column), user.shape) for column in (rounds, ranks))
        source = np.zeros(user.size, np.int8)
        log = Interactions(user, item, rounds.astype(np.int32), ranks.astype(np.int16), source)
        ties = Friends(np.zeros(users + 1, np.int64), np.empty(0, np.int32))
        tags = np.ones((items, 1), np.float32) if tags is None else np.asarray(tags, np.float32)
        live = np.ones(items, bool)
        seen = Observation(now, users, items, log, tags, live, Blocked(users, items), ties)
        return replace(seen, **more)

    return make


@pytest.fixture(scope="session")
def observe_counts(observe):
    """Return a maker of observations from a matrix of counts (users, items), which may be dense or nested lists."""

    def make(counts, **more):
        counts = np.asarray(counts, int)
        user, item = (np.repeat(ids, counts[counts > 0]) for ids in np.nonzero(counts))
        return observe(user, item, *counts.shape, **more)

    return make


@pytest.fixture(scope="session")
def recall():
    """Return the share of held-out pairs among the first n: recall(policy, seen, held (users, items), n)."""

    def of(policy, seen, held, n=10):
        everyone = np.arange(seen.n_users, dtype=np.int32)
        items = policy.rank(seen, everyone, n, np.random.default_rng(0)).items
        hits = np.take_along_axis(held, items, axis=1).sum(axis=1)
        size = held.sum(axis=1)
        return (hits[size > 0] / np.minimum(size[size > 0], n)).mean()

    return of


@pytest.fixture(scope="session")
def ndcg():
    """Return a judge of held-out entries, all of one weight: ndcg(policy, seen, user, item, n)."""

    def of(policy, seen, user, item, n=10):
        users = np.unique(user).astype(np.int32)
        wanted = np.zeros((seen.n_users, seen.n_items), bool)
        wanted[user, item] = True
        hits = wanted[users[:, None], policy.rank(seen, users, n, np.random.default_rng(0)).items]
        discount = 1 / np.log2(np.arange(2, n + 2))
        ideal = np.cumsum(discount)[np.minimum(wanted[users].sum(axis=1), n) - 1]
        return float(((hits * discount).sum(axis=1) / ideal).mean())

    return of
