"""The niche half-life against the organic arm."""

import math

import numpy as np
import pytest
from echodrift.analysis.measures.summaries import niche_half_life

FLAT = np.full(60, 0.4)


def test_a_step_waits_for_the_trailing_mean():
    """As organic until round 29, then 0: five zeros among ten make the trailing mean half of the organic one."""
    rounds = np.arange(60)
    assert niche_half_life(rounds, np.where(rounds < 30, 0.4, 0.0), FLAT) == (34, False)
    assert niche_half_life(rounds + 100, np.where(rounds < 30, 0.4, 0.0), FLAT) == (34, False)


def test_what_falls_at_round_0_has_fallen_at_once():
    assert niche_half_life(np.arange(60), np.full(60, 0.04), FLAT) == (0, False)
    assert niche_half_life(np.arange(60), np.zeros(60), FLAT) == (0, False)


def test_exponential_decay_has_its_half_life_plus_the_lag_of_the_mean():
    rounds = np.arange(200)
    half_life, censored = niche_half_life(rounds, 0.4 * 2.0 ** (-rounds / 40), np.full(200, 0.4))
    lag = 40 * math.log2(np.mean(2.0 ** (np.arange(10) / 40)))
    assert not censored and half_life == math.ceil(40 + lag)


def test_a_fall_that_the_organic_arm_shares_is_no_decay():
    falling = 0.4 * 2.0 ** (-np.arange(60) / 5)
    assert niche_half_life(np.arange(60), falling, falling) == (59, True)


@pytest.mark.parametrize(
    ("values", "organic", "expected"),
    [
        (np.full(30, 0.3), np.full(30, 0.4), (29, True)),
        (np.full(30, 0.3), np.zeros(30), (math.nan, True)),
        (np.full(30, np.nan), np.full(30, 0.4), (math.nan, True)),
        (np.full(30, 0.3), np.full(30, np.nan), (math.nan, True)),
        (np.empty(0), np.empty(0), (math.nan, True)),
        (np.r_[np.full(20, 0.3), np.full(10, np.nan)], np.full(30, 0.4), (19, True)),
    ],
)
def test_what_never_halves_is_censored(values, organic, expected):
    half_life, censored = niche_half_life(np.arange(values.size), values, organic)
    assert half_life == pytest.approx(expected[0], nan_ok=True)
    assert censored is expected[1]
