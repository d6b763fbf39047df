"""Help text of a policy, reference arm, reranker, log transform or measure: what it does, and each of its fields."""

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ..policies.base import Policy
from ..policies.search_space import Choice, Range, SearchSpace
from ..wording import toml

WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", dict: "table"}
"""Type of a field → what to write."""


def describe_component(kind: str) -> str | None:
    """Return the help text of a component or measure; None if there is no such kind."""
    from ..analysis.measures import MEASURES
    from ..policies.registry import kinds, log_transform_class, policy_class, reranker_class
    from ..sim.recommender import REFERENCE_ARMS

    measure = kind.partition(":")[0]  # Without the label of a split
    if measure in MEASURES:
        return _measure_page(measure)
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
    """Return all kinds and measures that have a help text."""
    from ..analysis.measures import MEASURES
    from ..policies.registry import kinds
    from ..sim.recommender import REFERENCE_ARMS

    return [*kinds("policies"), *kinds("rerankers"), *kinds("log_transforms"), *REFERENCE_ARMS, *MEASURES]


def _page(title: str, component: object, config: type[BaseModel]) -> str:
    lines = [title, "", inspect.getdoc(component) or "", "", "Fields"]
    for name, field in config.model_fields.items():
        bounds = _bounds(field.metadata)
        kind = type_in_words(field.annotation)
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


def _measure_page(column: str) -> str:
    """Return what a measure is, its definition, and how to read it."""
    from ..analysis.measures import MEASURES, declared, measure_class
    from ..analysis.measures.describe import value_range

    measure, found = measure_class(column), declared(column)
    others = [f"`{each.name}`" for each in measure.columns if each.name != column and each.usual]
    sources = f"also {column}_organic, {column}_cold and {column}_all (on request)"
    directions = {"neither": "neither direction is good by itself"}
    return "\n".join(
        [
            f"{column} (measure)",
            "",
            found.title,
            "",
            inspect.getdoc(measure) or "",
            *(["", f"Computed together with {', '.join(others)}."] if others else []),
            "",
            f"  unit       {found.unit or 'none'}",
            f"  range      {value_range(found)}",
            f"  direction  {directions.get(found.better, f'{found.better} is better')}",
            f"  family     {found.family}",
            f"  splits     {'by group, community and profile: ' + column + ':LABEL' if measure.splits else 'none'}",
            *([f"  sources    {sources}"] if f"{column}_all" in MEASURES else []),
            f"  computed   every {'round' if measure.every == 1 else f'{measure.every} rounds'}",
        ]
    )


def type_in_words(annotation: Any) -> str:
    """Return what a field of this type holds: "whole number", "list of numbers", "one of "als", "bpr"", …

    Nothing is said of None: that a field may be omitted is said beside its default.
    """
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        constraints = [part for extra in inside[1:] for part in getattr(extra, "metadata", (extra,))]
        bounds = _bounds(constraints)
        return type_in_words(inside[0]) + (f" ({bounds})" if bounds else "")
    if origin is Literal:
        values = ", ".join(map(toml, inside))
        return values if len(inside) == 1 else f"one of {values}"
    if origin in (Union, types.UnionType):
        members = [type_in_words(member) for member in inside if member is not types.NoneType]
        return " or ".join(members)
    if (origin or annotation) in (list, tuple, set, frozenset):
        return f"list of {_plural(type_in_words(inside[0]))}" if inside else "list"
    bare = origin or annotation
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return "table"
    return WORDS.get(bare, "any value")


def _plural(words: str) -> str:
    """Return the words for several values: whole numbers, or any of several texts."""
    if words.startswith("one of "):
        return f"any of {words.removeprefix('one of ')}"
    return f"{words}s" if words in WORDS.values() and words != WORDS[bool] else words


def _bounds(constraints: Sequence[Any]) -> str:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " and ".join(
        f"{word} {_number(getattr(constraint, name))}"
        for name, word in words.items()
        for constraint in constraints
        if getattr(constraint, name, None) is not None
    )


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(where: Range | Choice) -> str:
    if isinstance(where, Choice):
        return ", ".join(map(toml, where.values))
    return f"{where.low:g}:{where.high:g}{'' if where.log else ':linear'}"
