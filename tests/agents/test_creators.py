"""Creators: one round against a plain reference, what must hold in any world, and common random numbers."""

import dataclasses

import numpy as np
import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.generate import check_world, generate
from echodrift.agents.items import NEVER
from echodrift.agents.production import respond
from echodrift.agents.settings import CreatorConfig, WorldConfig
from echodrift.agents.values import item_values
from echodrift.errors import BadInput
from echodrift.philox import uniforms
from echodrift.policies.registry import build_policy
from echodrift.sim.recommender import NoRecommender, OracleSlate, PolicyRecommender
from echodrift.sim.streams import Streams
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm, poisson

HORIZON = 30
LIVELY = {"production": 0.3, "entry": 0.8, "threshold": 4.0, "patience": 3, "memory": 5}
"""Creators among whom much happens in a few rounds."""


def recommended(kind="popularity", **fields):
    return PolicyRecommender(build_policy({"kind": kind, **fields}), [])


def course(simulation, rounds):
    return [simulation.step() for _ in range(rounds)]


def reference(world, round, shown, heard):
    """Say who stops, what each provider aims at, and what it remembers, one provider and item at a time."""
    creators, items = world.creators, world.items
    config, answers = creators.config, creators.creator_config
    pi = np.arange(1, config.topics + 1.0) ** -config.topic_skew
    pi /= pi.sum()
    got = {p: 0 for p in range(len(creators))}
    success = creators.success * (1 - 1 / answers.memory)
    for item in [*shown, *heard]:
        owner = items.provider[item]
        got[owner] += 1
        for topic in range(config.topics):
            success[owner, topic] += items.topics[item, topic]
    hungry, stopped, aims = {}, [], {}
    for p in range(len(creators)):
        here = creators.entered[p] <= round < creators.left[p]
        hungry[p] = creators.hungry[p] + 1 if here and got[p] < answers.threshold else 0
        if here and hungry[p] >= answers.patience:
            stopped.append(p)
        if creators.home[p] < 0:
            continue
        own = (1 - answers.specialty) * pi
        own[creators.home[p]] += answers.specialty
        learned = success[p] / success[p].sum() if success[p].sum() > 0 else own
        aims[p] = (1 - answers.adapt) * own + answers.adapt * learned
    return hungry, stopped, aims, success


@pytest.mark.parametrize("feedback", ["exposure", "consumption"])
def test_a_round_by_brute_force(make_simulation, feedback):
    creators = {**LIVELY, "feedback": feedback, "threshold": 4.0 if feedback == "exposure" else 1.0}
    simulation = make_simulation(
        recommended(), creators=creators, topics=4, behavior={"word_of_mouth": 0.3}, horizon=12
    )
    world, seen = simulation.world, set()
    simulation.PHASES = tuple(phase for phase in simulation.PHASES if phase != "create")
    for round in range(11):
        now = simulation.step()
        taken = now.choices.taken[now.choices.taken >= 0].tolist()
        shown = now.slates[now.slates >= 0].tolist()
        both = (shown, []) if feedback == "exposure" else (taken, now.heard_items.tolist())
        before, old = world.creators.made, world.creators.active(round)
        hungry, stopped, aims, success = reference(world, round, *both)
        simulation.create(now)
        after = world.creators
        assert after.hungry.tolist() == list(hungry.values())
        assert after.success == pytest.approx(success, rel=1e-9)
        assert np.flatnonzero(old & ~after.active(round + 1)).tolist() == stopped
        seen |= set(stopped)
        for p, aim in aims.items():
            assert after.next_topics(np.array([p]))[0] == pytest.approx(aim, rel=1e-9)
        born = slice(before, after.made)
        assert set(world.items.birth[born]) <= {round + 1}
        makers = world.items.provider[born]
        assert np.all(np.diff(makers) >= 0) and after.active(round + 1)[makers].all()
        draws = after.production_counts(round + 1, np.flatnonzero(after.active(round + 1)))
        assert np.array_equal(np.bincount(makers, minlength=len(after))[after.active(round + 1)], draws)
        assert world.items.live(round + 1).sum() == 80
    assert seen and after.made > 120


