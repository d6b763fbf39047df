"""Switches: whom they reach in which round, and what the loop then does."""

import itertools

import numpy as np
import pytest
from echodrift.agents.users import Users
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.build import build_run
from echodrift.sim.schedule import Schedule, Switch
from hypothesis import given
from hypothesis import strategies as st

KEY = np.uint64(7)


def some_users(count: int = 200) -> Users:
    users = Users.__new__(Users)
    users.shares = np.ones((count, 1), np.float32)
    users.community = np.arange(count, dtype=np.int32) % 4
    users.group = (np.arange(count, dtype=np.int32) % 10 == 0).astype(np.int32)
    users.group_names = ("many", "few")
    return users


def schedule(*switches: Switch) -> Schedule:
    return Schedule(switches, some_users(), KEY)


def test_a_switch_is_on_from_its_round_until_its_end():
    one = schedule(Switch(3, until=5, slate=7))
    lengths = [one.values_by_user("slate", 10, round)[0] for round in range(7)]
    assert lengths == [10, 10, 10, 7, 7, 10, 10]


def test_a_ramp_grows_evenly_and_only_adds_people():
    switch = Switch(10, ramp=5, share=0.5, slate=7)
    one = schedule(switch)
    reached = [one.users_reached(switch, round) for round in range(8, 18)]
    assert [switch.share_reached(round) for round in range(10, 16)] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]
    )
    assert not reached[0].any() and not reached[1].any()
    for before, after in itertools.pairwise(reached):
        assert (after | ~before).all()
    assert abs(reached[-1].mean() - 0.5) < 0.1


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_smaller_share_is_part_of_the_larger(first, second):
    low, high = sorted((first, second))
    small, large = Switch(0, share=low, slate=1), Switch(0, share=high, slate=1)
    assert (schedule(large).users_reached(large, 0) | ~schedule(small).users_reached(small, 0)).all()


def test_groups_and_communities():
    few, third = Switch(0, among="group=few", slate=3), Switch(0, among="community=3", slate=4)
    one = schedule(few, third)
    users = some_users()
    assert (one.users_reached(few, 0) == (users.group == 1)).all()
    assert (one.values_by_user("slate", 10, 0)[users.community == 3] == 4).all()


def test_the_later_switch_counts_and_each_thing_on_its_own():
    one = schedule(Switch(5, slate=3, model=1), Switch(2, slate=4))
    assert one.values_by_user("slate", 10, 4)[0] == 4
    assert one.values_by_user("slate", 10, 5)[0] == 3
    assert one.values_by_user("model", 0, 4)[0] == 0


def test_refits_follow_the_schedule_in_force():
    one = schedule(Switch(7, retrain_every=2), Switch(12, until=14, retrain_every=10))
    due = [round for round in range(20) if one.refit_due(round, 5)]
    # every 5 to round 6; at once in 7 and then every 2; at once in 12 and 14 (its end); every 2 from 7 again
    assert due == [0, 5, 7, 9, 11, 12, 14, 15, 17, 19]


def study(*arms: dict, **more):
    world = {"users": 120, "items": 150, "topics": 6, "communities": 3}
    fields = {"name": "t", "rounds": 12, "seeds": 1, "world": world, "platform": {"warmup": 20}, **more}
    return load_study({**fields, "arms": list(arms)})


def rows(of, name: str, seed: int = 0) -> list[dict]:
    arm = next(arm for arm in of.arms if arm.name == name)
    run = build_run(of, arm, seed)
    return [run.step() for _ in range(of.rounds)]


MF = {"kind": "matrix_factorization", "dim": 4}


def same(first: dict, second: dict) -> bool:
    """Whether all that both rows measure is equal."""
    both = first.keys() & second.keys()
    return all(first[key] == second[key] or (first[key] != first[key]) for key in both)


def test_until_the_switch_the_world_is_the_unswitched_one():
    of = study(
        {
            "name": "late",
            "policy": MF,
            "switch": [{"round": 6, "rerank": [{"kind": "calibrated"}], "users": 0.5}],
        }
    )
    assert [arm.name for arm in of.arms] == ["late", "late · 0 %", "late · 100 %"]
    late, nobody, everybody = (rows(of, arm.name) for arm in of.arms)
    for round in range(6):
        assert same(late[round], nobody[round]) and same(everybody[round], nobody[round])
    assert not same(late[6], nobody[6]) and not same(late[6], everybody[6])
    assert {key for key in late[0] if key.endswith("treated=yes")}


