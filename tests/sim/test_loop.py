"""The loop: what the platform may know, common random numbers, warm-up, cool-downs, turnover."""

import dataclasses
import time

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.base import Policy, Ranking
from echodrift.policies.interactions import Interactions, Source
from echodrift.policies.registry import build_policy
from echodrift.sim.loop import Simulation
from echodrift.sim.model import FeedbackLoop
from echodrift.sim.platform import Platform
from echodrift.sim.recommender import NoRecommender, OracleSlate, PolicyRecommender
from echodrift.sim.streams import Streams


def recommended(kind="popularity", **fields):
    return PolicyRecommender(build_policy({"kind": kind, **fields}), [])


def course(simulation, rounds):
    return [simulation.step() for _ in range(rounds)]


def same(a, b):
    return all(
        np.array_equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a, b, strict=True)
        for name in ("users", "organic", "slates", "heard_users", "heard_items")
    ) and all(
        np.array_equal(getattr(x.choices, f.name), getattr(y.choices, f.name), equal_nan=f.name in ("hit",))
        for x, y in zip(a, b, strict=True)
        for f in dataclasses.fields(x.choices)
    )


def test_the_same_seed_gives_the_same_course_and_another_seed_another(make_simulation, everything):
    first = course(make_simulation(recommended(), behavior=everything, arrivals=1.0), 12)
    again = course(make_simulation(recommended(), behavior=everything, arrivals=1.0), 12)
    assert same(first, again)
    assert not same(
        first, course(make_simulation(recommended(), behavior=everything, arrivals=1.0, seed=1), 12)
    )


def test_the_global_generators_neither_matter_nor_move(make_simulation):
    import random

    old = np.random  # the global generator is looked at, never used
    random.seed(0)
    old.seed(0)
    first = course(make_simulation(recommended("random")), 5)
    before = random.getstate(), old.get_state()[1].copy()
    random.seed(99)
    old.seed(99)
    assert same(first, course(make_simulation(recommended("random")), 5))
    random.seed(0)
    old.seed(0)
    course(make_simulation(recommended("random")), 5)
    assert random.getstate() == before[0] and np.array_equal(old.get_state()[1], before[1])


def test_all_arms_share_the_warm_up_and_the_visits(make_simulation):
    arms = [make_simulation(arm) for arm in (NoRecommender(), recommended(), OracleSlate())]
    logs = [arm.log.view() for arm in arms]
    assert len(logs[0]) > 20 and np.all(logs[0].source == Source.ORGANIC) and np.all(logs[0].round < 0)
    for log in logs[1:]:
        assert all(
            np.array_equal(getattr(log, f.name), getattr(logs[0], f.name)) for f in dataclasses.fields(log)
        )
    rounds = [course(arm, 8) for arm in arms]
    for other in rounds[1:]:
        assert all(np.array_equal(a.users, b.users) for a, b in zip(rounds[0], other, strict=True))
    # Intents differ only where drift has made shares differ: not in round 0.
    assert np.array_equal(rounds[0][0].choices.intents, rounds[2][0].choices.intents)


def test_warm_up_leaves_people_as_they_were(make_simulation, everything):
    simulation = make_simulation(behavior=everything)
    users = simulation.world.users
    assert np.array_equal(users.shares, users.shares_start) and np.array_equal(
        users.tastes, users.tastes_start
    )
    assert users.fatigue.max() == 0 and simulation.world.taken.sum() == len(simulation.log)


def test_worlds_that_differ_in_one_thing_differ_in_nothing_that_does_not_depend_on_it(make_simulation):
    # Without cool-downs, in which an item taken by word of mouth would be missing from later slates.
    still = {"reinforcement": 0, "disappointment": 0, "movement": 0, "repeat": 0}
    plain = make_simulation(recommended("random"), behavior=still)
    told = make_simulation(recommended("random"), behavior={**still, "word_of_mouth": 0.5})
    for a, b in zip(course(plain, 6), course(told, 6), strict=True):
        # Word of mouth adds its takes; the recommender at random, the visits and the choices stay.
        assert b.heard_users.size > 0
        assert np.array_equal(a.users, b.users) and np.array_equal(a.choices.intents, b.choices.intents)
        served = ~a.organic
        assert np.array_equal(a.slates[served], b.slates[served])
        assert np.array_equal(a.choices.taken[served], b.choices.taken[served])


def test_more_users_do_not_change_the_draws_of_the_others(make_simulation):
    fields = {
        "communities": 1,
        "graph": {"kind": "none"},
        "behavior": {"organic_popularity": 0.0},
        "idiosyncrasy": 0.0,
    }
    few, many = make_simulation(users=30, **fields), make_simulation(users=60, **fields)
    same_users = np.arange(30)
    assert np.array_equal(few.world.items.topics, many.world.items.topics)
    a, b = few.step(), many.step()
    assert np.array_equal(a.users, b.users[b.users < 30])
    assert np.array_equal(a.slates, b.slates[b.users < 30]) and same_users.size == 30


