"""Splits: nothing lost, nothing twice, and each holds out what it says."""

from __future__ import annotations

import numpy as np
import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.offline.protocol.splits import Split, divide, parse_split
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def logs(draw):
    """Distinct pairs in time order, with ties in time."""
    pairs = draw(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=6, max_size=60))
    pairs = draw(st.permutations(sorted(pairs)))
    times = sorted(draw(st.lists(st.integers(0, 8), min_size=len(pairs), max_size=len(pairs))))
    user, item = np.array(pairs, np.int32).T
    return user, item, np.array(times, float)


def apart(split, log, seed=0, rows=None):
    user, item, time = log
    rows = np.arange(user.size) if rows is None else rows
    return divide(split, user, item, time, rows, np.random.default_rng(seed))


SPLITS = [
    *(Split("random", share) for share in (0.2, 0.5)),
    *(Split("users", share) for share in (0.3, 0.7)),
    *(Split("leave-one-out"), Split("temporal", 0.3)),
]


@pytest.mark.parametrize("split", SPLITS, ids=str)
@given(log=logs(), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_split(split, log, seed):
    user, item, time = log
    try:
        parts = apart(split, log, seed)
    except BadInput as error:
        assert "leaves nothing to t" in str(error)
        return
    again = apart(split, log, seed)
    together = np.concatenate([parts.train, parts.fold_in, parts.test])
    assert np.unique(together).size == together.size
    for one, other in zip(
        (parts.train, parts.fold_in, parts.test), (again.train, again.fold_in, again.test), strict=True
    ):
        assert np.array_equal(one, other) and (np.diff(one) > 0).all()
    count = np.bincount(user, minlength=7)
    held = np.bincount(user[parts.test], minlength=7)
    if split.kind == "random":
        assert together.size == user.size
        assert np.array_equal(held, np.floor(split.share * count + 1e-9))
    elif split.kind == "leave-one-out":
        assert np.array_equal(held, (count > 1).astype(int)) and together.size == user.size
        for row in parts.test:
            assert row == np.flatnonzero(user == user[row])[-1]  # rows are in time order
    elif split.kind == "temporal":
        assert time[parts.train].max() < time[parts.test].min() and together.size == user.size
        assert parts.test.size >= split.share * user.size - 1e-9
    else:
        folded = set(user[parts.fold_in]) | set(user[parts.test])
        assert not folded & set(user[parts.train])
        assert set(item[parts.fold_in]) | set(item[parts.test]) <= set(item[parts.train])
        own = np.bincount(user[parts.fold_in], minlength=7) + held
        assert np.array_equal(held, np.floor(0.2 * own + 1e-9))
        assert len(set(user) - set(user[parts.train])) == int(split.share * len(set(user)))


def test_draws_do_not_depend_on_the_order_of_the_file():
    rng = np.random.default_rng(3)
    pairs = np.array([(u, i) for u in range(9) for i in range(11) if (u * i) % 3], np.int32)
    held = []
    for _ in range(2):
        user, item = rng.permutation(pairs).T
        parts = divide(Split("random", 0.3), user, item, None, np.arange(user.size), np.random.default_rng(1))
        held.append(set(zip(user[parts.test].tolist(), item[parts.test].tolist(), strict=True)))
    assert held[0] == held[1] and len(held[0]) > 5


def test_leave_one_out_without_times_is_drawn_and_with_times_is_not():
    user = np.repeat(np.arange(30, dtype=np.int32), 8)
    item = np.tile(np.arange(8, dtype=np.int32), 30)
    rows = np.arange(user.size)
    drawn = [
        divide(Split("leave-one-out"), user, item, None, rows, np.random.default_rng(s)).test for s in (0, 1)
    ]
    assert not np.array_equal(*drawn) and all(np.array_equal(user[one], np.arange(30)) for one in drawn)
    time = np.arange(user.size, dtype=float)
    timed = [
        divide(Split("leave-one-out"), user, item, time, rows, np.random.default_rng(s)).test for s in (0, 1)
    ]
    assert np.array_equal(*timed) and (item[timed[0]] == 7).all()
    assert Split("leave-one-out").is_drawn(False) and not Split("leave-one-out").is_drawn(True)


def test_a_part_of_a_log_is_divided_without_the_rest():
    user = np.repeat(np.arange(10, dtype=np.int32), 10)
    item = np.tile(np.arange(10, dtype=np.int32), 10)
    time = np.arange(100, dtype=float)
    for split in SPLITS:
        outer = divide(split, user, item, time, np.arange(100), np.random.default_rng(0))
        inner = divide(split, user, item, time, outer.train, np.random.default_rng(1))
        assert set(inner.train) | set(inner.fold_in) | set(inner.test) <= set(outer.train), split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("radom:0.2", 'no split "radom:0.2". Did you mean "random"? Allowed: leave-one-out, random:0.2'),
        ("random", 'needs a share, for example "random:0.2"'),
        ("random:1", "must be a number between 0 and 1"),
        ("random:0", "must be a number between 0 and 1"),
        ("users:-0.1", "must be a number between 0 and 1"),
        ("users:x", "must be a number between 0 and 1"),
        ("users:1e-1", "must be a number between 0 and 1"),
        ("temporal:nan", "must be a number between 0 and 1"),
        ("leave-one-out:2", "leave-one-out has no share"),
        ("", "there is no split"),
    ],
)
def test_bad_splits(text, message):
    with pytest.raises(BadInput) as caught:
        parse_split(text)
    assert str(caught.value).startswith("--split: ") and message in str(caught.value)


def test_splits_that_leave_nothing():
    user, item = np.arange(5, dtype=np.int32), np.arange(5, dtype=np.int32)
    for split in (Split("random", 0.2), Split("leave-one-out"), Split("users", 0.1)):
        with pytest.raises(
            BadInput, match="leaves nothing to test on: there are 5 interactions of 5 users, at most 1"
        ):
            divide(split, user, item, None, np.arange(5), np.random.default_rng(0))
    with pytest.raises(BadInput, match="needs timestamps, and the log has none; take random:0.2"):
        divide(Split("temporal", 0.2), user, item, None, np.arange(5), np.random.default_rng(0))
    with pytest.raises(BadInput, match="leaves nothing to train on"):
        divide(Split("temporal", 0.2), user, item, np.zeros(5), np.arange(5), np.random.default_rng(0))


@given(st.text("randomusetplv-:.0123456789e", max_size=16))
def test_any_text_is_a_split_or_bad_input(text):
    try:
        split = parse_split(text)
    except BadInput:
        return
    assert parse_split(str(split)).kind == split.kind
