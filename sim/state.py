"""What a checkpoint keeps: named arrays, and how the states of parts are put together and taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[Any]]


def under(name: str, kept: Mapping[str, Any]) -> State:
    """Return a part's state with a name before each of its own."""
    return {f"{name}.{key}": np.asarray(value) for key, value in kept.items()}


def part(name: str, kept: Mapping[str, NDArray[Any]]) -> State:
    """Return the part of a state that `under` put there."""
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in kept.items() if key.startswith(start)}


def fill(array: NDArray[Any], kept: NDArray[Any], name: str, longer: bool) -> None:
    """Put what was kept into an array in place; one laid out for more rounds (longer) keeps its own rest.

    Raises ValueError where it does not fit.
    """
    fits = kept.shape == array.shape
    if longer and kept.ndim == array.ndim:
        fits = all(few <= many for few, many in zip(kept.shape, array.shape, strict=True))
    if not fits or kept.dtype != array.dtype:
        raise ValueError(f"the state's {name} is {kept.dtype}{kept.shape}, not {array.dtype}{array.shape}")
    array[tuple(slice(size) for size in kept.shape)] = kept
