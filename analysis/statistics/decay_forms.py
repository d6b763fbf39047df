"""The forms of decay (exponential, exponential to a floor, power law), each fitted to many curves at once.

Given its rate every form is linear in its levels, so least squares over the levels has a closed form (variable
projection: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973)). It is solved at every rate of a grid, and a parabola
through the best rate and its neighbors refines the rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NUDGE = 1e-5
"""Step of numeric derivatives, in logarithms."""


class Form(ABC):
    """One form of decay over rounds t ≥ 0 counted from the first; `table` precomputes its grid for given rounds."""

    @classmethod
    @lru_cache(maxsize=4)
    def table(cls, t: tuple[float, ...]) -> Form:
        """Return the form with its grid precomputed for rounds t (cached)."""
        form = cls()
        form.lay_out(np.asarray(t))
        return form

    @abstractmethod
    def lay_out(self, t: Floats) -> None:
        """Precompute what `fit` needs for rounds t (R,)."""

    @abstractmethod
    def fit(self, curves: Floats) -> Floats:
        """Least-squares parameters of curves (B, R); shape (B, parameters)."""

    @abstractmethod
    def curve(self, t: Floats, parameters) -> Floats:
        """Values at rounds t."""

    @abstractmethod
    def half_lives(self, parameters: Floats, reach: float) -> Floats:
        """Time until half of the value at 0 is lost, (B,); ∞ where never or beyond `reach`."""

    def asymptote(self, parameters) -> float:
        """Level that it decays to."""
        return 0.0


class Exponential(Form):
    """a·exp(−λt); parameters (a, λ)."""

    def lay_out(self, t: Floats) -> None:
        self.t, self.rates = t, _rates(t)
        self.shapes = np.exp(-np.outer(self.rates, t))

    def fit(self, curves: Floats) -> Floats:
        gain = _explained(self.shapes, curves)
        rate = _refined(np.log(self.rates), gain)
        return np.column_stack([_scale(np.exp(-np.outer(rate, self.t)), curves), rate])

    def curve(self, t: Floats, parameters) -> Floats:
        a, rate = parameters
        return a * np.exp(-rate * t)

    def half_lives(self, parameters: Floats, reach: float) -> Floats:
        half = np.log(2) / parameters[:, 1]
        return np.where(half <= reach, half, np.inf)


class Floor(Form):
    """c + a·exp(−λt) with a, c ≥ 0; parameters (c, a, λ)."""

    def lay_out(self, t: Floats) -> None:
        self.t, self.rates = t, _rates(t)
        shapes = np.exp(-np.outer(self.rates, t))
        self.plain = shapes
        self.means = shapes.mean(axis=1)
        self.centered = shapes - self.means[:, None]

    def fit(self, curves: Floats) -> Floats:
        mean = curves.mean(axis=1)
        size = (self.centered**2).sum(axis=1)
        a = curves @ self.centered.T / size
        c = mean[:, None] - a * self.means
        # If a level would be negative, the best fit has no floor.
        gain = np.where(
            (a > 0) & (c > 0), a**2 * size + len(self.t) * mean[:, None] ** 2, _explained(self.plain, curves)
        )
        rate = _refined(np.log(self.rates), gain)
        shape = np.exp(-np.outer(rate, self.t))
        center = shape - shape.mean(axis=1, keepdims=True)
        a = (center * curves).sum(axis=1) / (center**2).sum(axis=1)
        c = mean - a * shape.mean(axis=1)
        bare = (a <= 0) | (c <= 0)
        return np.column_stack([np.where(bare, 0.0, c), np.where(bare, _scale(shape, curves), a), rate])

    def curve(self, t: Floats, parameters) -> Floats:
        c, a, rate = parameters
        return c + a * np.exp(-rate * t)

    def half_lives(self, parameters: Floats, reach: float) -> Floats:
        c, a, rate = parameters.T
        with np.errstate(divide="ignore", invalid="ignore"):
            half = np.where(a > c, -np.log((a - c) / (2 * a)) / rate, np.inf)
        return np.where(half <= reach, half, np.inf)

    def asymptote(self, parameters) -> float:
        return float(parameters[0])


class PowerLaw(Form):
    """a·(1 + t/τ)^(−β); parameters (a, h, β) with the half-life h = τ·(2^(1/β) − 1), better determined than τ."""

    POWERS = tuple(np.geomspace(0.1, 5, 8))

    def lay_out(self, t: Floats) -> None:
        self.t = t
        self.halves = np.log(2) / _rates(t)[::-1]
        self.least = np.log([self.halves[0], self.POWERS[0]])
        self.most = np.log([self.halves[-1], self.POWERS[-1]])
        self.shapes = [_power(t, self.halves, power) for power in self.POWERS]

    def fit(self, curves: Floats) -> Floats:
        gains = np.stack([_explained(shapes, curves) for shapes in self.shapes])
        best = gains.max(axis=2).argmax(axis=0)
        gain = gains[best, np.arange(len(curves))]
        half = _refined(np.log(self.halves), gain)
        return self._polished(np.log(half), np.log(np.asarray(self.POWERS)[best]), curves)

    def _polished(self, half: Floats, power: Floats, curves: Floats) -> Floats:
        """Run Gauss–Newton in (a, log h, log β) from the best grid point; a step that does not help is quartered."""
        place = np.column_stack([half, power])
        shape = self._shapes(place)
        scale = _scale(shape, curves)
        error = ((curves - scale[:, None] * shape) ** 2).sum(axis=1)
        stride = np.ones(len(curves))
        for _ in range(8):
            slopes = [(self._shapes(place + nudge) - shape) / NUDGE for nudge in NUDGE * np.eye(2)]
            jacobian = np.stack([shape, *(scale[:, None] * slope for slope in slopes)], axis=2)
            turned = jacobian.transpose(0, 2, 1)
            normal = turned @ jacobian
            normal += 1e-9 * np.eye(3) * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-300 * np.eye(
                3
            )
            right = turned @ (curves - scale[:, None] * shape)[:, :, None]
            step = np.linalg.solve(normal, right)[:, 1:, 0] * stride[:, None]
            tried = np.clip(place + np.clip(step, -0.5, 0.5), self.least, self.most)
            new = self._shapes(tried)
            size = _scale(new, curves)
            off = ((curves - size[:, None] * new) ** 2).sum(axis=1)
            better = off < error * (1 - 1e-9)
            if not better.any():
                break
            place[better], shape[better], scale[better] = tried[better], new[better], size[better]
            error[better] = off[better]
            stride = np.where(better, np.minimum(1.0, 2 * stride), stride / 4)
        return np.column_stack([scale, np.exp(place)])

    def _shapes(self, place: Floats) -> Floats:
        half, power = np.exp(place).T
        return (1 + self.t * ((2 ** (1 / power) - 1) / half)[:, None]) ** -power[:, None]

    def curve(self, t: Floats, parameters) -> Floats:
        a, half, power = parameters
        return a * (1 + t * (2 ** (1 / power) - 1) / half) ** -power

    def half_lives(self, parameters: Floats, reach: float) -> Floats:
        half = parameters[:, 1]
        return np.where(half <= reach, half, np.inf)


FORMS: dict[str, Form] = {
    "exponential": Exponential(),
    "exponential to a floor": Floor(),
    "power law": PowerLaw(),
}


def _rates(t: Floats) -> Floats:
    """Return rates from a half-life of 40 horizons to one of a fifth of the shortest step."""
    return np.geomspace(np.log(2) / (40 * t[-1]), 5 * np.log(2) / np.diff(t).min(), 240)


def _power(t: Floats, halves: Floats, power: float) -> Floats:
    return (1 + np.outer((2 ** (1 / power) - 1) / halves, t)) ** -power


def _explained(shapes: Floats, curves: Floats) -> Floats:
    """Return the sum of squares that each shape explains with a nonnegative scale, (B, shapes)."""
    return np.maximum(curves @ shapes.T, 0.0) ** 2 / (shapes**2).sum(axis=1)


def _scale(shape: Floats, curves: Floats) -> Floats:
    return (shape * curves).sum(axis=1) / (shape**2).sum(axis=1)


def _refined(log_rates: Floats, gain: Floats) -> Floats:
    """Return the rate with the largest gain, by a parabola through it and its two neighbors; gain (B, rates)."""
    rows = np.arange(len(gain))
    best = np.clip(gain.argmax(axis=1), 1, len(log_rates) - 2)
    left, middle, right = (gain[rows, best + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    step = np.divide(0.5 * (left - right), bend, out=np.zeros_like(bend), where=bend < 0)
    return np.exp(log_rates[best] + np.clip(step, -1, 1) * (log_rates[1] - log_rates[0]))