def test_the_starved_stop_entrants_come_and_ids_are_in_order_of_birth(make_simulation):
    simulation = make_simulation(recommended(), creators=LIVELY)
    world, creators, items = simulation.world, simulation.world.creators, simulation.world.items
    stopped = np.zeros(len(creators), bool)
    for round in range(HORIZON):
        now = simulation.step()
        active = creators.active(round + 1)
        assert np.all(creators.hungry[active] < LIVELY["patience"])
        assert not (stopped & active).any()
        stopped |= (creators.left <= round + 1) & (creators.entered <= round)
        made = creators.made
        shown = now.slates[now.slates >= 0]
        assert np.all(items.birth[shown] <= round) and shown.max() < items.n_born(round) <= made
        assert np.all(np.diff(items.birth) >= 0)
        assert now.seen.n_items == len(now.seen.tags) == len(now.seen.providers) == items.n_born(round)
        with pytest.raises(ValueError, match="read-only"):
            now.seen.providers[0] = 1
    assert stopped.any() and creators.entered.max() > 0
    entrants = np.flatnonzero(creators.entered > 0)
    assert np.isin(entrants, items.provider[: creators.made]).all(), "each entrant brings an item"
    for p in entrants:
        assert items.birth[: creators.made][items.provider[: creators.made] == p].min() == creators.entered[p]
    last = creators.left[items.provider[creators.config.items : creators.made]]
    assert np.all(items.birth[creators.config.items : creators.made] < last), (
        "nobody makes items after stopping"
    )
    unborn = slice(creators.made, None)
    assert np.all(items.birth[unborn] == NEVER) and np.all(items.provider[unborn] == -1)
    assert not items.topics[unborn].any() and not items.niche[unborn].any() and not items.demand[unborn].any()
    assert world.taken[unborn].sum() == 0


def test_the_same_seed_gives_the_same_course_and_a_longer_horizon_changes_nothing(make_simulation):
    first, again, longer = (
        make_simulation(recommended(), creators=LIVELY, horizon=horizon) for horizon in (15, 15, 40)
    )
    for simulation in (first, again, longer):
        course(simulation, 14)
    n = first.world.creators.made
    assert n > 120
    for other in (again, longer):
        assert other.world.creators.made == n
        for field in dataclasses.fields(first.world.items):
            mine = getattr(first.world.items, field.name)
            if isinstance(mine, np.ndarray):
                theirs = getattr(other.world.items, field.name)[:n]
                assert np.array_equal(mine[:n], theirs), field.name


def test_arms_share_what_providers_draw(make_simulation):
    """Where providers neither learn nor stop, every arm gets the same items, whatever it shows."""
    deaf = {**LIVELY, "adapt": 0.0, "threshold": 0.0}
    arms = [make_simulation(who, creators=deaf) for who in (None, recommended(), OracleSlate())]
    for arm in arms:
        course(arm, HORIZON)
    for arm in arms[1:]:
        for name in ("topics", "quality", "provider", "birth", "tag", "demand", "niche", "retirement"):
            assert np.array_equal(getattr(arm.world.items, name), getattr(arms[0].world.items, name)), name
    assert arms[0].world.creators.made == len(arms[0].world.items), "nobody stopped: all rows are filled"
    # Where they answer, draws that do not depend on fate stay: entries, homes of entrants, qualities.
    ranked = make_simulation(recommended(), creators=LIVELY)
    course(ranked, HORIZON)
    assert np.array_equal(ranked.world.creators.home, arms[0].world.creators.home)
    keys = [
        dict(zip(zip(items.birth[80:made], items.provider[80:made], _slots(items, made), strict=True),
                 items.quality[80:made], strict=True))
        for items, made in ((s.world.items, s.world.creators.made) for s in (arms[0], ranked))
    ]  # fmt: skip
    assert keys[1].keys() < keys[0].keys()
    assert all(keys[0][key] == quality for key, quality in keys[1].items())


def _slots(items, made):
    births, owners = items.birth[80:made], items.provider[80:made]
    same = (np.diff(births, prepend=-9) == 0) & (np.diff(owners, prepend=-9) == 0)
    slots = np.zeros(births.size, int)
    for j in range(1, births.size):
        slots[j] = slots[j - 1] + 1 if same[j] else 0
    return slots.tolist()


def test_no_creators_means_no_change_of_anything(make_world):
    """The catalog of a world with creators is that of the world without, but for who made what."""
    off, on = make_world(), make_world(creators=LIVELY)
    assert off.creators is None and len(off.items) == 80 < len(on.items)
    for name in ("topics", "quality", "birth", "tag", "demand", "niche"):
        assert np.array_equal(getattr(on.items, name)[:80], getattr(off.items, name)), name
    assert np.array_equal(on.users.target, off.users.target)
    assert np.array_equal(on.graph.indices, off.graph.indices)
    assert not np.array_equal(on.items.provider[:80], off.items.provider)


