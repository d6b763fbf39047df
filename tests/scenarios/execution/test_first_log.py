"""The first log of a seed: made once, the same for every arm, and never changed by one."""

import numpy as np
import pytest
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution import first_log
from echodrift.scenarios.execution.build import build_run
from echodrift.sim.state import State

ARMS = [
    {"name": "organic", "policy": {"kind": "organic"}},
    {"name": "popular", "policy": {"kind": "popularity"}},
    {"name": "long", "policy": {"kind": "random"}, "platform": {"slate": 9, "learn_from": "organic"}},
]
STUDY = {
    "name": "x",
    "rounds": 6,
    "world": {"users": 60, "items": 80, "arrivals": 1.0},
    "behavior": {
        "search": 0.5,
        "repeat": 4,
        "rewiring": 0.5,
        "social": 0.5,
        "word_of_mouth": 0.2,
        "fatigue": 0.2,
    },
    "platform": {"slate": 5, "warmup": 6},
    "arms": ARMS,
}


def states(study, fresh) -> list[State]:
    found = []
    for arm in study.arms:
        if fresh:
            first_log._made_once.cache_clear()
        run = build_run(study, arm, 3)
        for _ in range(study.rounds):
            run.step()
        found.append(run.state())
    return found


@pytest.mark.parametrize("creators", [False, True])
def test_arms_that_share_a_start_run_as_if_each_had_made_its_own(creators):
    study = dict(STUDY)
    if creators:
        study |= {"world": {"users": 60, "items": 80, "creators": {}}, "arms": ARMS[:2]}
    loaded = load_study(study)
    made = first_log._made_once.cache_info
    first_log._made_once.cache_clear()
    shared = states(loaded, fresh=False)
    assert made().misses == 1 and made().hits >= len(loaded.arms) - 1
    for one, other in zip(shared, states(loaded, fresh=True), strict=True):
        assert one.keys() == other.keys()
        assert all(
            np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in one
        )


def test_all_arms_of_a_seed_start_from_one_log_whatever_their_slates():
    study = load_study(STUDY)
    runs = [build_run(study, arm, 3) for arm in study.arms]
    logs = [run.simulation.log.view() for run in runs]
    assert len(logs[0]) > 100
    for log in logs[1:]:
        for name in ("user", "item", "round", "rank", "source"):
            assert np.array_equal(getattr(log, name), getattr(logs[0], name))
    assert len({id(run.simulation.world.users.shares) for run in runs}) == len(runs)
    assert not np.array_equal(
        logs[0].item[:50], build_run(study, study.arms[0], 4).simulation.log.view().item[:50]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"behavior": {**STUDY["behavior"], "search": 0.6}},
        {"world": {**STUDY["world"], "topics": 5}},
        {"platform": {"slate": 6, "warmup": 6}},
        {"platform": {"slate": 5, "warmup": 7}},
        {"rounds": 7},
        {"arms": [*ARMS, {"name": "longer", "policy": {"kind": "random"}, "platform": {"slate": 12}}]},
    ],
)
def test_another_world_has_another_start(change):
    study, other = load_study(STUDY), load_study({**STUDY, **change})
    assert first_log._Key(study) == first_log._Key(
        load_study({**STUDY, "name": "y", "seeds": 9, "arms": ARMS[::-1]})
    )
    assert first_log._Key(study) != first_log._Key(other)


def test_a_large_world_is_not_kept(monkeypatch):
    monkeypatch.setattr(first_log, "MOST_PAIRS", 100)
    first_log._made_once.cache_clear()
    build_run(load_study(STUDY), load_study(STUDY).arms[0], 3)
    assert first_log._made_once.cache_info().misses == 0
