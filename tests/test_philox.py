"""Philox against its published test vectors, and the draws against their distributions."""

import numpy as np
import pytest
from echodrift import philox
from echodrift.sim.streams import Streams
from scipy import stats

KEY = Streams(7).key("a decision")
FULL = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL,) * 4, (FULL, FULL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, words):
    assert tuple(int(word) for word in philox.philox(*counter, *key)) == words


def test_uniforms_are_uniform_and_uncorrelated():
    draws = philox.uniforms(KEY, 3, np.arange(2000, dtype=np.int32), 8)
    assert 0 < draws.min() and draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    correlations = np.corrcoef(draws.T)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(2000)


def test_gumbel_and_normal_follow_their_laws():
    gumbels = [philox.gumbel(KEY, 0, user, 0) for user in range(4000)]
    assert stats.kstest(gumbels, "gumbel_r").pvalue > 1e-3
    normals = philox.normals(KEY, np.arange(50, dtype=np.int32), 101)
    assert stats.kstest(normals.ravel(), "norm").pvalue > 1e-3


def test_a_draw_depends_on_its_own_coordinates_only():
    everyone = philox.uniforms(KEY, 5, np.arange(10, dtype=np.int32), 6)
    some = philox.uniforms(KEY, 5, np.array([7, 2], dtype=np.int32), 3)
    assert np.array_equal(some, everyone[[7, 2], :3])
    assert not np.array_equal(everyone, philox.uniforms(KEY, 6, np.arange(10, dtype=np.int32), 6))


def test_dense_normals_equal_single_ones():
    users = np.array([0, 3, 11], dtype=np.int32)
    dense = philox.normals(KEY, users, 7)
    single = [[philox.normal(KEY, user, item) for item in range(7)] for user in users]
    assert np.array_equal(dense, np.array(single, np.float32))


def test_streams_have_no_order_and_differ_by_name_round_and_seed():
    streams = Streams(1)
    first = streams("items", 4).random(3)
    streams("users").random(100)
    assert np.array_equal(first, streams("items", 4).random(3))
    others = [streams("items", 5), streams("users", 4), Streams(2)("items", 4), streams("items", -4)]
    assert all(not np.array_equal(first, other.random(3)) for other in others)
    assert streams.key("items") != streams.key("users")
