"""The emulator against scikit-learn, refits without a world, and posteriors that are known."""

from __future__ import annotations

import numpy as np
from echodrift.scenarios.calibration.emulator import fit_emulator, sample
from scipy.stats import qmc
from sklearn.gaussian_process import GaussianProcessRegressor


def worlds(count: int = 64, settings: int = 3, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    points = qmc.Sobol(settings, seed=0).random(count)
    rng = np.random.default_rng(0)
    first = np.sin(3 * points[:, 0]) + points[:, 1]
    second = 10 + 4 * points[:, 0] * points[:, 1]
    clean = np.stack([first, second], axis=1)
    return points, clean + noise * rng.standard_normal(clean.shape)


def test_predictions_are_those_of_the_library() -> None:
    points, values = worlds()
    emulator = fit_emulator(points, values)
    new = np.random.default_rng(1).random((7, 3))
    means, variances = emulator.predict(new)
    for s in range(2):
        mean, scale = values[:, s].mean(), values[:, s].std()
        fixed = GaussianProcessRegressor(emulator.kernels[s], optimizer=None, alpha=1e-8)
        center, deviation = fixed.fit(points, (values[:, s] - mean) / scale).predict(new, return_std=True)
        assert np.allclose(means[:, s], mean + scale * center, atol=1e-6)
        assert np.allclose(np.sqrt(variances[:, s] / emulator.inflation[s]), scale * deviation, rtol=1e-4)


def test_without_a_world_is_as_if_it_had_not_been_simulated() -> None:
    points, values = worlds()
    emulator = fit_emulator(points, values)
    place, rest = 5, np.arange(64) != 5
    new = np.random.default_rng(2).random((4, 3))
    means, variances = emulator.predict(new, without=place)
    for s in range(2):
        # In the units of all worlds: only the world itself is left out.
        mean, scale = values[:, s].mean(), values[:, s].std()
        fixed = GaussianProcessRegressor(emulator.kernels[s], optimizer=None, alpha=1e-8)
        fixed.fit(points[rest], (values[rest, s] - mean) / scale)
        center, deviation = fixed.predict(new, return_std=True)
        assert np.allclose(means[:, s], mean + scale * center, atol=1e-6)
        assert np.allclose(np.sqrt(variances[:, s] / emulator.inflation[s]), scale * deviation, rtol=1e-4)


def test_a_posterior_that_is_known() -> None:
    """A normal likelihood inside the unit cube: its mean, spread and correlation come out."""
    center, covariance = np.array([0.4, 0.6]), np.array([[0.006, 0.004], [0.004, 0.006]])
    inverse = np.linalg.inv(covariance)

    def log_likelihood(points: np.ndarray) -> np.ndarray:
        away = points - center
        return -0.5 * np.einsum("ps,st,pt->p", away, inverse, away)

    found = sample(log_likelihood, 2, np.random.default_rng(0), 4096)
    assert np.allclose(found.mean(axis=0), center, atol=0.008)
    assert np.allclose(np.cov(found.T), covariance, atol=0.0008)
    again = sample(log_likelihood, 2, np.random.default_rng(0), 4096)
    assert (found == again).all()


def test_without_information_the_prior_comes_back() -> None:
    found = sample(lambda points: np.zeros(len(points)), 3, np.random.default_rng(0))
    assert ((found >= 0) & (found <= 1)).all()
    assert np.allclose(np.quantile(found, [0.05, 0.5, 0.95], axis=0).T, [0.05, 0.5, 0.95], atol=0.03)


def test_what_fits_is_found_and_what_does_not_matter_stays_open() -> None:
    points, values = worlds()
    emulator = fit_emulator(points, values)
    truth = np.array([0.3, 0.7, 0.5])
    observed = np.array([np.sin(0.9) + 0.7, 10 + 4 * 0.21])
    found = sample(lambda p: emulator.log_likelihood(p, observed), 3, np.random.default_rng(0))
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    assert ((low <= truth) & (truth <= high)).all()
    assert (high - low)[2] > 0.8 and (high - low)[:2].max() < 0.6
    near, far = emulator.log_likelihood(np.array([truth, [0.9, 0.1, 0.5]]), observed)
    assert near > far + 10