def test_a_switch_of_everybody_at_round_0_is_the_arm_that_it_comes_to():
    of = study(
        {
            "name": "switched",
            "policy": MF,
            "switch": [{"round": 0, "policy": {"dim": 6}, "rerank": [{"kind": "calibrated"}]}],
        },
        {
            "name": "plain",
            "policy": {**MF, "dim": 6},
            "rerank": [{"kind": "calibrated"}],
        },
    )
    assert all(same(a, b) for a, b in zip(rows(of, "switched"), rows(of, "plain"), strict=True))


def test_without_recommendations_every_visit_is_organic():
    of = study(
        {"name": "detox", "policy": MF, "switch": [{"round": 0, "recommend": False}]},
        {"name": "organic", "policy": {"kind": "organic"}},
    )
    assert all(same(a, b) for a, b in zip(rows(of, "detox"), rows(of, "organic"), strict=True))


def test_recommendations_go_off_and_come_back():
    of = study({"name": "detox", "policy": MF, "switch": [{"round": 4, "until": 8, "recommend": False}]})
    run = build_run(of, of.arms[0], 0)
    organic = []

    class Watch:
        def observe(self, simulation, now):
            organic.append(now.organic.mean())

    run.simulation.observers.append(Watch())
    for _ in range(of.rounds):
        run.step()
    assert all(share == 1 for share in organic[4:8])
    assert all(share < 0.6 for share in organic[:4] + organic[8:])


def test_slates_of_two_lengths_in_one_round():
    of = study({"name": "short", "policy": MF, "switch": [{"round": 3, "slate": 4, "users": "community=1"}]})
    run = build_run(of, of.arms[0], 0)
    lengths = {}

    class Watch:
        def observe(self, simulation, now):
            served = ~now.organic
            community = simulation.world.users.community[now.users]
            shown = (now.slates >= 0).sum(axis=1)
            lengths[now.round] = {
                bool(c): set(shown[served & ((community == 1) == c)]) for c in (True, False)
            }

    run.simulation.observers.append(Watch())
    for _ in range(5):
        run.step()
    assert lengths[2] == {True: {10}, False: {10}}
    assert lengths[3] == {True: {4}, False: {10}}


def test_a_second_model_is_learned_from_its_first_round_on():
    of = study(
        {"name": "two", "policy": MF, "switch": [{"round": 4, "policy": {"dim": 8}, "users": 0.5}]},
        platform={"warmup": 20, "retrain_every": 100},
    )
    run = build_run(of, of.arms[0], 0)
    fitted = []
    for (model, _), recommender in run.simulation.recommender.variants.items():
        plain = recommender.policy.fit

        def fit(seen, rng, model=model, plain=plain):
            fitted.append((seen.round, model))
            plain(seen, rng)

        recommender.policy.fit = fit
    for _ in range(8):
        run.step()
    assert fitted == [(0, 0), (4, 1)]


def logs_of_fits(of) -> dict[int, object]:
    """Run the first arm of a study and return the log that its policy was fitted on, by round."""
    run = build_run(of, of.arms[0], 0)
    recommender = next(iter(run.simulation.recommender.variants.values()))
    plain, logs = recommender.policy.fit, {}

    def fit(seen, rng):
        logs[seen.round] = seen.log
        plain(seen, rng)

    recommender.policy.fit = fit
    for _ in range(of.rounds):
        run.step()
    return logs


def test_a_purge_is_for_good_and_what_comes_later_is_learned_again():
    of = study(
        {"name": "purged", "policy": MF, "switch": [{"round": 6, "purge": [{"kind": "purge", "first": 0}]}]},
        platform={"warmup": 20, "retrain_every": 5},
    )
    logs = logs_of_fits(of)
    assert sorted(logs) == [0, 5, 6, 10]
    assert (logs[5].round >= 0).any()
    assert not (logs[6].round >= 0).any()
    assert set(logs[10].round[logs[10].round >= 0]) == {6, 7, 8, 9}
    assert (np.diff(logs[10].round) >= 0).all()


