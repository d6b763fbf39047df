"""Summaries of a run."""

import math

import numpy as np
import pytest
from echodrift.analysis.measures.summaries import niche_half_life


def test_half_life_of_a_step_waits_for_the_trailing_mean():
    """0.4 until round 29, then 0: five zeros among ten make the trailing mean 0.2."""
    rounds = np.arange(60)
    assert niche_half_life(rounds, np.where(rounds < 30, 0.4, 0.0)) == (34, False)


def test_half_life_of_exponential_decay_is_its_half_life_plus_the_lags():
    rounds = np.arange(200)
    half_life, censored = niche_half_life(rounds, 2.0 ** (-rounds / 40))
    start = np.mean(2.0 ** (-np.arange(5) / 40))
    lag = 40 * math.log2(np.mean(2.0 ** (np.arange(10) / 40)) / start)
    assert not censored
    assert half_life == math.ceil(40 + lag)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full(30, 0.3), (29, True)),
        (np.linspace(0.3, 0.2, 30), (29, True)),
        (np.zeros(30), (math.nan, True)),
        (np.full(30, np.nan), (math.nan, True)),
        (np.empty(0), (math.nan, True)),
    ],
)
def test_what_never_halves_is_censored(values, expected):
    half_life, censored = niche_half_life(np.arange(values.size), values)
    assert half_life == pytest.approx(expected[0], nan_ok=True)
    assert censored is expected[1]


def test_half_life_counts_from_the_first_round():
    values = np.where(np.arange(60) < 30, 0.4, 0.0)
    assert niche_half_life(np.arange(100, 160), values) == (34, False)
