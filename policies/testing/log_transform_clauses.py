"""The clauses of the log transform contract, one function each; `testing.check_log_transform` runs them."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace

import numpy as np

from ...errors import BadInput
from ..base import LogTransform
from ..interactions import Exposures, Interactions, Observation, Source
from ..registry import build_log_transform, build_policy, spec_of
from ..validation import validate_ranking
from .example import example_observation, snapshot
from .policy_clauses import (
    Clauses,
    Make,
    assert_no_global_draws,
    assert_unchanged,
    construction_clause,
    global_states,
    rng_of,
)

SLATE = 5
"""Length of the slates in the example."""


def example_with_exposures(users: int = 24, rounds: int = 12) -> Observation:
    """Return the example with entries from all sources, and with the slates of the second half of its rounds."""
    seen = example_observation(users=users, rounds=rounds)
    log, rng = seen.log, np.random.default_rng(11)
    source = rng.choice(4, 1000, p=[0.6, 0.2, 0.1, 0.1])[: len(log)].astype(np.int8)
    source[(source == Source.IMPORTED) & (log.round > 0)] = Source.SLATE
    rank = np.where(source == Source.SLATE, rng.integers(1, SLATE + 1, 1000)[: len(log)], 0).astype(np.int16)
    log = replace(log, source=source, rank=rank)
    kept = []
    for round in range(rounds // 2, rounds):
        here = np.flatnonzero((log.round == round) & (source == Source.SLATE))
        slates = np.stack([rng.permutation(seen.n_items)[:SLATE] for _ in range(users)]).astype(np.int32)
        for at in here:
            row, place, item = slates[log.user[at]], rank[at] - 1, log.item[at]
            row[row == item] = row[place]
            row[place] = item
        organic = np.zeros(users, bool)
        organic[log.user[(log.round == round) & (source == Source.ORGANIC)]] = True
        kept.append(Exposures(round, np.arange(users, dtype=np.int32), slates, organic))
    return replace(seen, log=log, exposures=tuple(kept))


def _prepared(transform: LogTransform, seen: Observation) -> Observation:
    """Prepare, and assert that only the log has changed and that it is still valid."""
    result = transform.prepare(seen)
    assert isinstance(result, Observation), (
        f"prepare() must return an Observation, got {type(result).__name__}"
    )
    for field in fields(Observation):
        kept = field.name == "log" or getattr(result, field.name) is getattr(seen, field.name)
        assert kept, f"seen.{field.name} was replaced: a log transform changes seen.log only"
    log = result.log
    for field in fields(Interactions):
        column, before = getattr(log, field.name), getattr(seen.log, field.name)
        if field.name == "weight" and column is None:
            continue
        kind = np.dtype(np.float32) if field.name == "weight" else before.dtype
        fits = isinstance(column, np.ndarray) and column.shape == log.user.shape and column.dtype == kind
        assert fits, f"log.{field.name} must be an array of shape ({log.user.size},) and type {kind}"
    assert (np.diff(log.round) >= 0).all(), "the log must stay in time order"
    assert not set(_rows(log)) - set(_rows(seen.log)), "an entry was added that was not in the log"
    if log.weight is not None:
        assert np.isfinite(log.weight).all() and (log.weight >= 0).all(), "weights must be finite, at least 0"
        # A policy that ignores weights would silently learn from something else.
        alike = seen.log.weight is not None or (log.weight == 1).all()
        assert transform.weighs or alike, "it gives entries weights: `weighs` must say so"
    return result


def _rows(log: Interactions) -> list[tuple[int, ...]]:
    return list(
        zip(*(c.tolist() for c in (log.user, log.item, log.round, log.rank, log.source)), strict=True)
    )


def _same(a: Observation, b: Observation, when: str) -> None:
    assert _rows(a.log) == _rows(b.log), f"other entries {when}"
    assert np.array_equal(_weights(a), _weights(b)), f"other weights {when}"


def _weights(seen: Observation) -> np.ndarray:
    return np.ones(len(seen.log), np.float32) if seen.log.weight is None else seen.log.weight


def _config(make: Make) -> None:
    import tomli_w

    component = make()
    spec = spec_of(component)
    written = tomllib.loads(tomli_w.dumps(spec))
    again = type(component)(**{key: value for key, value in written.items() if key != "kind"})
    assert again.config == component.config, f"the configuration changes on the way through TOML: {spec}"
    if ":" not in spec["kind"] or "<locals>" not in spec["kind"]:
        built = build_log_transform(written)
        assert built.config == component.config, f"{spec} builds another configuration"
    try:
        type(component)(**{**written, "kind": "x"})
    except BadInput:
        return
    raise AssertionError("an unknown field is accepted: Config must forbid extra fields")


def _log_only(make: Make) -> None:
    for rounds in (1, 4, 12):
        _prepared(make(), example_with_exposures(rounds=rounds))


def _determinism(make: Make) -> None:
    transform = make()
    first = _prepared(transform, example_with_exposures())
    _same(first, _prepared(transform, example_with_exposures()), "from the same observation, the second time")
    _same(first, _prepared(make(), example_with_exposures()), "from the same observation and a new transform")


def _present_weights(make: Make) -> None:
    plain = example_with_exposures()
    halved = replace(plain, log=replace(plain.log, weight=np.full(len(plain.log), 0.5, np.float32)))
    a, b = _prepared(make(), plain), _prepared(make(), halved)
    assert _rows(a.log) == _rows(b.log), "other entries where all weights are 0.5"
    scaled = np.allclose(_weights(b), 0.5 * _weights(a), rtol=1e-5)
    assert scaled, "existing weights of entries must be multiplied, not replaced or lost"


def _learnable(make: Make) -> None:
    seen = example_with_exposures()
    policy = build_policy({"kind": "popularity"})
    policy.fit(_prepared(make(), seen), rng_of())
    users = np.arange(seen.n_users, dtype=np.int32)
    validate_ranking(policy.rank(seen, users, SLATE, rng_of(1)), seen, users, SLATE)


def _empty_log(make: Make) -> None:
    assert len(_prepared(make(), example_with_exposures(rounds=0)).log) == 0


def _one_user(make: Make) -> None:
    _prepared(make(), example_with_exposures(users=1))


def _inputs(make: Make) -> None:
    seen = example_with_exposures()
    before = snapshot(seen)
    kept = [(e.users.copy(), e.slates.copy(), e.organic.copy()) for e in seen.exposures]
    make().prepare(seen)
    assert_unchanged(seen, before)
    for e, copies in zip(seen.exposures, kept, strict=True):
        parts = zip((e.users, e.slates, e.organic), copies, strict=True)
        assert all(np.array_equal(a, b) for a, b in parts), "seen.exposures was changed"


def _global_rng(make: Make) -> None:
    before = global_states()
    make().prepare(example_with_exposures())
    assert_no_global_draws(before)


LOG_TRANSFORM_CLAUSES: Clauses = {
    "construction": construction_clause,
    "config": _config,
    "log_only": _log_only,
    "determinism": _determinism,
    "present_weights": _present_weights,
    "learnable": _learnable,
    "empty_log": _empty_log,
    "one_user": _one_user,
    "inputs": _inputs,
    "global_rng": _global_rng,
}
