"""The interface to a library's method (how to prepare data, train, and score), and the settings to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


def log_range(low: float, high: float) -> Callable:
    """Return a sampler of numbers between low and high, uniform on a log scale."""
    return lambda rng: float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.4g}")


def choice(*values: Any) -> Callable:
    """Return a sampler of one of the values."""
    return lambda rng: values[int(rng.integers(len(values)))]


DIM = choice(16, 32, 64, 128)
SPACES: dict[str, dict[str, Callable]] = {
    "popularity": {},
    "ease": {"l2": log_range(3, 3000)},
    "ials": {"dim": DIM, "alpha0": log_range(0.003, 1), "regularization": log_range(0.001, 0.3)},
    "als": {"dim": DIM, "confidence": log_range(0.3, 100), "regularization": log_range(0.01, 300)},
    "item_knn": {"neighbors": choice(20, 50, 100, 200, 400), "shrinkage": log_range(0.1, 100)},
    "user_knn": {"neighbors": choice(20, 50, 100, 200, 400), "shrinkage": log_range(0.1, 100)},
    "mult_vae": {
        "epochs": choice(25, 50, 100),
        "beta": log_range(0.05, 1),
        "latent": choice(50, 100, 200),
        "hidden": choice(200, 600),
    },
    "bpr": {
        "dim": DIM,
        "learning_rate": log_range(0.005, 0.2),
        "regularization": log_range(1e-4, 0.1),
        "iterations": choice(50, 100, 200),
    },
    "pf": {"dim": choice(5, 10, 20, 50, 100), "shape": choice(0.1, 0.3, 1.0)},
}
"""Method → setting → sampler. All libraries use the same trials and ignore the settings that they lack."""
TRIALS = {"popularity": 1, "ials": 12, "mult_vae": 6, "pf": 12}
"""Trials per method; 8 for methods that are not listed."""
SAME: dict[str, dict[str, Any]] = {
    "popularity": {},
    "ease": {"l2": 200.0},
    "ials": {"dim": 64, "alpha0": 0.1, "regularization": 0.02},
    "als": {"dim": 64, "confidence": 10.0, "regularization": 30.0},
    "item_knn": {"neighbors": 100, "shrinkage": 10.0},
    "user_knn": {"neighbors": 100, "shrinkage": 10.0},
    "mult_vae": {"epochs": 20, "beta": 0.2, "latent": 100, "hidden": 200},
    "bpr": {"dim": 32, "learning_rate": 0.05, "regularization": 0.01, "iterations": 100},
    "pf": {"dim": 50, "shape": 0.3},
}
"""Settings for comparing time (and quality) at equal work."""


def trials(method: str, count: int | None = None) -> list[dict[str, Any]]:
    """Return the settings to try, the same for every library."""
    rng = np.random.default_rng(sum(map(ord, method)))
    space, count = SPACES[method], count or TRIALS.get(method, 8)
    return [{name: draw(rng) for name, draw in space.items()} for _ in range(count)]


@dataclass(frozen=True)
class Method:
    """One method of one library: how to prepare the data, train, and get scores or lists."""

    train: Callable[[Any, dict, int], Any]
    """(prepared data, settings, seed) → model; this alone is timed."""
    scores: Callable[[Any, np.ndarray], np.ndarray] | None = None
    """(model, users) → (B, items)."""
    prepare: Callable[[Any], Any] = lambda train: train
    """(training matrix, friends) → the data in the format of the library."""
    lists: Callable[[Any, np.ndarray, int], np.ndarray] | None = None
    """Instead of `scores`: (model, users, n) → (B, n) ranked items, without those known from training."""
