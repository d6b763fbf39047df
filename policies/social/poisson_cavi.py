"""Coordinate ascent variational inference (CAVI) for `social_poisson`: Poisson factorization with a social term.

Gamma factors q = Γ(shape a, rate b), E[x] = a/b, G[x] = exp E[log x] = exp ψ(a) / b. One pass attributes
every take to its sources, φ ∝ G[θ_uk]G[β_ik] and G[τ_uv]·(takes of v), and never stores φ: with
Z = Σ_k G[θ_uk]G[β_ik] + Σ_v G[τ_uv]x_v and w = takes/Z the shapes are
a_uk = a₀ + G[θ_uk] Σ_i w G[β_ik], a_ik = a₀ + G[β_ik] Σ_u w G[θ_uk], a_uv = a₀ + G[τ_uv] Σ w x_v.
Cost: O(pairs·dim + hits) multiplications and (users + items)·dim + ties digammas per pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import digamma

from .copying import CopyingData

CHECK_EVERY = 10
"""Passes between two evaluations of the bound, which costs more than a pass."""
TINY = 1e-30
"""Added to Z, so that a take without any possible source does not divide by zero."""


@dataclass
class Gammas:
    """Independent gamma posteriors of a table of numbers; updated in place.

    The prior is Gamma(a₀, b₀), or with `activity` = a' > 0 one with a separate rate for every row,
    x_rk ~ Gamma(a₀, ξ_r), ξ_r ~ Gamma(a', a'/b₀). The posterior of ξ_r has the constant shape a' + d·a₀ and
    the rate a'/b₀ + Σ_k E[x_rk]; it is stored as `own` = E[ξ_r].
    """

    shape: NDArray[Any]
    """(n, d), or (d,) for a single row"""
    rate: NDArray[Any]
    """(d,) the rate of x_rk is own_r + rate_k"""
    prior: tuple[float, float]
    """a₀, b₀"""
    activity: float = 0.0
    """a'; 0: b₀ is the rate of every row."""
    own: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    """(n,) E[ξ]; zeros without `activity`, as b₀ is then part of `rate`; filled in when omitted"""

    def __post_init__(self) -> None:
        if self.own.size == 0:
            self.own = np.full(_table(self.shape).shape[0], self.prior[1] if self.activity else 0.0)

    def mean(self) -> NDArray[Any]:
        """Return E[x], with the shape and type of `shape`."""
        own, rate = (part.astype(self.shape.dtype) for part in (self.own, self.rate))
        return (_table(self.shape) / (own[:, None] + rate)).reshape(self.shape.shape)

    def geometric(self) -> NDArray[Any]:
        """Return exp E[log x], with the shape and type of `shape`."""
        return _geometric(_table(self.shape), self.own, self.rate).reshape(self.shape.shape)

    def learn(self, attributed: NDArray[Any], others: NDArray[Any] | None = None) -> None:
        """Update from the counts attributed to each number, and the sum (d,) of the other side's means."""
        np.add(attributed, self.prior[0], out=self.shape)
        if others is not None:
            self.rate = others + (0.0 if self.activity else self.prior[1])
        self.update_rates(slice(None))

    def update_rates(self, rows: Any) -> None:
        """Update the rates ξ of some rows."""
        if self.activity:
            means = (self.shape[rows] / (self.own[rows, None] + self.rate)).sum(axis=1)
            self.own[rows] = self._own_shape() / (self.activity / self.prior[1] + means)

    def _own_shape(self) -> float:
        return self.activity + self.prior[0] * self.shape.shape[-1]

    def divergence(self) -> float:
        """Return Σ KL(posterior ‖ prior), of ξ too."""
        shape0, rate0 = self.prior
        mean, log_mean, of_own = np.full_like(self.own, rate0), np.full_like(self.own, np.log(rate0)), 0.0
        if self.activity:
            a, b = self._own_shape(), self._own_shape() / self.own
            mean, log_mean = self.own, digamma(a) - np.log(b)
            prior_rate = np.full(1, self.activity / rate0)
            of_own = _divergence(
                np.full((1, b.size), a), np.zeros(1), b, self.activity, prior_rate, np.log(prior_rate)
            )
        return of_own + _divergence(_table(self.shape), self.own, self.rate, shape0, mean, log_mean)


