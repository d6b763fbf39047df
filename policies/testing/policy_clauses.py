"""The clauses of the policy contract, one function each; `testing.check_policy` runs them."""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng

from ...errors import BadInput, PolicyError
from ..base import Policy, Ranking
from ..interactions import Observation
from ..registry import build_policy, build_reranker, spec_of
from ..size import Size
from ..validation import validate_ranking
from .example import COLD_USER, example_observation, snapshot

N = 7
"""Length of the rankings that are checked."""

Make = Callable[[], Any]
"""Builds a fresh component on every call."""
Clauses = dict[str, Callable[[Make], None]]


def rng_of(seed: int = 0) -> Generator:
    """Return the generator that the clauses pass in."""
    return default_rng([20, seed])


def _fitted(make: Make, seen: Observation) -> Policy:
    policy = make()
    policy.fit(seen, rng_of())
    return policy


def _ranked(policy: Policy, seen: Observation, users: Any = None, n: int = N, seed: int = 1) -> Ranking:
    users = np.arange(seen.n_users, dtype=np.int32) if users is None else np.asarray(users, np.int32)
    ranking = policy.rank(seen, users, n, rng_of(seed))
    validate_ranking(ranking, seen, users, n)
    _full(ranking, seen, n)
    return ranking


def _full(ranking: Ranking, seen: Observation, n: int) -> None:
    available = np.minimum(seen.available(ranking.users).sum(axis=1), n)
    found = (ranking.items >= 0).sum(axis=1)
    short = np.flatnonzero(found < available)
    assert short.size == 0, (
        f"user {ranking.users[short[0]]} got {found[short[0]]} items although {available[short[0]]} of the "
        f"{n} asked for are available"
    )
    assert np.isneginf(ranking.scores[ranking.items < 0]).all(), "the score beside a -1 must be -inf"


def assert_same(a: Ranking, b: Ranking, when: str) -> None:
    """Assert that two rankings are identical."""
    assert np.array_equal(a.items, b.items), f"other items {when}"
    assert np.array_equal(a.scores, b.scores), f"other scores {when}"


def construction_clause(make: Make) -> None:
    """Clause: a kind, a frozen configuration, a docstring under each field."""
    component = make()
    assert isinstance(getattr(component, "kind", None), str), "the class needs a kind (a string)"
    assert component.config.model_config.get("frozen"), (
        "Config must be frozen: derive it from echodrift.config.Config"
    )
    for name, field in type(component.config).model_fields.items():
        assert field.description, f"the field {name} needs a docstring under it"


def config_clause(make: Make) -> None:
    """Clause: the configuration survives TOML, and unknown fields are refused."""
    import tomli_w

    component = make()
    spec = spec_of(component)
    written = tomllib.loads(tomli_w.dumps(spec))
    build = build_policy if isinstance(component, Policy) else build_reranker
    again = type(component)(**{key: value for key, value in written.items() if key != "kind"})
    assert again.config == component.config, f"the configuration changes on the way through TOML: {spec}"
    if ":" not in spec["kind"] or "<locals>" not in spec["kind"]:
        assert build(written).config == component.config, f"{spec} builds another configuration"
    try:
        type(component)(**{**written, "kind": "x"})
    except BadInput:
        return
    raise AssertionError("an unknown field is accepted: Config must forbid extra fields")


def _shapes(make: Make) -> None:
    seen = example_observation()
    policy = _fitted(make, seen)
    for n in (1, N):
        scores = _ranked(policy, seen, n=n).scores
        assert (scores[:, :-1] >= scores[:, 1:]).all(), "scores must not rise along a row"
    _ranked(policy, seen, users=[])
    _ranked(policy, seen, users=[5, 2])


def _determinism(make: Make) -> None:
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        results = []
        for seed in (1, 2):
            # A policy that draws from the global generators differs between the two passes.
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            seen = example_observation()
            results.append(_ranked(_fitted(make, seen), seen))
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])
    assert_same(results[0], results[1], "from the same observation and generator")


def _availability(make: Make) -> None:
    seen = example_observation()
    assert not seen.live.all() and seen.blocked.bits.any()
    _ranked(_fitted(make, seen), seen, n=seen.n_items)


def _refit(make: Make) -> None:
    results = []
    for _ in range(2):
        policy = _fitted(make, example_observation(rounds=6))
        for rounds in (9, 12):
            seen = example_observation(rounds=rounds)
            policy.fit(seen, rng_of(rounds))
            ranking = _ranked(policy, seen)
        results.append(ranking)
    assert_same(results[0], results[1], "from the same sequence of fits")


def _state(make: Make) -> None:
    seen, later = example_observation(rounds=6), example_observation(rounds=12)
    policy = _fitted(make, seen)
    state = policy.state()
    if state is None:
        return
    for name, value in state.items():
        assert isinstance(value, np.ndarray) and value.dtype != object, (
            f"state {name!r} must be a plain array"
        )
    copy = {name: value.copy() for name, value in state.items()}
    other = make()
    other.restore(copy)
    assert_same(_ranked(policy, seen), _ranked(other, seen), "after state() and restore()")
    for each in (policy, other):
        each.fit(later, rng_of(2))
    assert_same(_ranked(policy, later), _ranked(other, later), "from a refit after state() and restore()")
    third = make()
    third.restore(copy)
    assert_same(
        _ranked(third, seen), _ranked(_fitted(make, seen), seen), "once a state was used: it must be copied"
    )