def test_demand_of_what_is_made_is_that_of_any_newborn(make_simulation):
    simulation = make_simulation(users=7, items=30, graph={"kind": "none"}, creators=LIVELY)
    course(simulation, 10)
    world = simulation.world
    made, demand = world.creators.made, np.zeros(world.creators.made)
    assert made > 40
    for user in range(7):
        v = item_values(world, np.array([user], np.int32), made, start=True)[0].astype(float)
        for taste in range(3):
            weights = np.exp(v[taste]) / np.exp(v[taste, :30]).sum()
            demand += world.users.shares_start[user, taste] * weights
    assert world.items.demand[:made] == pytest.approx(demand, rel=1e-4)
    assert np.array_equal(world.items.niche[30:made], demand[30:] < np.quantile(demand[:30], 0.8))


def test_what_is_made_follows_the_distributions_of_the_catalog():
    """Without learning and specialty, made items look like drawn ones: topics, blend, quality, tags, counts."""
    creators = CreatorConfig(
        production=2.5, adapt=0.0, specialty=0.0, threshold=0.0, entry=0.0, most_items=50_000
    )
    config = WorldConfig(
        users=1, items=20_000, topics=6, blend=0.4, quality_sd=2.0, tag_noise=0.25, providers=400,
        taste_shares=[1.0], retirements=0.0, graph={"kind": "none"}, creators=creators,
    )  # fmt: skip
    world = generate(config, Behavior(), Streams(3), 21, 10)
    nothing = np.empty((0, 10), np.int32)
    for round in range(20):
        respond(world, world.creators, round, nothing, nothing, np.empty(0, np.int32))
    old, new = slice(0, 20_000), slice(20_000, world.creators.made)
    items = world.items
    assert world.creators.made == len(items)
    counts = np.bincount(items.provider[new] * 20 + items.birth[new] - 1, minlength=8000)
    expected = poisson.pmf(np.arange(8), 2.5)
    assert np.bincount(counts, minlength=8)[:8] / 8000 == pytest.approx(expected, abs=0.02)
    assert kstest(items.quality[new] / 2, norm.cdf).pvalue > 1e-3
    for part in (items.topics, np.sort(items.topics, axis=1), items.topics**2, items.tag):
        assert part[new].mean(axis=0) == pytest.approx(part[old].mean(axis=0), abs=0.015)
    assert items.topics[new].sum(axis=1) == pytest.approx(1, abs=1e-5)
    wrong = (items.tag[new].argmax(axis=1) != items.topics[new].argmax(axis=1)).mean()
    assert wrong == pytest.approx(
        (items.tag[old].argmax(axis=1) != items.topics[old].argmax(axis=1)).mean(), abs=0.015
    )


def test_specialists_own_their_topics_and_sizes_keep_their_tail(make_world):
    fields = {"items": 8000, "topics": 6, "providers": 30, "users": 5, "graph": {"kind": "none"}}
    narrow = make_world(**fields, creators={"specialty": 0.95})
    broad = make_world(**fields, creators={"specialty": 0.0})

    def at_home(world):
        owner = world.items.provider[:8000]
        return (world.items.topics[:8000].argmax(axis=1) == world.creators.home[owner]).mean()

    assert at_home(narrow) > 0.7 and at_home(broad) < 0.5
    size = np.bincount(broad.items.provider[:8000], minlength=30) / 8000
    expected = 1 / np.arange(1, 31) / (1 / np.arange(1, 31)).sum()
    assert size == pytest.approx(expected, abs=0.02)


def test_providers_who_learn_make_more_of_what_is_shown(make_world):
    """Only items of the last topic are ever shown: learners go there, the deaf stay."""
    shares = []
    for adapt in (0.0, 1.0):
        world = make_world(
            items=300, creators={"production": 1.0, "adapt": adapt, "threshold": 0.0, "entry": 0.0}
        )
        liked = np.flatnonzero(world.items.topics[:300].argmax(axis=1) == 5).astype(np.int32)
        for round in range(20):
            respond(
                world,
                world.creators,
                round,
                liked[None, :],
                np.empty((1, 0), np.int32),
                np.empty(0, np.int32),
            )
        new = world.items.topics[300 : world.creators.made].argmax(axis=1)
        owners = world.items.provider[300 : world.creators.made]
        shares.append((new == 5)[np.isin(owners, world.items.provider[liked])].mean())
    assert shares[0] < 0.3 and shares[1] > 0.75


