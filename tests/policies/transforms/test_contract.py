"""Every log transform holds the contract; the contract catches transforms that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.errors import BadInput
from echodrift.policies.base import LogTransform
from echodrift.policies.registry import build_log_transform, kinds
from echodrift.policies.testing import check_log_transform
from echodrift.policies.testing.log_transform_clauses import LOG_TRANSFORM_CLAUSES, example_with_exposures

CATALOG = [
    ("position_debias", {}),
    ("position_debias", {"attention": 0.85, "self_normalized": True}),
    ("position_debias", {"attention": 1.5, "examination": "power", "max_weight": 2.0}),
    ("selection_debias", {}),
    ("selection_debias", {"exponent": 1.0, "sources": ["organic", "imported"], "self_normalized": False}),
    ("downweight_slate", {}),
    ("downweight_slate", {"weight": 0.0}),
    ("downweight_slate", {"weight": 1.0}),
    ("recent_window", {"rounds": 3}),
    ("purge", {}),
    ("purge", {"sources": ["slate"], "first": 2, "last": 8, "share": 0.3, "seed": 4}),
]


@pytest.mark.parametrize("clause", LOG_TRANSFORM_CLAUSES)
@pytest.mark.parametrize(("kind", "fields"), CATALOG, ids=str)
def test_contract(kind, fields, clause):
    assert check_log_transform(kind, skip=LOG_TRANSFORM_CLAUSES.keys() - {clause}, **fields) == [clause]


def test_the_catalog_holds_every_kind():
    assert {kind for kind, _ in CATALOG} == set(kinds("log_transforms"))


class Mutates(LogTransform):
    def prepare(self, seen):
        if len(seen.log):
            seen.log.item[0] = 0 if seen.log.item[0] else 1
        return seen


class Backwards(LogTransform):
    def prepare(self, seen):
        log = seen.log
        columns = (log.user, log.item, log.round, log.rank, log.source)
        return replace(seen, log=type(log)(*(c[::-1] for c in columns)))


class Secret(LogTransform):
    def prepare(self, seen):
        return replace(seen, log=replace(seen.log, weight=np.full(len(seen.log), 2, np.float32)))


class Forgets(Secret):
    @property
    def weighs(self):
        return True


class Frees(LogTransform):
    def prepare(self, seen):
        return replace(seen, live=np.ones_like(seen.live))


class Draws(LogTransform):
    def prepare(self, seen):
        return seen.without(np.random.random(len(seen.log)) < 0.5)  # noqa: NPY002


class Invents(LogTransform):
    def prepare(self, seen):
        return replace(seen, log=replace(seen.log, rank=seen.log.rank + np.int16(1)))


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Mutates, "inputs"),
        (Backwards, "log_only"),
        (Secret, "log_only"),
        (Forgets, "present_weights"),
        (Frees, "log_only"),
        (Draws, "determinism"),
        (Invents, "log_only"),
    ],
)
def test_the_contract_catches(broken, clause):
    with pytest.raises(AssertionError, match=f'fails the clause "{clause}"'):
        check_log_transform(broken)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "position_debias", "attention": 1.2}, "at most 1 in a cascade"),
        ({"kind": "position_debias", "attention": 0}, "must be above 0"),
        ({"kind": "position_debias", "attention": "guess"}, 'a number above 0, or "estimate"'),
        ({"kind": "position_debias", "max_weight": 0.5}, "max_weight"),
        ({"kind": "downweight_slate", "weight": 1.5}, "weight: must be at least 0 and at most 1, but is 1.5"),
        ({"kind": "purge", "first": 5, "last": 2}, "first = 5 is after last = 2"),
        ({"kind": "purge", "sources": ["slat"]}, "sources"),
        ({"kind": "purge", "sources": []}, "names nothing to drop"),
        ({"kind": "selection_debias", "sources": []}, "names nothing to weigh"),
        ({"kind": "recent_window", "round": 3}, 'Did you mean "rounds"'),
        ({"kind": "position_debiass"}, 'Did you mean "position_debias"'),
    ],
)
def test_bad_settings_are_answered_in_a_sentence(spec, message):
    with pytest.raises(BadInput, match=message):
        build_log_transform(spec)


def test_a_list_of_transforms_composes():
    seen = example_with_exposures()
    specs = [
        {"kind": "position_debias", "attention": 0.8},
        {"kind": "downweight_slate", "weight": 0.5},
        {"kind": "recent_window", "rounds": 5},
        {"kind": "purge", "sources": ["imported"]},
    ]
    for spec in specs:
        seen = build_log_transform(spec).prepare(seen)
    log = seen.log
    assert len(log) and (log.round >= 7).all() and not (log.source == 3).any()
    wanted = np.where(log.source == 0, 0.5 * 0.8 ** -(log.rank.astype(float) - 1), 1.0)
    np.testing.assert_allclose(log.weight, np.minimum(wanted, 5), rtol=1e-6)
