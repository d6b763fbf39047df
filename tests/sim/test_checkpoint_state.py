"""A run that goes on from its state is the run that was never interrupted: every object of it, attribute by attribute.

The reference is the uninterrupted run itself. `graph` walks everything that a run holds, so what somebody adds later
and forgets to keep shows here without a test of its own.
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from echodrift.policies.registry import kinds
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.execution.build import build_run
from echodrift.sim import checkpoint
from echodrift.sim.recommender import PolicyRecommender
from scipy import sparse

DERIVED = {
    "_known_tags": "tags of the born items, copied again when there are new ones",
    "_baskets": "work space of the window, filled anew in every round",
    "_packed": "which round that work space holds",
    "_unit": "normalized topics, computed anew in every round where creators make items",
    "_order": "items by demand, computed again when it is missing",
    "_ordered": "for how many items that is",
    "_histories": "what persona explains with; no ranking reads it",
    "_means": "expectations under the posterior, computed again when they are missing",
    "_all_idiosyncrasies": "counter-based draws, drawn again",
    "has_providers": "whether some provider has two items of the first catalog, computed when asked for",
    "takes_per_round": "the width of `recent`, computed when asked for",
    "pi": "topic weights, computed when asked for",
    "transforms": "set from the schedule before each fit",
    "seconds": "the wall time of each phase, which nothing depends on",
    "_build_seconds": "wall time",
}
"""Attributes that a run works out again by itself."""
WORLD = {"users": 40, "items": 61, "topics": 5, "communities": 3}
BEHAVIOR = {
    "repeat": 3,
    "word_of_mouth": 0.3,
    "rewiring": 0.2,
    "fatigue": 0.5,
    "social": 0.4,
    "appetite_spread": 1,
}
PLATFORM = {"warmup": 12, "retrain_every": 4, "slate": 4, "keep_exposures": 6}
MF = {"kind": "matrix_factorization", "dim": 3}
CREATORS = {"production": 0.2, "entry": 1.0, "imitation": 0.5, "patience": 3, "threshold": 2.0}
SWITCHES = [
    {"round": 3, "purge": [{"kind": "purge", "sources": ["slate"]}]},
    {"round": 4, "rerank": [{"kind": "exposure_fair"}], "users": 0.6, "ramp": 5},
    {"round": 5, "until": 8, "policy": {"kind": "popularity"}, "users": 0.5},
    {"round": 6, "transform": [{"kind": "position_debias"}]},
    {"round": 7, "slate": 6, "users": "community=1"},
    {"round": 9, "retrain_every": 2},
]
LIGHT = {
    "bandit": {"strategy": "thompson", "policy": MF},
    "hashed_mf": {"dim": 3, "iterations": 2, "slots": 20},
    "list_mf": {"dim": 3, "iterations": 2},
    "mult_dae": {"dim": 4, "iterations": 2},
    "mult_vae": {"hidden": 6, "dim": 3, "iterations": 2},
    "persona": {"dim": 3, "iterations": 2},
    "sequential": {"dim": 4, "max_length": 4, "iterations": 2},
    "social_poisson": {"dim": 3, "iterations": 5},
    "spectral_mf": {"dim": 4, "effective_rank": 2.0, "iterations": 3},
}
STATELESS = {
    "adapter": {"model": "implicit.als:AlternatingLeastSquares", "arguments": {"factors": 2}},
    "http": {"url": "http://127.0.0.1:9"},
}


def graph(thing, path="run", found=None, seen=None):
    """Return path → value for every array, number and text that an object holds, however deep."""
    found, seen = ({}, {}) if found is None else (found, seen)
    if isinstance(thing, np.ndarray):
        found[path] = thing.copy()
    elif thing is None or isinstance(thing, (bool, int, float, str, np.generic)):
        found[path] = thing
    elif id(thing) in seen:
        return found
    else:
        seen[id(thing)] = thing
        for name, value in _inside(thing):
            if name.strip(".") not in DERIVED:
                graph(value, path + name, found, seen)
    return found


def _inside(thing):
    if sparse.issparse(thing):
        return [(f".{name}", getattr(thing, name)) for name in ("data", "indices", "indptr", "shape")]
    if isinstance(thing, dict):
        return [
            ("#keys", str(sorted(map(str, thing)))),
            *((f"[{key}]", value) for key, value in thing.items()),
        ]
    if isinstance(thing, (list, tuple, deque)):
        return [("#size", len(thing)), *((f"[{place}]", value) for place, value in enumerate(thing))]
    if isinstance(thing, (set, frozenset)):
        return [("#members", str(sorted(map(str, thing))))]
    if type(thing).__name__ == "InteractionLog":  # beyond its size lies what nobody reads
        return [(f".{name}", column) for name, column in thing.state().items()]
    if type(thing).__module__.startswith("echodrift"):
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        held = {
            **getattr(thing, "__dict__", {}),
            **{n: getattr(thing, n) for n in slots if hasattr(thing, n)},
        }
        return [(f".{name}", value) for name, value in held.items()]
    return [("#kind", type(thing).__name__)]


def differences(one, other):
    one, other = graph(one), graph(other)
    return sorted(one.keys() ^ other.keys()) + [
        path for path in one.keys() & other.keys() if not _same(one[path], other[path])
    ]


def _same(one, other):
    if isinstance(one, np.ndarray) != isinstance(other, np.ndarray):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes() and one.shape == other.shape
    both_nan = isinstance(one, float) and isinstance(other, float) and np.isnan(one) and np.isnan(other)
    return both_nan or one == other


def through_a_file(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def planned(rounds=12, world=None, behavior=None, platform=None, measures=(), **arm):
    study = {
        "name": "t",
        "rounds": rounds,
        "seeds": 1,
        "measures": list(measures),
        "world": {**WORLD, **(world or {})} if "log" not in (world or {}) else world,
        "behavior": {**BEHAVIOR, **(behavior or {})},
        "platform": {**PLATFORM, **(platform or {})},
        "arms": [{"name": "a", "policy": MF, **arm}],
    }
    return expand(load_study(study))[0]


def built(run, rounds=0):
    made = build_run(run.study, run.arm, run.world_seed)
    for _ in range(rounds):
        made.step()
    return made


def check(cuts=(5, 10), **fields):
    """Go on from the state after some rounds, and from a run that was laid out for no more than these."""
    run = planned(**fields)
    whole, resumed = built(run), []
    for round in range(run.study.rounds + 1):
        if round in cuts:
            again = built(run)
            again.restore(through_a_file(whole.state()))
            assert differences(whole, again) == [], f"after round {round}"
            resumed.append(again)
        if round < run.study.rounds:
            whole.step()
    short = built(planned(**{**fields, "rounds": cuts[-1]}), cuts[-1])
    longer = built(run)
    longer.restore(through_a_file(short.state()))
    for again in [*resumed, longer]:
        while len(again.rows) < run.study.rounds:
            again.step()
        assert differences(whole, again) == []
        assert pd.DataFrame(whole.rows).equals(pd.DataFrame(again.rows))
        tables = again.tables()
        assert all(pd.DataFrame(of).equals(pd.DataFrame(tables[name])) for name, of in whole.tables().items())
    assert pd.DataFrame(whole.rows[: cuts[-1]]).equals(pd.DataFrame(short.rows))
    assert whole.notes == resumed[0].notes
    return whole


@pytest.mark.parametrize(
    "fields",
    [
        {"switch": SWITCHES, "rerank": [{"kind": "calibrated"}]},
        {"world": {"providers": 8, "creators": CREATORS}},
        {"platform": {"learn_from": "organic"}, "world": {"arrivals": 2.0, "retire": "random"}},
    ],
    ids=["switches", "creators", "organic"],
)
def test_goes_on_as_if_nothing_had_happened(fields):
    check(
        measures=["niche_exposure", "extinct_share", "homogenization", "exhausted_share", "regret"], **fields
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(kinds()) - set(STATELESS)))
def test_every_policy(kind):
    """Rounds 5 and 10 lie in the middle of a refit interval of 4."""
    check(policy={"kind": kind, **LIGHT.get(kind, {})}, measures=["niche_exposure"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds("rerankers"))
def test_every_reranker(kind):
    check(rerank=[{"kind": kind}], measures=["niche_exposure"], world={"providers": 8})


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"policy": {"kind": "organic"}},
        {"policy": {"kind": "oracle_item"}, "world": {"arrivals": 3.0, "retirements": 1.0}},
        {"policy": {"kind": "oracle_slate"}, "world": {"providers": 8, "creators": CREATORS}},
        {"platform": {"learn_from": "warmup", "hidden_ties": 0.3}},
        {
            "platform": {"learn_from": "organic"},
            "switch": [{"round": 4, "purge": [{"kind": "purge", "share": 0.3}]}],
        },
        {"behavior": {"repeat": "never"}, "world": {"items": 200}},
        {"transform": [{"kind": "selection_debias"}, {"kind": "recent_window", "rounds": 4}]},
        {"rerank": [{"kind": "explore", "strategy": "thompson"}, {"kind": "exposure_fair"}]},
        {"cuts": (0, 1, 12)},
    ],
    ids=["organic", "oracle", "creators", "warmup", "purge", "never", "transforms", "rerankers", "ends"],
)
def test_every_feature_with_all_measures(fields):
    check(**fields)


@pytest.mark.slow
def test_a_world_from_a_log(tmp_path):
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.integers(0, 30, 900), rng.integers(0, 50, 900)], axis=1).tolist()
    rows = [f"{user},{item},{time}" for time, (user, item) in enumerate(pairs)]
    (tmp_path / "log.csv").write_text("userId,itemId,timestamp\n" + "\n".join(rows))
    check(world={"log": str(tmp_path / "log.csv"), "topics": 4, "arrivals": 2.0})


def test_the_walk_sees_what_is_forgotten(monkeypatch):
    """Each of these is one thing less in the state: the comparison above must notice."""
    run = planned(switch=SWITCHES, rerank=[{"kind": "exposure_fair"}], measures=["coverage"])
    whole = built(run, 7)
    state = whole.state()
    start = built(run).state()
    forgotten = [
        "simulation.world.users.shares",
        "simulation.world.users.neutral",
        "simulation.world.users.fatigue",
        "simulation.world.graph.indices",
        "simulation.world.recent",
        "simulation.world.taken",
        "simulation.recommender.in_use",
        "recorder.measures.Window.consumed",
        "recorder._tastes.last",
    ]
    for name in forgotten:
        again = built(run)
        again.restore({**state, name: start[name]})
        assert differences(whole, again), name
    kept = PolicyRecommender.state
    monkeypatch.setattr(
        PolicyRecommender,
        "state",
        lambda self: {**kept(self), "remarks": np.array(["x"] * len(self._remarks))},
    )
    again = built(run)
    again.restore(whole.state())
    assert not whole.simulation.recommender.remarks or differences(whole, again)


@pytest.mark.parametrize("creators", [None, CREATORS])
def test_what_is_not_kept_never_changes(creators):
    world = {"providers": 8, "creators": creators} if creators else {"arrivals": 2.0}
    run = planned(world=world, measures=["niche_exposure"])
    made = built(run)

    def fixed():
        found = {"behavior": made.simulation.world.behavior}
        for owner, names in checkpoint.CONSTANT_FIELDS.items():
            holder = getattr(made.simulation.world, owner) if owner else made.simulation.world
            found |= {f"{owner}.{name}": getattr(holder, name) for name in names if holder is not None}
        if not creators:
            items = made.simulation.world.items
            found |= {f"items.{each.name}": getattr(items, each.name) for each in fields(items)}
        return graph(found)

    before = fixed()
    for _ in range(run.study.rounds):
        made.step()
    after = fixed()
    assert [name for name in before if not _same(before[name], after[name])] == []


def test_a_field_of_an_unknown_kind_is_refused():
    made = built(planned(measures=["niche_exposure"]))
    made.simulation.world.graph.indices = {"a": 1}
    with pytest.raises(TypeError, match="cannot store graph.indices"):
        made.state()


@pytest.mark.parametrize("kind", STATELESS)
def test_a_policy_without_a_state_says_so(kind):
    made = built(planned(policy={"kind": kind, **STATELESS[kind]}, measures=["niche_exposure"]))
    assert not made.simulation.recommender.policy.keeps_state
    assert made.state() is None
    hidden = {"kind": kind, **STATELESS[kind]}
    late = built(planned(switch=[{"round": 5, "policy": hidden}], measures=["niche_exposure"]))
    assert late.state() is None


def test_a_state_does_not_fit_another_study():
    state = built(planned(measures=["niche_exposure"]), 3).state()
    for other in ({"world": {"users": 41}}, {"rounds": 2}, {"world": {"providers": 8, "creators": CREATORS}}):
        with pytest.raises((ValueError, KeyError)):
            built(planned(measures=["niche_exposure"], **other)).restore(state)