def test_weights_of_a_purge_stay_beside_entries_without():
    once = [{"kind": "downweight_slate", "weight": 0.25}]
    of = study({"name": "down", "policy": MF, "switch": [{"round": 5, "purge": once}]})
    log = logs_of_fits(of)[10]
    assert set(log.weight[(log.round < 5) & (log.source == 0)]) == {np.float32(0.25)}
    assert set(log.weight[log.round >= 5]) == {np.float32(1)}


def test_a_transform_holds_while_its_switch_is_on():
    window = [{"kind": "recent_window", "rounds": 2}]
    of = study({"name": "window", "policy": MF, "switch": [{"round": 3, "until": 7, "transform": window}]})
    logs = logs_of_fits(of)
    assert sorted(logs) == [0, 3, 5, 7, 10]
    assert logs[5].round.min() == 3 and logs[3].round.min() == 1
    assert logs[0].round.min() == logs[7].round.min() == logs[10].round.min() == -20


def test_the_slates_of_some_tire_nobody_else():
    behavior = {"fatigue": 1.0, "social": 0.0, "word_of_mouth": 0.0}
    longer = {"round": 2, "slate": 30, "users": "community=1"}
    of = study({"name": "long", "policy": MF, "switch": [longer]}, behavior=behavior, rounds=3)
    runs = [build_run(of, arm, 0) for arm in of.arms]
    for run in runs:
        for _ in range(3):
            run.step()
    users = runs[0].simulation.world.users
    others = users.community != 1
    # the round of the switch is the first in which they differ, and only in community 1
    assert (users.fatigue[others] == runs[1].simulation.world.users.fatigue[others]).all()
    assert (users.fatigue[~others] != runs[1].simulation.world.users.fatigue[~others]).any()


def test_a_policy_named_again_starts_from_nothing():
    of = study({"name": "again", "policy": MF, "switch": [{"round": 4, "policy": MF}]})
    recommender = build_run(of, of.arms[0], 0).simulation.recommender
    assert recommender.variants[0, 0].policy is not recommender.variants[1, 0].policy


@pytest.mark.parametrize(
    ("switches", "tested"),
    [
        ([{"round": 3, "slate": 5, "users": 0.5}], True),
        ([{"round": 3, "slate": 5, "users": 0.5}, {"round": 5, "recommend": False, "users": 0.5}], True),
        ([{"round": 3, "slate": 5}, {"round": 5, "recommend": False, "users": 0.5}], False),
        ([{"round": 3, "slate": 5, "users": "community=1"}], False),
        ([{"round": 3, "slate": 5, "users": 0.5}, {"round": 5, "retrain_every": 2}], False),
    ],
)
def test_what_is_an_ab_test(switches, tested):
    of = study({"name": "a", "policy": MF, "switch": switches})
    run = build_run(of, of.arms[0], 0)
    assert ("welfare:treated=yes" in run.step()) == tested


def test_a_purge_of_takes_forgets_the_slates_they_came_from():
    purge = [{"kind": "purge", "first": 0}]
    of = study({"name": "purged", "policy": MF, "switch": [{"round": 6, "purge": purge}]})
    run = build_run(of, of.arms[0], 0)
    rounds = {}

    class Watch:
        def observe(self, simulation, now):
            rounds[now.round] = [one.round for one in now.seen.exposures]

    run.simulation.observers.append(Watch())
    for _ in range(9):
        run.step()
    assert rounds[5] == [0, 1, 2, 3, 4]
    assert rounds[6] == [] and rounds[8] == [6, 7]


def test_a_switch_for_a_group_without_users_changes_nothing_and_says_so():
    users = some_users()
    users.group_names = ("many", "few", "none")
    nobody = Switch(0, among="group=none", slate=3)
    one = Schedule((nobody,), users, KEY)
    assert not one.users_reached(nobody, 0).any()
    assert one.remarks == ["warning: a switch changes nothing, since no user is in group=none"]
    assert schedule(Switch(0, among="group=few", slate=3)).remarks == []
