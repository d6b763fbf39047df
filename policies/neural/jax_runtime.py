"""jax for the neural policies: lazy import, a separate single-threaded CPU device, compilation and Adam steps."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..interactions import FloatArray

Weights = dict[str, FloatArray]

MIN_ROWS = 64
"""Minimum number of rows of a table."""

MAX_AHEAD = 4
"""Training steps that may wait for jax to execute them: each keeps its batch in memory."""


def require_jax(kind: str) -> None:
    """Raise BadInput with the install command if jax or optax is missing; imports neither."""
    missing = [name for name in ("jax", "jaxlib", "optax") if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f'the policy "{kind}" needs {", ".join(missing)}, not installed here. Install with: '
            'pip install "echodrift[neural]"'
        )


def padded_size(rows: int) -> int:
    """Return the next standard table size, at most an eighth larger: every new size needs a compilation."""
    step = max(MIN_ROWS, 1 << max(int(rows) - 1, 0).bit_length() >> 4)
    return max(-(-rows // step), 1) * step


@cache
def device() -> Any:
    """Return this process's CPU device for the neural policies.

    The number of threads is fixed when jax starts its CPU device, and it changes the rounding of matrix
    products. So this is a second CPU device, separate from other users of jax in the process: results do not
    depend on who starts first, and other jax code is neither slowed down nor initialized (no GPU memory is used).
    """
    import jax

    with _one_processor():
        try:
            from jaxlib import xla_client

            return xla_client.make_cpu_client(asynchronous=False).local_devices()[0]
        except (ImportError, AttributeError, TypeError):  # Not a public interface: it may move
            return jax.devices("cpu")[0]


@contextmanager
def _one_processor() -> Iterator[None]:
    """Make jax see a single processor while it starts."""
    before = os.environ.get("NPROC")
    os.environ["NPROC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NPROC"]
        else:
            os.environ["NPROC"] = before


def to_device(tree: Any) -> Any:
    """Return copies of a tree of numpy arrays on the device; as copies they may be donated."""
    import jax

    return jax.tree.map(lambda array: jax.device_put(np.array(array), device()), tree)


def from_device(weights: Mapping[str, Any]) -> Weights:
    """Return copies of arrays on the device as numpy arrays."""
    return {name: np.array(array) for name, array in weights.items()}


@cache
def adam_step(loss: Callable[..., Any], **static: Any) -> Callable[..., Any]:
    """Return (weights, moments, learning_rate, *batch) → (weights, moments), one compiled step of Adam.

    `loss(weights, *batch, **static)` is a module-level function; equal arguments share one compiled function.
    """
    import jax
    import optax

    optimizer = optax.scale_by_adam()

    def step(weights, moments, learning_rate, *batch):
        slopes = jax.grad(loss)(weights, *batch, **static)
        moves, moments = optimizer.update(slopes, moments)
        return jax.tree.map(lambda w, move: w - learning_rate * move, weights, moves), moments

    return jax.jit(step, donate_argnums=(0, 1))


@cache
def compiled(function: Callable[..., Any], **static: Any) -> Callable[..., Any]:
    """Return `function(*arrays, **static)` compiled; equal arguments share one compiled function."""
    import jax

    return jax.jit(lambda *arrays: function(*arrays, **static))


class Training:
    """Weights and Adam's moments on the device during training; input and result are numpy arrays."""

    def __init__(self, weights: Weights, state: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Start from `weights`, and from the moments in `state` if it has them."""
        from optax import ScaleByAdamState

        first, second = (
            {name: state[f"{which}.{name}"] if state else np.zeros_like(w) for name, w in weights.items()}
            for which in ("first", "second")
        )
        self._steps = 0
        count = state["steps"] if state else np.zeros((), np.int32)
        self.weights = to_device(weights)
        self.moments = ScaleByAdamState(to_device(count), to_device(first), to_device(second))

    def step(self, function: Callable[..., Any], learning_rate: float, *batch: Any) -> None:
        """Take one step with a function made by `adam_step`."""
        import jax

        self.weights, self.moments = function(self.weights, self.moments, learning_rate, *batch)
        self._steps += 1
        if self._steps % MAX_AHEAD == 0:
            jax.block_until_ready(self.weights)

    def result(self) -> tuple[Weights, dict[str, NDArray[Any]]]:
        """Return the weights, and the moments as named arrays."""
        first, second = from_device(self.moments.mu), from_device(self.moments.nu)
        moments: dict[str, NDArray[Any]] = {f"first.{name}": array for name, array in first.items()}
        moments |= {f"second.{name}": array for name, array in second.items()}
        return from_device(self.weights), moments | {"steps": np.array(self.moments.count)}
