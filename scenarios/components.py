"""Policies and rerankers as written in an arm: checked, and with their defaults written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from ..errors import BadInput
from ..policies.registry import policy_class, reranker_class
from ..sim.recommender import REFERENCE_ARMS
from .files import validate
from .spec import Arm


def spelled_out(arm: Arm) -> Arm:
    """Return the arm with every default of its policy and rerankers.

    Raises BadInput; every line of it begins with the key inside the arm.
    """
    policy = _filled(arm.policy, "policy", _policy_config)
    kind = policy["kind"]
    if kind in REFERENCE_ARMS and arm.rerank:
        raise BadInput(
            f'rerank: policy kind = "{kind}" is a reference arm and cannot be reranked; remove rerank'
        )
    rerank = [_filled(given, f"rerank[{i}]", _reranker_config) for i, given in enumerate(arm.rerank)]
    return arm.model_copy(update={"policy": policy, "rerank": rerank})


def _policy_config(kind: str) -> type[BaseModel]:
    return REFERENCE_ARMS[kind][0] if kind in REFERENCE_ARMS else policy_class(kind).Config


def _reranker_config(kind: str) -> type[BaseModel]:
    return reranker_class(kind).Config


def _filled(given: dict[str, Any], key: str, config_of: Callable[[str], type[BaseModel]]) -> dict[str, Any]:
    kind = given.get("kind")
    if not isinstance(kind, str):
        raise BadInput(f'{key}.kind: must name what to use, for example kind = "popularity"')
    try:
        config = config_of(kind)
    except BadInput as error:
        raise BadInput(f"{key}.kind: {error}") from None
    fields = {name: value for name, value in given.items() if name != "kind"}
    try:
        filled = validate(config, fields, "")
    except BadInput as error:
        raise BadInput("\n".join(f"{key}.{line}" for line in str(error).splitlines())) from None
    return {"kind": kind, **filled.model_dump(mode="json", exclude_none=True)}
