"""Attention of personas to items, and scores as attention-weighted mixtures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...machine import blas_on_one_thread
from ..interactions import FloatArray, IntArray
from .persona_training import Parameters, unit

USER_BLOCK = 16
"""Users in one matrix product with all items; smaller blocks are padded, since for another number of rows BLAS
may pick another kernel, which rounds differently."""


def scores(parameters: Parameters, users: IntArray, known: NDArray[np.bool_]) -> FloatArray:
    """Return (B, known items): attention-weighted scores, a block of users at a time."""
    items, biases = parameters["items"][known], parameters["biases"][known]
    temperature = np.exp(parameters["log_temperature"])
    out = np.empty((users.size, len(items)), np.float32)
    with blas_on_one_thread():
        directions = unit(items @ parameters["item_map"].T)[0]
        for start in range(0, users.size, USER_BLOCK):
            part = users[start : start + USER_BLOCK]
            personas = np.zeros((USER_BLOCK, *parameters["personas"].shape[1:]), np.float32)
            personas[: part.size] = parameters["personas"][part]
            cosines = unit(personas @ parameters["user_map"].T)[0] @ directions.T
            mixture = mixture_scores(cosines, personas @ items.T, temperature)
            out[start : start + part.size] = mixture[: part.size]
    return out + biases


def mixture_scores(cosines: FloatArray, by_persona: FloatArray, temperature: FloatArray) -> FloatArray:
    """Return (B, items) scores of the persona mixtures; both arguments (B, K, items), the first is overwritten."""
    cosines /= temperature
    cosines -= cosines.max(axis=1, keepdims=True)
    np.exp(cosines, out=cosines)
    by_persona *= cosines
    return by_persona.sum(axis=1) / cosines.sum(axis=1)


def weights(parameters: Parameters, user: int, items: IntArray) -> FloatArray:
    """Return (len(items), K): the attention of each persona of a user to each item."""
    own = unit(parameters["personas"][user] @ parameters["user_map"].T)[0]
    other = unit(parameters["items"][items] @ parameters["item_map"].T)[0]
    logits = (other @ own.T) / np.exp(parameters["log_temperature"])
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)