def _table(shape: NDArray[Any]) -> NDArray[Any]:
    return shape if shape.ndim == 2 else shape[None, :]


@dataclass
class Posterior:
    """The learned parameters. Without factors, dim = 0; without a social term, no ties."""

    users: Gammas
    """θ (users, dim)"""
    items: Gammas
    """β (items, dim)"""
    ties: Gammas
    """τ (ties,)"""
    fixed: bool = False
    """Whether τ is 1 on every tie instead of learned."""
    floor: float = 0.0
    """Added to the expected count of every pair."""

    def influence(self) -> NDArray[Any]:
        """Return (ties,) E[τ]."""
        return np.ones_like(self.ties.shape) if self.fixed else self.ties.mean()

    def ascend(self, data: CopyingData, passes: int, tolerance: float) -> int:
        """Sweep until the bound rises by a share below `tolerance` in CHECK_EVERY passes; return the passes made."""
        last = -np.inf
        for done in range(1, passes + 1):
            self.sweep(data)
            if tolerance > 0 and done % CHECK_EVERY == 0 and done < passes:
                now = self.bound(data)
                if now - last < tolerance * abs(now):
                    return done
                last = now
        return passes

    def sweep(self, data: CopyingData) -> None:
        """Update every φ, θ, τ and β once."""
        of_items = self.items.geometric()
        to_items = np.zeros_like(of_items)
        to_users, to_ties, _ = self._attribute(data, self._everyone(), of_items, to_items)
        self.users.learn(to_users, self.items.mean().sum(axis=0, dtype=np.float64))
        self.ties.learn(to_ties)
        self.items.learn(to_items * of_items, self.users.mean().sum(axis=0, dtype=np.float64))

    def fold_in(self, data: CopyingData, users: NDArray[Any], ties: NDArray[Any], passes: int) -> None:
        """Update φ, θ and τ of some users, whose ties are `ties`, with fixed items."""
        of_items = self.items.geometric()
        for _ in range(passes):
            to_users, to_ties, _ = self._attribute(data, users, of_items, of_items[:0])
            self.users.shape[users] = self.users.prior[0] + to_users[users]
            self.users.update_rates(users)
            self.ties.shape[ties] = self.ties.prior[0] + to_ties[ties]

    def bound(self, data: CopyingData) -> float:
        """Return the evidence lower bound right after an update of φ.

        Σ takes·log Z − Σ log(takes!) − Σ_k (Σ_u E[θ_uk])(Σ_i E[β_ik]) − Σ_uv E[τ_uv]·chances_uv − Σ KL.
        """
        of_items = self.items.geometric()
        log_z = self._attribute(data, self._everyone(), of_items, of_items[:0])[-1]
        users = self.users.mean().sum(axis=0, dtype=np.float64)
        items = self.items.mean().sum(axis=0, dtype=np.float64)
        expected = float(users @ items) + float(self.influence() @ data.chances)
        apart = self.users.divergence() + self.items.divergence()
        if not self.fixed:
            apart += self.ties.divergence()
        return log_z - _log_factorials(data.cell_takes) - expected - apart

    def _everyone(self) -> NDArray[Any]:
        return np.arange(self.users.shape.shape[0], dtype=np.int32)

    def _attribute(
        self, data: CopyingData, users: NDArray[Any], of_items: NDArray[Any], to_items: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], float]:
        """Return Σ takes·φ of θ and τ over the takes of `users`, and Σ takes·log Z; `to_items` as below."""
        of_users = self.users.geometric()
        of_ties = np.ones_like(self.ties.shape) if self.fixed else self.ties.geometric()
        to_users, to_ties = np.zeros_like(of_users), np.zeros(of_ties.shape)
        log_z = _attribute(
            users, data.user_pairs, data.pair_item, data.pair_cells, data.cell_takes, data.cell_hits,
            data.hit_tie, data.hit_takes, of_users, of_items, of_ties, self.floor + TINY,
            to_users, to_items, to_ties,
        )  # fmt: skip
        return to_users * of_users, to_ties * of_ties, log_z


