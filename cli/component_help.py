"""Help text of a policy, reference arm, reranker or log transform: what it does, and each of its fields."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..policies.base import Policy
from ..policies.search_space import Choice, Range, SearchSpace
from ..wording import toml


def describe_component(kind: str) -> str | None:
    """Return the help text of a component; None if there is no such kind."""
    from ..policies.registry import kinds, log_transform_class, policy_class, reranker_class
    from ..sim.recommender import REFERENCE_ARMS

    if kind in REFERENCE_ARMS:
        config, recommender, _ = REFERENCE_ARMS[kind]
        return _page(f"{kind} (reference arm)", recommender, config)
    if kind in kinds("policies") or ":" in kind:
        policy = policy_class(kind)
        return _page(f"{kind} (policy)", policy, policy.Config)
    if kind in kinds("rerankers"):
        reranker = reranker_class(kind)
        return _page(f"{kind} (reranker)", reranker, reranker.Config)
    if kind in kinds("log_transforms"):
        transform = log_transform_class(kind)
        return _page(f"{kind} (log transform)", transform, transform.Config)
    return None


def kinds_with_help() -> list[str]:
    """Return all kinds that have a help text."""
    from ..policies.registry import kinds
    from ..sim.recommender import REFERENCE_ARMS

    return [*kinds("policies"), *kinds("rerankers"), *kinds("log_transforms"), *REFERENCE_ARMS]


def _page(title: str, component: object, config: type[BaseModel]) -> str:
    lines = [title, "", inspect.getdoc(component) or "", "", "Fields"]
    for name, field in config.model_fields.items():
        bounds = " and ".join(f"{word} {value}" for word, value in _bounds_of(field))
        kind = inspect.formatannotation(field.annotation).replace("typing.", "").replace("Literal", "one of ")
        default = "required" if field.is_required() else f"default {toml(field.default)}"
        if not field.is_required() and field.default is None:
            default = "may be omitted"
        lines.append(f"  {name}  ({kind}{', ' + bounds if bounds else ''}; {default})")
        lines += [f"      {line}" for line in textwrap.wrap(field.description or "", 100)]
    if not config.model_fields:
        lines.append("  none")
    space = _space(component) if isinstance(component, type) and issubclass(component, Policy) else {}
    if space:
        lines += [
            "",
            "What `echodrift tune` tries",
            *(f"  {name} = {_range(where)}" for name, where in space.items()),
        ]
    return "\n".join(lines)


def _space(policy: type[Policy]) -> SearchSpace:
    """Return what is tried by default; a class that is not built in is not called."""
    return policy.space_for({}) if policy.__module__.startswith("echodrift.") else policy.space


def _bounds_of(field: FieldInfo) -> Iterable[tuple[str, object]]:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for name, word in words.items():
        for constraint in field.metadata:
            if getattr(constraint, name, None) is not None:
                yield word, getattr(constraint, name)


def _range(where: Range | Choice) -> str:
    if isinstance(where, Choice):
        return ", ".join(map(toml, where.values))
    return f"{where.low:g}:{where.high:g}{'' if where.log else ':linear'}"
