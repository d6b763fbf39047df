"""Transforms that drop entries: which ones, in what order, and that later fits agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.policies.interactions import Interactions, Source
from echodrift.policies.registry import build_log_transform, build_policy
from echodrift.policies.testing.example import example_observation
from echodrift.policies.testing.log_transform_clauses import example_with_exposures
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

NAMES = ["slate", "organic", "social", "imported"]
logs = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(-5, 12), st.integers(0, 3)), max_size=60
)


def seen_of(rows):
    user, item, round, source = np.array(sorted(rows, key=lambda row: row[2]), np.int32).reshape(-1, 4).T
    log = Interactions(user, item, round, np.arange(len(rows), dtype=np.int16), source.astype(np.int8))
    return replace(example_observation(), log=log)  # a rank of its own names every entry


def kept(seen, kind, **fields):
    log = build_log_transform({"kind": kind, **fields}).prepare(seen).log
    return log.rank.tolist()


@settings(max_examples=60, deadline=None)
@given(logs, st.integers(1, 30))
def test_recent_window_keeps_the_last_rounds(rows, rounds):
    seen = seen_of(rows)
    log = seen.log
    assert kept(seen, "recent_window", rounds=rounds) == log.rank[log.round >= seen.round - rounds].tolist()
    frozen = replace(seen, frozen=True)
    assert kept(frozen, "recent_window", rounds=rounds) == log.rank[log.round >= -rounds].tolist()


def test_recent_window_is_the_window_of_a_policy():
    seen, users = example_with_exposures(), np.arange(24, dtype=np.int32)
    rankings = []
    for learned, window in (
        (build_log_transform({"kind": "recent_window", "rounds": 4}).prepare(seen), None),
        (seen, 4),
    ):
        policy = build_policy(
            {"kind": "matrix_factorization", "dim": 3, **({"window": window} if window else {})}
        )
        policy.fit(learned, default_rng(1))
        rankings.append(policy.rank(seen, users, 9, default_rng(2)))
    np.testing.assert_array_equal(rankings[0].items, rankings[1].items)


@settings(max_examples=100, deadline=None)
@given(
    logs,
    st.one_of(st.none(), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)),
    st.one_of(st.none(), st.integers(-6, 13)),
    st.one_of(st.none(), st.integers(0, 8)),
)
def test_purge_drops_what_it_names(rows, sources, first, length):
    seen = seen_of(rows)
    last = None if length is None else (first if first is not None else 0) + length
    fields = {"sources": sources, "first": first, "last": last}
    got = kept(seen, "purge", **{name: value for name, value in fields.items() if value is not None})
    wanted = [
        rank
        for rank, round, source in zip(seen.log.rank, seen.log.round, seen.log.source, strict=True)
        if not (
            (sources is None or NAMES[source] in sources)
            and (first is None or round >= first)
            and (last is None or round <= last)
        )
    ]
    assert got == wanted


@settings(max_examples=60, deadline=None)
@given(logs, st.floats(0, 1), st.floats(0, 1), st.integers(0, 40))
def test_a_share_drops_the_same_entries_in_every_later_fit(rows, one, other, cut):
    low, high = sorted((one, other))
    seen = seen_of(rows)
    whole = set(kept(seen, "purge", share=high))
    assert whole <= set(kept(seen, "purge", share=low))
    shorter = replace(seen, log=seen.log.part(cut))
    assert set(kept(shorter, "purge", share=high)) == whole & set(shorter.log.rank.tolist())


def test_a_share_is_a_share_and_seeds_differ():
    rng = default_rng(0)
    none = np.zeros(20_000, np.int32)
    user, item = rng.integers(0, 1000, (2, none.size)).astype(np.int32)
    log = Interactions(
        user, item, np.arange(none.size, dtype=np.int32) // 100, none.astype(np.int16), none.astype(np.int8)
    )
    seen = replace(example_observation(users=1000, items=1000), log=log)
    left = [build_log_transform({"kind": "purge", "share": 0.3, "seed": s}).prepare(seen).log for s in (0, 1)]
    for each in left:
        assert len(each) == pytest.approx(14_000, abs=250)
        # independent of user, item and round
        for column in (each.user, each.item, each.round):
            assert np.corrcoef(np.bincount(column, minlength=1000)[:200], np.arange(200))[0, 1] < 0.25
    both = len(
        np.intersect1d(*(each.user.astype(np.int64) * 10**6 + each.item * 1000 + each.round for each in left))
    )
    assert both == pytest.approx(0.49 * 20_000, abs=400)


def test_downweighting_to_nothing_is_dropping_and_to_one_is_nothing():
    seen = example_with_exposures()
    slate = seen.log.source == Source.SLATE
    dropped = build_log_transform({"kind": "downweight_slate", "weight": 0.0}).prepare(seen).log
    purged = build_log_transform({"kind": "purge", "sources": ["slate"]}).prepare(seen).log
    for a, b in ((dropped, seen.log.where(~slate)), (purged, dropped)):
        for name in ("user", "item", "round", "rank", "source"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert dropped.weight is None
    assert build_log_transform({"kind": "downweight_slate", "weight": 1.0}).prepare(seen).log is seen.log
    half = build_log_transform({"kind": "downweight_slate", "weight": 0.25}).prepare(seen).log
    np.testing.assert_array_equal(half.weight, np.where(slate, np.float32(0.25), np.float32(1)))


def test_a_tiny_weight_approaches_dropping_in_a_loss_that_weighs():
    """As the weight falls to 0, iALS (whose loss is Σ w(ŷ − 1)² + …) approaches the fit without the entries."""
    seen, users = example_with_exposures(), np.arange(24, dtype=np.int32)
    factors = []
    for weight in (1e-6, 0.0):
        learned = build_log_transform({"kind": "downweight_slate", "weight": weight}).prepare(seen)
        policy = build_policy(
            {"kind": "ials", "dim": 3, "binary": False, "solver": "exact", "iterations": 40}
        )
        policy.fit(learned, default_rng(1))
        state = policy.state()
        factors.append(state["users"][users] @ state["items"].T)
    np.testing.assert_allclose(factors[0], factors[1], atol=5e-3)
