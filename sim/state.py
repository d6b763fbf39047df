"""Checkpoint states as named arrays: combine the states of several parts by prefix, and split them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[Any]]


def add_prefix(name: str, state: Mapping[str, Any]) -> State:
    """Return a state with `name.` before each of its keys."""
    return {f"{name}.{key}": np.asarray(value) for key, value in state.items()}


def select_prefix(name: str, state: Mapping[str, NDArray[Any]]) -> State:
    """Return the part of a state under `name.`, without that prefix."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def copy_into(array: NDArray[Any], saved: NDArray[Any], name: str, longer: bool) -> None:
    """Copy a saved array into an array in place.

    longer: the array may be larger, allocated for more rounds; the rest of it is unchanged. Raises ValueError if
    the arrays do not match.
    """
    fits = saved.shape == array.shape
    if longer and saved.ndim == array.ndim:
        fits = all(few <= many for few, many in zip(saved.shape, array.shape, strict=True))
    if not fits or saved.dtype != array.dtype:
        raise ValueError(f"the state's {name} is {saved.dtype}{saved.shape}, not {array.dtype}{array.shape}")
    array[tuple(slice(size) for size in saved.shape)] = saved