def test_imitators_settle_where_exposure_is(make_world):
    homes = []
    for imitation in (0.0, 1.0):
        world = make_world(
            users=5,
            graph={"kind": "none"},
            creators={"entry": 20.0, "imitation": imitation, "production": 0.0},
        )
        rare = np.flatnonzero(world.items.topics[:80, 5] > 0.5).astype(np.int32)
        for round in range(25):
            respond(
                world, world.creators, round, rare[None, :], np.empty((1, 0), np.int32), np.empty(0, np.int32)
            )
        homes.append((world.creators.home[world.creators.entered > 0] == 5).mean())
    assert homes[0] < 0.15 and homes[1] > 0.6


@pytest.mark.parametrize("imitation", [0.3, 0.6])
def test_imitation_is_the_share_of_entrants_who_go_where_exposure_is(make_world, imitation):
    """Homes are drawn from (1 − imitation)·π + imitation·topics of what was shown, the same in every round."""
    config = {"entry": 40.0, "imitation": imitation, "production": 0.0}
    world = make_world(users=5, graph={"kind": "none"}, creators=config)
    liked = np.flatnonzero(world.items.topics[:80, 5] > 0.5).astype(np.int32)
    none = np.empty((1, 0), np.int32)
    for round in range(25):
        respond(world, world.creators, round, liked[None, :], none, none[0])
    pi = np.arange(1, 7.0) ** -world.creators.config.topic_skew
    wanted = (1 - imitation) * pi / pi.sum() + imitation * world.items.topics[liked].mean(axis=0)
    homes = world.creators.home[(world.creators.entered > 0) & (world.creators.home >= 0)]
    assert homes.size > 800
    assert np.bincount(homes, minlength=6) / homes.size == pytest.approx(wanted, abs=0.05)


def test_entrants_bring_an_item_and_all_make_what_was_drawn(make_world):
    """Items counted in the catalog, beside Poisson draws by scipy: an entrant's first round makes one at least."""
    mean = 0.4
    world = make_world(creators={"production": mean, "entry": 6.0, "threshold": 0.0})
    creators, items = world.creators, world.items
    none = np.empty((0, 5), np.int32)
    for round in range(20):
        respond(world, creators, round, none, none, none.ravel())
    key = creators.streams.key("creators.production")
    first = []
    for round in range(1, 21):
        for p in range(len(creators)):
            made = ((items.birth == round) & (items.provider == p)).sum()
            draw = uniforms(key, round, np.array([p], np.int32), 1)[0, 0]
            wanted = int(poisson.ppf(draw, mean)) if creators.entered[p] <= round else 0
            if creators.entered[p] == round:
                wanted = max(wanted, 1)
                first.append(made)
            assert made == wanted, (round, p)
    assert len(first) > 80
    # E max(N, 1) = mean + e^(−mean)
    assert np.mean(first) == pytest.approx(mean + np.exp(-mean), abs=0.15)


@pytest.mark.parametrize("retire", ["oldest", "random"])
def test_retirement_as_configured(make_simulation, retire):
    simulation = make_simulation(creators=LIVELY, retire=retire, retirements=2.0, items=60)
    sizes = []
    for round in range(HORIZON):
        simulation.step()
        sizes.append(simulation.world.items.live(round).sum())
    items, made = simulation.world.items, simulation.world.creators.made
    gone = np.flatnonzero(items.retirement[:made] < NEVER)
    assert gone.size == pytest.approx(2.0 * (HORIZON - 1), abs=25)
    assert sizes[-1] == made - gone.size - (items.birth[:made] == HORIZON).sum()
    order = gone[np.argsort(items.retirement[gone], kind="stable")]
    in_order = np.all(np.diff(items.birth[order]) >= 0)
    assert in_order if retire == "oldest" else not in_order
    assert np.all(items.retirement[gone] > items.birth[gone])


def test_the_catalog_never_shrinks_below_a_slate(make_simulation):
    simulation = make_simulation(
        creators={**LIVELY, "production": 0.0, "entry": 0.0}, retirements=9.0, items=30
    )
    course(simulation, HORIZON)
    assert simulation.world.items.live(HORIZON - 1).sum() == 5


