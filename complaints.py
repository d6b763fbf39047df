"""Turn pydantic's validation errors into messages that users can act on: key, problem, allowed values."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from .errors import KeyPath, Mistake, did_you_mean
from .wording import short, toml

KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""Error type of pydantic → what the value must be."""
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_BOUND_ERRORS = {"greater_than_equal", "greater_than", "less_than_equal", "less_than"}


def mistakes(error: ValidationError, model: type[BaseModel], source: str = "") -> list[Mistake]:
    """Return one mistake per key: what is wrong and what is allowed.

    If all members of a union reject a value, one sentence reports them. source: where the values come from.
    """
    found: dict[KeyPath, list[Any]] = {}
    for detail in error.errors(include_url=False):
        path = _key_path(model, detail["loc"], detail["type"])
        if detail["type"].startswith("union_tag"):
            path.append("kind")
        found.setdefault(tuple(path), []).append(detail)
    return [_mistake(path, details, model, source) for path, details in found.items()]


def _mistake(path: KeyPath, details: list[Any], model: type[BaseModel], source: str) -> Mistake:
    texts = list(dict.fromkeys(_text(detail, model) for detail in details))
    about = [
        (*(path if _class(model, detail["loc"]) else path[:-1]), *field)
        for detail in details
        for field in getattr(detail.get("ctx", {}).get("error"), "about", ())
    ]
    if details[0]["type"] == "json_invalid":
        about = [()]  # It is about the whole study, whose file or option is to be named.
    is_missing = any(detail["type"] in ("missing", "union_tag_not_found") for detail in details)
    return Mistake(_joined(texts, details[0]), path, tuple(about), is_missing, source)


def _key_path(model: type[BaseModel], loc: Sequence[str | int], kind: str) -> list[str | int]:
    """Return a location without the names that pydantic adds for the members of a union."""
    path: list[str | int] = []
    here: Any = model
    for number, step in enumerate(loc):
        owner = _bare_class(here)
        unknown = kind == "extra_forbidden" and number == len(loc) - 1
        inside_dict = get_origin(here) is dict and step != "[key]"
        if isinstance(step, int) or unknown or inside_dict or (owner and step in owner.model_fields):
            path.append(step)
        here = _below(here, step)
    return path


def _joined(texts: list[str], detail: Any) -> str:
    musts = [text.removeprefix("must be ") for text in texts if text.startswith("must be ")]
    others = [text for text in texts if not text.startswith("must be ")]
    if musts:
        return "; ".join([f"must be {' or '.join(musts)}, but is {short(toml(detail['input']))}", *others])
    return "; ".join(others)


def _text(detail: Any, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "list_type" and isinstance(detail["input"], dict):
        name = ".".join(str(step) for step in detail["loc"])
        return f"is one table, but there can be several: write [[{name}]] above it, with two brackets"
    if kind in KINDS:
        return f"must be {KINDS[kind]}"
    if kind in _BOUND_ERRORS:
        return f"must be {_range(_field(model, detail['loc'])) or _of_context(context)}"
    if kind == "literal_error":
        close = did_you_mean(str(detail["input"]), _quoted(context["expected"]))
        return (
            f"must be {context['expected']}"
            if not close
            else f"must be {context['expected']} ({close.strip()})"
        )
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        owner = _class(model, detail["loc"][:-1])
        allowed = sorted(owner.model_fields) if owner else []
        return f"unknown key.{did_you_mean(str(detail['loc'][-1]), allowed)} Allowed: {', '.join(allowed) or 'none'}."
    if kind == "union_tag_not_found":
        return f"is missing; it must be one of {', '.join(_choices(model, detail['loc']))}"
    if kind == "union_tag_invalid":
        allowed = _choices(model, detail["loc"])
        tag = str(context["tag"])
        return f'is "{tag}", but must be one of {", ".join(allowed)}.{did_you_mean(tag, allowed)}'
    if kind in ("too_short", "string_too_short"):
        return f"must not be empty (at least {context['min_length']} needed)"
    if kind == "value_error":
        return str(context.get("error") or detail["msg"]).removeprefix("Value error, ")
    if kind == "json_invalid":
        return "holds text that is not valid Unicode, or is nested too deeply"
    words = detail["msg"].replace("Input should be", "must be")
    return words[:1].lower() + words[1:]


def _quoted(expected: str) -> list[str]:
    return [part for part in expected.split("'") if part.strip(" ,") not in ("", "or")]


def _of_context(context: dict[str, Any]) -> str:
    return " and ".join(f"{word} {context[name]}" for name, word in _BOUNDS.items() if name in context)


def _range(field: FieldInfo | None) -> str:
    bounds = []
    for name, word in _BOUNDS.items():
        for constraint in field.metadata if field else ():
            if getattr(constraint, name, None) is not None:
                bounds.append(f"{word} {getattr(constraint, name)}")
    return " and ".join(bounds)


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union, except None, still wrapped in `Annotated` with their tags."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    return [member for member in get_args(annotation) if member is not types.NoneType]


def _tags(member: Any) -> set[str]:
    tags = {extra.tag for extra in getattr(member, "__metadata__", ()) if isinstance(extra, Tag)}
    bare = get_args(member)[0] if get_origin(member) is Annotated else member
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        tags.add(bare.__name__)
        if "kind" in bare.model_fields:
            tags.add(bare.model_fields["kind"].default)
    return tags


def _below(annotation: Any, step: str | int) -> Any:
    """Return the annotation one step down, or None if the types do not determine it."""
    members = _members(annotation)
    if len(members) > 1:
        return next((member for member in members if str(step) in _tags(member)), None)
    bare = members[0]
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        field = bare.model_fields.get(str(step))
        return field.annotation if field else None
    inside = get_args(bare)
    return inside[-1] if inside and get_origin(bare) in (list, dict, tuple) else None


def _at(model: type[BaseModel], loc: Sequence[str | int]) -> Any:
    here: Any = model
    for step in loc:
        here = _below(here, step)
    return here


def _bare_class(annotation: Any) -> type[BaseModel] | None:
    members = _members(annotation)
    only = members[0] if len(members) == 1 else None
    while get_origin(only) is Annotated:
        only = get_args(only)[0]
    return only if isinstance(only, type) and issubclass(only, BaseModel) else None


def _class(model: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    return _bare_class(_at(model, loc))


def _field(model: type[BaseModel], loc: Sequence[str | int]) -> FieldInfo | None:
    """Return the field whose value a location names, ignoring the names of union members."""
    for end in range(len(loc) - 1, -1, -1):
        owner = _class(model, loc[:end])
        if owner is not None:
            return owner.model_fields.get(str(loc[end]))
    return None


def _choices(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    kinds = set()
    for member in _members(_at(model, loc)):
        kinds |= {tag for tag in _tags(member) if tag.islower()}
    return sorted(kinds)
