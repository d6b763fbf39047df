"""Draw values from the priors of a study: points of the unit cube from its sampler, mapped to values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..specs.uncertainty import Prior, Uncertainty
from .labels import one_type

if TYPE_CHECKING:
    import pandas as pd

LAST_SEED = 2**20 - 1
"""Highest seed of a study with uncertainty: the seed is the number of its draw."""

FloatArray = NDArray[np.float64]


def draws_of(config: Uncertainty, seeds: Iterable[int]) -> list[dict[str, Any]]:
    """Return the draw of each seed: dotted key → value.

    A draw depends only on the uncertainty and the seed, so adding seeds changes no earlier draw.
    """
    seeds = list(seeds)
    points = unit_points(config, seeds)
    placed = zip(config.coordinates, config.priors.values(), strict=True)
    columns = [values_at(prior, points[:, place]) for place, prior in placed]
    return [dict(zip(config.priors, row, strict=True)) for row in zip(*columns, strict=True)]


def draws_table(config: Uncertainty, seeds: Iterable[int]) -> pd.DataFrame:
    """Return one row per seed: seed, then one column per dotted key."""
    import pandas as pd

    seeds = list(seeds)
    draws = draws_of(config, seeds)
    columns = {key: one_type([draw[key] for draw in draws]) for key in config.priors}
    return pd.DataFrame({"seed": seeds, **columns})


def world_seed(config: Uncertainty | None, seed: int) -> int:
    """Return the seed of a run's random numbers: the seed itself, or its replicate in a Saltelli design."""
    return seed % config.replicates if config is not None and config.design == "saltelli" else seed


def draw_identity(config: Uncertainty | None) -> dict[str, Any]:
    """Return the settings that determine the draw of any given seed: more seeds or a larger base do not change them.

    Empty without uncertainty. The order of the priors matters: each has its own coordinate.
    """
    if config is None:
        return {}
    found: dict[str, Any] = {"design": config.design, "sampler": config.sampler, "seed": config.seed}
    if config.sampler == "latin_hypercube":
        found["block"] = config.block
    if config.design == "saltelli":
        found |= {"replicates": config.replicates, "second_order": config.second_order}
    priors = [[key, prior.model_dump(mode="json")] for key, prior in config.priors.items()]
    return {"uncertainty": {**found, "priors": priors}}


def unit_points(config: Uncertainty, seeds: Sequence[int]) -> FloatArray:
    """Return the points of the unit cube of seeds, (seeds, coordinates), each in [0, 1).

    draws: point `seed` of the scrambled Sobol' sequence, or row `seed mod block` of the Latin hypercube of
    block `seed // block`. saltelli: row `seed // replicates` of Saltelli's design in SALib's order: for each
    pair (A, B) of independent draws A, A with one coordinate of B for each key, (second order: B with one of
    A for each key,) B (Saltelli et al., Comput. Phys. Commun. 2010).
    """
    beyond = next((seed for seed in seeds if not 0 <= seed <= LAST_SEED), None)
    if beyond is not None:
        raise BadInput(f"seed {beyond}: with [uncertainty] a seed is the number of a draw, 0 to {LAST_SEED}")
    keys = max(config.coordinates) + 1
    if config.design == "saltelli":
        return _saltelli(config, keys, np.asarray(seeds, np.int64))
    if config.sampler == "latin_hypercube":
        return _hypercubes(config, keys, seeds)
    wanted, place = np.unique(np.asarray(seeds, np.int64), return_inverse=True)
    return _sobol(keys, config.seed, wanted)[place]


def _sobol(keys: int, seed: int, wanted: NDArray[np.int64]) -> FloatArray:
    """Return points of one scrambled Sobol' sequence by their numbers (ascending, without duplicates)."""
    from scipy.stats import qmc

    engine = qmc.Sobol(keys, scramble=True, seed=seed)
    parts: list[FloatArray] = [
        engine.random(1)
    ]  # Sobol warns if the first call does not draw 1 or a power of two.
    numbers, position = [0], 1
    for stretch in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1):
        stretch = stretch[stretch > 0]
        if stretch.size:
            engine.fast_forward(int(stretch[0]) - position)
            parts.append(engine.random(stretch.size))
            numbers += stretch.tolist()
            position = int(stretch[-1]) + 1
    return np.concatenate(parts)[np.searchsorted(numbers, wanted)]


def _hypercubes(config: Uncertainty, keys: int, seeds: Sequence[int]) -> FloatArray:
    from scipy.stats import qmc

    blocks: dict[int, FloatArray] = {}
    joint = config.joint_coordinate
    for number in {seed // config.block: None for seed in seeds}:
        rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(number,)))
        points = qmc.LatinHypercube(keys, seed=rng).random(config.block)
        if joint is not None:
            # A systematic sample: every block has a row as often as its weight says, rounded up or down.
            points[:, joint] = (np.floor(points[:, joint] * config.block) + rng.random()) / config.block
        blocks[number] = points
    rows = [blocks[seed // config.block][seed % config.block] for seed in seeds]
    return np.array(rows, np.float64).reshape(len(seeds), keys)


def _saltelli(config: Uncertainty, keys: int, seeds: NDArray[np.int64]) -> FloatArray:
    pair, kind = np.divmod(seeds // config.replicates, config.rows_per_pair)
    wanted, place = np.unique(pair, return_inverse=True)
    both = _sobol(2 * keys, config.seed, wanted)[place]
    a, b = both[:, :keys], both[:, keys:]
    swapped = (kind - 1) % keys == np.arange(keys)[:, None]
    mixed = (kind > 0) & (kind < config.rows_per_pair - 1)
    from_b = np.where(mixed, (kind <= keys) == swapped, kind > 0).T
    return np.where(from_b, b, a)


def values_at(prior: Prior, points: FloatArray) -> list[Any]:
    """Return the values of a prior at points of [0, 1), by the inverse of its distribution function.

    Whole numbers: the distribution extends from low − ½ to high + ½ and is rounded, so each number has the
    probability of ½ to either side of it (uniform: all equal).
    """
    listed = prior.choice or prior.sample
    if listed is not None:
        steps = np.cumsum(prior.weights or [1.0] * len(listed))
        chosen = np.searchsorted(steps / steps[-1], points, side="right")
        return [listed[min(int(at), len(listed) - 1)] for at in chosen]
    low, high = prior.bounds
    wide = 0.5 if prior.whole else 0.0
    found = np.clip(_quantiles(prior, points, low - wide, high + wide), low - wide, high + wide)
    if prior.whole:
        return [int(value) for value in np.clip(np.floor(found + 0.5), low, high)]
    return [float(value) for value in found]


def _quantiles(prior: Prior, points: FloatArray, low: float, high: float) -> FloatArray:
    if prior.normal is not None:
        from scipy.stats import truncnorm

        mean, spread = prior.normal
        return truncnorm.ppf(points, (low - mean) / spread, (high - mean) / spread, loc=mean, scale=spread)
    if prior.log_uniform is not None:
        return np.exp(math.log(low) + points * (math.log(high) - math.log(low)))
    return low + points * (high - low)