def test_a_longer_slate_keeps_the_draws_of_its_first_ranks(make_simulation):
    # Longer organic slates of the warm-up start other cool-downs.
    short = make_simulation(OracleSlate(), platform={"slate": 3}, behavior={"repeat": 0})
    long = make_simulation(OracleSlate(), platform={"slate": 6}, behavior={"repeat": 0})
    long.world.taken[:] = short.world.taken
    a, b = short.step(), long.step()
    served = ~a.organic
    assert np.array_equal(a.slates[served], b.slates[served][:, :3])
    assert np.all(a.choices.depth[served] == np.minimum(b.choices.depth[served], 3))


class Spy(Policy):
    """Keeps every observation, shows the first items."""

    def fit(self, seen, rng):
        self.seen = seen

    def rank(self, seen, users, n, rng):
        self.seen = seen
        items = np.stack([np.flatnonzero(row)[:n] for row in seen.available(users)]).astype(np.int32)
        return Ranking(users, items, np.zeros(items.shape, np.float32))


def test_hidden_state_never_reaches_the_observation(make_simulation):
    """Overwriting everything hidden between two looks leaves what the platform sees unchanged."""
    spy = Spy()
    simulation = make_simulation(PolicyRecommender(spy, []))
    course(simulation, 3)
    from echodrift.sim.loop import RoundState

    before = RoundState(simulation.round)
    simulation.observe(before)
    world, rng = simulation.world, np.random.default_rng(0)
    for array in (world.users.tastes, world.users.shares, world.users.neutral, world.users.target,
                  world.users.outside, world.users.attention, world.users.activity, world.items.topics,
                  world.items.quality, world.items.demand, world.graph.influence, world.recent):  # fmt: skip
        array[:] = rng.permutation(array.ravel()).reshape(array.shape)
    world.items.niche[:] = ~world.items.niche
    world.idiosyncrasy = 99.0
    after = RoundState(simulation.round)
    simulation.observe(after)
    for name in ("tags", "live", "counts", "popularity"):
        a, b = getattr(before.seen, name), getattr(after.seen, name)
        assert (a != b).nnz == 0 if name == "counts" else np.array_equal(a, b)
    assert np.array_equal(before.seen.friends.indices, after.seen.friends.indices)
    assert np.array_equal(before.seen.blocked.bits, after.seen.blocked.bits)


