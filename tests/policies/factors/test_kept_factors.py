"""What factor models say of a log that is too small for them, or of regularization that left nothing: one wording."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation
from echodrift.policies.registry import build_policy
from numpy.random import default_rng

SPECS = [
    {"kind": "matrix_factorization"},
    {"kind": "matrix_factorization", "model": "bpr"},
    {"kind": "ials"},
    {"kind": "spectral_mf"},
    {"kind": "social_mf"},
    {"kind": "list_mf"},
    {"kind": "hashed_mf"},
]


def observe() -> Observation:
    """Four of five users take six of nine items; as many pairs as make a full matrix of these."""
    user, item = np.divmod(np.arange(24, dtype=np.int32), np.int32(6))
    log = Interactions(user, item, np.zeros(24, np.int32), np.zeros(24, np.int16), np.zeros(24, np.int8))
    ties = Friends(np.zeros(6, np.int64), np.empty(0, np.int32))
    return Observation(9, 5, 9, log, np.ones((9, 2), np.float32) / 2, np.ones(9, bool), Blocked(5, 9), ties)


def about(word: str, spec: dict, **fields) -> list[str]:
    policy = build_policy({**spec, **fields, "iterations": 2})
    policy.fit(observe(), default_rng(0))
    return [remark for remark in policy.remarks() if word in remark]


@pytest.mark.parametrize("spec", SPECS)
def test_more_dimensions_than_the_log_has_users_or_items(spec):
    (said,) = about("has dim", spec, dim=5)
    assert said == (
        f"warning: {spec['kind']} has dim = 5, but its last fit saw only 4 users and 6 items with entries: too few to "
        "learn 5 dimensions from. Lower dim, or give it a longer log"
    )
    assert about("has dim", spec, dim=4) == []


@pytest.mark.parametrize("kind", ["matrix_factorization", "ials", "spectral_mf", "social_mf"])
def test_regularization_that_leaves_no_factors(kind):
    assert about("too strong for this log", {"kind": kind}, dim=2, regularization=0.01) == []
    said = about("too strong for this log", {"kind": kind}, dim=2, regularization=1e7)
    assert len(said) == 1 and said[0].startswith("warning: regularization = 1e+07 is")
