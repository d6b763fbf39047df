"""ID tables against a Python dict, occupancy formulas, and the closed form of admission."""

from __future__ import annotations

import math

import numpy as np
import pytest
from echodrift.philox import uniform
from echodrift.policies.hashing.cuckoo import MAX_LOAD, CuckooMap, mix64
from echodrift.policies.hashing.id_tables import (
    ExactTable,
    HashTable,
    QuotientRemainderTable,
    admission_probability,
    admitted,
    make_table,
)
from hypothesis import given, settings
from hypothesis import strategies as st

# few small ids, so that deletes and second inserts meet, and any 64-bit ones
IDS = st.one_of(st.integers(0, 30), st.integers(-(2**63), 2**63 - 1))
BATCHES = st.lists(st.tuples(st.booleans(), st.lists(IDS, max_size=40)), max_size=12)


def test_the_mixer_is_splitmix64():
    # first outputs of SplitMix64 seeded with 0 and with 1234567, from the author's reference code
    assert mix64(np.uint64(0)) == 0xE220A8397B1DCDAF
    assert mix64(np.uint64(1234567)) == 6457827717110365317


@given(seed=st.integers(0, 2**64 - 1), batches=BATCHES)
@settings(max_examples=150, deadline=None)
def test_the_cuckoo_map_is_a_dict(seed, batches):
    table, model, row = CuckooMap(seed), {}, 0
    for put, ids in batches:
        if put:
            rows = list(range(row, row + len(ids)))
            row += len(ids)
            table.insert(np.array(ids, np.int64), np.array(rows, np.int32))
            model.update(zip(ids, rows, strict=True))
        else:
            had = table.delete(np.array(ids, np.int64))
            assert list(had) == [model.pop(each, -1) for each in ids]
        assert len(table) == len(model) and list(table.keys()) == sorted(model)
        wanted = np.array([*model, 31, 77, -5], np.int64)
        assert list(table.lookup(wanted)) == [model.get(int(each), -1) for each in wanted]


def test_the_cuckoo_map_grows_and_survives_cycles():
    cycles, doubled = 0, 0
    for seed in range(300):  # small tables near their load limit: the place where walks go in circles
        table = CuckooMap(seed)
        ids = np.random.default_rng(seed).integers(-(2**62), 2**62, 115)
        table.insert(ids, np.arange(115, dtype=np.int32))
        assert np.array_equal(table.lookup(ids), np.arange(115))
        cycles += table.rehashes
        doubled += table.rows.size > 256
    assert cycles > 0 and doubled < 15, "115 ids fit into 2 x 128 places where both tables are used"
    big, ids = CuckooMap(5), np.arange(200_000)
    big.insert(ids, ids.astype(np.int32))
    assert np.array_equal(big.lookup(ids), ids) and (big.lookup(ids + 200_000) == -1).all()
    assert MAX_LOAD / 2 < len(big) / big.rows.size <= MAX_LOAD
    again = CuckooMap.from_state(big.state())
    big.delete(ids[::2])
    assert len(big) == 100_000 and np.array_equal(again.lookup(ids), ids)
    assert np.array_equal(big.lookup(ids), np.where(ids % 2, ids, -1))


@given(batches=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 25))), max_size=15))
@settings(max_examples=100, deadline=None)
def test_in_an_exact_table_nobody_shares_and_free_rows_go_first(batches):
    table, owner, used = ExactTable(np.uint64(3)), {}, 1
    for put, ids in batches:
        ids = np.array(sorted(ids), np.int64)
        if put:
            free = set(range(1, used)) - set(owner.values())
            new, rows, reused = table.add(ids)
            assert set(new) == set(ids) - set(owner)
            assert set(rows[reused]) <= free and reused.sum() == min(len(free), len(new))
            assert list(rows[~reused]) == list(range(used, used + (~reused).sum()))
            owner.update(zip(new.tolist(), rows.tolist(), strict=True))
            used += int((~reused).sum())
        else:
            freed = table.drop(ids)
            assert sorted(freed) == sorted(owner.pop(i) for i in ids.tolist() if i in owner)
        assert table.rows == used and len(set(owner.values())) == len(owner)
        assert [row for (row,) in table.rows_of(np.arange(26))] == [owner.get(i, 0) for i in range(26)]


