"""How often people come: the heavy tail, its bounds, and populations of which nobody would come."""

import numpy as np
import pytest
from echodrift.agents.behavior import LEAST_ACTIVITY, RARE, Behavior
from echodrift.agents.generate import check_consideration, check_world
from echodrift.agents.settings import WorldConfig
from echodrift.analysis.measures.exposure import gini
from echodrift.analysis.recording.recorder import Recorder
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.build import build_run


def test_the_tail_keeps_the_mean_and_makes_few_users_visit_most(make_world):
    settings = {"activity": 0.05, "activity_sd": 0.0}
    flat = make_world(users=20_000, behavior=settings, graph={"kind": "none"}).users.activity
    tail = make_world(
        users=20_000, behavior={**settings, "activity_tail": 1.0}, graph={"kind": "none"}
    ).users.activity
    assert flat == pytest.approx(np.full(20_000, 0.05))
    assert tail.mean() == pytest.approx(0.05, rel=0.05)
    assert np.log(tail).std() == pytest.approx(1.0, abs=0.03)
    # The Gini coefficient of a log-normal distribution is 2Φ(σ/√2) − 1.
    assert gini(tail.astype(float)) == pytest.approx(0.5205, abs=0.02)
    assert tail.min() >= LEAST_ACTIVITY and tail.max() <= 1


def test_rare_visitors_are_left_out_of_means_that_weight_by_activity(make_simulation):
    simulation = make_simulation(users=200, behavior={"activity": 0.5, "activity_sd": 0.0})
    activity = simulation.world.users.activity
    activity[:50] = RARE / 2
    recorder = Recorder(simulation, ["dominant_hit_rate"])
    now = simulation.step()
    seldom = activity[now.users] < RARE
    hits = now.choices.hit[~seldom, 0]
    assert recorder.rows[0]["dominant_hit_rate"] == pytest.approx(hits.mean())


def test_their_share_is_told(make_simulation):
    arms = [{"name": "a", "policy": {"kind": "organic"}}]
    study = {"name": "x", "rounds": 2, "world": {"users": 100, "items": 50}, "arms": arms}
    [note] = build_run(
        load_study({**study, "behavior": {"activity": 0.05, "activity_tail": 1.2}}),
        load_study(study).arms[0],
        1,
    ).notes
    assert (
        note.endswith("means over visitors that count users equally leave them out")
        and "% of the users visit less" in note
    )
    assert build_run(load_study(study), load_study(study).arms[0], 1).notes == []


def test_a_population_of_which_nobody_comes_is_refused():
    with pytest.raises(
        BadInput, match=r"activity = 0\.001 with world\.users = 100: 0\.1 visits .* at least 0\.005"
    ):
        check_world(WorldConfig(users=100), Behavior(activity=0.001), 10)
    check_world(WorldConfig(users=1000), Behavior(activity=0.001), 10)
    groups = [{"name": "a", "share": 0.5, "activity": 0.001}, {"name": "b", "share": 0.5, "activity": 0.002}]
    with pytest.raises(BadInput, match=r"activity = 0\.0015"):
        check_world(WorldConfig(users=100, groups=groups), Behavior(), 10)
    with pytest.raises(ValueError, match="greater than or equal to 0.001"):
        Behavior(activity=0.0001)


def test_people_think_of_at_least_a_slate_of_items():
    with pytest.raises(BadInput, match=r"consideration = 5: must be at least the longest slate \(10\)"):
        check_consideration(Behavior(consideration=5), 10)
