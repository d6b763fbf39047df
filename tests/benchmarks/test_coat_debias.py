"""The Coat protocol runs and is sane; which way its differences go is for benchmarks/coat_debias.py to report."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "coat_debias.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("coat_debias", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["coat_debias"] = module
    spec.loader.exec_module(module)
    return module


def test_auc_and_ndcg_by_hand(script):
    place = np.array([[0, 1, 2, 3], [0, 1, 2, 3]])
    asked = np.array([[True] * 4, [True, True, False, False]])
    taken = np.array([[False, True, False, True], [True, True, True, False]])
    found = script.metrics_by_person(place, asked, taken)
    assert found[0, 1] == pytest.approx(1 / 4)
    assert found[0, 0] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3)))
    assert np.isnan(found[1]).all()


@pytest.mark.slow
@pytest.mark.data
def test_the_protocol_on_coat(script, real_logs):
    coat = script.Coat.read(real_logs / "coat")
    assert coat.picked.shape == coat.random.shape == (290, 300)
    assert ((coat.picked > 0).sum(axis=1) == 24).all()
    assert not ((coat.picked > 0) & (coat.random > 0)).any()
    found, settings = script.compare(coat, ["random", "popularity", "ials"], seeds=1)
    judged = ~np.isnan(found["random", "none"])
    assert judged.all(axis=1).sum() > 200
    chance = found["random", "none"]
    assert np.nanmean(chance[:, 1]) == pytest.approx(0.5, abs=0.03)
    for (name, how), values in found.items():
        np.testing.assert_array_equal(~np.isnan(values), judged)  # the same people and pairs in every row
        if name != "random":
            assert np.nanmean(values[:, 1]) > np.nanmean(chance[:, 1]) + 0.05, (name, how)
    assert set(settings) == set(found)
    # an order by popularity does not change under a power of it
    np.testing.assert_array_equal(found["popularity", "none"], found["popularity", "exponent 0.5"])
