"""The platform's side of the loop: policies, rerankers and log transforms, and the observations they work on.

Nothing in here can read a user's true tastes. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import FactorPolicy, LogTransform, Policy, Ranking, Reranker, ScorePolicy
    from .interactions import Blocked, Exposures, Friends, InteractionLog, Interactions, Observation, Source
    from .registry import (
        build_log_transform,
        build_policy,
        build_reranker,
        kinds,
        log_transform_class,
        policy_class,
        register,
        reranker_class,
        spec_of,
    )
    from .rerankers.calibrated import kl_calibration
    from .size import Size
    from .testing import check_log_transform, check_policy, check_reranker
    from .topk import top_k_dense, top_k_factors, top_k_shared
    from .transforms.weights import check_transforms
    from .validation import validate_ranking

__all__ = [
    "Blocked",
    "Exposures",
    "FactorPolicy",
    "Friends",
    "InteractionLog",
    "Interactions",
    "LogTransform",
    "Observation",
    "Policy",
    "Ranking",
    "Reranker",
    "ScorePolicy",
    "Size",
    "Source",
    "build_log_transform",
    "build_policy",
    "build_reranker",
    "check_log_transform",
    "check_policy",
    "check_reranker",
    "check_transforms",
    "kinds",
    "kl_calibration",
    "log_transform_class",
    "policy_class",
    "register",
    "reranker_class",
    "spec_of",
    "top_k_dense",
    "top_k_factors",
    "top_k_shared",
    "validate_ranking",
]

_BY_MODULE = {
    "base": "FactorPolicy LogTransform Policy Ranking Reranker ScorePolicy",
    "interactions": "Blocked Exposures Friends InteractionLog Interactions Observation Source",
    "registry": "build_log_transform build_policy build_reranker kinds log_transform_class policy_class "
    "register reranker_class spec_of",
    "rerankers.calibrated": "kl_calibration",
    "size": "Size",
    "testing": "check_log_transform check_policy check_reranker",
    "topk": "top_k_dense top_k_factors top_k_shared",
    "transforms.weights": "check_transforms",
    "validation": "validate_ranking",
}
_HOMES = {name: module for module, names in _BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