@pytest.mark.parametrize(("ids", "slots"), [(10_000, 160_000), (59_047, 10**6), (5000, 5000), (20_000, 5000)])
def test_the_collision_rate_of_a_hash_table(ids, slots):
    """Occupancy of M slots by n balls: mean M(1−e^−a), variance M·e^−a·(1−(1+a)e^−a), a = n/M."""
    load = ids / slots
    variance = slots * math.exp(-load) * (1 - (1 + load) * math.exp(-load))
    for seed in range(3):
        rows = HashTable(np.uint64(seed), slots).rows_of(np.arange(ids))
        sizes = np.unique(rows, return_counts=True)[1]
        expected = 1 - slots * (1 - math.exp(-load)) / ids
        assert abs(1 - sizes.size / ids - expected) < 4 * math.sqrt(variance) / ids
        # a partner for either of two: the variance is at most that of pairs, twice as wide
        alone = (1 - 1 / slots) ** (ids - 1)
        assert abs((sizes == 1).sum() / ids - alone) < 10 * math.sqrt(variance) / ids


def test_an_id_keeps_its_slot_and_another_key_moves_it():
    table = HashTable(np.uint64(1), 50)
    first = table.rows_of(np.arange(40))
    assert np.array_equal(first, table.rows_of(np.arange(90))[:40])
    assert first.min() >= 1 and first.max() <= 50
    assert not np.array_equal(first, HashTable(np.uint64(2), 50).rows_of(np.arange(40)))


@given(key=st.integers(0, 2**64 - 1), slots=st.integers(1, 120))
@settings(max_examples=150, deadline=None)
def test_quotient_and_remainder_decode_uniquely(key, slots):
    table = QuotientRemainderTable(np.uint64(key), slots)
    codes = table.remainders * table.quotients
    rows = table.rows_of(np.arange(2 * codes))
    assert table.rows == max(slots, 2) + 1
    assert 1 <= rows.min() and rows[:, 0].max() <= table.remainders < rows[:, 1].min()
    assert rows[:, 1].max() < table.rows
    assert len({tuple(row) for row in rows[:codes]}) == codes
    assert np.array_equal(rows[codes:], rows[:codes])
    # every remainder goes with every quotient, so no row has more ids than another of its kind
    assert set(np.bincount(rows[:codes, 0])[1 : table.remainders + 1]) == {table.quotients}


def test_admission_has_its_closed_form():
    counts = np.arange(12)
    assert list(admission_probability("none", 5, counts)) == [0] + [1] * 11
    assert list(admission_probability("threshold", 5, counts)) == [0] * 5 + [1] * 7
    chance = admission_probability("probabilistic", 5, counts)
    assert chance[0] == 0 and chance[5] == pytest.approx(0.95)
    one = 1 - 0.05 ** (1 / 5)
    assert chance == pytest.approx(1 - (1 - one) ** counts)
    for count in (1, 3, 5):
        draws = admitted(np.uint64(9), "probabilistic", 5, np.full(40_000, count))
        error = math.sqrt(chance[count] * (1 - chance[count]) / 40_000)
        assert abs(draws.mean() - chance[count]) < 4 * error
        assert (admitted(np.uint64(9), "probabilistic", 5, np.full(40_000, count + 1)) >= draws).all()
    # the draw is the house generator at (key, 1, id, 0)
    assert admitted(np.uint64(9), "probabilistic", 5, np.full(3, 3))[2] == (
        uniform(np.uint64(9), 1, 2, 0) < chance[3]
    )


def test_states_come_back():
    ids = np.arange(30)
    for kind in ("exact", "hash", "quotient_remainder"):
        table, other = make_table(kind, np.uint64(4), 11), make_table(kind, np.uint64(8), 3)
        if isinstance(table, ExactTable):
            table.add(ids)
            table.drop(ids[3:9])
        other.restore(table.state())
        assert np.array_equal(table.rows_of(ids), other.rows_of(ids)) and table.rows == other.rows
        if isinstance(table, ExactTable) and isinstance(other, ExactTable):
            assert np.array_equal(table.add(ids)[1], other.add(ids)[1])
