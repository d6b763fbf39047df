"""Rankings that are not allowed are refused, with the user and the position."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.baselines import Popularity
from echodrift.policies.content import Content
from echodrift.policies.factors.matrix_factorization import MatrixFactorization
from echodrift.policies.testing.example import example_observation
from echodrift.policies.validation import validate_ranking
from numpy.random import default_rng


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def spoil(items=None, scores=None):
    seen = example_observation()
    users = everyone(seen)
    policy = Popularity()
    policy.fit(seen, default_rng(0))
    ranking = policy.rank(seen, users, 5, default_rng(0))
    validate_ranking(ranking, seen, users, 5)
    for (row, column), value in (items or {}).items():
        ranking.items[row, column] = value
    for (row, column), value in (scores or {}).items():
        ranking.scores[row, column] = value
    return ranking, seen, users


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"items": {(2, 1): 60}}, "user 2, position 2: item 60 does not exist: ids run from 0 to 59"),
        ({"items": {(2, 1): -2}}, "item -2 does not exist"),
        ({"items": {(3, 0): -1}}, "user 3, position 2: item .* follows a -1"),
        ({"items": {(0, 4): 4}}, "item 4 is not live"),
        ({"items": {(7, 3): 59, (7, 4): 59}}, "user 7, position 5: item 59 is listed twice"),
        ({"scores": {(1, 0): np.nan}}, "score of item .* is nan"),
        ({"scores": {(1, 0): np.inf}}, "score of item .* is inf"),
    ],
)
def test_a_bad_ranking_is_named_with_user_and_position(change, says):
    with pytest.raises(PolicyError, match=says):
        validate_ranking(*spoil(**change), 5)


def test_validation_sees_cool_downs_and_allows_short_rows():
    ranking, seen, users = spoil(items={(0, 4): -1}, scores={(0, 4): -np.inf})
    validate_ranking(ranking, seen, users, 5)
    seen.blocked.set(users[6:7], ranking.items[6, 2:3])
    with pytest.raises(PolicyError, match="user 6, position 3: .* in its cool-down"):
        validate_ranking(ranking, seen, users, 5)


@pytest.mark.parametrize("policy", [Popularity, Content, MatrixFactorization])
def test_ranking_before_fitting_is_refused(policy):
    seen = example_observation()
    with pytest.raises(PolicyError, match=r"rank\(\) before fit\(\)"):
        policy().rank(seen, everyone(seen), 3, default_rng(0))
