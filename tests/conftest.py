"""What tests of several rooms share: small worlds, and the real logs where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.generate import generate
from echodrift.agents.settings import WorldConfig
from echodrift.sim.loop import Simulation
from echodrift.sim.platform import Platform
from echodrift.sim.recommender import NoRecommender
from echodrift.sim.streams import Streams
from hypothesis import settings

settings.register_profile("echodrift", deadline=None)
# how long an example takes says how busy the machine is
settings.load_profile("echodrift")

EVERYTHING = {
    "social": 1.0,
    "fatigue": 0.5,
    "word_of_mouth": 0.3,
    "rewiring": 0.1,
    "repeat": 5,
    "appetite_spread": 1,
}
"""A behavior with every effect on."""


@pytest.fixture
def make_world():
    """Return a maker of small worlds: make_world(seed=…, horizon=…, behavior={…}, **world fields)."""

    def make(seed=0, horizon=30, behavior=None, slate=5, **fields):
        fields = {"users": 60, "items": 80, "topics": 6, "providers": 10, **fields}
        return generate(WorldConfig(**fields), Behavior(**(behavior or {})), Streams(seed), horizon, slate)

    return make


@pytest.fixture
def make_simulation(make_world):
    """Return a maker of small simulations; `recommender` defaults to the organic world."""

    def make(recommender=None, seed=0, horizon=30, platform=None, paired=None, **world):
        settings = Platform(**{"slate": 5, "warmup": 4, **(platform or {})})
        made = make_world(seed=seed, horizon=horizon, slate=settings.slate, **world)
        return Simulation(
            made, settings, recommender or NoRecommender(), Streams(seed), horizon, paired=paired
        )

    return make


@pytest.fixture
def everything():
    return dict(EVERYTHING)


@pytest.fixture
def random_slates():
    """Return a maker of slates of distinct items, some of them short."""

    def make(users, items, n, seed=0):
        rng = np.random.default_rng(seed)
        slates = np.stack([rng.permutation(items)[:n] for _ in range(users)]).astype(np.int32)
        slates[0, n // 2 :] = -1
        slates[-1, :] = -1
        return slates

    return make


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder of real logs; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("ECHODRIFT_DATA", beside))
    if not (folder / "ml-latest-small").is_dir():
        pytest.skip(
            f"no real logs: set ECHODRIFT_DATA to the folder that holds ml-latest-small (looked in {folder})"
        )
    return folder
