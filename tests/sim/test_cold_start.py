"""Cold-start slots: who gets them, where they are, and what they leave to the recommender."""

import numpy as np
import pytest
from echodrift.analysis.recording.recorder import Recorder
from echodrift.bits import no_bits, set_bits
from echodrift.errors import BadInput
from echodrift.policies.registry import build_policy
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.runner import check_runnable
from echodrift.sim.cold_start import keep_slots
from echodrift.sim.recommender import PolicyRecommender
from echodrift.sim.streams import Streams

KEYS = [Streams(4).key("cold_start.items"), Streams(4).key("cold_start.places")]
USERS = np.arange(3000, dtype=np.int32)


def slates_of(rows=3000, width=6):
    return np.tile(np.arange(10, 10 + width, dtype=np.int32), (rows, 1))


def keep(slates, newborn, slots=2, anywhere=False, blocked=None, lengths=None, round=3):
    blocked = no_bits(3000, 60) if blocked is None else blocked
    lengths = np.full(len(slates), slates.shape[1], np.int32) if lengths is None else lengths
    return keep_slots(
        slates,
        lengths,
        USERS[: len(slates)],
        np.asarray(newborn, np.int32),
        slots,
        anywhere,
        blocked,
        round,
        *KEYS,
    )


@pytest.mark.parametrize("anywhere", [False, True])
def test_newborn_items_share_the_slots_evenly_and_the_rest_keeps_its_order(anywhere):
    slates = slates_of()
    cold = keep(slates, range(40, 50), anywhere=anywhere)
    assert np.all(cold.sum(axis=1) == 2) and np.all((slates >= 40) == cold)
    assert all(np.unique(row).size == 6 for row in slates)
    assert np.array_equal(slates[~cold].reshape(3000, 4), slates_of(width=4))
    shown = np.bincount(slates[cold], minlength=50)[40:] / 6000
    assert shown == pytest.approx(np.full(10, 0.1), abs=0.02)
    places = cold.mean(axis=0)
    assert places == pytest.approx(np.full(6, 2 / 6) if anywhere else [0, 0, 0, 0, 1, 1], abs=0.04)


def test_draws_belong_to_users_and_items():
    slates, fewer = slates_of(), slates_of()
    keep(slates, range(40, 50))
    keep(fewer, [item for item in range(40, 50) if item != 44])
    unchanged = ~(slates == 44).any(axis=1)
    assert np.array_equal(slates[unchanged], fewer[unchanged]) and 0.5 < unchanged.mean() < 0.95


def test_blocked_items_and_items_on_the_slate_are_not_used_and_slots_may_stay_with_the_recommender():
    blocked = no_bits(3000, 60)
    set_bits(blocked, np.full(9, 5), np.arange(40, 49))
    slates = slates_of()
    slates[7] = [40, 41, 42, 43, 44, 45]
    cold = keep(slates, range(40, 50), blocked=blocked)
    assert slates[5].tolist() == [10, 11, 12, 13, 14, 49] and cold[5].sum() == 1
    # The policy ranks newborn items itself: its first four stay, and the kept slots show two others.
    assert slates[7, :4].tolist() == [40, 41, 42, 43] and len(set(slates[7])) == 6
    none = slates_of(rows=4)
    assert not keep(none, []).any() and np.array_equal(none, slates_of(rows=4))


def test_short_slates_and_short_rankings():
    slates = slates_of(rows=3)
    slates[1, 2:], slates[2, 5:] = -1, -1
    lengths = np.array([6, 6, 5], np.int32)
    cold = keep(slates, range(40, 50), lengths=lengths)
    assert slates[1, :2].tolist() == [10, 11] and np.all(slates[1, 2:4] >= 40) and np.all(slates[1, 4:] == -1)
    assert slates[2, :3].tolist() == [10, 11, 12] and np.all(slates[2, 3:5] >= 40) and slates[2, 5] == -1
    assert cold.sum(axis=1).tolist() == [2, 2, 2]


def test_in_a_run_only_recommended_slates_have_them_and_the_measures_tell_them_apart(make_simulation):
    popular = PolicyRecommender(build_policy({"kind": "popularity"}), [])
    simulation = make_simulation(
        popular,
        platform={"cold_start": 1, "cold_start_rounds": 5},
        arrivals=3.0,
        behavior={"organic": 0.3},
        horizon=12,
    )
    recorder = Recorder(simulation, ["niche_exposure", "niche_exposure_cold", "average_popularity_cold"])
    items = simulation.world.items
    states = [simulation.step() for _ in range(12)]
    assert not states[0].cold.any(), "nothing is newborn yet"
    for now in states[5:]:
        young = items.live(now.round) & (now.round - items.birth < 5)
        assert now.cold[~now.organic].sum(axis=1).max() == 1 and not now.cold[now.organic].any()
        assert young[now.slates[now.cold]].all()
    assert recorder.rows[-1]["average_popularity_cold"] == 0.0


def test_cold_start_slots_need_a_catalog_that_renews_and_a_longer_slate():
    arms = [{"name": "a", "policy": {"kind": "organic"}}, {"name": "b", "policy": {"kind": "popularity"}}]
    study = {"name": "x", "arms": arms, "platform": {"cold_start": 2}}
    with pytest.raises(BadInput, match=r"cold_start: needs a catalog that renews.* world\.arrivals"):
        check_runnable(load_study(study))
    with pytest.raises(BadInput, match=r"cold_start: must be below the slate \(10\)"):
        check_runnable(load_study({**study, "platform": {"cold_start": 10}, "world": {"arrivals": 2.0}}))