def test_what_a_policy_is_given_refuses_writes(make_simulation):
    spy = Spy()
    course(make_simulation(PolicyRecommender(spy, [])), 2)
    shown = spy.seen.exposures[-1]
    for array in (
        spy.seen.tags,
        spy.seen.log.item,
        spy.seen.log.user,
        spy.seen.friends.indices,
        shown.slates,
        shown.users,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_agents_and_policies_share_no_hidden_array(make_simulation):
    spy = Spy()
    simulation = make_simulation(PolicyRecommender(spy, []))
    course(simulation, 2)
    world = simulation.world
    for hidden in (world.users.shares, world.users.tastes, world.items.topics, world.items.quality):
        assert not np.shares_memory(hidden, spy.seen.tags)


@pytest.mark.parametrize("repeat", [0, 3, "never"])
def test_cool_down_is_kept_by_slates_organic_visits_and_word_of_mouth(make_simulation, repeat):
    simulation = make_simulation(
        recommended(), behavior={"repeat": repeat, "word_of_mouth": 0.5, "organic": 0.3}, items=40
    )
    course(simulation, 15)
    log = simulation.log.view()
    last: dict[tuple[int, int], int] = {}
    gaps = []
    for user, item, round in zip(log.user.tolist(), log.item.tolist(), log.round.tolist(), strict=True):
        if (user, item) in last:
            gaps.append(round - last[user, item])
        last[user, item] = round
    if repeat == 0:
        assert min(gaps) == 1
    elif repeat == "never":
        assert not gaps
    else:
        assert min(gaps) == repeat + 1


def test_newborns_are_shown_and_the_retired_never(make_simulation):
    simulation = make_simulation(recommended("random"), items=30, arrivals=2.0)
    items = simulation.world.items
    newborn = 0
    for round in range(25):
        shown = simulation.step().slates
        shown = shown[shown >= 0]
        assert items.live(round)[shown].all()
        newborn += (items.birth[shown] > 0).sum()
    assert newborn > 50


def test_learn_from_opens_the_right_part_of_the_log(make_simulation):
    whole, frozen = Spy(), Spy()
    course(make_simulation(PolicyRecommender(whole, [])), 6)
    course(make_simulation(PolicyRecommender(frozen, []), platform={"learn_from": "warmup"}), 6)
    assert whole.seen.log.round.max() == 4
    assert frozen.seen.log.round.max() < 0
    spy = Spy()
    paired = make_simulation(NoRecommender())
    alone = make_simulation(NoRecommender())
    arm = make_simulation(PolicyRecommender(spy, []), platform={"learn_from": "organic"}, paired=paired)
    course(arm, 10)
    learned, own = spy.seen.log, arm.log.view()
    assert set(learned.source) == {Source.ORGANIC}
    for round in range(9):
        assert (learned.round == round).sum() == (own.round == round).sum()
    assert np.all(np.diff(learned.round) >= 0)
    # The twin's own course is that of the organic arm, whatever else was drawn from it.
    course(alone, 10)
    assert np.array_equal(alone.world.users.shares, paired.world.users.shares)
    assert np.array_equal(alone.log.view().item, paired.log.view().item)


def test_refit_schedule(make_simulation):
    class Count(Spy):
        fits: list

        def fit(self, seen, rng):
            self.fits = [*getattr(self, "fits", []), seen.round]

    policy = Count()
    course(make_simulation(PolicyRecommender(policy, []), platform={"retrain_every": 4}), 10)
    assert policy.fits == [0, 4, 8]
    once = Count()
    course(
        make_simulation(PolicyRecommender(once, []), platform={"retrain_every": 4, "learn_from": "warmup"}),
        10,
    )
    assert once.fits == [0]


def test_hidden_ties_are_hidden(make_simulation):
    spy = Spy()
    simulation = make_simulation(PolicyRecommender(spy, []), platform={"hidden_ties": 0.5}, users=300)
    simulation.step()
    graph, friends = simulation.world.graph, spy.seen.friends
    assert friends.indices.size / graph.ties == pytest.approx(0.5, abs=0.05)
    for user in range(300):
        visible = friends.indices[friends.indptr[user] : friends.indptr[user + 1]]
        assert np.isin(visible, graph.indices[graph.indptr[user] : graph.indptr[user + 1]]).all()


def test_stepping_past_the_horizon_is_refused(make_simulation):
    simulation = make_simulation(horizon=2)
    course(simulation, 2)
    with pytest.raises(BadInput, match="allocated for 2 rounds"):
        simulation.step()


def test_log_says_where_things_came_from(make_simulation):
    simulation = make_simulation(recommended(), behavior={"organic": 0.3, "word_of_mouth": 0.4})
    now = course(simulation, 5)[-1]
    log = simulation.log.view()
    late = log.round == 4
    taken = now.choices.taken[~now.organic]
    assert (log.source[late] == Source.SLATE).sum() == (taken >= 0).sum()
    assert (log.source[late] == Source.SOCIAL).sum() == now.heard_users.size
    assert np.all(log.rank[log.source == Source.SOCIAL] == 0) and np.all(
        log.rank[log.source != Source.SOCIAL] >= 1
    )


def test_mesa_model_is_a_view_of_the_same_run(make_simulation):
    from echodrift.sim.model import FeedbackLoop

    plain, model = make_simulation(recommended()), FeedbackLoop(make_simulation(recommended()))
    rounds = course(plain, 4)
    for expected in rounds:
        model.step()
        assert same([expected], [model.last])
    assert model.steps == 4 and model.running
    users = model.world.users
    assert len(model.agents) == 60
    person = model.agents[7]
    assert person.row == 7 and np.array_equal(person.shares, users.shares[7])
    person.activity = 0.25
    assert users.activity[7] == 0.25
    person.shares[0] = 0.5
    assert users.shares[7, 0] == 0.5
    assert len(model.agents.select(lambda user: user.community == 0)) == (users.community == 0).sum()
    assert model.agents.agg("activity", sum) == pytest.approx(users.activity.sum())
    from mesa.datacollection import DataCollector

    collector = DataCollector(
        model_reporters={"visits": count_visits}, agent_reporters={"activity": "activity"}
    )
    collector.collect(model)
    assert collector.get_model_vars_dataframe()["visits"][0] == model.last.users.size
    assert len(collector.get_agent_vars_dataframe()) == 60


def count_visits(model):
    return model.last.users.size


def test_organic_twin_is_required():
    assert Platform(learn_from="organic").learn_from == "organic"


def test_simulation_without_its_twin_is_refused(make_simulation):
    with pytest.raises(BadInput, match="needs the paired organic simulation"):
        make_simulation(recommended(), platform={"learn_from": "organic"})
    assert Simulation.PHASES[0] == "arrive" and Streams(0).seed == 0


def test_exposures_are_those_behind_the_log(make_simulation):
    whole, frozen, organic = Spy(), Spy(), Spy()
    course(make_simulation(PolicyRecommender(whole, [])), 6)
    course(make_simulation(PolicyRecommender(frozen, []), platform={"learn_from": "warmup"}), 6)
    paired = make_simulation(NoRecommender())
    course(
        make_simulation(PolicyRecommender(organic, []), platform={"learn_from": "organic"}, paired=paired), 6
    )
    assert len(whole.seen.exposures) == 5 and frozen.seen.exposures == ()
    assert len(organic.seen.exposures) == 5 and all(shown.organic.all() for shown in organic.seen.exposures)


def test_windows_end_where_a_frozen_log_ends(make_simulation):
    spy = Spy()
    course(make_simulation(PolicyRecommender(spy, []), platform={"learn_from": "warmup"}), 6)
    assert spy.seen.frozen and np.all(spy.seen.last(2).round >= -2) and len(spy.seen.last(2)) > 0
    moving = Spy()
    course(make_simulation(PolicyRecommender(moving, [])), 6)
    assert set(moving.seen.last(2).round) == {3, 4}


def test_the_platform_knows_nothing_of_items_to_come(make_simulation):
    spy = Spy()
    simulation = make_simulation(PolicyRecommender(spy, []), arrivals=2.0)
    course(simulation, 3)
    born = simulation.world.items.n_born(2)
    assert len(simulation.world.items) > born
    assert spy.seen.blocked.n_items == born == len(spy.seen.tags) and spy.seen.tags.base is None
    with pytest.raises(ValueError, match="read-only"):
        spy.seen.blocked.bits[0] = 0


def test_a_tie_is_hidden_in_both_directions_or_in_none(make_simulation):
    spy = Spy()
    course(make_simulation(PolicyRecommender(spy, []), platform={"hidden_ties": 0.5}, users=200), 1)
    friends = spy.seen.friends
    source = np.repeat(np.arange(200), np.diff(friends.indptr))
    ties = set(zip(source.tolist(), friends.indices.tolist(), strict=True))
    assert ties and all((b, a) in ties for a, b in ties)


def test_an_imported_log_is_remembered_by_round(make_world):
    world = make_world(behavior={"memory": 5, "appetite": 1})
    history = Interactions(
        user=np.array([3, 3, 3, 4], np.int32),
        item=np.array([1, 2, 6, 5], np.int32),
        round=np.array([-6, -2, -1, -5], np.int32),
        rank=np.zeros(4, np.int16),
        source=np.full(4, Source.IMPORTED, np.int8),
    )
    simulation = Simulation(world, Platform(slate=5), NoRecommender(), Streams(0), 30, history)
    assert set(world.recent[3]) == {-1, 2, 6} and set(world.recent[4]) == {-1, 5}
    assert 2 in world.recent_block(-2)[3] and 6 in world.recent_block(-1)[3] and 5 in world.recent_block(0)[4]
    assert len(simulation.log) == 4 and world.taken[[1, 2, 5, 6]].tolist() == [1, 1, 1, 1]


def test_an_organic_log_that_cannot_keep_up_is_an_error(make_simulation):
    paired = make_simulation(NoRecommender(), behavior={"outside": 60.0})
    arm = make_simulation(OracleSlate(), platform={"learn_from": "organic"}, paired=paired, users=60)
    with pytest.raises(PolicyError, match="no log of the same size"):
        course(arm, 1)


def test_a_factor_model_regularized_to_nothing_says_so(make_simulation):
    collapsed = recommended("matrix_factorization", dim=4, regularization=1e6)
    course(make_simulation(collapsed), 6)
    assert len(collapsed.remarks) == 1 and collapsed.remarks[0].startswith("warning: regularization = 1e+06")
    fine = recommended("matrix_factorization", dim=4)
    course(make_simulation(fine), 2)
    assert not fine.remarks


def test_timings_list_the_phases_in_order_with_the_time_each_has_taken(make_simulation):
    loop = FeedbackLoop(make_simulation(horizon=4))
    before = loop.timings()
    assert before["phase"].tolist() == list(Simulation.PHASES)
    assert (before["seconds"] == 0).all() and (before["share"] == 0).all()
    began = time.perf_counter()
    for _ in range(4):
        loop.step()
    whole = time.perf_counter() - began
    table = loop.timings()
    assert (table["seconds"] >= 0).all() and 0.5 * whole < table["seconds"].sum() <= whole
    np.testing.assert_allclose(table["ms_per_round"], 250 * table["seconds"])
    assert table["share"].sum() == pytest.approx(1)
    assert table["does"].str.endswith(".").all() and table["does"].is_unique