def _empty_log(make: Make) -> None:
    seen = example_observation(rounds=0)
    policy = _fitted(make, seen)
    _ranked(policy, seen)
    later = example_observation(rounds=12)
    policy.fit(later, rng_of(2))
    _ranked(policy, later)


def _one_user(make: Make) -> None:
    seen = example_observation(users=1)
    _ranked(_fitted(make, seen), seen)


def _cold_user(make: Make) -> None:
    seen = example_observation()
    assert COLD_USER not in seen.log.user
    _ranked(_fitted(make, seen), seen, users=[COLD_USER])


def _newborn(make: Make) -> None:
    policy = _fitted(make, example_observation(items=50, rounds=6))
    grown = example_observation(items=60, rounds=12)
    _ranked(policy, grown)
    _ranked(policy, grown, n=grown.n_items)
    policy.fit(grown, rng_of(2))
    _ranked(policy, grown)


def _cool_downs(make: Make) -> None:
    seen = example_observation()
    policy = _fitted(make, seen)
    before = _ranked(policy, seen)
    who, what = np.repeat(before.users, 2), before.items[:, :2].ravel()
    seen.blocked.set(who, what)
    during = _ranked(policy, seen)
    assert not (during.items[:, :, None] == before.items[:, None, :2]).any(), (
        "an item in its cool-down is shown"
    )
    seen.blocked.clear(who, what)
    _ranked(policy, seen)


def _exhausted(make: Make) -> None:
    seen = example_observation()
    policy = _fitted(make, seen)
    every = np.arange(seen.n_items, dtype=np.int32)
    for user, left in ((0, every[:0]), (1, every[seen.live][:2])):
        seen.blocked.set(np.full(every.size, user, np.int32), every)
        seen.blocked.clear(np.full(left.size, user, np.int32), left)
        got = _ranked(policy, seen, users=[user]).items[0]
        assert sorted(got[got >= 0]) == list(left), f"with {left.size} items left, the row is {got}"
    _ranked(policy, seen, n=seen.n_items + 5)


def _inputs(make: Make) -> None:
    seen = example_observation()
    before = snapshot(seen)
    policy = _fitted(make, seen)
    users = np.arange(seen.n_users, dtype=np.int32)
    policy.rank(seen, users, N, rng_of(1))
    assert np.array_equal(users, np.arange(seen.n_users)), "rank() changed the array of users"
    assert_unchanged(seen, before)


def assert_unchanged(seen: Observation, before: dict[str, Any]) -> None:
    """Assert that nothing in the observation was altered."""
    for name, value in snapshot(seen).items():
        assert np.array_equal(value, before[name]), (
            f"seen.{name} was changed: policies must copy what they alter"
        )


def _fold_in(make: Make) -> None:
    """A policy that can fold in new users gives them valid rankings and leaves everybody else's unchanged."""
    whole = example_observation()
    new = np.array([2, 9], np.int32)
    before = replace(whole, log=whole.log.where(~np.isin(whole.log.user, new)))
    others = np.setdiff1d(np.arange(whole.n_users, dtype=np.int32), new).astype(np.int32)
    policy = _fitted(make, before)
    kept = _ranked(policy, whole, users=others)
    try:
        policy.fold_in(whole, new, rng_of(3))
    except PolicyError:
        return
    _ranked(policy, whole, users=new)
    assert_same(kept, _ranked(policy, whole, users=others), "for users that were not folded in")


def _space(make: Make) -> None:
    component = make()
    for name, where in component.space_for(component.config.model_dump(exclude_none=True)).items():
        assert name in type(component.config).model_fields, f"space names {name}, which is not a field"
        for seed in range(3):
            fields = component.config.model_dump(exclude_none=True) | {name: where.draw(rng_of(seed))}
            type(component)(**fields)


def _memory(make: Make) -> None:
    found = make().memory(Size(users=1000, items=2000, topics=10, entries=1e5))
    assert 0 <= found < math.inf, f"memory() must return a number of bytes, got {found}"


def _global_rng(make: Make) -> None:
    seen = example_observation()
    before = global_states()
    policy = _fitted(make, seen)
    policy.rank(seen, np.arange(seen.n_users, dtype=np.int32), N, rng_of(1))
    assert_no_global_draws(before)


def global_states() -> tuple[Any, Any]:
    """Return the states of numpy's and Python's global generators."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return (state[1].tobytes(), state[2:]), random.getstate()


def assert_no_global_draws(before: tuple[Any, Any]) -> None:
    """Assert that the states of the global generators have not changed."""
    after = global_states()
    assert after[0] == before[0], "numpy's global generator was used: draw from the rng that is passed in"
    assert after[1] == before[1], "the random module was used: draw from the rng that is passed in"


POLICY_CLAUSES: Clauses = {
    "construction": construction_clause,
    "config": config_clause,
    "shapes": _shapes,
    "determinism": _determinism,
    "availability": _availability,
    "refit": _refit,
    "state": _state,
    "empty_log": _empty_log,
    "one_user": _one_user,
    "cold_user": _cold_user,
    "newborn": _newborn,
    "cool_downs": _cool_downs,
    "exhausted": _exhausted,
    "inputs": _inputs,
    "fold_in": _fold_in,
    "space": _space,
    "memory": _memory,
    "global_rng": _global_rng,
}
