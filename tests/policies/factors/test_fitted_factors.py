"""What factor models say of a log that is too small for them, or of regularization that left nothing."""

from __future__ import annotations

import numpy as np
import pytest
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


@pytest.fixture
def about(observe):
    """Return a search in the remarks on a log in which four of five users took six of nine items each."""

    def found(word: str, spec: dict, **fields) -> list[str]:
        policy = build_policy({**spec, **fields, "iterations": 2})
        policy.fit(observe(*np.divmod(np.arange(24), 6), users=5, items=9), default_rng(0))
        return [remark for remark in policy.remarks() if word in remark]

    return found


@pytest.mark.parametrize("spec", SPECS)
def test_more_dimensions_than_the_log_has_users_or_items(about, spec):
    """Who has how many dimensions, how many there were to learn from, and what to change."""
    (said,) = about("has dim", spec, dim=5)
    assert said.startswith(f"warning: {spec['kind']} has dim = 5") and "4 users and 6 items" in said
    assert "Lower dim" in said and "longer log" in said
    assert about("has dim", spec, dim=4) == []


@pytest.mark.parametrize("kind", ["matrix_factorization", "ials", "spectral_mf", "social_mf"])
def test_regularization_that_leaves_no_factors(about, kind):
    assert about("too strong for this log", {"kind": kind}, dim=2, regularization=0.01) == []
    said = about("too strong for this log", {"kind": kind}, dim=2, regularization=1e7)
    assert len(said) == 1 and said[0].startswith("warning: regularization = 1e+07 is")
