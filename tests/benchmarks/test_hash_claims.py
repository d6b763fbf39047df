"""What benchmarks/hash_claims.py calls sharing, by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "hash_claims.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("hash_claims", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["hash_claims"] = module
    spec.loader.exec_module(module)
    return module


def test_sharing_by_hand(script):
    found = script.sharing(np.array([[4], [0], [2], [4], [4], [7]], np.int32))
    assert list(found.partners) == [2, -1, 0, 2, 2, 0]
    assert found.collision_rate == pytest.approx(1 - 3 / 5)
    assert list(script.sharing(np.array([[1, 3], [1, 4], [1, 3]], np.int32)).partners) == [1, 0, 1]
    nobody = script.sharing(np.zeros((3, 1), np.int32))
    assert list(nobody.partners) == [-1, -1, -1] and nobody.collision_rate == 0