@pytest.mark.parametrize(
    ("fields", "horizon", "match"),
    [
        ({"production": 1.0, "most_items": 100, "entry": 0.0}, 30, "in 30 rounds providers could make 290 items, more"),
        # 10·29 + ½·(1 + … + 29) + ½·29/e = 290 + 217.5 + 5.3
        ({"production": 1.0, "most_items": 512}, 30, "could make 513 items, more than most_items = 512"),
        ({"production": 0.0, "entry": 3.0, "most_items": 10}, 30, "creators.entry .now 3."),
        ({"production": 10.0}, 1_000_000, "memory is allocated for all items that could be made"),
    ],
)  # fmt: skip
def test_more_items_than_there_is_room_for_are_refused(fields, horizon, match):
    config = WorldConfig(users=20, items=20, topics=4, providers=10, creators=fields)
    with pytest.raises(BadInput, match=match):
        check_world(config, Behavior(), 5, horizon)
    check_world(config, Behavior(), 5)  # without a horizon nothing can be said
    with pytest.raises(BadInput, match="most_items"):
        generate(config, Behavior(), Streams(0), horizon, 5)


def test_the_draws_of_a_seed_are_held_against_the_room_too():
    """A seed whose draws exceed what is expected is refused even where the mean fits."""
    fields = {"users": 5, "items": 20, "topics": 4, "providers": 10, "graph": {"kind": "none"}}
    rows = []
    for seed in range(6):
        world = generate(
            WorldConfig(**fields, creators=CreatorConfig(production=1.0, entry=0.0)),
            Behavior(),
            Streams(seed),
            20,
            5,
        )
        rows.append(len(world.items) - 20)
    tight = WorldConfig(**fields, creators=CreatorConfig(production=1.0, entry=0.0, most_items=190))
    assert min(rows) <= 190 < max(rows)
    with pytest.raises(BadInput, match=f"could make {max(rows)} items"):
        generate(tight, Behavior(), Streams(int(np.argmax(rows))), 20, 5)
    generate(tight, Behavior(), Streams(int(np.argmin(rows))), 20, 5)


def test_two_ways_of_making_items_are_refused():
    with pytest.raises(ValueError, match=r"arrivals = 2 and world.creators both make new items"):
        WorldConfig(arrivals=2.0, creators=CreatorConfig())


def test_an_organic_log_of_other_items_is_refused(make_simulation):
    paired = make_simulation(NoRecommender(), creators=LIVELY)
    with pytest.raises(BadInput, match='learn_from = "organic" cannot be used with world.creators'):
        make_simulation(recommended(), platform={"learn_from": "organic"}, paired=paired, creators=LIVELY)


def test_platforms_see_providers_only_where_they_say_something(make_simulation):
    simulation = make_simulation()
    seen = simulation.step().seen
    assert np.array_equal(seen.providers, simulation.world.items.provider)
    alone = make_simulation()
    alone.world.items.provider[:] = np.arange(80)
    assert alone.step().seen.providers is None


@settings(max_examples=25, deadline=None)
@given(
    production=st.floats(0, 3),
    adapt=st.floats(0, 1),
    feedback=st.sampled_from(["exposure", "consumption"]),
    memory=st.integers(1, 30),
    threshold=st.floats(0, 50),
    patience=st.integers(1, 5),
    entry=st.floats(0, 3),
    imitation=st.floats(0, 1),
    specialty=st.floats(0, 1, exclude_max=True),
    providers=st.integers(1, 6),
    topics=st.integers(1, 4),
    items=st.integers(3, 12),
    retirements=st.one_of(st.just("match"), st.floats(0, 3)),
    retire=st.sampled_from(["oldest", "random"]),
    blend=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_any_creators_are_sound(providers, topics, items, retirements, retire, blend, seed, **answers):
    config = WorldConfig(
        users=6, items=items, topics=topics, taste_shares=[1.0], providers=providers, retirements=retirements,
        retire=retire, blend=blend, graph={"kind": "none"}, creators=CreatorConfig(**answers),
    )  # fmt: skip
    world = generate(config, Behavior(), Streams(seed), 8, 3)
    rng = np.random.default_rng(seed)
    for round in range(8):
        live = np.flatnonzero(world.items.live(round)).astype(np.int32)
        assert live.size >= 3
        slates = np.stack([rng.permutation(live)[:3] for _ in range(4)])
        respond(world, world.creators, round, slates, slates[:, :1], slates[0, 1:2])
    made, found = world.creators.made, world.items
    assert made <= len(found)
    for rows in (found.topics[:made], found.tag[:made]):
        assert np.all(rows >= 0) and rows.sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert np.isfinite(found.demand).all() and np.isfinite(found.quality).all()
    assert np.all(found.birth[1:] >= found.birth[:-1]) and found.n_born(7) == made
    assert np.all(found.provider[:made] >= 0)