@njit(cache=True, error_model="numpy", inline="always")
def exp_digamma(a):
    """Return exp ψ(a) for float64 a ≥ 0.02 with a relative error below 1e-9.

    ψ(a) = ψ(a+6) − Σ_{j<6} 1/(a+j), and exp ψ(y+½) = y + 1/(24y) − 37/(5760y³) + 10313/(2903040y⁵) − …
    needs no logarithm. exp is its series at a 256th, squared eight times: only arithmetic, which the compiler
    vectorizes.
    """
    q = a * a + 5 * a
    below = (2 * a + 5) * (3 * q * q + 20 * q + 24) / (q * (q + 4) * (q + 6))
    y = a + 5.5
    z = 1 / (y * y)
    series = 1 + z * (1 / 24 + z * (-37 / 5760 + z * (10313 / 2903040 - z * (5509121 / 1393459200))))
    x = below * (-1 / 256)
    x4 = 1 / 24 + x * (1 / 120 + x * (1 / 720 + x * (1 / 5040 + x * (1 / 40320 + x / 362880))))
    power = 1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * x4)))
    for _ in range(8):
        power *= power
    return y * series * power


@njit(cache=True, error_model="numpy")
def _geometric(shape, own, rate):
    out = np.empty_like(shape)
    for row in range(shape.shape[0]):
        given, result = shape[row], out[row]
        for k in range(given.size):
            result[k] = exp_digamma(np.float64(given[k])) / (own[row] + rate[k])
    return out


@njit(cache=True)
def _divergence(shape, own, rate, shape0, mean0, log_mean0):
    """Σ (a−a₀)ψ(a) − log Γ(a) + log Γ(a₀) + a₀(log b − E log ξ) + a(E[ξ]−b)/b, ξ the prior's rate of the row."""
    total, constant = 0.0, math.lgamma(shape0)
    for row in range(shape.shape[0]):
        for k in range(shape.shape[1]):
            a, b = np.float64(shape[row, k]), own[row] + rate[k]
            total += (a - shape0) * math.log(exp_digamma(a)) - math.lgamma(a) + constant
            total += shape0 * (math.log(b) - log_mean0[row]) + a * (mean0[row] - b) / b
    return total


@njit(cache=True)
def _log_factorials(takes):
    total = 0.0
    for n in takes:
        if n > 1:
            total += math.lgamma(n + 1.0)
    return total


@njit(cache=True, fastmath={"reassoc", "nsz", "contract"})
def _dot(a, b):
    total = a[0] * b[0]  # Has the arrays' type
    for k in range(1, a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True)
def _attribute(
    users, user_pairs, pair_item, pair_cells, cell_takes, cell_hits, hit_tie, hit_takes,
    of_users, of_items, of_ties, floor, to_users, to_items, to_ties,
):  # fmt: skip
    """Add Σ w·G of the other side to `to_…` (to items only if `to_items` is not empty); return Σ takes·log Z."""
    dim = of_users.shape[1]
    narrow = np.empty(1, of_users.dtype)
    log_z = 0.0
    for u in users:
        row, to_row = of_users[u], to_users[u]
        for p in range(user_pairs[u], user_pairs[u + 1]):
            item = pair_item[p]
            base = floor
            if dim > 0:
                base += _dot(row, of_items[item])
            weight = 0.0
            for cell in range(pair_cells[p], pair_cells[p + 1]):
                z = base
                for hit in range(cell_hits[cell], cell_hits[cell + 1]):
                    z += of_ties[hit_tie[hit]] * hit_takes[hit]
                takes = np.float64(cell_takes[cell])
                log_z += takes * math.log(z)
                w = takes / z
                weight += w
                for hit in range(cell_hits[cell], cell_hits[cell + 1]):
                    to_ties[hit_tie[hit]] += w * hit_takes[hit]
            # Keep the arrays' type, so that float32 is vectorized at full width.
            narrow[0] = weight
            w = narrow[0]
            other = of_items[item]
            for k in range(dim):
                to_row[k] += w * other[k]
            if to_items.shape[0] > 0:
                to_other = to_items[item]
                for k in range(dim):
                    to_other[k] += w * row[k]
    return log_z
