"""Emulate the statistics of simulated logs over the space of settings, and find the settings that fit a log.

Each statistic is a Gaussian process over the unit cube with a length scale per setting and the noise of a single
simulation (Rasmussen & Williams 2006, chapters 2 and 5), fitted to one design of simulated worlds. Settings are weighted by
the likelihood of the log's statistics; what the emulator does not know counts as noise. With many settings and few worlds,
fitted processes are too sure of themselves, so their variances are multiplied by how far off they are for worlds that they
were not fitted to; the correlation of the differences of several statistics is taken from these worlds, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]

PARTICLES = 2048
MOVES = 8
"""Metropolis steps of each particle at each temperature."""
FOLDS = 4
"""Parts of the worlds, each of which is predicted by the others to see how far off predictions are."""
SCALES = (1.0, 30.0)
"""Shortest and longest length scale. Statistics change smoothly over the cube; shorter scales fit the noise of a hundred
worlds, and sets become too narrow."""
RESTARTS = 1
"""Further starting points of each process's hyper-parameters."""


@dataclass(frozen=True)
class Emulator:
    """Gaussian processes of several statistics over the same worlds."""

    points: Array
    """(worlds, settings) in the unit cube."""
    values: Array
    """(worlds, statistics)"""
    kernels: list
    """A fitted kernel of each statistic, in units of its standard deviation over the worlds."""
    inverses: list[Array]
    """Inverse covariance (worlds, worlds) of each."""
    inflation: Array
    """(statistics,) factor of the variances, at least 1: the mean squared difference between the values of worlds and what
    processes that were fitted to others predict, in units of their variance."""
    correlation: Array
    """(statistics, statistics) of these differences."""

    @property
    def _scale(self) -> tuple[Array, Array]:
        return self.values.mean(axis=0), self.values.std(axis=0) + 1e-12

    def predict(self, points: Array, without: int | None = None) -> tuple[Array, Array]:
        """Return means and variances (points, statistics) of single simulations.

        without: a world that is left out, with the same hyper-parameters (its rows and columns of the covariance are
        removed by a rank-one update of the inverse).
        """
        mean, scale = self._scale
        means, variances = np.empty((2, len(points), len(self.kernels)))
        for s, (kernel, inverse) in enumerate(zip(self.kernels, self.inverses, strict=True)):
            y = (self.values[:, s] - mean[s]) / scale[s]
            cross = kernel(points, self.points)
            known = cross @ inverse
            center, spread = known @ y, kernel.diag(points) - np.einsum("pw,pw->p", known, cross)
            if without is not None:
                column, pivot = inverse[:, without], inverse[without, without]
                center = center - known[:, without] * (column @ y) / pivot
                spread = spread + known[:, without] ** 2 / pivot
            means[:, s] = mean[s] + scale[s] * center
            variances[:, s] = scale[s] ** 2 * np.maximum(spread, 1e-9) * self.inflation[s]
        return means, variances

    def log_likelihood(self, points: Array, observed: Array, without: int | None = None) -> Array:
        """Return (points,) the log-likelihood of one log's statistics (statistics,)."""
        means, variances = self.predict(points, without)
        z = (observed - means) / np.sqrt(variances)
        distance = np.einsum("ps,st,pt->p", z, np.linalg.inv(self.correlation), z)
        return -0.5 * (distance + np.log(variances).sum(axis=1))


def fit_emulator(points: Array, values: Array) -> Emulator:
    """Return the emulator of worlds (worlds, settings) with statistics (worlds, statistics)."""
    count = values.shape[1]
    part = np.arange(len(points)) % FOLDS
    differences = np.empty(values.shape)
    for fold in range(FOLDS):
        others = part != fold
        means, variances = _fit(points[others], values[others], np.ones(count), np.eye(count)).predict(
            points[~others]
        )
        differences[~others] = (values[~others] - means) / np.sqrt(variances)
    correlation = np.atleast_2d(np.corrcoef(differences.T))
    # A little shrinkage keeps the inverse tame.
    correlation = 0.9 * correlation + 0.1 * np.eye(count)
    return _fit(points, values, np.maximum((differences**2).mean(axis=0), 1.0), correlation)


def _fit(points: Array, values: Array, inflation: Array, correlation: Array) -> Emulator:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    scaled = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-12)
    kernels = []
    for s in range(values.shape[1]):
        start = ConstantKernel(1.0, (1e-2, 1e3)) * RBF(np.ones(points.shape[1]), SCALES)
        process = GaussianProcessRegressor(
            start + WhiteKernel(0.05, (1e-4, 1.0)), n_restarts_optimizer=RESTARTS, random_state=s
        )
        with warnings.catch_warnings():
            # A length scale at its bound means that the setting does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kernels.append(process.fit(points, scaled[:, s]).kernel_)
    inverses = [np.linalg.inv(kernel(points) + 1e-8 * np.eye(len(points))) for kernel in kernels]
    return Emulator(points, values, kernels, inverses, inflation, correlation)


def sample(
    log_likelihood: Callable[[Array], Array],
    settings: int,
    rng: np.random.Generator,
    particles: int = PARTICLES,
) -> Array:
    """Return equally weighted points (particles, settings) of the posterior under a uniform prior on the unit cube.

    Sequential Monte Carlo (Del Moral, Doucet & Jasra 2006): the likelihood is raised to powers that rise to 1, each chosen
    such that half of the particles count; in between they are resampled and moved by Metropolis steps.
    """
    from scipy.stats import qmc

    points = qmc.Sobol(settings, seed=rng).random(particles)
    value, power = log_likelihood(points), 0.0
    while power < 1:
        power, weights = _next_power(value, power)
        # Systematic resampling: one uniform draw places all teeth of a comb.
        comb = (np.arange(1, particles + 1) - rng.random()) / particles
        kept = np.minimum(np.searchsorted(np.cumsum(weights), comb), particles - 1)
        points, value = points[kept], value[kept]
        shape = np.linalg.cholesky(np.cov(points.T) + 1e-8 * np.eye(settings))
        for move in range(MOVES):
            step = (2.38 if move % 2 else 0.7) / np.sqrt(settings)
            tried = points + step * rng.standard_normal(points.shape) @ shape.T
            # Reflected at the walls of the cube.
            tried = np.abs(np.mod(tried + 1, 2) - 1)
            new = log_likelihood(tried)
            accept = np.log(rng.random(particles)) < power * (new - value)
            points[accept], value[accept] = tried[accept], new[accept]
    return points


def _next_power(value: Array, power: float) -> tuple[float, Array]:
    """Return the next power and the weights of the particles for it, half of which count (effective sample size)."""

    def weights_at(next_power: float) -> Array:
        logs = (next_power - power) * value
        return np.exp(logs - logsumexp(logs))

    low, high = power, 1.0
    if 1 / (weights_at(1.0) ** 2).sum() >= value.size / 2:
        return 1.0, weights_at(1.0)
    for _ in range(40):
        middle = (low + high) / 2
        enough = 1 / (weights_at(middle) ** 2).sum() >= value.size / 2
        low, high = (middle, high) if enough else (low, middle)
    return max(low, power + 1e-6), weights_at(max(low, power + 1e-6))
